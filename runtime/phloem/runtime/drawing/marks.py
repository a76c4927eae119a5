"""The marks of an SVG picture: a figure as elements, from the links at the back to the letters in front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from phloem.runtime.drawing.arrange import Place
from phloem.runtime.drawing.boxes import Box, Socket
from phloem.runtime.drawing.cards import INSET, PADDING, STRIPE, Card
from phloem.runtime.drawing.figure import AROUND, Figure
from phloem.runtime.drawing.lettering import cut
from phloem.runtime.drawing.palette import LIGHT, base_of_family
from phloem.runtime.drawing.paths import middle_path, path, px

__all__ = ["ABOUT", "DOT", "marks", "paper", "text"]

ABOUT: Final = 12.5
"""The size of letters of what a workflow is about."""

DOT: Final = 4.5
"""The radius of a port."""

_RADIUS: Final = 10.0
_SETTING: Final = ("name", "value")


def marks(figure: Figure) -> Iterable[str]:
    """The links of a figure, its cards, and the figures in these."""
    yield from _links(figure)
    for card, body, place in zip(figure.cards, figure.bodies, figure.made.places, strict=True):
        classes = _classes("node", unknown=not card.box.installed or card.box.missing, off=card.box.disabled)
        yield f'<g class="{classes}" transform="translate({px(place.x)} {px(place.y)})">'
        yield f"<title>{escape(_hint(card.box))}</title>"
        yield from _card(card, place) if card.box.role == "node" else _pill(card, place)
        if body is not None:
            yield from _panel(card, body, place)
        yield "</g>"


def paper(x: float, y: float, width: float, height: float, radius: float) -> Iterable[str]:
    """What a figure is drawn on."""
    for inset, ink in ((0.5, 'class="paper"'), (1.0, 'fill="url(#phloem-dots)"')):
        size = f'width="{px(width - 2 * inset)}" height="{px(height - 2 * inset)}" rx="{px(radius)}"'
        yield f'<rect {ink} x="{px(x + inset)}" y="{px(y + inset)}" {size}/>'


def text(name: str, x: float, y: float, content: str) -> str:
    """Letters of the class `name`, that begin, end or have their middle at `x`, and stand on `y`."""
    return f'<text class="{name}" x="{px(x)}" y="{px(y)}">{escape(content)}</text>'


def _links(figure: Figure) -> Iterable[str]:
    """Every route twice: first wide in the colour of the paper, so that those below stay apart."""
    for route in figure.made.routes:
        box = figure.cards[route.source].box
        out = box.outs[route.out]
        legs = list(dict.fromkeys(route.legs))
        way = "".join(map(path, legs))
        many = out.type is not None and out.type.depth > 0
        classes = _classes("link", _type_class(out), list=many, back=route.back, off=box.disabled)
        yield f'<path class="halo" d="{"".join(map(middle_path, legs))}"/>'
        yield f'<path class="{classes}" d="{way}"/>'
        if many:
            yield f'<path class="core" d="{way}"/>'


def _panel(card: Card, body: Figure, place: Place) -> Iterable[str]:
    """The figure of a body on a paper of its own."""
    width = place.width - 2 * INSET
    yield from paper(INSET, card.panel, width, place.height - card.panel - INSET, _RADIUS - 3)
    if body.picture.title:
        title = cut(body.picture.title, ABOUT, width - 2 * AROUND)
        yield text("about", INSET + AROUND, card.panel + AROUND + 8, title)
    x, y = (place.width - body.made.width) / 2, card.panel + AROUND + body.title
    yield f'<g transform="translate({px(x)} {px(y)})">'
    yield from marks(body)
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
    yield text("headline", PADDING, 27, card.headline)
    yield _pair("subline", PADDING, 43, card.subline)
    for socket, name, y in zip(box.ins, card.ins, card.shape.ins, strict=True):
        yield _dot(socket, 0, y)
        yield text("port", 12, y + 4, name)
    for socket, name, y in zip(box.outs, card.outs, card.shape.outs, strict=True):
        yield _dot(socket, width, y)
        yield text("port end", width - 12, y + 4, name)
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
    yield text("headline middle", middle, 18 if card.subline[1] else 26, card.headline)
    yield text("subline middle", middle, 32, card.subline[1])
    for socket in sockets:
        yield _dot(socket, 0 if box.role == "output" else width, height / 2)


def _stripe(width: float) -> str:
    """The band along the top of a card, between its round corners."""
    r = _RADIUS
    inset = r - (r * r - (r - STRIPE) ** 2) ** 0.5
    corner = f"A{px(r)} {px(r)} 0 0 1"
    return f"M{px(inset)} {px(STRIPE)}{corner} {px(r)} 0H{px(width - r)}{corner} {px(width - inset)} {px(STRIPE)}Z"


def _settings(x: float, y: float, line: Sequence[tuple[str, str]]) -> str:
    texts = [" ".join(_span(name, said) for name, said in zip(_SETTING, one, strict=True) if said) for one in line]
    return f'<text class="setting" xml:space="preserve" x="{px(x)}" y="{px(y)}">{"   ".join(texts)}</text>'


def _pair(name: str, x: float, y: float, texts: tuple[str, str]) -> str:
    inside = _span("value", texts[0]) + escape(texts[1])
    return f'<text class="{name}" xml:space="preserve" x="{px(x)}" y="{px(y)}">{inside}</text>'


def _span(name: str, content: str) -> str:
    return f'<tspan class="{name}">{escape(content)}</tspan>'


def _dot(socket: Socket, x: float, y: float) -> str:
    open_dot = "" if socket.linked else " open"
    return f'<circle class="dot {_type_class(socket)}{open_dot}" cx="{px(x)}" cy="{px(y)}" r="{px(DOT)}"/>'


def _classes(*always: str, **when: bool) -> str:
    return " ".join([*always, *(name for name, on in when.items() if on)])


def _type_class(socket: Socket) -> str:
    return f"t-{socket.type.base}" if socket.type is not None and socket.type.base in LIGHT.types else "t-unknown"


def _hint(box: Box) -> str:
    """What a pointer over the box is told."""
    what = "not in the workflow" if box.missing else box.kind + ("" if box.installed else " (not installed)")
    return ": ".join(part for part in (box.id, what, box.about) if part)
