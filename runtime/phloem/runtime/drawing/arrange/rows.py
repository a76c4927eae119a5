"""Heights within layers: each spot as level with what it is joined to as its neighbours leave room for."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from phloem.runtime.drawing.arrange.layers import Layers, Spot

__all__ = ["level"]

Wish = tuple[float, float]
"""A height, and how much it matters."""

_BETWEEN_SHAPES: Final = 26.0
_BESIDE_TRUNK: Final = 20.0
_BETWEEN_TRUNKS: Final = 14.0

_MOST_WEIGHED: Final = 100
"""More spots than this that stand against one another settle at their mean, which is quicker to find."""

_FEW: Final = 600
_SWEEPS: Final = 12
_SWEEPS_OF_MANY: Final = 4


def level(found: Layers, breaks: Container[int] = ()) -> None:
    """Write a `y` into every spot. Layers before and after one of `breaks` are not made level with each other.

    Each layer in turn gets the heights that keep order and distance and are nearest to the wanted ones,
    by weighted distance: an isotonic regression, solved by pooling neighbours that stand against one
    another (Barlow and others, Statistical inference under order restrictions, 1972).
    """
    for layer in found.layers:
        _settle(found, layer, [(0.0, 1.0)] * len(layer))
    sweeps = _SWEEPS if len(found.spots) <= _FEW else _SWEEPS_OF_MANY
    numbered = list(enumerate(found.layers))
    for sweep in range(sweeps, -1, -1):
        forth = sweep % 2 == 0
        for number, layer in numbered if forth else reversed(numbered):
            lefts, rights = number not in breaks, number + 1 not in breaks
            _settle(found, layer, [_wanted(found, found.spots[index], forth, lefts, rights) for index in layer])
    for number, layer in reversed(numbered):
        spots = [found.spots[index] for index in layer]
        rights = number + 1 not in breaks
        _settle(found, layer, [_stay(one) if one.lefts else _wanted(found, one, False, False, rights) for one in spots])


def _wanted(found: Layers, spot: Spot, forth: bool, lefts: bool, rights: bool) -> Wish:
    """The height at which most of a spot's steps are level: those on the side the sweep comes from, if it has any."""
    wishes: list[Wish] = []
    for step in spot.lefts if lefts else ():
        other = found.spots[step.left]
        wishes.append((other.y + step.out - step.into, _weight(spot, other)))
    if forth and wishes:
        return _median(wishes)
    before, wishes = wishes, []
    for step in spot.rights if rights else ():
        other = found.spots[step.right]
        wishes.append((other.y + step.into - step.out, _weight(spot, other)))
    return _median(wishes or before) if wishes or before else (spot.y, 0.01)


def _stay(spot: Spot) -> Wish:
    """What a spot wants that has found its height, while those that come from nothing find theirs."""
    return spot.y, 1000.0


def _median(wishes: list[Wish]) -> Wish:
    """The weighted median, and the sum of the weights: unlike the mean, it makes something exactly level."""
    if len(wishes) == 1:
        return wishes[0]
    wishes.sort()
    total = sum(weight for _, weight in wishes)
    passed = 0.0
    for at, (height, weight) in enumerate(wishes):
        passed += weight
        if passed > total / 2:
            return height, total
        if passed == total / 2:
            return (height + wishes[at + 1][0]) / 2, total
    raise AssertionError("the weights pass half of their sum")


def _weight(one: Spot, other: Spot) -> float:
    """Trunks want to be straight where they run alone, and cards that follow one another to be level."""
    passing = (one.shape is None) + (other.shape is None)
    return (3.0, 2.0, 8.0)[passing]


def _settle(found: Layers, layer: Sequence[int], wanted: Sequence[Wish]) -> None:
    """Write into `y` the heights nearest to the wanted ones that keep the spots in order and apart."""
    below = 0.0
    offsets = []
    blocks: list[tuple[Wish, list[Wish]]] = []
    for at, index in enumerate(layer):
        spot = found.spots[index]
        if at:
            before = found.spots[layer[at - 1]]
            below += before.height + _between(before, spot)
        offsets.append(below)
        middle = (wanted[at][0] - below, wanted[at][1])
        wishes = [middle]
        while blocks and blocks[-1][0][0] > middle[0]:
            upper, above = blocks.pop()
            above.extend(wishes)
            wishes = above
            middle = _median(wishes) if len(wishes) <= _MOST_WEIGHED else _mean(upper, middle)
        blocks.append((middle, wishes))
    heights = [middle[0] for middle, wishes in blocks for _ in wishes]
    for index, height, offset in zip(layer, heights, offsets, strict=True):
        found.spots[index].y = height + offset


def _mean(one: Wish, other: Wish) -> Wish:
    weight = one[1] + other[1]
    return (one[0] * one[1] + other[0] * other[1]) / weight, weight


def _between(upper: Spot, lower: Spot) -> float:
    passing = (upper.shape is None) + (lower.shape is None)
    return (_BETWEEN_SHAPES, _BESIDE_TRUNK, _BETWEEN_TRUNKS)[passing]
