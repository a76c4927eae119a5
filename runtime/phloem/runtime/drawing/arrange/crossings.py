"""The order within layers: sweeps that put each spot near those it is joined to, so that few trunks cross."""

from __future__ import annotations

from bisect import bisect_right, insort
from random import Random
from typing import Final

from phloem.runtime.drawing.arrange.layers import Layers, Step

__all__ = ["untangle"]

_FEW: Final = 300
_SWEEPS: Final = 24
_SWEEPS_OF_MANY: Final = 6
_TRIES: Final = 4
_STARTS: Final = 600
"""How many spots altogether are put in order from one start or another."""


def untangle(found: Layers) -> None:
    """Order the spots of every layer, in place, and write each one's index in its layer into `at`.

    Barycentre sweeps to and fro, the best order kept (Sugiyama and others, 1981); with few spots, then
    swapping neighbours while that helps (Gansner and others, A technique for drawing directed graphs,
    1993), and all of it again from other orders, always the same ones. Of equals, what is nearest to the
    order given stays.
    """
    shuffled = Random(0)
    best, fewest = found.layers, -1
    given = [list(layer) for layer in found.layers]
    for start in range(max(1, min(12, _STARTS // (len(found.spots) + 1)))):
        found.layers = [list(layer) for layer in given]
        for layer in found.layers if start else ():
            shuffled.shuffle(layer)
        order, count = _swept(found)
        if fewest < 0 or count < fewest:
            best, fewest = order, count
        if not fewest:
            break
    found.layers = best
    _number(found)


def _swept(found: Layers) -> tuple[list[list[int]], int]:
    """The best order that sweeping finds from where the spots stand, and its crossings."""
    _number(found)
    few = len(found.spots) <= _FEW
    best, fewest = [list(layer) for layer in found.layers], crossings(found)
    tries = _TRIES
    for sweep in range(_SWEEPS if few else _SWEEPS_OF_MANY):
        if not fewest or not tries:
            break
        _sweep(found, forth=sweep % 2 == 0)
        if few:
            _swap_neighbours(found)
        now = crossings(found)
        tries -= 1
        if now < fewest:
            best, fewest, tries = [list(layer) for layer in found.layers], now, _TRIES
    return best, fewest


def crossings(found: Layers) -> int:
    """How many pairs of steps cross."""
    total = 0
    by_layer: list[list[Step]] = [[] for _ in found.layers]
    for step in found.steps:
        by_layer[found.spots[step.left].layer].append(step)
    for steps in by_layer:
        seen: list[tuple[int, float]] = []
        for _, right in sorted((_left(found, step), _right(found, step)) for step in steps):
            total += len(seen) - bisect_right(seen, right)
            insort(seen, right)
    return total


def _left(found: Layers, step: Step) -> tuple[int, float]:
    return found.spots[step.left].at, step.out


def _right(found: Layers, step: Step) -> tuple[int, float]:
    return found.spots[step.right].at, step.into


def _number(found: Layers) -> None:
    for layer in found.layers:
        for at, index in enumerate(layer):
            found.spots[index].at = at


def _sweep(found: Layers, *, forth: bool) -> None:
    """Order each layer by the middle of what its spots are joined to on one side; the rest stay where they are."""
    for layer in found.layers if forth else reversed(found.layers):
        middles = {index: middle for index in layer if (middle := _middle(found, index, forth)) is not None}
        moved = iter(sorted(middles, key=middles.__getitem__))
        layer[:] = [next(moved) if index in middles else index for index in layer]
        for at, index in enumerate(layer):
            found.spots[index].at = at


def _middle(found: Layers, index: int, forth: bool) -> float | None:
    spots = found.spots
    if forth:
        steps = spots[index].lefts
        total = sum(spots[step.left].at + step.out / (spots[step.left].height + 1) for step in steps)
    else:
        steps = spots[index].rights
        total = sum(spots[step.right].at + step.into / (spots[step.right].height + 1) for step in steps)
    return total / len(steps) if steps else None


def _swap_neighbours(found: Layers) -> None:
    for _ in range(4):
        better = False
        for layer in found.layers:
            for at in range(len(layer) - 1):
                upper, lower = layer[at], layer[at + 1]
                if _crossed(found, upper, lower) > _crossed(found, lower, upper):
                    layer[at], layer[at + 1] = lower, upper
                    found.spots[lower].at, found.spots[upper].at = at, at + 1
                    better = True
        if not better:
            return


def _crossed(found: Layers, upper: int, lower: int) -> int:
    """Crossings between the steps of two spots when the first stands above the second."""
    above, below = found.spots[upper], found.spots[lower]
    total = 0
    for high in above.lefts:
        total += sum(_left(found, high) > _left(found, low) for low in below.lefts)
    for high in above.rights:
        total += sum(_right(found, high) > _right(found, low) for low in below.rights)
    return total
