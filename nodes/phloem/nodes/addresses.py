"""What stands at an address of the web or in a saved file: fetched, and told for what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

from phloem.runtime.context import Context
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.grants import host_of, is_url
from phloem.runtime.services import HttpAnswer

__all__ = ["Content", "Found", "charset_of", "check_status", "load", "stamp", "tidied"]

LARGEST: Final = 20_000_000
_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

Content = Literal["page", "text", "feed", "json", "pdf", "other"]


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes, what a server said they are (both empty for a file), and the address or path they came from.

    `url` is the address, empty for a file.
    """

    data: bytes
    source: str
    url: str = ""
    media_type: str = ""
    charset: str = ""

    @classmethod
    def of_html(cls, html: str, address: str) -> Found:
        """The HTML of a page that came from `address`: one of the web, a path, or unknown if empty."""
        url = address if is_url(address) else ""
        return cls(html.encode("utf-8", "replace"), address, url, "text/html", "utf-8")

    @property
    def content(self) -> Content:
        """What kind of thing it is, by what the server said and else by how it begins."""
        return _content(self)

    def text(self) -> str:
        """It decoded, as a browser would."""
        from phloem.nodes.articles.charset import decode

        return decode(self.data, self.charset, markup=self.content != "text")


async def load(ctx: Context, url: str, timeout: float, accept: str) -> Found:
    """What is at `url`, which may be the path of a saved file. A status of 400 or more is a ServiceError."""
    url = tidied(url)
    if not url:
        raise InputError("there is no address to read", hint="Give a web address or the path of a saved page.")
    if not is_url(url):
        return Found(await ctx.in_thread(ctx.files.read, url, limit=LARGEST), url)
    answer = await ctx.http.request(url, headers={"Accept": accept}, timeout=timeout, limit=LARGEST)
    check_status(answer)
    return Found(answer.body, answer.url, answer.url, answer.media_type, charset_of(answer))


def tidied(url: str) -> str:
    """An address or path without white space around it, the scheme in lower case."""
    url = url.strip()
    scheme, mark, rest = url.partition("://")
    return f"{scheme.lower()}{mark}{rest}" if mark and scheme.isalpha() else url


def charset_of(answer: HttpAnswer) -> str:
    """The character set that the Content-Type names; empty if none."""
    found = _CHARSET.search(answer.headers.get("content-type", ""))
    return found[1] if found else ""


_CHARSET: Final = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)


def check_status(answer: HttpAnswer) -> None:
    """ServiceError if a server refused or failed."""
    if answer.status < 400:
        return
    try:
        phrase = " " + HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    raise ServiceError(f"{host_of(answer.url)} answered {answer.status}{phrase}", retryable=answer.status in _RETRYABLE)


async def stamp(ctx: Context, inputs: Mapping[str, Any]) -> str | None:
    """What reading the input `url` depends on: the content of a file, the time window of a page.

    None, when the page is to be fetched anew each time.
    """
    import time

    url = tidied(str(inputs.get("url") or ""))
    if url and not is_url(url):
        return await ctx.in_thread(ctx.files.digest, url) or None
    seconds = float(inputs.get("fresh_for") or 0)
    if seconds <= 0:
        return None
    if url:
        await ctx.http.permitted(url)
    return str(int(time.time() // seconds))


_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
_FEEDS: Final = frozenset(
    {"application/rss+xml", "application/atom+xml", "application/rdf+xml", "application/feed+json"}
)
_UNTOLD: Final = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/xml", "text/xml"})
_PAGE_ENDINGS: Final = (".html", ".htm", ".xhtml", ".xht", ".shtml")
_FEED_START: Final = re.compile(
    rb"(?>\xef\xbb\xbf|\s+|<\?xml[^>]*>|<!--.{0,2000}?-->|<!DOCTYPE[^>]*>)*+<(?:rss|feed|rdf:RDF)[\s>]", re.DOTALL
)
_MARKUP_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!|\?|[a-zA-Z])")


def _content(found: Found) -> Content:
    said = found.media_type
    if found.data[:5] == b"%PDF-" or said == "application/pdf":
        return "pdf"
    if said in _FEEDS or (said in _UNTOLD | _PAGES and _FEED_START.match(found.data[:8192])):
        return "feed"
    if said in _PAGES:
        return "page"
    if said == "application/json" or said.endswith("+json"):
        return "json"
    if said in _UNTOLD:
        return _by_look(found)
    return "text" if said.startswith("text/") else "other"


def _by_look(found: Found) -> Content:
    start = found.data[:1024]
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "other"
    if found.source.lower().endswith(_PAGE_ENDINGS) or _MARKUP_START.match(start):
        return "page"
    return "text"
