"""Where things go: a layered arrangement of shapes with ports, left to right, folded where it grows too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from phloem.runtime.drawing.arrange.bands import MEASURE, folds, opened
from phloem.runtime.drawing.arrange.crossings import untangle
from phloem.runtime.drawing.arrange.layers import layered, near_readers
from phloem.runtime.drawing.arrange.routes import GAP, column_widths, routed
from phloem.runtime.drawing.arrange.rows import level
from phloem.runtime.drawing.arrange.shapes import Arrangement, Join, Leg, Place, Route, Shape

__all__ = ["Arrangement", "Join", "Leg", "Place", "Route", "Shape", "arrange"]

_BETWEEN: Final = 44.0
_PROPORTION: Final = 1.7


def arrange(shapes: Sequence[Shape], joins: Sequence[Join]) -> Arrangement:
    """A place for every shape and a route for every join.

    Shapes stand in columns by their layers; what is not joined is set side by side and below one
    another. A join that is not `back` must lead to a shape in a later layer.
    """
    made = Arrangement([Place(0, 0, shape.width, shape.height) for shape in shapes], [])
    parts = []
    for members, within in _parts(len(shapes), joins):
        at = {index: place for place, index in enumerate(members)}
        inner = [Join(at[one.source], one.out, at[one.target], one.into, one.back) for one in within]
        parts.append((members, _arrange_part([shapes[index] for index in members], inner)))
    _pack([part for _, part in parts])
    for members, part in parts:
        for index, place in zip(members, part.places, strict=True):
            made.places[index] = place
        made.routes.extend(Route(members[one.source], one.out, one.legs, one.back) for one in part.routes)
    made.settle()
    return made


def _arrange_part(shapes: Sequence[Shape], joins: Sequence[Join]) -> Arrangement:
    found = layered(shapes, joins, near_readers(shapes, joins))
    untangle(found)
    level(found)
    breaks: list[int] = []
    if not any(one.back for one in joins):
        top = min(spot.y for spot in found.spots)
        bottom = max(spot.y + spot.height for spot in found.spots)
        breaks = folds(found, [width + GAP for width in column_widths(shapes, found)], bottom - top)
    if breaks:
        layer, breaks = opened(found, breaks)
        found = layered(shapes, joins, layer)
        untangle(found)
        level(found, frozenset(breaks))
    return routed(shapes, joins, found, breaks)


def _parts(count: int, joins: Sequence[Join]) -> list[tuple[list[int], list[Join]]]:
    """What hangs together: the indices of its shapes, in order, and its joins; parts by their first shape."""
    top = list(range(count))

    def root(index: int) -> int:
        while top[index] != index:
            top[index] = top[top[index]]
            index = top[index]
        return index

    for one in joins:
        a, b = sorted((root(one.source), root(one.target)))
        top[b] = a
    parts: dict[int, tuple[list[int], list[Join]]] = {}
    for index in range(count):
        parts.setdefault(root(index), ([], []))[0].append(index)
    for one in joins:
        parts[root(one.source)][1].append(one)
    return list(parts.values())


def _pack(parts: Sequence[Arrangement]) -> None:
    """Move parts beside one another in rows that together are about as wide as a page is to its height."""
    area = sum((part.width + _BETWEEN) * (part.height + _BETWEEN) for part in parts)
    measure = max([MEASURE * 0.8, (_PROPORTION * area) ** 0.5, *(part.width for part in parts)])
    x = y = row = 0.0
    for part in parts:
        if x and x + part.width > measure:
            x, y, row = 0.0, y + row + _BETWEEN, 0.0
        part.shift(x, y)
        x += part.width + _BETWEEN
        row = max(row, part.height)
