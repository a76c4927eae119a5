"""Feeds as documents: RSS, Atom and RDF read by feedparser, JSON Feed here. Nothing here opens a connection."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from time import struct_time
from typing import Any, Final

from phloem.nodes.articles.article import page_text
from phloem.nodes.articles.charset import decode
from phloem.nodes.articles.parse import resolve
from phloem.nodes.found_json import parse_json
from phloem.runtime.errors import InputError
from phloem.runtime.values import Document

__all__ = ["Feed", "read_feed"]


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed's title and its entries, in the order of the feed."""

    title: str
    entries: list[Document]


def read_feed(data: bytes, charset: str = "", *, address: str = "", limit: int = 20) -> Feed:
    """The first `limit` entries of a feed that came from `address`; InputError if it is none.

    An entry's text is its content, or else its summary, or else its title, without markup; `source` is
    where it leads. `metadata` has, where the feed tells: published and updated (ISO 8601, in UTC for XML
    feeds), author, categories, id, site (the title of the feed) and enclosures (addresses of sounds and the like).
    """
    text = decode(data, charset)
    if text.lstrip()[:1] == "{":
        return _json_feed(parse_json(text), address, limit)
    return _xml_feed(text, address, limit)


_DECLARATION: Final = re.compile(r"^\s*<\?xml[^>]*\?>")
_TAG_OF_THOUSANDS: Final = re.compile(
    r"""<[^\s<>/!?"'=]++(?:\s++[^\s=<>"'/]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+')){2000}"""
)


def _xml_feed(text: str, address: str, limit: int) -> Feed:
    import feedparser

    # For each attribute of an element, Python's SAX reader looks at all of them.
    if _TAG_OF_THOUSANDS.search(text):
        raise _no_feed(address)
    headers = {"content-type": "application/xml; charset=utf-8", "content-location": address}
    # Never the text itself: feedparser would take it for a file to open or an address to fetch.
    stream = BytesIO(_DECLARATION.sub("", text).encode("utf-8", "replace"))
    try:
        found = feedparser.parse(stream, response_headers=headers, sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # A stranger wrote the feed, and feedparser promises nothing about what it may raise.
        raise _no_feed(address) from error
    if not found.get("version") and not found.entries:
        raise _no_feed(address)
    title = _line(found.feed.get("title_detail") or found.feed.get("title"))
    return Feed(title, [_xml_entry(entry, title, address) for entry in found.entries[:limit]])


def _no_feed(address: str) -> InputError:
    return InputError(
        f"{address or 'the text'} is not a feed", hint="A feed is RSS, Atom or JSON Feed; web.read reads pages."
    )


def _xml_entry(entry: Any, site: str, address: str) -> Document:
    title = _line(entry.get("title_detail") or entry.get("title"))
    content = next((one for one in entry.get("content", ()) if one.get("value")), None)
    text = _plain(content) or _plain(entry.get("summary_detail") or entry.get("summary"))
    # feedparser's own get gives the one for the other.
    published, updated = dict.get(entry, "published_parsed"), dict.get(entry, "updated_parsed")
    metadata = {
        "published": _moment(published or updated),
        "updated": _moment(updated),
        "author": _line(entry.get("author")),
        "categories": _several(tag.get("term") or tag.get("label") for tag in entry.get("tags") or ()),
        "id": _line(entry.get("id")),
        "site": site,
        "enclosures": _several(resolve(address, one.get("href", "")) for one in entry.get("enclosures") or ()),
    }
    link = resolve(address, entry.get("link") or "")
    return Document(text or title, title=title, source=link, metadata=_told(metadata))


def _json_feed(value: Any, address: str, limit: int) -> Feed:
    items = value.get("items") if isinstance(value, dict) else None
    version = value.get("version") if isinstance(value, dict) else None
    if not isinstance(items, list) or not isinstance(version, str) or "jsonfeed.org" not in version:
        raise _no_feed(address)
    title = _line(value.get("title"))
    return Feed(title, [_json_entry(item, title, address) for item in items[:limit] if isinstance(item, dict)])


def _json_entry(item: dict[str, Any], site: str, address: str) -> Document:
    title = _line(item.get("title"))
    html, plain = item.get("content_html"), item.get("content_text") or item.get("summary")
    text = page_text(html).text if isinstance(html, str) else plain if isinstance(plain, str) else ""
    authors = item.get("authors") if isinstance(item.get("authors"), list) else [item.get("author")]
    attachments = item.get("attachments") if isinstance(item.get("attachments"), list) else []
    metadata = {
        "published": _line(item.get("date_published")),
        "updated": _line(item.get("date_modified")),
        "author": ", ".join(_several(one.get("name") for one in authors or () if isinstance(one, dict))),
        "categories": _several(item["tags"]) if isinstance(item.get("tags"), list) else [],
        "id": _line(str(item.get("id") or "")),
        "site": site,
        "enclosures": _several(one.get("url") for one in attachments or () if isinstance(one, dict)),
    }
    link = item.get("url") or item.get("external_url")
    source = resolve(address, link) if isinstance(link, str) else ""
    return Document(text.strip() or title, title=title, source=source, metadata=_told(metadata))


_MOST_VALUES: Final = 50
_LONGEST_LINE: Final = 1000


def _plain(content: Any) -> str:
    """The text of a piece of a feed, without the markup that its type allows."""
    value = content.get("value", "") if isinstance(content, dict) else content or ""
    kind = content.get("type", "") if isinstance(content, dict) else ""
    return str(value).strip() if kind == "text/plain" and "<" not in value else page_text(str(value)).text


def _line(content: Any) -> str:
    """The same on one line."""
    return " ".join(_plain(content).split())[:_LONGEST_LINE] if isinstance(content, str | dict) else ""


def _several(values: Iterable[Any]) -> list[str]:
    """Those that are texts with something in them, each once."""
    lines = (" ".join(value.split())[:_LONGEST_LINE] for value in values if isinstance(value, str))
    return list(dict.fromkeys(line for line in lines if line))[:_MOST_VALUES]


def _moment(parsed: struct_time | None) -> str:
    """A time in UTC as ISO 8601; empty if there is none, or no such time."""
    if parsed is None:
        return ""
    try:
        return datetime(*parsed[:6]).isoformat() + "Z"
    except ValueError:
        return ""


def _told(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value}
