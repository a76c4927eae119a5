"""Ways for links among cards that a person has placed: straight across where nothing is in between, else round it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from phloem.runtime.drawing.arrange.shapes import Leg, Place, Point
from phloem.runtime.drawing.paths import points_on

__all__ = ["Detours"]

_CELL: Final = 160.0
_AROUND: Final = 18.0
_BEFORE: Final = 26.0
_LANE: Final = 11.0
_NEAR: Final = 5.0
_TRIES: Final = 12
_ROUNDS: Final = 3
_MOST_CELLS: Final = 4_000
"""A card so large that it lies in more cells of the grid than this is no obstacle."""


class Detours:
    """Finds ways among `places`; each knows those found before it, so that they run beside one another."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.cells: dict[tuple[int, int], list[Place]] = {}
        for place in places:
            for cell in _cells(place.x, place.x + place.width, place.y - _NEAR, place.y + place.height + _NEAR):
                self.cells.setdefault(cell, []).append(place)
        self.taken: dict[int, list[tuple[float, float, float, object]]] = {}

    def straight(self, start: Point, end: Point, trunk: object) -> list[Leg] | None:
        """The way straight from `start` to `end`, or None if something lies in between and there is room to avoid it.

        Ways of the same `trunk` may run on one another.
        """
        if end[0] - start[0] > 2 * _BEFORE and next(self.met((start, end)), None) is not None:
            return None
        if abs(start[1] - end[1]) < _LANE:
            self.take(start[0], end[0], start[1], trunk)
        return [(start, end)]

    def around(self, start: Point, end: Point, trunk: object) -> list[Leg]:
        """The way from `start` to `end` above or below what lies in between, whichever meets less and is nearer."""
        blocking = list(self.met((start, end)))
        ways: list[tuple[int, float, list[Leg]]] = []
        for _ in range(_ROUNDS):
            fresh = []
            for step in (-1, 1):
                legs = self.way(start, end, blocking, step, trunk)
                met = [place for leg in legs for place in self.met(leg)]
                ways.append((len(met), sum(abs(leg[0][1] - leg[1][1]) for leg in legs), legs))
                fresh.extend(met)
            if not all(met for met, _, _ in ways[-2:]):
                break
            blocking.extend(fresh)
        best = min(ways, key=lambda way: way[:2])[2]
        if len(best) == 3:
            self.take(best[1][0][0], best[1][1][0], best[1][0][1], trunk)
        return best

    def way(self, start: Point, end: Point, blocking: Sequence[Place], step: int, trunk: object) -> list[Leg]:
        """The way above (`step` -1) or below (1) everything that is blocking; straight if there is no room."""
        left = max(min(one.x for one in blocking) - _BEFORE, start[0] + _AROUND)
        right = min(max(one.x + one.width for one in blocking) + _BEFORE, end[0] - _AROUND)
        if right <= left:
            return [(start, end)]
        side = min(one.y for one in blocking) if step < 0 else max(one.y + one.height for one in blocking)
        level = self.free(left, right, side + step * _AROUND, step, trunk)
        return [(start, (left, level)), ((left, level), (right, level)), ((right, level), end)]

    def met(self, leg: Leg) -> Iterator[Place]:
        """The cards that a leg runs through or touches, each as often as it does; not those it begins and ends at."""
        for x, y in points_on(leg):
            for place in self.cells.get((int(x // _CELL), int(y // _CELL)), ()):
                if place.x < x < place.x + place.width and place.y - _NEAR < y < place.y + place.height + _NEAR:
                    yield place

    def free(self, left: float, right: float, level: float, step: int, trunk: object) -> float:
        """The nearest height from `level` on, upwards or downwards, at which nothing lies between two sides."""
        for _ in range(_TRIES):
            met = [
                place
                for cell in _cells(left, right, level, level)
                for place in self.cells.get(cell, ())
                if place.y - _LANE < level < place.y + place.height + _LANE
                and place.x < right
                and left < place.x + place.width
            ]
            if met:
                level = max(one.y + one.height for one in met) if step > 0 else min(one.y for one in met)
                level += step * _AROUND
            elif self.is_taken(left, right, level, trunk):
                level += step * _LANE
            else:
                break
        return level

    def take(self, left: float, right: float, level: float, trunk: object) -> None:
        self.taken.setdefault(int(level // _LANE), []).append((left, right, level, trunk))

    def is_taken(self, left: float, right: float, level: float, trunk: object) -> bool:
        """Whether another trunk runs along there already."""
        lane = int(level // _LANE)
        return any(
            other != trunk and abs(y - level) < _LANE - 1 and a < right and left < b
            for near in (lane - 1, lane, lane + 1)
            for a, b, y, other in self.taken.get(near, ())
        )


def _cells(left: float, right: float, top: float, bottom: float) -> Iterator[tuple[int, int]]:
    columns = range(int(left // _CELL), int(right // _CELL) + 1)
    rows = range(int(top // _CELL), int(bottom // _CELL) + 1)
    if len(columns) * len(rows) <= _MOST_CELLS:
        yield from ((column, row) for column in columns for row in rows)
