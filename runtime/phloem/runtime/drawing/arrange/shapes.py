"""What is arranged, and what comes of it: rectangles with ports, joins between them, places and routes.

Lengths are in pixels, y grows downwards, and everything flows from left to right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Arrangement", "Join", "Leg", "Place", "Route", "Shape", "Side"]

Point = tuple[float, float]

Leg = tuple[Point, ...]
"""One piece of a route: two points are a curve that leaves and arrives level; more are the corners of a way round."""

Side = Literal["fill", "left", "right", "middle"]
"""Where a shape stands in a column that is wider: it fills the column, as far as that has to be wide for others than
those in the middle, or keeps to its left, right or middle."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle. `ins` and `outs` are how far below its top its ports lie, on its left and right side.

    `layer` is how deep it lies, and -1 for one that goes where its first reader is. `grown` is by how much it is
    wider and higher for what is drawn in it than a person thinks it is who places it.
    """

    width: float
    height: float
    ins: Sequence[float] = ()
    outs: Sequence[float] = ()
    side: Side = "fill"
    layer: int = 0
    grown: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Join:
    """Output `out` of shape `source` is read by input `into` of shape `target`, all by index.

    `back` marks one that leads against the layers and is led round.
    """

    source: int
    out: int
    target: int
    into: int
    back: bool = False


@dataclass(slots=True)
class Place:
    """The rectangle a shape got: its top left corner and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Route:
    """How the joins from one output run: in legs, those that several joins share drawn once."""

    source: int
    out: int
    legs: list[Leg] = field(default_factory=list)
    back: bool = False


@dataclass(slots=True)
class Arrangement:
    """A place for each shape, the routes, and the size of it all; the top left corner is at 0, 0."""

    places: list[Place]
    routes: list[Route]
    width: float = 0.0
    height: float = 0.0

    def settle(self) -> None:
        """Move everything so that the top left corner is at 0, 0, and measure the size."""
        points = [point for route in self.routes for leg in route.legs for point in leg]
        xs = [place.x for place in self.places] + [x for x, _ in points]
        ys = [place.y for place in self.places] + [y for _, y in points]
        left, top = min(xs, default=0.0), min(ys, default=0.0)
        self.shift(-left, -top)
        rights = [place.x + place.width for place in self.places] + [x - left for x, _ in points]
        bottoms = [place.y + place.height for place in self.places] + [y - top for _, y in points]
        self.width, self.height = max(rights, default=0.0), max(bottoms, default=0.0)

    def shift(self, dx: float, dy: float) -> None:
        """Move everything."""
        if not dx and not dy:
            return
        for place in self.places:
            place.x += dx
            place.y += dy
        for route in self.routes:
            route.legs = [tuple((x + dx, y + dy) for x, y in leg) for leg in route.legs]
