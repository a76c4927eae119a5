"""Places and routes of one connected drawing, from layers whose spots have their order and their heights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from phloem.runtime.drawing.arrange.layers import Layers, Step
from phloem.runtime.drawing.arrange.shapes import Arrangement, Join, Place, Point, Route, Shape

__all__ = ["GAP", "column_widths", "routed"]

GAP: Final = 64.0
"""The least width between two columns."""

_STEEPEST: Final = 0.18
_WIDEST_GAP: Final = 120.0
_GUTTER: Final = 30.0
_LANE: Final = 12.0
_ROUND: Final = 24.0
_SLACK: Final = 1.0
"""A shape that stands farther than this from the side of its column has links that go straight to there."""


def column_widths(shapes: Sequence[Shape], found: Layers, *, fills: bool = False) -> list[float]:
    """The width of each layer's column, or that of the shapes that fill it."""
    widths = [0.0] * len(found.layers)
    for spot in found.spots:
        if spot.shape is not None and not (fills and shapes[spot.shape].side == "middle"):
            widths[spot.layer] = max(widths[spot.layer], shapes[spot.shape].width)
    return widths


def routed(shapes: Sequence[Shape], joins: Sequence[Join], found: Layers, breaks: Sequence[int]) -> Arrangement:
    """Set the columns side by side, in bands that begin at `breaks`, and lay every trunk along its spots."""
    return _Router(shapes, joins, found, breaks).arrangement()


