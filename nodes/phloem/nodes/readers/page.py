"""Web pages from a file, whole: the article of a page from the web is web.read's business."""

from __future__ import annotations

from phloem.nodes.articles.parse import parse_page
from phloem.nodes.articles.render import render
from phloem.nodes.readers.plain import decoded
from phloem.runtime.values import Document

__all__ = ["read_page"]


def read_page(data: bytes, encoding: str = "") -> Document:
    """All the text that a reader of the page sees, with its title."""
    page = parse_page(decoded(data, "the page", encoding))
    title = next(("".join(one.texts()) for one in page.root.below({"title"})), "")
    return Document(render(page.body), title=title)
