"""HTML to a tree, as a browser would read it, with bounds that no page can pass.

The markup is read by justhtml, which follows the WHATWG parsing algorithm, so the tree is the one that
readers of the page see, however broken its markup. Of the browser-grade parsers it is the one that
neither slows down on a hundred thousand nested boxes nor, being all Python, can bring the process down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin

from phloem.nodes.articles.tree import Element
from phloem.runtime.errors import InputError

__all__ = ["Page", "parse_page", "resolve"]

MAX_ELEMENTS: Final = 300_000
MAX_DEPTH: Final = 512
"""Deeper elements become siblings of the one at this depth, as in browsers."""
MAX_LINKED_DATA: Final = 1_000_000


@dataclass(slots=True)
class Page:
    """A parsed page: its tree from `html` down, without scripts and styles, and its JSON-LD scripts as text."""

    root: Element
    linked_data: list[str] = field(default_factory=list)

    @property
    def body(self) -> Element:
        return next((one for one in self.root.elements if one.tag == "body"), None) or Element("body")

    def base(self, address: str) -> str:
        """What relative links are relative to, for a page that came from `address` (empty if it is not known)."""
        for element in self.root.below({"base"}):
            if element.get("href"):
                return resolve(address, element.get("href"))
        return address


def parse_page(html: str) -> Page:
    """The tree of a page, or of a fragment of one; InputError if it has more elements than any sensible page.

    Comments, scripts, styles and what stands in for them are left out.
    """
    from justhtml import JustHTML

    document = JustHTML(_tamed(html), sanitize=False, scripting_enabled=False).root
    top = next(node for node in document.children or () if node.name == "html")
    page = Page(Element("html", _attributes(top)))
    count = 0
    stack: list[tuple[Any, Element, int]] = [(child, page.root, 1) for child in reversed(top.children)]
    while stack:
        node, parent, depth = stack.pop()
        name: str = node.name
        if name == "#text":
            parent.children.append(node.data)
        elif name == "script":
            _keep_linked_data(page, node)
        elif name[0] not in "#!" and name not in _LEFT_OUT:
            count += 1
            if count > MAX_ELEMENTS:
                raise _too_many()
            element = Element(name, _attributes(node))
            parent.append(element)
            inside = element if depth < MAX_DEPTH else parent
            stack.extend((child, inside, depth + 1) for child in reversed(node.children or ()))
    return page


def resolve(base: str, link: str) -> str:
    """Where `link` leads from `base`, without the white space that browsers ignore; empty if nowhere."""
    try:
        return urljoin(base, _IGNORED.sub("", link.strip()))
    except ValueError:
        return ""


_IGNORED: Final = re.compile(r"[\t\r\n]+")
_LEFT_OUT: Final = frozenset({"style", "noscript", "template", "svg"})


def _attributes(node: Any) -> dict[str, str]:
    attributes: dict[str, str | None] = node.attrs or {}
    return {name: value or "" for name, value in attributes.items()}


def _keep_linked_data(page: Page, script: Any) -> None:
    if "ld+json" in ((script.attrs or {}).get("type") or ""):
        page.linked_data.append("".join(child.data for child in script.children)[:MAX_LINKED_DATA])


def _too_many() -> InputError:
    return InputError(f"the page has more than {MAX_ELEMENTS:,} elements", hint="Read a smaller part of it.")


_START_TAG: Final = re.compile(r"<[a-zA-Z]")
_STRAY: Final = re.compile(r"<(?![a-zA-Z/!?])")
_FORMATTING: Final = re.compile(
    r"<(/?)(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])", re.IGNORECASE
)
_MOST_REOPENED: Final = 100_000


def _tamed(html: str) -> str:
    """`html` as it may be given to the parser, so that neither its time nor its tree outgrows the page.

    A "<" that begins no tag is written as the text it is: the parser's time would grow with the square of
    their number. And a browser opens each unclosed <b> again in every paragraph that follows, so that
    400 KB can make a thousand million elements: where that threatens, bold, italic and the like become plain
    spans, which say as much about the text.
    """
    html = _STRAY.sub("&lt;", html)
    tags = len(_START_TAG.findall(html))
    if tags > MAX_ELEMENTS:
        raise _too_many()
    formatting = sum(not found for found in _FORMATTING.findall(html))
    return _FORMATTING.sub(r"<\1span", html) if formatting * tags > _MOST_REOPENED else html