class _Router:
    """`left` and `right` are the sides of each layer's column, `fills` the width of what fills it, `down` what each
    layer's band is moved down by."""

    def __init__(self, shapes: Sequence[Shape], joins: Sequence[Join], found: Layers, breaks: Sequence[int]) -> None:
        self.shapes = shapes
        self.joins = joins
        self.found = found
        self.bands = [range(a, b) for a, b in zip([0, *breaks], [*breaks, len(found.layers)], strict=True)]
        self.band_of = [number for number, band in enumerate(self.bands) for _ in band]
        self.fills = column_widths(shapes, found, fills=True)
        self.left: list[float] = []
        self.right: list[float] = []
        self.down: list[float] = []
        self.bottom: list[float] = []
        self.routes: dict[tuple[int, int], Route] = {}

    def arrangement(self) -> Arrangement:
        self.set_columns()
        self.stack_bands()
        places = [self.place(index) for index in range(len(self.shapes))]
        self.lay_trunks(places)
        self.lead_round(places)
        made = Arrangement(places, list(self.routes.values()))
        made.settle()
        return made

    def set_columns(self) -> None:
        widths = column_widths(self.shapes, self.found)
        rise = [0.0] * (len(widths) + 1)
        for step in self.found.steps:
            a, b = self.found.spots[step.left], self.found.spots[step.right]
            rise[b.layer] = max(rise[b.layer], abs(a.y + step.out - b.y - step.into))
        for band in self.bands:
            x = 0.0
            for number in band:
                if number != band.start:
                    x += min(max(GAP, _STEEPEST * rise[number]), _WIDEST_GAP)
                self.left.append(x)
                x += widths[number]
                self.right.append(x)

    def stack_bands(self) -> None:
        y = 0.0
        for number, band in enumerate(self.bands):
            spots = [self.found.spots[index] for layer in band for index in self.found.layers[layer]]
            top = min(spot.y for spot in spots)
            self.down.append(y - top)
            self.bottom.append(y + max(spot.y + spot.height for spot in spots) - top)
            y = self.bottom[number] + 2 * _GUTTER + _LANE * max(len(self.turning(number)) - 1, 0)

    def turning(self, band: int) -> list[tuple[int, int]]:
        """The trunks that go from a band on to the next, from the bottom up."""
        ends = {
            step.trunk: self.found.spots[step.left].y + step.out
            for step in self.found.steps
            if self.band_of[self.found.spots[step.left].layer] == band
            and self.band_of[self.found.spots[step.right].layer] == band + 1
        }
        return sorted(ends, key=ends.__getitem__, reverse=True)

    def place(self, index: int) -> Place:
        shape, spot = self.shapes[index], self.found.spots[index]
        left, right = self.left[spot.layer], self.right[spot.layer]
        y = spot.y + self.down[self.band_of[spot.layer]]
        width = self.fills[spot.layer] if shape.side == "fill" else shape.width
        x = {"left": left, "right": right - width}.get(shape.side, left + (right - left - width) / 2)
        return Place(x, y, width, shape.height)

    def lay_trunks(self, places: Sequence[Place]) -> None:
        lanes = {trunk: lane for band in range(len(self.bands)) for lane, trunk in enumerate(self.turning(band))}
        counts = [len(self.turning(band)) for band in range(len(self.bands))]
        for step in self.found.steps:
            route = self.route(step.trunk)
            a, b = self.found.spots[step.left], self.found.spots[step.right]
            start, end = self.leaves(step, places), self.arrives(step, places)
            near, far = (self.right[a.layer], start[1]), (self.left[b.layer], end[1])
            if near[0] - start[0] > _SLACK:
                route.legs.append((start, near))
                start = near
            arriving = [(far, end)] if end[0] - far[0] > _SLACK else []
            end = far if arriving else end
            if self.band_of[a.layer] == self.band_of[b.layer]:
                route.legs.append((start, end))
            else:
                band = self.band_of[a.layer]
                route.legs.append(self.turn(start, end, band, lanes[step.trunk], counts[band]))
            if b.shape is None:
                arriving = [(end, (self.right[b.layer], end[1]))]
            route.legs.extend(arriving)

    def route(self, trunk: tuple[int, int]) -> Route:
        return self.routes.setdefault(trunk, Route(*trunk))

    def leaves(self, step: Step, places: Sequence[Place]) -> Point:
        spot = self.found.spots[step.left]
        if spot.shape is not None:
            place = places[spot.shape]
            return place.x + place.width, place.y + step.out
        return self.right[spot.layer], spot.y + self.down[self.band_of[spot.layer]]

    def arrives(self, step: Step, places: Sequence[Place]) -> Point:
        spot = self.found.spots[step.right]
        if spot.shape is not None:
            return places[spot.shape].x, places[spot.shape].y + step.into
        return self.left[spot.layer], spot.y + self.down[self.band_of[spot.layer]]

    def turn(self, start: Point, end: Point, band: int, lane: int, lanes: int) -> tuple[Point, ...]:
        """The way from the end of one band to the beginning of the next; the lowest trunk is the innermost."""
        right = self.right[self.bands[band].stop - 1] + _ROUND + lane * _LANE
        left = self.left[self.bands[band + 1].start] - _ROUND - (lanes - 1 - lane) * _LANE
        level = self.bottom[band] + _GUTTER + lane * _LANE
        return start, (right, start[1]), (right, level), (left, level), (left, end[1]), end

    def lead_round(self, places: Sequence[Place]) -> None:
        """Lay the joins that lead back below everything, and those too long for spots straight across."""
        for one in self.found.far:
            route = self.route((one.source, one.out))
            route.legs.append(self.ends(one, places))
        for lane, one in enumerate(sorted((join for join in self.joins if join.back), key=self.length)):
            (x1, y1), (x2, y2) = self.ends(one, places)
            away = _ROUND + lane % 4 * _LANE / 2
            right = self.right[self.found.spots[one.source].layer] + away
            left = self.left[self.found.spots[one.target].layer] - away
            level = self.bottom[-1] + _GUTTER + lane * _LANE
            corners = ((x1, y1), (right, y1), (right, level), (left, level), (left, y2), (x2, y2))
            route = self.routes.setdefault((-1 - lane, one.out), Route(one.source, one.out, back=True))
            route.legs.append(corners)

    def length(self, one: Join) -> int:
        """How many layers a join leads back over."""
        return self.found.spots[one.source].layer - self.found.spots[one.target].layer

    def ends(self, one: Join, places: Sequence[Place]) -> tuple[Point, Point]:
        source, target = places[one.source], places[one.target]
        start = source.x + source.width, source.y + self.shapes[one.source].outs[one.out]
        return start, (target.x, target.y + self.shapes[one.target].ins[one.into])
