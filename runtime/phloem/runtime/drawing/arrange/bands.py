"""Long drawings folded: layers set in bands below one another, as words are set in lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import Final

from phloem.runtime.drawing.arrange.layers import Layers

__all__ = ["MEASURE", "folds", "opened"]

MEASURE: Final = 1_120.0
"""A drawing wider than this, in pixels, is folded if it can be: shown on a page, it would be too small to read."""

_LONG: Final = 2.6
"""A drawing is folded only when it is this many times as wide as it is high."""

_MOST_ACROSS: Final = 3
"""Nor is it folded where more trunks than this would have to be led to the next band."""

_BEND: Final = 0.15
"""What leading one trunk on to the next band costs, where a band as wide as none costs 1."""

_SHORTEST: Final = 0.55
"""No band but the last is to be narrower than this part of the mean: better not to fold then."""


def folds(found: Layers, widths: list[float], height: float) -> list[int]:
    """The layers that begin a new band; none for a drawing that is short, or too busy to fold.

    `widths` are those of the columns with the gap after each, `height` is that of the whole. The bands
    are made about equally wide: least squares over all ways to break, as paragraphs are set (Knuth and
    Plass, Breaking paragraphs into lines, 1981).
    """
    total = sum(widths)
    if total <= MEASURE or total < _LONG * height:
        return []
    across = _across(found)
    allowed = [number for number in range(1, len(widths)) if across[number] <= _MOST_ACROSS]
    measure = max(MEASURE, (1.6 * total * (height + 60)) ** 0.5)
    ideal = total / ceil(total / measure)
    starts = [0, *allowed, len(widths)]
    ends = [0.0]
    for width in widths:
        ends.append(ends[-1] + width)
    cheapest: list[tuple[float, int]] = [(0.0, 0)]
    for at in range(1, len(starts)):
        choices: list[tuple[float, int]] = []
        for before in range(at - 1, -1, -1):
            width = ends[starts[at]] - ends[starts[before]]
            if width > 2 * measure and choices:
                break
            bend = across[starts[at]] if starts[at] < len(widths) else 0
            cost = ((width - ideal) / ideal) ** 2 + (4 if width > measure else 0) + _BEND * bend
            choices.append((cheapest[before][0] + cost, before))
        cheapest.append(min(choices))
    breaks = []
    at = cheapest[-1][1]
    while at:
        breaks.append(starts[at])
        at = cheapest[at][1]
    breaks.reverse()
    begins = [0.0, *(ends[number] for number in breaks)]
    short = any(end - begin < _SHORTEST * ideal for begin, end in pairwise(begins))
    return [] if short else breaks


def opened(found: Layers, breaks: Sequence[int]) -> tuple[list[int], list[int]]:
    """The layer of each shape, and the breaks, when each new band begins with what only it reads.

    Sources that would stand at the end of a band and be read in the next get a layer of their own there.
    """
    layer = [spot.layer for spot in found.spots if spot.shape is not None]
    moved = {number: _beginners(found, number) for number in breaks}
    added = [number for number in breaks if moved[number]]
    shifted = [one + sum(number <= one for number in added) for one in layer]
    for number in added:
        for index in moved[number]:
            shifted[index] = number + added.index(number)
    return shifted, [number + sum(other < number for other in added) for number in breaks]


def _across(found: Layers) -> list[int]:
    """For each layer, how many trunks would have to be led round if it began a band."""
    trunks: list[set[tuple[int, int]]] = [set() for _ in found.layers]
    for step in found.steps:
        trunks[found.spots[step.right].layer].add(step.trunk)
    beginners = [set(_beginners(found, number)) for number in range(len(found.layers))]
    return [sum(trunk[0] not in beginners[number] for trunk in one) for number, one in enumerate(trunks)]


def _beginners(found: Layers, number: int) -> list[int]:
    """The shapes before layer `number` that take from nothing, unless nothing else stands there."""
    before = found.layers[number - 1] if number else []
    some = [index for index in before if found.spots[index].shape is not None and not found.spots[index].lefts]
    return some if len(some) < len(before) else []
