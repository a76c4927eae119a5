"""Shapes in layers, and the trunks between them.

A trunk carries one output to all its readers. In every layer that it passes it has a spot of its own,
ordered and placed like a shape, so that long ways run through empty space (after Sugiyama, Tagawa and
Toda, Methods for visual understanding of hierarchical system structures, 1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from phloem.runtime.drawing.arrange.shapes import Join, Shape

__all__ = ["Layers", "Spot", "Step", "layered", "near_readers"]

_MOST_PASSING: Final = 4_000
"""Trunks that would take more spots than this altogether run straight instead, the longest first."""


@dataclass(slots=True)
class Spot:
    """A shape, or a trunk passing a layer (`shape` is None). `lefts` and `rights` are the steps that meet it."""

    layer: int
    height: float
    shape: int | None = None
    lefts: list[Step] = field(default_factory=list)
    rights: list[Step] = field(default_factory=list)
    at: int = 0
    y: float = 0.0


@dataclass(slots=True)
class Step:
    """A piece of a trunk from a spot to one in the next layer; `out` and `into` are how far below their tops."""

    trunk: tuple[int, int]
    left: int
    right: int
    out: float
    into: float


@dataclass(slots=True)
class Layers:
    """The spots, the layers as lists of indices into them from top to bottom, and the joins too long for spots."""

    spots: list[Spot]
    layers: list[list[int]]
    steps: list[Step]
    far: list[Join]


def layered(shapes: Sequence[Shape], joins: Sequence[Join], layer: Sequence[int]) -> Layers:
    """Put shapes into these layers and trunks between them, in each layer in the order given."""
    onward = [one for one in joins if not one.back]
    spots = [Spot(layer[index], shape.height, index) for index, shape in enumerate(shapes)]
    found = Layers(spots, [[] for _ in range(max(layer, default=-1) + 1)], [], [])
    for index, spot in enumerate(spots):
        found.layers[spot.layer].append(index)
    trunks: dict[tuple[int, int], list[Join]] = {}
    for one in onward:
        trunks.setdefault((one.source, one.out), []).append(one)
    room = _MOST_PASSING
    for _, trunk in sorted(trunks.items(), key=lambda item: _length(item[1], layer)):
        passing = _length(trunk, layer) - 1
        if passing > room:
            found.far.extend(trunk)
        else:
            room -= passing
            _grow(found, shapes, trunk)
    return found


def near_readers(shapes: Sequence[Shape], joins: Sequence[Join]) -> list[int]:
    """A layer for each shape, from 0: as given, except that what nothing else hangs on moves up to its reader."""
    layer = [shape.layer for shape in shapes]
    sources: list[set[int]] = [set() for _ in shapes]
    readers: list[set[int]] = [set() for _ in shapes]
    for one in joins:
        if one.back:
            continue
        sources[one.target].add(one.source)
        readers[one.source].add(one.target)
    downwards = sorted(range(len(shapes)), key=layer.__getitem__)
    free = [False] * len(shapes)
    for index in downwards:
        free[index] = all(free[source] and len(readers[source]) == 1 for source in sources[index])
    for index in reversed(downwards):
        if free[index] and readers[index]:
            layer[index] = max(layer[index], min(layer[reader] for reader in readers[index]) - 1)
    first = min(layer, default=0)
    return [one - first for one in layer]


def _length(trunk: Sequence[Join], layer: Sequence[int]) -> int:
    return max(layer[one.target] for one in trunk) - layer[trunk[0].source]


def _grow(found: Layers, shapes: Sequence[Shape], trunk: Sequence[Join]) -> None:
    """Add the spots and steps of one trunk."""
    key = (trunk[0].source, trunk[0].out)
    tip, out = trunk[0].source, shapes[trunk[0].source].outs[trunk[0].out]
    waiting = sorted(trunk, key=lambda one: found.spots[one.target].layer)
    while waiting:
        after = found.spots[tip].layer + 1
        while waiting and found.spots[waiting[0].target].layer == after:
            one = waiting.pop(0)
            _step(found, Step(key, tip, one.target, out, shapes[one.target].ins[one.into]))
        if waiting:
            found.layers[after].append(len(found.spots))
            found.spots.append(Spot(after, 0.0))
            _step(found, Step(key, tip, len(found.spots) - 1, out, 0.0))
            tip, out = len(found.spots) - 1, 0.0


def _step(found: Layers, step: Step) -> None:
    found.steps.append(step)
    found.spots[step.left].rights.append(step)
    found.spots[step.right].lefts.append(step)
