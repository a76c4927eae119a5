"""The card of a node and the pill of an input or output: what is written on it, and how large that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from phloem.runtime.drawing.arrange.shapes import Shape, Side
from phloem.runtime.drawing.boxes import Box
from phloem.runtime.drawing.lettering import cut, pixels

__all__ = ["INSET", "Card", "Letters", "card_of"]


@dataclass(frozen=True, slots=True)
class Letters:
    """A size of letters in pixels, and whether they are all equally wide."""

    size: float
    monospace: bool = False

    def width(self, text: str) -> float:
        """About how wide `text` is, in pixels."""
        return pixels(text, self.size, monospace=self.monospace)

    def cut(self, text: str, width: float) -> str:
        """`text`, ended with an ellipsis where it would be wider."""
        return cut(text, self.size, width, monospace=self.monospace)


HEADLINE: Final = Letters(13.5)
SUBLINE: Final = Letters(10.5, monospace=True)
PORT: Final = Letters(11)
SMALL: Final = Letters(10.5, monospace=True)

STRIPE: Final = 4.0
INSET: Final = 10.0
"""What is left of a card on the left of the panel in it, on the right and below."""

PADDING: Final = 14.0
_NARROWEST: Final = 150.0
_WIDEST: Final = 216.0
_HEAD: Final = 56.0
_ROW: Final = 20.0
_LINE: Final = 16.0
_PORT_GAP: Final = 24.0
_LONGEST_PORT: Final = 104.0
_LONGEST_SETTING: Final = 170.0
_PILL: Final = 42.0
_PILL_PADDING: Final = 20.0
_LONGEST_PILL: Final = 184.0
_FOOT: Final = 9.0
_SPACE: Final = SMALL.width("   ")


@dataclass(slots=True)
class Card:
    """A box ready to draw: its shape and its texts, each cut to the room it has.

    `lines` are the lines of settings, each a list of names and values; `rule` is how far down they begin, and `panel`
    how far down the panel does that holds the figure of a body, 0 without one.
    """

    box: Box
    shape: Shape
    headline: str
    subline: tuple[str, str]
    ins: list[str] = field(default_factory=list)
    outs: list[str] = field(default_factory=list)
    lines: list[list[tuple[str, str]]] = field(default_factory=list)
    rule: float = 0.0
    panel: float = 0.0


def card_of(box: Box, layer: int, body: tuple[float, float] | None = None) -> Card:
    """The card or pill of a box that lies in `layer`; with room for a `body` of this width and height."""
    return _node(box, layer, body) if box.role == "node" else _pill(box, layer)


def _node(box: Box, layer: int, body: tuple[float, float] | None) -> Card:
    across = 0.0 if body is None else round(body[0]) + 2 * INSET
    room = max(_WIDEST, across) - 2 * PADDING
    headline = HEADLINE.cut(box.title or box.kind_title or box.id, room)
    subline = _subline(box, room)
    ins = [PORT.cut(one.name, _LONGEST_PORT) for one in box.ins]
    outs = [PORT.cut(one.name, _LONGEST_PORT) for one in box.outs]
    rows = max(len(ins), len(outs))
    widths = [
        PORT.width(ins[row] if row < len(ins) else "") + PORT.width(outs[row] if row < len(outs) else "")
        for row in range(rows)
    ]
    settings = [*box.settings, *((flag, "") for flag in box.flags)]
    if box.holds is not None and body is None:
        settings.insert(0, ("inside", box.held))
    least = max(widths, default=0.0) + _PORT_GAP
    wide = min(max([0.0, *map(_setting_width, settings)]), _LONGEST_SETTING)
    longest = max(HEADLINE.width(headline), SUBLINE.width("".join(subline)), least, wide)
    alone = min(max(_NARROWEST, 2 * PADDING + longest), _WIDEST + (40 if least > _WIDEST - 2 * PADDING else 0))
    width = max(alone, across)
    lines = _lines(settings, width - 2 * PADDING)
    rule = _HEAD + rows * _ROW
    height = rule + (len(lines) * _LINE + 2 * _FOOT - 2 if lines else 4.0)
    middles = [_HEAD + (row + 0.5) * _ROW - 2 for row in range(rows)]
    ports = middles[: len(ins)], middles[: len(outs)]
    if body is None:
        return Card(box, Shape(round(width), height, *ports, "fill", layer), headline, subline, ins, outs, lines, rule)
    panel = height + (0.0 if lines else 6.0)
    grown = round(width) - round(alone), panel + body[1] + INSET - height
    shape = Shape(round(width), height + grown[1], *ports, "middle", layer, grown)
    return Card(box, shape, headline, subline, ins, outs, lines, rule, panel)


def _subline(box: Box, room: float) -> tuple[str, str]:
    """The id, unless it is the headline already, and the kind."""
    kind = box.kind.partition("@")[0] if not box.missing else "not there"
    if not (box.title or box.kind_title):
        return "", SUBLINE.cut(kind, room)
    id = SUBLINE.cut(box.id, room / 2 if SUBLINE.width(kind) > room / 2 - 12 else room - SUBLINE.width(kind) - 12)
    return id + "  ", SUBLINE.cut(kind, room - SUBLINE.width(id + "  "))


def _setting_width(one: tuple[str, str]) -> float:
    return SMALL.width(f"{one[0]} {one[1]}")


def _lines(settings: Sequence[tuple[str, str]], room: float) -> list[list[tuple[str, str]]]:
    """As many settings as two lines hold: a single long one goes on in the second, of many the rest is counted."""
    if len(settings) == 1 and _setting_width(settings[0]) > room:
        return _two_lines(*settings[0], room)
    lines: list[list[tuple[str, str]]] = []
    used = room
    for number, (name, value) in enumerate(settings):
        width = _setting_width((name, value))
        if used + width + _SPACE > room:
            if len(lines) == 2:
                return [*lines[:-1], _with_count(lines[-1], len(settings) - number, room)]
            lines.append([])
            used = 0.0
        else:
            used += _SPACE
        lines[-1].append(_fitted(name, value, room))
        used += width
    return lines


def _two_lines(name: str, value: str, room: float) -> list[list[tuple[str, str]]]:
    name = SMALL.cut(name, 0.6 * room)
    words = value.split(" ")
    first = 0
    while first < len(words) and _setting_width((name, " ".join(words[: first + 1]))) <= room:
        first += 1
    if not first:
        return [[_fitted(name, value, room)]]
    rest = " ".join(words[first:])
    return [[(name, " ".join(words[:first]))], *([[("", SMALL.cut(rest, room))]] if rest else [])]


def _fitted(name: str, value: str, room: float) -> tuple[str, str]:
    name = SMALL.cut(name, room)
    return name, SMALL.cut(value, max(room - SMALL.width(name + " "), 0.0)) if value else ""


def _with_count(line: Sequence[tuple[str, str]], more: int, room: float) -> list[tuple[str, str]]:
    count = f"+{more}"
    left = room - SMALL.width(count) - _SPACE - sum(_setting_width(one) + _SPACE for one in line[:-1])
    return [*line[:-1], _fitted(*line[-1], left), (count, "")]


def _pill(box: Box, layer: int) -> Card:
    headline = HEADLINE.cut(box.id, _LONGEST_PILL)
    about = "not there" if box.missing else box.value or box.kind
    subline = ("", SUBLINE.cut(about, _LONGEST_PILL))
    width = 2 * _PILL_PADDING + max(HEADLINE.width(headline), SUBLINE.width(subline[1]), 40.0)
    ports = [_PILL / 2]
    ins, outs = (ports, []) if box.role == "output" else ([], ports * max(len(box.outs), 1))
    side: Side = "left" if box.role == "output" else "right"
    return Card(box, Shape(round(width), _PILL, ins, outs, side, layer), headline, subline)
