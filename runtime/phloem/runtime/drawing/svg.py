"""A workflow as an SVG picture: cards joined by curves, for a page that is light, dark, or either."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.drawing.arrange import Arrangement, Join, Place, arrange
from phloem.runtime.drawing.boxes import Box, Origin, Picture, Socket
from phloem.runtime.drawing.cards import PADDING, PORT, STRIPE, Card, card_of
from phloem.runtime.drawing.lettering import cut
from phloem.runtime.drawing.palette import LIGHT, base_of_family
from phloem.runtime.drawing.paths import middle_path, path, px
from phloem.runtime.drawing.picture import picture_of
from phloem.runtime.drawing.placed import corners_of, placed
from phloem.runtime.drawing.style import Theme, style_of
from phloem.runtime.workflow import Workflow

__all__ = ["Theme", "as_svg"]

Corners = Mapping[str, tuple[float, float]]

_MARGIN: Final = 32.0
_HEADER: Final = 30.0
_ABOUT: Final = 20.0
_LEGEND: Final = 34.0
_RADIUS: Final = 10.0
_DOT: Final = 4.5
_SETTING: Final = ("name", "value")


def as_svg(
    workflow: Workflow,
    catalogue: Catalogue | None = None,
    *,
    theme: Theme = "auto",
    keep_places: bool = True,
    file: Path | None = None,
) -> str:
    """The workflow as one SVG document that holds no script and refers to nothing outside itself.

    With a catalogue, cards carry the titles of their kinds and links the colours of their types.
    `auto` follows the page it is shown on, light or dark. Nodes stand where the workflow's layout puts
    them if it places every one; else, and without `keep_places`, they are arranged in layers from left to
    right, and folded to the width of a page. A node that holds a workflow, or calls one that lies beside `file`, says
    how large that is.
    """
    if theme not in ("auto", "light", "dark"):
        raise ValueError(f"a theme is auto, light or dark, not {theme!r}")
    picture = picture_of(workflow, catalogue, Origin(file))
    return _Sheet(picture, corners_of(workflow) if keep_places else None, theme).document()


class _Sheet:
    """One drawing: cards, their places, and the parts of the document in the order of their drawing."""

    def __init__(self, picture: Picture, corners: Corners | None, theme: Theme) -> None:
        self.picture = picture
        self.theme = theme
        self.cards = [card_of(box, layer) for box, layer in zip(picture.boxes, picture.layer, strict=True)]
        self.made = _arranged(self.cards, picture, corners)
        self.header = (_HEADER if picture.title else 0.0) + (_ABOUT if picture.about else 0.0)
        self.header += 14.0 if self.header else 0.0
        self.bases = _bases(picture)
        self.lists = any(one.type is not None and one.type.depth for one in picture.links)
        self.legend = _LEGEND if len(self.bases) > 1 or self.lists else 0.0
        self.made.shift(_MARGIN, _MARGIN + self.header)
        self.width = round(max(self.made.width, 240.0) + 2 * _MARGIN)
        self.height = round(max(self.made.height, 20.0) + 2 * _MARGIN + self.header + self.legend)

    def document(self) -> str:
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        title = self.picture.title or "A workflow"
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="phloem" {size} role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(_description(self.picture))}</desc>",
            f"<style>{style_of(self.theme, self.colours())}</style>",
            '<defs><pattern id="phloem-dots" width="20" height="20" patternUnits="userSpaceOnUse">'
            '<circle class="dots" cx="10" cy="10" r="1"/></pattern></defs>',
            f'<rect class="paper" x=".5" y=".5" width="{self.width - 1}" height="{self.height - 1}" rx="14"/>',
            f'<rect fill="url(#phloem-dots)" x="1" y="1" width="{self.width - 2}" height="{self.height - 2}" rx="14"/>',
            *self.heading(),
            *self.links(),
            *(part for card, place in zip(self.cards, self.made.places, strict=True) for part in _drawn(card, place)),
            *self.key(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def colours(self) -> list[str]:
        """The base types whose colours anything has."""
        sockets = [socket for card in self.cards for socket in (*card.box.ins, *card.box.outs)]
        used = {socket.type.base for socket in sockets if socket.type is not None}
        used |= {base_of_family(card.box.family) for card in self.cards if card.box.role == "node"}
        return [base for base in LIGHT.types if base in used]

    def heading(self) -> Iterable[str]:
        y = _MARGIN
        room = self.width - 2 * _MARGIN
        if self.picture.title:
            y += 14
            yield _text("title", _MARGIN, y, cut(self.picture.title, 18, room))
            y += 22
        if self.picture.about:
            y += 0 if self.picture.title else 10
            yield _text("about", _MARGIN, y, cut(self.picture.about, 12.5, room))
        if not self.cards:
            yield _text("about", _MARGIN, self.height - _MARGIN, "Nothing is drawn here yet.")

    def links(self) -> Iterable[str]:
        """Every route twice: first wide in the colour of the paper, so that those below stay apart."""
        for route in self.made.routes:
            out = self.cards[route.source].box.outs[route.out]
            legs = list(dict.fromkeys(route.legs))
            way = "".join(map(path, legs))
            many = out.type is not None and out.type.depth > 0
            off = self.cards[route.source].box.disabled
            classes = _classes("link", _type_class(out), list=many, back=route.back, off=off)
            yield f'<path class="halo" d="{"".join(map(middle_path, legs))}"/>'
            yield f'<path class="{classes}" d="{way}"/>'
            if many:
                yield f'<path class="core" d="{way}"/>'

    def key(self) -> Iterable[str]:
        """What the colours mean."""
        x, y = _MARGIN + _DOT, self.height - _MARGIN + 6
        for base in self.bases if self.legend else ():
            yield f'<circle class="dot t-{base}" cx="{px(x)}" cy="{px(y - 4)}" r="{_DOT}"/>'
            yield _text("port", x + 10, y, base)
            x += 34 + PORT.width(base)
        if self.legend and self.lists:
            line = f"M{px(x - _DOT)} {px(y - 4)}h20"
            yield f'<path class="link list t-unknown" d="{line}"/><path class="core" d="{line}"/>'
            yield _text("port", x + 26, y, "list")


def _arranged(cards: Sequence[Card], picture: Picture, corners: Corners | None) -> Arrangement:
    shapes = [card.shape for card in cards]
    joins = [Join(one.source, one.out, one.target, one.into, one.back) for one in picture.links]
    if corners is None:
        return arrange(shapes, joins)
    nodes = [index for index, box in enumerate(picture.boxes) if box.role == "node" and not box.missing]
    return placed(shapes, joins, dict(zip(nodes, corners.values(), strict=True)))


def _bases(picture: Picture) -> list[str]:
    """The base types of the links that are drawn, in the order of the palette."""
    used = {one.type.base for one in picture.links if one.type is not None}
    return [base for base in LIGHT.types if base in used]


def _description(picture: Picture) -> str:
    nodes = [box.id for box in picture.boxes if box.role == "node" and not box.missing]
    listed = ", ".join(nodes[:50]) + (" and more" if len(nodes) > 50 else "")
    return " ".join(part for part in (picture.about, f"Nodes: {listed}." if nodes else "No nodes.") if part)


def _drawn(card: Card, place: Place) -> Iterable[str]:
    box = card.box
    classes = _classes("node", unknown=not box.installed or box.missing, off=box.disabled)
    yield f'<g class="{classes}" transform="translate({px(place.x)} {px(place.y)})">'
    yield f"<title>{escape(_hint(box))}</title>"
    yield from _card(card, place) if box.role == "node" else _pill(card, place)
    yield "</g>"


def _card(card: Card, place: Place) -> Iterable[str]:
    box, width, height = card.box, place.width, place.height
    size = f'width="{px(width)}" height="{px(height)}" rx="{px(_RADIUS)}"'
    for behind in range(min(box.times, 2), 0, -1):
        yield f'<rect class="card" x="{5 * behind}" y="{-5 * behind}" {size}/>'
    yield f'<rect class="shadow" y="2.5" {size}/>'
    yield f'<rect class="card" {size}/>'
    if box.installed and not box.missing:
        yield f'<path class="stripe t-{base_of_family(box.family)}" d="{_stripe(width)}"/>'
    yield _text("headline", PADDING, 27, card.headline)
    yield _pair("subline", PADDING, 43, card.subline)
    for socket, name, y in zip(box.ins, card.ins, card.shape.ins, strict=True):
        yield _dot(socket, 0, y)
        yield _text("port", 12, y + 4, name)
    for socket, name, y in zip(box.outs, card.outs, card.shape.outs, strict=True):
        yield _dot(socket, width, y)
        yield _text("port end", width - 12, y + 4, name)
    if card.lines:
        yield f'<path class="rule" d="M1 {px(card.rule)}H{px(width - 1)}"/>'
    for number, line in enumerate(card.lines):
        yield _settings(PADDING, card.rule + 20 + 16 * number, line)


def _pill(card: Card, place: Place) -> Iterable[str]:
    box, width, height = card.box, place.width, place.height
    sockets = box.ins if box.role == "output" else box.outs
    shade = _type_class(sockets[0]) if sockets else "t-unknown"
    size = f'width="{px(width)}" height="{px(height)}" rx="{px(height / 2)}"'
    yield f'<rect class="card pill {shade}" {size}/>'
    middle = width / 2
    yield _text("headline middle", middle, 18, card.headline)
    yield _text("subline middle", middle, 32, card.subline[1])
    for socket in sockets:
        yield _dot(socket, 0 if box.role == "output" else width, height / 2)


def _stripe(width: float) -> str:
    """The band along the top of a card, between its round corners."""
    r = _RADIUS
    inset = r - (r * r - (r - STRIPE) ** 2) ** 0.5
    corner = f"A{px(r)} {px(r)} 0 0 1"
    return f"M{px(inset)} {px(STRIPE)}{corner} {px(r)} 0H{px(width - r)}{corner} {px(width - inset)} {px(STRIPE)}Z"


def _settings(x: float, y: float, line: Sequence[tuple[str, str]]) -> str:
    texts = [" ".join(_span(name, text) for name, text in zip(_SETTING, one, strict=True) if text) for one in line]
    return f'<text class="setting" xml:space="preserve" x="{px(x)}" y="{px(y)}">{"   ".join(texts)}</text>'


def _pair(name: str, x: float, y: float, texts: tuple[str, str]) -> str:
    inside = _span("value", texts[0]) + escape(texts[1])
    return f'<text class="{name}" xml:space="preserve" x="{px(x)}" y="{px(y)}">{inside}</text>'


def _span(name: str, text: str) -> str:
    return f'<tspan class="{name}">{escape(text)}</tspan>'


def _text(name: str, x: float, y: float, text: str) -> str:
    return f'<text class="{name}" x="{px(x)}" y="{px(y)}">{escape(text)}</text>'


def _dot(socket: Socket, x: float, y: float) -> str:
    open_dot = "" if socket.linked else " open"
    return f'<circle class="dot {_type_class(socket)}{open_dot}" cx="{px(x)}" cy="{px(y)}" r="{px(_DOT)}"/>'


def _classes(*always: str, **when: bool) -> str:
    return " ".join([*always, *(name for name, on in when.items() if on)])


def _type_class(socket: Socket) -> str:
    return f"t-{socket.type.base}" if socket.type is not None and socket.type.base in LIGHT.types else "t-unknown"


def _hint(box: Box) -> str:
    """What a pointer over the box is told."""
    what = "not in the workflow" if box.missing else box.kind + ("" if box.installed else " (not installed)")
    return ": ".join(part for part in (box.id, what, box.about) if part)
