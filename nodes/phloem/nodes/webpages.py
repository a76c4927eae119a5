"""What the web kinds make of a page: its article, or its links."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from phloem.nodes.addresses import Found
from phloem.nodes.checks import one_of
from phloem.runtime.errors import InputError
from phloem.runtime.values import Document

if TYPE_CHECKING:
    from phloem.nodes.articles.links import Link

__all__ = ["Reading", "links_on", "read_found"]


class Reading(NamedTuple):
    """What there is to read on a page."""

    text: str
    title: str
    document: Document


def read_found(found: Found, part: str, links: bool) -> Reading:
    """The article of a page (with `part` "page", all its text), or a plain text as it is.

    InputError for anything else, and for a page without any text.
    """
    from phloem.nodes.articles.article import page_text, read_article

    one_of("part", part, ("article", "page"))
    content = found.content
    if content == "text":
        name = found.source.partition("?")[0].replace("\\", "/")
        return _reading(found, found.text(), PurePosixPath(name).stem, {})
    if content != "page":
        raise _not_a_page(found)
    reader = read_article if part == "article" else page_text
    page = reader(found.text(), base=found.url, links=links)
    if not page.text:
        raise InputError(
            f"there is no text on {found.source or 'the page'}",
            hint="If it is drawn by scripts, it takes a browser to see it.",
        )
    return _reading(found, page.text, page.facts.title, page.facts.metadata)


def links_on(found: Found, same: bool, pattern: str, limit: int) -> list[Link]:
    """The first `limit` links of a page whose address has a match for `pattern`, with `same` only those to its host."""
    from phloem.nodes.articles.links import links_of, same_site
    from phloem.nodes.patterns import compiled
    from phloem.nodes.patterns import found as matches

    if found.content != "page":
        raise _not_a_page(found)
    wanted = compiled(pattern) if pattern else None
    own, every = links_of(found.text(), found.url)
    if same and not own:
        raise InputError(f"{found.source or 'the page'} does not say which site it is from", hint="Give its address.")
    chosen: list[Link] = []
    for link in every:
        fits = wanted is None or next(matches(wanted, link.url), None) is not None
        if fits and (not same or same_site(own, link.url)):
            chosen.append(link)
        if len(chosen) == limit:
            break
    return chosen


def _reading(found: Found, text: str, title: str, metadata: Mapping[str, str]) -> Reading:
    told = {name: value for name, value in metadata.items() if (name, value) != ("url", found.source)}
    return Reading(text, title, Document(text, title=title, source=found.source, metadata=told))


def _not_a_page(found: Found) -> InputError:
    """The error for what is no page, with the kind that reads it."""
    content = found.content
    what = found.media_type or {"pdf": "a PDF", "feed": "a feed"}.get(content, "neither text nor a page")
    hints = {"feed": "web.feed reads feeds.", "json": "web.fetch gives the JSON."}
    if not found.url:
        hints = {"feed": hints["feed"], "other": "files.read reads files of many kinds.", "pdf": "files.read reads it."}
    elif content == "pdf":
        hints["pdf"] = "Fetch it with web.fetch, then take its text with files.extract."
    return InputError(f"{found.source} is {what}, not a page", hint=hints.get(content, "web.fetch gives it as it is."))
