"""A tree of elements as text for reading: paragraphs apart, lists, headings and tables still to be seen."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from phloem.nodes.articles.parse import resolve
from phloem.nodes.articles.tree import Element
from phloem.nodes.articles.words import HEADINGS, is_hidden

__all__ = ["render"]


def render(root: Element, links_from: str | None = None) -> str:
    """The text below `root`.

    Blank lines between blocks, `- ` or `1. ` before list items, `## ` before headings (as many as their
    level), cells of a table apart by ` | `, preformatted text as it is. What is hidden is left out.
    With `links_from`, links read `[text](address)`, resolved against that address.
    """
    writer = _Writer()
    stack: list[Element | str | _Leave] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            writer.text(node)
        elif isinstance(node, _Leave):
            writer.leave(node)
        elif node.tag not in _UNSEEN and not is_hidden(node):
            stack.append(writer.enter(node, links_from))
            stack.extend(reversed(node.children))
    return writer.result()


_UNSEEN: Final = frozenset({
    "audio", "base", "button", "canvas", "datalist", "dialog", "embed", "head", "iframe", "input", "link", "map",
    "meta", "meter", "object", "progress", "select", "textarea", "title", "video",
})  # fmt: skip
_BLOCKS: Final = HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li", "main",
    "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
_TIGHT: Final = frozenset({"li", "tr", "dd", "dt", "tbody", "thead", "tfoot"})
_LISTS: Final = frozenset({"ul", "ol", "menu", "dl"})
_CELLS: Final = frozenset({"td", "th"})


@dataclass(slots=True)
class _Leave:
    """What to do when all below an element has been written."""

    element: Element
    block: bool = False
    row: bool = False
    link: str = ""


@dataclass(slots=True)
class _Writer:
    """Collects lines. `_gap` is how many line ends are owed before the next text, `_unopened` how many brackets."""

    _pieces: list[str] = field(default_factory=list)
    _gap: int = 0
    _space: bool = False
    _marker: str = ""
    _unopened: int = 0
    _preformatted: int = 0
    _rows: list[bool] = field(default_factory=list)
    _lists: list[int | None] = field(default_factory=list)

    def text(self, text: str) -> None:
        if self._preformatted:
            text = text.lstrip("\n") if self._gap or not self._pieces else text
            if text:
                self._write(text)
            return
        line = _SPACES.sub(" ", text)
        if line == " " or not line:
            self._space = self._space or bool(line)
            return
        self._space = self._space or line[0] == " "
        self._write(line.strip(" "))
        self._space = line[-1] == " "

    def enter(self, element: Element, links_from: str | None) -> _Leave:
        tag = element.tag
        leave = _Leave(element)
        if tag == "br":
            self._break(1)
        elif tag in _CELLS:
            self._cell(element)
            leave.block = not self._in_row
        elif tag in _BLOCKS:
            leave.block = True
            if not self._marker:
                self._break(self._lines_about(tag))
            self._open_block(element, leave)
        elif tag == "a" and links_from is not None:
            leave.link = _target(links_from, element)
            self._unopened += bool(leave.link)
        return leave

    def leave(self, left: _Leave) -> None:
        tag = left.element.tag
        if left.link and self._unopened:
            self._unopened -= 1
        elif left.link:
            self._pieces.append(f"]({left.link})")
        elif tag == "pre":
            self._preformatted -= 1
            self._pieces[-1:] = [piece.rstrip("\n") for piece in self._pieces[-1:]]
        elif tag in _LISTS and left.block:
            self._lists.pop()
        elif left.row:
            self._rows.pop()
        if left.block:
            self._marker = "" if tag == "li" or tag in HEADINGS else self._marker
            self._gap = min(self._gap, 1) if tag == "li" else self._gap
            self._break(self._lines_about(tag))

    def result(self) -> str:
        return "\n".join(line.rstrip() for line in "".join(self._pieces).split("\n")).strip("\n")

    @property
    def _in_row(self) -> bool:
        return bool(self._rows) and self._rows[-1]

    def _lines_about(self, tag: str) -> int:
        """How many line ends stand before and after a block: two make a blank line."""
        return 1 if tag in _TIGHT or (tag in _LISTS and self._lists) else 2

    def _open_block(self, element: Element, leave: _Leave) -> None:
        tag = element.tag
        if tag == "pre":
            self._preformatted += 1
        elif tag in _LISTS:
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._marker = self._item_marker()
        elif tag in HEADINGS:
            self._marker = "#" * int(tag[1]) + " "
        elif tag == "tr":
            leave.row = True
            self._rows.append(_reads_as_line(element))

    def _item_marker(self) -> str:
        indent = "  " * min(len(self._lists) - 1, 8)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _cell(self, cell: Element) -> None:
        if not self._in_row:
            self._break(1)
        elif self._gap == 0 and cell.parent is not None and cell is not cell.parent.elements[0]:
            self._pieces.append(" |")
            self._space = True

    def _break(self, lines: int) -> None:
        """Owe line ends, but no more than what is owed already; within a row of a table, only a space."""
        if self._in_row:
            self._space = True
        elif self._pieces:
            self._gap = max(self._gap, lines)

    def _write(self, text: str) -> None:
        if self._gap:
            self._pieces.append("\n" * self._gap)
            self._gap = 0
        elif self._space and self._pieces and not self._pieces[-1].endswith((" ", "\n")):
            self._pieces.append(" ")
        self._space = False
        if self._marker:
            self._pieces.append(self._marker)
            self._marker = ""
        self._pieces.append("[" * self._unopened + text)
        self._unopened = 0


_SPACES: Final = re.compile(r"\s+")


def _target(base: str, link: Element) -> str:
    """Where a link leads, if it leads to another page."""
    href = link.get("href")
    target = resolve(base, href) if href and not href.startswith("#") else ""
    return target if target.startswith(("http://", "https://")) else ""


def _reads_as_line(row: Element) -> bool:
    """True for a row of short cells, false for one that lays out parts of a page."""
    return not any(element.tag in _LAID_OUT for element in row.walk()) and len(row.elements) > 1


_LAID_OUT: Final = frozenset({"table", "ul", "ol", "pre", "blockquote", "section", "article", *HEADINGS})
