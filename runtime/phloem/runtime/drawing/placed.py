"""Places for everything when a person has placed the nodes: theirs are kept, the rest stands at the sides."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import Final

from phloem.runtime.drawing.arrange.shapes import Arrangement, Join, Place, Route, Shape
from phloem.runtime.drawing.corners import Corner
from phloem.runtime.drawing.detours import Detours

__all__ = ["placed"]

_APART: Final = 24.0
_ASIDE: Final = 72.0
_BETWEEN: Final = 14.0
_MOST_SPREAD: Final = 3.0


def placed(shapes: Sequence[Shape], joins: Sequence[Join], corners: Mapping[int, Corner]) -> Arrangement:
    """The shapes in `corners` at those places, spread as far as it takes for none to lie on another.

    What stands right of one that has grown, or below it, moves aside by as much as that has grown.

    The others stand in a column to the left, those that only take in one to the right, each as level as
    can be with what it is joined to. Joins run round the shapes that lie between their ends.
    """
    places = [Place(0, 0, shape.width, shape.height) for shape in shapes]
    across, down = _spread(shapes, corners)
    xs = {index: x * across for index, (x, _) in corners.items()}
    ys = {index: y * down for index, (_, y) in corners.items()}
    xs = _moved_aside(xs, {index: (shapes[index].width, shapes[index].grown[0]) for index in corners})
    ys = _moved_aside(ys, {index: (shapes[index].height, shapes[index].grown[1]) for index in corners})
    for index in corners:
        places[index].x, places[index].y = xs[index], ys[index]
    left = min(places[index].x for index in corners) - _ASIDE
    right = max(places[index].x + places[index].width for index in corners) + _ASIDE
    takers = {one.target for one in joins}
    aside = [index for index in range(len(shapes)) if index not in corners]
    _column([index for index in aside if index not in takers], places, shapes, joins)
    _column([index for index in aside if index in takers], places, shapes, joins)
    for index in aside:
        places[index].x = right if index in takers else left - places[index].width
    detours = Detours(places)
    routes: dict[tuple[int, int, bool], Route] = {}
    blocked = []
    for one in joins:
        source, target = places[one.source], places[one.target]
        start = source.x + source.width, source.y + shapes[one.source].outs[one.out]
        end = target.x, target.y + shapes[one.target].ins[one.into]
        trunk = (one.source, one.out, one.back)
        route = routes.setdefault(trunk, Route(one.source, one.out, back=one.back))
        legs = detours.straight(start, end, trunk)
        if legs is None:
            blocked.append((route, start, end, trunk))
        route.legs.extend(legs or ())
    for route, start, end, trunk in blocked:
        route.legs.extend(detours.around(start, end, trunk))
    made = Arrangement(places, list(routes.values()))
    made.settle()
    return made


def _spread(shapes: Sequence[Shape], corners: Mapping[int, Corner]) -> tuple[float, float]:
    """By how much to stretch x and y so that shapes that lie on one another come apart, as far as that goes."""
    across = down = 1.0
    widths = [shape.width - shape.grown[0] for shape in shapes]
    heights = [shape.height - shape.grown[1] for shape in shapes]
    ordered = sorted(corners, key=lambda index: corners[index])
    tallest = max(heights[index] for index in corners) + _APART
    rows: dict[int, list[int]] = {}
    for at, index in enumerate(ordered):
        rows.setdefault(int(corners[index][1] // tallest), []).append(at)
    for at, index in enumerate(ordered):
        x, y = corners[index]
        for other in (ordered[later] for later in _after(at, int(y // tallest), rows)):
            dx, dy = corners[other][0] - x, abs(corners[other][1] - y)
            if dx * across >= widths[index] + _APART:
                break
            upper = index if corners[index][1] <= corners[other][1] else other
            if dy * down >= heights[upper] + _APART:
                continue
            by_x = (widths[index] + _APART) / dx if dx else _MOST_SPREAD + 1
            by_y = (heights[upper] + _APART) / dy if dy else _MOST_SPREAD + 1
            if min(by_x, by_y) > _MOST_SPREAD:
                continue
            if by_x / across <= by_y / down:
                across = max(across, by_x)
            else:
                down = max(down, by_y)
    return across, down


def _after(at: int, row: int, rows: Mapping[int, Sequence[int]]) -> Iterator[int]:
    """What comes after `at`, in order, in its row and the two beside it: all that can be near it in height."""

    def later(members: Sequence[int]) -> Iterator[int]:
        return (members[place] for place in range(bisect_right(members, at), len(members)))

    return merge(*(later(rows[near]) for near in (row - 1, row, row + 1) if near in rows))


def _moved_aside(begins: Mapping[int, float], sizes: Mapping[int, tuple[float, float]]) -> dict[int, float]:
    """Where each begins along one axis once it has grown: what began at or after the end of another still does.

    `sizes` are those of the grown, with how much of that is growth. Everything else moves as little as that takes.
    """
    ending: dict[float, list[int]] = {}
    for index, (size, growth) in sizes.items():
        if growth:
            ending.setdefault(begins[index] + size - growth, []).append(index)
    moved: dict[float, float] = {}
    last = 0.0
    for at in sorted({*begins.values(), *ending}):
        ends = [moved[begins[index]] + sizes[index][0] for index in ending.get(at, ())]
        moved[at] = max([moved[last] + at - last if moved else at, *ends])
        last = at
    return {index: moved[at] for index, at in begins.items()}


def _column(members: Sequence[int], places: Sequence[Place], shapes: Sequence[Shape], joins: Sequence[Join]) -> None:
    """Give each member the height of what it is joined to, moved down where another stands there already."""
    wanted: dict[int, float] = {}
    chosen = set(members)
    for one in joins:
        source, target = places[one.source], places[one.target]
        if one.source in chosen and one.target not in chosen:
            level = target.y + shapes[one.target].ins[one.into] - shapes[one.source].outs[one.out]
            wanted[one.source] = min(wanted.get(one.source, level), level)
        elif one.target in chosen and one.source not in chosen:
            wanted[one.target] = source.y + shapes[one.source].outs[one.out] - shapes[one.target].ins[one.into]
    free = None
    for index in sorted(members, key=lambda index: wanted.get(index, 0.0)):
        level = wanted.get(index, 0.0)
        places[index].y = level if free is None else max(level, free)
        free = places[index].y + places[index].height + _BETWEEN
