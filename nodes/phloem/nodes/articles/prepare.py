"""The first walk over a page: leave out what is surely no content, and make paragraphs of what reads as one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from phloem.nodes.articles.measure import Measure, measured
from phloem.nodes.articles.tree import Element, Node
from phloem.nodes.articles.words import HEADINGS, is_byline, is_hidden, is_phrasing, is_unlikely

__all__ = ["Prepared", "paragraphs_from_breaks", "prepare"]

_WORTH_SCORING: Final = frozenset({"section", "h2", "h3", "h4", "h5", "h6", "p", "td", "pre"})
_EMPTY_BOXES: Final = frozenset({"div", "section", "header"}) | HEADINGS
_LONGEST_BYLINE: Final = 100
_LONGEST_TITLE: Final = 500
_SAME_TITLE: Final = 0.75


def paragraphs_from_breaks(root: Element) -> None:
    """Make a paragraph of what follows two or more line breaks in a row, up to the next such place."""
    for element in list(root.walk()):
        if sum(isinstance(child, Element) and child.tag == "br" for child in element.children) > 1:
            _split_at_breaks(element)


def _split_at_breaks(element: Element) -> None:
    kept: list[Node] = []
    paragraph: Element | None = None
    children = element.children
    at = 0
    while at < len(children):
        breaks, after = _breaks(children, at)
        if breaks > 1:
            paragraph = Element("p")
            kept.append(paragraph)
            at = after
        elif paragraph is not None and is_phrasing(children[at]):
            paragraph.append(children[at])
            at += 1
        else:
            paragraph = None
            kept.append(children[at])
            at += 1
    if len(kept) < len(children) and element.tag == "p":
        element.tag = "div"
    element.replace_children(kept)


def _breaks(children: list[Node], at: int) -> tuple[int, int]:
    """How many line breaks come in a row from `at`, with nothing but white space between, and where they end."""
    found = 0
    end = at
    for place in range(at, len(children)):
        child = children[place]
        if isinstance(child, Element):
            if child.tag != "br":
                break
            found, end = found + 1, place + 1
        elif not found or child.strip():
            break
    return found, end


@dataclass(slots=True)
class Prepared:
    """What `prepare` made of a page: the elements whose text speaks for their ancestors, and who wrote it."""

    scored: list[Element]
    byline: str


def prepare(root: Element, *, title: str, byline: str, strict: bool) -> Prepared:
    """Rid the tree below `root` of what is hidden, empty, or (if `strict`) unlikely, and of one heading like `title`.

    The box naming the author is left out too, unless `byline` tells the author already.
    """
    measures = measured(root)
    scored: list[Element] = []
    stack = [root]
    while stack:
        element = stack.pop()
        measure = measures.get(element)
        if measure is None:
            measure = measures[element] = measured(element)[element]
        if is_hidden(element):
            element.gone = True
        elif not byline and 0 < measure.length < _LONGEST_BYLINE and is_byline(element):
            byline, element.gone = _name_in(element), True
        elif title and element.tag in ("h1", "h2") and _is_title(element, measure, title):
            title, element.gone = "", True
        elif (strict and is_unlikely(element)) or (element.tag in _EMPTY_BOXES and _is_empty(element, measure)):
            element.gone = True
        if element.gone:
            continue
        if element.tag == "div":
            _paragraph_of(element, measures)
        if element.tag in _WORTH_SCORING:
            scored.append(element)
        stack.extend(reversed(element.elements))
    root.sweep()
    return Prepared(scored, byline)


def _paragraph_of(box: Element, measures: dict[Element, Measure]) -> None:
    """Put loose text of a box into paragraphs; a box that is nothing but a paragraph becomes it."""
    _wrap_loose_text(box)
    inner = box.elements
    loose = any(isinstance(child, str) and child.strip() for child in box.children)
    if len(inner) == 1 and inner[0].tag == "p" and not loose and measures[box].link_density < 0.25:
        box.tag, box.attributes = "p", inner[0].attributes
        box.replace_children(inner[0].children)
    elif not measures[box].blocks and not any(one.tag == "p" for one in inner):
        box.tag = "p"


def _wrap_loose_text(box: Element) -> None:
    if not any(not isinstance(child, str) or child.strip() for child in box.children):
        return
    kept: list[Node] = []
    run: list[Node] = []
    for child in box.children:
        if is_phrasing(child):
            if run or not _is_blank(child):
                run.append(child)
        else:
            _close_run(kept, run)
            run = []
            kept.append(child)
    _close_run(kept, run)
    box.replace_children(kept)


def _close_run(kept: list[Node], run: list[Node]) -> None:
    while run and _is_blank(run[-1]):
        run.pop()
    if run:
        paragraph = Element("p")
        paragraph.replace_children(run)
        kept.append(paragraph)


def _is_blank(node: Node) -> bool:
    return not node.strip() if isinstance(node, str) else node.tag == "br"


def _is_empty(element: Element, measure: Measure) -> bool:
    return not measure.length and all(child.tag in ("br", "hr") for child in element.elements)


def _name_in(element: Element) -> str:
    """The author's name in a box marked as a byline."""
    named = (one.line() for one in element.walk() if "name" in one.get("itemprop").split())
    return next((name for name in named if name), "") or element.line()


def _is_title(heading: Element, measure: Measure, title: str) -> bool:
    return max(measure.length, measure.elements) < _LONGEST_TITLE and _alike(title, heading.line()) > _SAME_TITLE


_WORDS: Final = re.compile(r"\W+")


def _alike(title: str, heading: str) -> float:
    """How much of `heading` stands in `title` too, in letters, from 0 to 1."""
    known = set(_WORDS.split(title.lower()))
    words = [word for word in _WORDS.split(heading.lower()) if word]
    if not words or not known:
        return 0.0
    new = [word for word in words if word not in known]
    return 1 - len(" ".join(new)) / len(" ".join(words))
