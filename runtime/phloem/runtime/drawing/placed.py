"""Places for everything when a person has placed the nodes: theirs are kept, the rest stands at the sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from phloem.runtime.drawing.arrange.shapes import Arrangement, Join, Place, Route, Shape
from phloem.runtime.drawing.detours import Detours
from phloem.runtime.workflow import Workflow

__all__ = ["corners_of", "placed"]

_APART: Final = 24.0
_ASIDE: Final = 72.0
_BETWEEN: Final = 14.0
_MOST_SPREAD: Final = 3.0
_FARTHEST: Final = 1e6


def corners_of(workflow: Workflow) -> dict[str, tuple[float, float]] | None:
    """Where the layout puts each node; None unless it puts every one, and no two in the same place."""
    corners = {id: corner for id in workflow.nodes if (corner := _corner(workflow.layout.get(id))) is not None}
    return corners if corners and len(set(corners.values())) == len(workflow.nodes) else None


def placed(shapes: Sequence[Shape], joins: Sequence[Join], corners: Mapping[int, tuple[float, float]]) -> Arrangement:
    """The shapes in `corners` at those places, spread as far as it takes for none to lie on another.

    The others stand in a column to the left, those that only take in one to the right, each as level as
    can be with what it is joined to. Joins run round the shapes that lie between their ends.
    """
    places = [Place(0, 0, shape.width, shape.height) for shape in shapes]
    across, down = _spread(shapes, corners)
    for index, (x, y) in corners.items():
        places[index].x, places[index].y = x * across, y * down
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


def _corner(found: object) -> tuple[float, float] | None:
    """A corner written `[x, y]`; None for anything else, or for what lies too far out."""
    if not isinstance(found, list | tuple) or len(found) < 2:
        return None
    x, y = found[0], found[1]
    if any(isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) < _FARTHEST for one in (x, y)):
        return None
    return float(x), float(y)


def _spread(shapes: Sequence[Shape], corners: Mapping[int, tuple[float, float]]) -> tuple[float, float]:
    """By how much to stretch x and y so that shapes that lie on one another come apart, as far as that goes."""
    across = down = 1.0
    ordered = sorted(corners, key=lambda index: corners[index])
    for at, index in enumerate(ordered):
        x, y = corners[index]
        for other in ordered[at + 1 :]:
            dx, dy = corners[other][0] - x, abs(corners[other][1] - y)
            if dx * across >= shapes[index].width + _APART:
                break
            upper = index if corners[index][1] <= corners[other][1] else other
            if dy * down >= shapes[upper].height + _APART:
                continue
            by_x = (shapes[index].width + _APART) / dx if dx else _MOST_SPREAD + 1
            by_y = (shapes[upper].height + _APART) / dy if dy else _MOST_SPREAD + 1
            if min(by_x, by_y) > _MOST_SPREAD:
                continue
            if by_x / across <= by_y / down:
                across = max(across, by_x)
            else:
                down = max(down, by_y)
    return across, down


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
