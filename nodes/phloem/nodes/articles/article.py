"""The article on a page: found the way Mozilla's Readability finds it, in our own code.

The method (github.com/mozilla/readability, Apache-2.0, itself after Arc90's): leave out what is hidden
or named like a menu; let paragraphs vote for the boxes around them, by length and commas; take the
box with most votes, less its share of links, with those siblings that read alike; leave out of it
what looks like a list of links, a form or a heap of pictures. If too little remains, do it again with
one rule fewer, and in the end take the attempt that kept most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from phloem.nodes.articles.choose import choose
from phloem.nodes.articles.clean import clean
from phloem.nodes.articles.facts import Facts, facts_of
from phloem.nodes.articles.measure import measured
from phloem.nodes.articles.parse import Page, parse_page
from phloem.nodes.articles.prepare import paragraphs_from_breaks, prepare
from phloem.nodes.articles.render import render
from phloem.nodes.articles.tree import Element

__all__ = ["Article", "page_text", "read_article"]

_ENOUGH: Final = 500
_KEEPS_ITS_TAG: Final = frozenset({"div", "article", "section", "p", "ol", "ul"})


@dataclass(frozen=True, slots=True)
class Article:
    """An article's text, and what the page says about it."""

    text: str
    facts: Facts


def read_article(html: str, *, base: str = "", links: bool = False) -> Article:
    """The article on a page, or all the text that can be seen on it when no part of it reads like one.

    With `links`, where a link leads stands behind it, resolved against `base`. The text has paragraphs
    apart, list items after `- `, table rows as lines; it is empty when nothing can be seen.
    """
    page = parse_page(html)
    facts = facts_of(page)
    base = page.base(base)
    root, byline = _find(page, facts)
    links_from = base if links else None
    text = render(root, links_from) if root is not None else ""
    return Article(text or render(page.body, links_from), facts.with_author(byline))


def page_text(html: str, *, base: str = "", links: bool = False) -> Article:
    """All the text that can be seen on a page, menus and all, laid out as `read_article` does."""
    page = parse_page(html)
    return Article(render(page.body, page.base(base) if links else None), facts_of(page))


def _find(page: Page, facts: Facts) -> tuple[Element | None, str]:
    """The article's tree, if there is one, and who wrote it."""
    whole = Element("html")
    body = page.body.copy()
    whole.append(body)
    paragraphs_from_breaks(body)
    byline = facts.author
    best: tuple[int, Element | None] = (0, None)
    for strict, weigh_names, conditionally in _ATTEMPTS:
        root = whole.copy()
        prepared = prepare(root, title=facts.title, byline=byline, strict=strict)
        byline = prepared.byline
        article, core = _gather(root, prepared.scored, weigh_names)
        clean(article, core, weigh_names=weigh_names, conditionally=conditionally)
        length = measured(article)[article].length
        if length >= _ENOUGH:
            return article, byline
        if length > best[0]:
            best = length, article
    return best[1], byline


_ATTEMPTS: Final = ((True, True, True), (False, True, True), (False, False, True), (False, False, False))


def _gather(root: Element, scored: list[Element], weigh_names: bool) -> tuple[Element, Element]:
    """A box with the chosen parts of the page in it, and the part of it that had most votes."""
    article = Element("div")
    if not root.elements:
        return article, article
    core, parts = choose(root.elements[0], scored, weigh_names=weigh_names)
    for part in parts:
        if part.tag not in _KEEPS_ITS_TAG:
            part.tag = "div"
        article.append(part)
    return article, core
