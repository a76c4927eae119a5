"""A workflow as an SVG picture: cards joined by curves, for a page that is light, dark, or either."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import islice
from pathlib import Path
from typing import Final

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.drawing.boxes import Picture
from phloem.runtime.drawing.cards import PORT
from phloem.runtime.drawing.figure import Figure, figure_of
from phloem.runtime.drawing.lettering import cut
from phloem.runtime.drawing.marks import ABOUT, DOT, marks, paper, text
from phloem.runtime.drawing.palette import LIGHT, base_of_family
from phloem.runtime.drawing.paths import px
from phloem.runtime.drawing.picture import picture_of
from phloem.runtime.drawing.style import Theme, style_of
from phloem.runtime.workflow import Workflow

__all__ = ["Theme", "as_svg"]

_MARGIN: Final = 32.0
_HEADER: Final = 30.0
_ABOUT: Final = 20.0
_LEGEND: Final = 34.0
_MOST_NAMED: Final = 50


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
    right, and folded to the width of a page. The workflow in a node, or one that it calls from beside `file`, is
    drawn in its card, six deep at most; a card says how large one is that lies deeper.
    """
    if theme not in ("auto", "light", "dark"):
        raise ValueError(f"a theme is auto, light or dark, not {theme!r}")
    return _Sheet(figure_of(picture_of(workflow, catalogue, file), keep_places=keep_places), theme).document()


class _Sheet:
    """One drawing: a figure with a heading and a key, and the parts of the document in the order of their drawing."""

    def __init__(self, figure: Figure, theme: Theme) -> None:
        self.figure = figure
        self.picture = figure.picture
        self.theme = theme
        self.header = (_HEADER if self.picture.title else 0.0) + (_ABOUT if self.picture.about else 0.0)
        self.header += 14.0 if self.header else 0.0
        types = {link.type for one in figure.all() for link in one.picture.links if link.type is not None}
        used = {one.base for one in types}
        self.bases = [base for base in LIGHT.types if base in used]
        self.lists = any(one.depth for one in types)
        self.legend = _LEGEND if len(self.bases) > 1 or self.lists else 0.0
        figure.made.shift(_MARGIN, _MARGIN + self.header)
        self.width = round(max(figure.made.width, 240.0) + 2 * _MARGIN)
        self.height = round(max(figure.made.height, 20.0) + 2 * _MARGIN + self.header + self.legend)

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
            *paper(0, 0, self.width, self.height, 14),
            *self.heading(),
            *marks(self.figure),
            *self.key(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def colours(self) -> list[str]:
        """The base types whose colours anything has."""
        boxes = [box for one in self.figure.all() for box in one.picture.boxes]
        sockets = [socket for box in boxes for socket in (*box.ins, *box.outs)]
        used = {socket.type.base for socket in sockets if socket.type is not None}
        used |= {base_of_family(box.family) for box in boxes if box.role == "node"}
        return [base for base in LIGHT.types if base in used]

    def heading(self) -> Iterable[str]:
        y = _MARGIN
        room = self.width - 2 * _MARGIN
        if self.picture.title:
            y += 14
            yield text("title", _MARGIN, y, cut(self.picture.title, 18, room))
            y += 22
        if self.picture.about:
            y += 0 if self.picture.title else 10
            yield text("about", _MARGIN, y, cut(self.picture.about, ABOUT, room))
        if not self.picture.boxes:
            yield text("about", _MARGIN, self.height - _MARGIN, "Nothing is drawn here yet.")

    def key(self) -> Iterable[str]:
        """What the colours mean."""
        x, y = _MARGIN + DOT, self.height - _MARGIN + 6
        for base in self.bases if self.legend else ():
            yield f'<circle class="dot t-{base}" cx="{px(x)}" cy="{px(y - 4)}" r="{DOT}"/>'
            yield text("port", x + 10, y, base)
            x += 34 + PORT.width(base)
        if self.legend and self.lists:
            line = f"M{px(x - DOT)} {px(y - 4)}h20"
            yield f'<path class="link list t-unknown" d="{line}"/><path class="core" d="{line}"/>'
            yield text("port", x + 26, y, "list")


def _description(picture: Picture) -> str:
    """What there is for those who do not see the picture: a node in another is named by the path to it."""
    ids = list(islice(_paths(picture, ""), _MOST_NAMED + 1))
    listed = ", ".join(ids[:_MOST_NAMED]) + (" and more" if len(ids) > _MOST_NAMED else "")
    return " ".join(part for part in (picture.about, f"Nodes: {listed}." if ids else "No nodes.") if part)


def _paths(picture: Picture, before: str) -> Iterable[str]:
    for box in picture.nodes():
        yield before + box.id
        if box.inside is not None:
            yield from _paths(box.inside, f"{before}{box.id}/")
