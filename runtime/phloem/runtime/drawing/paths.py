"""The outlines of links: level curves between two points, and ways round with soft corners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from phloem.runtime.drawing.arrange.shapes import Leg, Point

__all__ = ["middle_path", "path", "points_on", "px"]

_CORNER: Final = 16.0
_PART: Final = 0.12
_END: Final = 14.0
_STRIDE: Final = 32.0
_MOST_POINTS: Final = 80


def px(length: float) -> str:
    """A length in pixels, to a tenth, as an SVG writes it."""
    return f"{length:.1f}".removesuffix(".0")


def path(leg: Leg) -> str:
    """The leg as SVG path data."""
    if len(leg) > 2:
        return _around(leg)
    if _is_straight(leg):
        return f"M{px(leg[0][0])} {px(leg[0][1])}H{px(leg[1][0])}"
    return _curve(*_controls(leg))


def middle_path(leg: Leg) -> str:
    """The leg without its two ends, where it may meet others of its kind; empty for one that is all ends."""
    if len(leg) > 2:
        return _around((_along(leg[0], leg[1]), *leg[1:-1], _along(leg[-1], leg[-2])))
    if _is_straight(leg):
        (x1, y), (x2, _) = leg
        return f"M{px(x1 + _END)} {px(y)}H{px(x2 - _END)}" if x2 - x1 > 3 * _END else ""
    return _curve(*_inner(_controls(leg)))


def points_on(leg: Leg) -> Iterator[Point]:
    """Points along a leg of two points, near enough to one another to meet whatever card it runs through."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = _controls(leg)
    count = int(min((abs(dx - ax) + abs(dy - ay)) / _STRIDE, _MOST_POINTS)) + 2
    for step in range(1, count):
        t = step / count
        u = 1 - t
        a, b, c, d = u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t
        yield a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy


def _is_straight(leg: Leg) -> bool:
    (x1, y1), (x2, y2) = leg
    return abs(y1 - y2) < 0.5 and x2 >= x1


def _controls(leg: Leg) -> tuple[Point, Point, Point, Point]:
    """The four points of the cubic curve that leaves and arrives level."""
    (x1, y1), (x2, y2) = leg
    bend = max(0.5 * (x2 - x1), min(36.0, abs(y2 - y1) + 12)) if x2 > x1 else 60 + 0.25 * (x1 - x2)
    return (x1, y1), (x1 + bend, y1), (x2 - bend, y2), (x2, y2)


def _inner(points: tuple[Point, Point, Point, Point]) -> tuple[Point, Point, Point, Point]:
    """The curve without its first and last part (de Casteljau's subdivision, twice)."""
    a, b, c, d = points
    for _ in range(2):
        part = _PART / (1 - _PART) if (a, d) != (points[0], points[3]) else _PART
        ab, bc, cd = _between(a, b, part), _between(b, c, part), _between(c, d, part)
        abc, bcd = _between(ab, bc, part), _between(bc, cd, part)
        a, b, c, d = d, cd, bcd, _between(abc, bcd, part)
    return a, b, c, d


def _curve(a: Point, b: Point, c: Point, d: Point) -> str:
    return f"M{px(a[0])} {px(a[1])}C{px(b[0])} {px(b[1])} {px(c[0])} {px(c[1])} {px(d[0])} {px(d[1])}"


def _around(corners: Leg) -> str:
    parts = [f"M{px(corners[0][0])} {px(corners[0][1])}"]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        near, far = _towards(corner, before), _towards(corner, after)
        parts.append(f"L{px(near[0])} {px(near[1])}Q{px(corner[0])} {px(corner[1])} {px(far[0])} {px(far[1])}")
    parts.append(f"L{px(corners[-1][0])} {px(corners[-1][1])}")
    return "".join(parts)


def _towards(corner: Point, other: Point) -> Point:
    """The point where the rounding of a corner begins, on the way to another point."""
    length = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    return _between(corner, other, min(_CORNER, length / 2) / length) if length else corner


def _along(end: Point, corner: Point) -> Point:
    """The point a little way from an end."""
    length = abs(corner[0] - end[0]) + abs(corner[1] - end[1])
    return _between(end, corner, min(_END, length) / length) if length else end


def _between(one: Point, other: Point, part: float) -> Point:
    return one[0] + (other[0] - one[0]) * part, one[1] + (other[1] - one[1]) * part
