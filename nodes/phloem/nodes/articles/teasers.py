"""Lists of other articles: boxes beside the article whose parts each lead somewhere else by a heading."""

from __future__ import annotations

from typing import Final

from phloem.nodes.articles.measure import measured
from phloem.nodes.articles.tree import Element
from phloem.nodes.articles.words import HEADINGS

__all__ = ["leave_out_teasers"]

_FEWEST: Final = 4
_NEARLY_ALL: Final = 0.8


def leave_out_teasers(article: Element, core: Element) -> None:
    """Leave out every box most of whose parts have a heading that is a link.

    `core` holds the article for sure: neither what is in it nor what it is in is left out, so a page that
    is itself such a list keeps it.
    """
    leading = _with_linked_heading(article)
    spared = {core, *core.ancestors()}
    stack = [article]
    while stack:
        box = stack.pop()
        parts = box.elements
        teasers = sum(part in leading for part in parts)
        if box not in spared and teasers >= _FEWEST and teasers >= _NEARLY_ALL * len(parts):
            box.gone = True
        else:
            stack.extend(part for part in parts if part is not core)
    article.sweep()


def _with_linked_heading(article: Element) -> set[Element]:
    """The headings that are nothing but a link, and everything they are in."""
    measures = measured(article)
    found: set[Element] = set()
    for heading in article.below(HEADINGS):
        measure = measures[heading]
        if measure.length and measure.link_density > 0.9:
            found.add(heading)
            for above in heading.ancestors():
                if above in found:
                    break
                found.add(above)
    return found
