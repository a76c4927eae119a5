"""The links on a page: where they lead, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urldefrag, urlsplit

from phloem.nodes.articles.facts import facts_of
from phloem.nodes.articles.parse import parse_page, resolve
from phloem.nodes.articles.tree import Element

__all__ = ["Link", "feeds_of", "links_of", "same_site"]

_LONGEST_TEXT: Final = 300
_LONGEST_ADDRESS: Final = 4000
_FEED: Final = re.compile(r"application/(?:(?:rss|atom|rdf)\+xml|feed\+json)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """An address on the web, without the place within the page, and the text that leads there."""

    url: str
    text: str


def links_of(html: str, address: str = "") -> tuple[str, list[Link]]:
    """What the page calls its own address, and its links to the web in their order, each address once.

    `address` is where the page came from, if it is on the web. Without it relative links are resolved against
    the <base> of the page, or the address that it gives as its own; if there is none, they are left out.
    """
    page = parse_page(html)
    own = address or facts_of(page).url
    base = page.base(own)
    found: dict[str, Link] = {}
    for element in page.root.below({"a", "area"}):
        url = _address(base, element.get("href"))
        if url:
            text = _text(element)
            if url not in found or (text and not found[url].text):
                found[url] = Link(url, text)
    return own or base, list(found.values())


def feeds_of(html: str, address: str) -> list[str]:
    """The addresses of the feeds that a page offers, in its order."""
    page = parse_page(html)
    base = page.base(address)
    offered = (
        _address(base, link.get("href"))
        for link in page.root.below({"link"})
        if "alternate" in link.get("rel").lower().split() and _FEED.match(link.get("type").strip())
    )
    return [url for url in offered if url]


def same_site(one: str, other: str) -> bool:
    """True if two addresses have the same host, with or without `www.` before it."""
    host = _host(one)
    return host != "" and host == _host(other)


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _address(base: str, href: str) -> str:
    """Where a link leads, if that is a page of the web, without the place within it."""
    if not href.strip() or len(href) > _LONGEST_ADDRESS:
        return ""
    url = urldefrag(resolve(base, href)).url
    return url if url.startswith(("http://", "https://")) and _host(url) else ""


def _text(element: Element) -> str:
    """What a link says: its text, or else what stands for it where it is a picture."""
    line = " ".join("".join(_beginning(element)).split())
    if not line:
        named = [element, *element.below({"img"})][:2]
        line = next((" ".join(one.get(name).split()) for one in named for name in _LABELS if one.get(name)), "")
    return line[:_LONGEST_TEXT]


_LABELS: Final = ("aria-label", "alt", "title")


def _beginning(element: Element) -> Iterator[str]:
    """The texts in an element, up to more than is wanted of them."""
    length = 0
    for text in element.texts():
        yield text[: 2 * _LONGEST_TEXT]
        length += len(text.strip())
        if length > _LONGEST_TEXT:
            return
