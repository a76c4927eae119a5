"""What can be counted about an element, from its children's counts: each page is measured in one pass, bottom up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from phloem.nodes.articles.tree import Element
from phloem.nodes.articles.words import HEADINGS

__all__ = ["Measure", "measured"]

_COMMAS: Final = re.compile("[,\u060c\u2e32\u2e34\u2e41\ufe10\ufe11\ufe50\uff0c]")

_BLOCK_TAGS: Final = frozenset({"blockquote", "dl", "div", "img", "ol", "p", "pre", "table", "ul"})
_PROSE_TAGS: Final = _BLOCK_TAGS | {"font", "li", "span", "td"}


class Measure:
    """Counts over all that is below one element.

    `length` is that of the text with runs of white space made one and none at the ends; `linked` the part
    of it in links (a link within the page counts for less); `headed`, `listed` and `prose` the parts in headings,
    lists, and elements that hold text. `blocks` tells whether anything below breaks a line. The rest are
    numbers of elements, `elements` of all of them.
    """

    __slots__ = (
        "_space_after", "_space_before", "blocks", "commas", "elements", "embeds", "headed", "images", "inputs",
        "items", "length", "linked", "listed", "paragraphs", "prose",
    )  # fmt: skip

    def __init__(self) -> None:
        self.length = self.commas = self.headed = self.listed = self.prose = 0
        self.elements = self.paragraphs = self.images = self.items = self.inputs = self.embeds = 0
        self.linked = 0.0
        self.blocks = self._space_before = self._space_after = False

    @property
    def link_density(self) -> float:
        """The part of the text that is in links, from 0 to 1."""
        return self.linked / self.length if self.length else 0.0

    @property
    def heading_density(self) -> float:
        """The part of the text that is in headings, from 0 to 1."""
        return self.headed / self.length if self.length else 0.0

    def add_text(self, text: str) -> None:
        """Count a text that follows what has been counted."""
        words = text.split()
        if not words:
            self._follow(0, bool(text), bool(text))
            return
        length = sum(map(len, words)) + len(words) - 1
        self._follow(length, text[0].isspace(), text[-1].isspace())
        self.commas += len(_COMMAS.findall(text))

    def add(self, element: Element, below: Measure) -> None:
        """Count an element that follows what has been counted, given its own measure."""
        self._follow(below.length, below._space_before, below._space_after)
        self.commas += below.commas
        self.headed += below.headed
        self.listed += below.listed
        self.prose += below.prose
        self.elements += below.elements + 1
        self.paragraphs += below.paragraphs
        self.images += below.images
        self.items += below.items
        self.inputs += below.inputs
        self.embeds += below.embeds
        self.linked += below.linked
        tag = element.tag
        self.blocks = self.blocks or below.blocks or tag in _BLOCK_TAGS
        if tag in _COUNTED:
            self._count(element, tag, below)

    def _count(self, element: Element, tag: str, below: Measure) -> None:
        if tag in _PROSE_TAGS:
            self.prose += below.length
        if tag == "a":
            self.linked += below.length * (0.3 if len(element.get("href")) > 1 and element.get("href")[0] == "#" else 1)
        elif tag == "p":
            self.paragraphs += 1
        elif tag == "img":
            self.images += 1
        elif tag == "li":
            self.items += 1
        elif tag in HEADINGS:
            self.headed += below.length
        elif tag in ("ul", "ol"):
            self.listed += below.length
        elif tag == "input":
            self.inputs += 1
        elif tag in ("object", "embed", "iframe"):
            self.embeds += 1

    def _follow(self, length: int, space_before: bool, space_after: bool) -> None:
        """Count text of this length, as it reads after what has been counted."""
        if not length:
            if self.length:
                self._space_after = self._space_after or space_before
            else:
                self._space_before = self._space_before or space_before
        elif not self.length:
            self.length = length
            self._space_before = self._space_before or space_before
            self._space_after = space_after
        else:
            self.length += length + (self._space_after or space_before)
            self._space_after = space_after


_COUNTED: Final = _PROSE_TAGS | HEADINGS | {"a", "input", "object", "embed", "iframe"}


def measure_children(children: Iterable[Element | str], measures: dict[Element, Measure]) -> Measure:
    """The measure of an element with these children, whose own measures are known."""
    total = Measure()
    for child in children:
        if isinstance(child, str):
            total.add_text(child)
        else:
            total.add(child, measures[child])
    return total


def measured(root: Element) -> dict[Element, Measure]:
    """The measure of `root` and of every element below it."""
    measures: dict[Element, Measure] = {}
    for element in reversed(list(root.walk())):
        measures[element] = measure_children(element.children, measures)
    return measures
