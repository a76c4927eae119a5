"""What a page says about itself: title, author, date, site, language, description.

Said in JSON-LD (schema.org), in <meta> elements (Open Graph, Dublin Core, Twitter, plain), and in the <title>.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Final

from phloem.nodes.articles.parse import Page

__all__ = ["Facts", "facts_of"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about an article; empty where nothing is. `published` is as the page writes it."""

    title: str = ""
    author: str = ""
    published: str = ""
    site: str = ""
    language: str = ""
    description: str = ""
    url: str = ""

    def with_author(self, byline: str) -> Facts:
        """The same, with the author that the text named if nothing else did."""
        return self if self.author else replace(self, author=byline)

    @property
    def metadata(self) -> dict[str, str]:
        """Everything known but the title, by name."""
        return {name: value for name, value in asdict(self).items() if value and name != "title"}


def facts_of(page: Page) -> Facts:
    """What `page` says about itself, the most reliable source first."""
    meta = _meta(page)
    data = _linked_article(page.linked_data)
    author = _names(data.get("author")) or _first(meta, _AUTHOR)
    title = _linked_title(data, page) or _first(meta, _TITLE) or _plain_title(page)
    return Facts(
        title=title,
        author=author or _article_author(meta),
        published=_text(data.get("datePublished")) or _first(meta, _PUBLISHED) or _published_in(page),
        site=_text(_inside(data.get("publisher"), "name")) or _first(meta, _SITE),
        language=_line(page.root.get("lang") or page.body.get("lang") or _first(meta, ("content-language",))),
        description=_text(data.get("description")) or _first(meta, _DESCRIPTION),
        url=_canonical(page) or _first(meta, ("og:url",)),
    )


_TITLE: Final = ("dc:title", "dcterm:title", "dcterms:title", "og:title", "title", "twitter:title", "parsely-title")
_AUTHOR: Final = ("dc:creator", "dcterm:creator", "dcterms:creator", "author", "parsely-author")
_DESCRIPTION: Final = (
    "dc:description", "dcterm:description", "dcterms:description", "og:description", "description",
    "twitter:description",
)  # fmt: skip
_PUBLISHED: Final = ("article:published_time", "parsely-pub-date", "datepublished", "dc:date", "dcterms:date", "date")
_SITE: Final = ("og:site_name", "application-name")
_LONGEST: Final = 2000
_MOST_HEADINGS: Final = 50


def _meta(page: Page) -> dict[str, str]:
    """The contents of the <meta> elements by name, in lower case, `dc.title` written `dc:title`."""
    found: dict[str, str] = {}
    for element in page.root.below({"meta"}):
        content = _line(element.get("content"))
        if content:
            named = (element.get("property").split(), [element.get("name")], [element.get("itemprop")])
            for name in (*named[0], *named[1], *named[2], element.get("http-equiv")):
                if name:
                    found.setdefault(re.sub(r"\s", "", name).lower().replace(".", ":"), content)
    return found


def _first(meta: dict[str, str], names: tuple[str, ...]) -> str:
    return next((meta[name] for name in names if name in meta), "")


def _line(text: str) -> str:
    return " ".join(text[:_LONGEST].split())


def _article_author(meta: dict[str, str]) -> str:
    """The author in the way of Open Graph, unless it is only the address of a profile."""
    author = meta.get("article:author", "")
    return "" if "://" in author else author


def _published_in(page: Page) -> str:
    for element in page.body.below({"time"}):
        if element.get("datetime") and ("pubdate" in element.attributes or element.get("itemprop") == "datePublished"):
            return _line(element.get("datetime"))
    return ""


def _canonical(page: Page) -> str:
    for link in page.root.below({"link"}):
        if "canonical" in link.get("rel").lower().split():
            href = link.get("href").strip()
            return href if href.startswith(("http://", "https://")) else ""
    return ""


_ARTICLE_TYPES: Final = re.compile(
    r"(?:\w*Article|Report|SocialMediaPosting|BlogPosting|LiveBlogPosting|DiscussionForumPosting|TechArticle|APIReference)"
)
_SCHEMA: Final = re.compile(r"^https?://schema\.org/?$", re.IGNORECASE)


def _linked_article(scripts: list[str]) -> dict[str, Any]:
    """The first article that the page's JSON-LD describes; empty without one."""
    for script in scripts:
        try:
            data = json.loads(re.sub(r"^\s*<!\[CDATA\[|\]\]>\s*$", "", script))
        except (ValueError, RecursionError):
            continue
        for item in _items(data):
            if isinstance(item.get("@type"), str) and _ARTICLE_TYPES.fullmatch(item["@type"]):
                return item
    return {}


def _items(data: Any) -> Iterator[dict[str, Any]]:
    """The descriptions in a JSON-LD document that are in the words of schema.org."""
    for item in data if isinstance(data, list) else [data]:
        if not isinstance(item, dict):
            continue
        context = item.get("@context")
        vocabulary = context.get("@vocab") if isinstance(context, dict) else context
        if isinstance(vocabulary, str) and not _SCHEMA.match(vocabulary):
            continue
        yield item
        graph = item.get("@graph")
        yield from (one for one in graph if isinstance(one, dict)) if isinstance(graph, list) else ()


def _linked_title(data: dict[str, Any], page: Page) -> str:
    """The name or headline of the article, whichever is more like the page's title."""
    name, headline = _text(data.get("name")), _text(data.get("headline"))
    if name and headline and name != headline:
        title = _plain_title(page).lower()
        if _shared(title, headline) > 0.75 >= _shared(title, name):
            return headline
    return name or headline


def _shared(one: str, other: str) -> float:
    """How many of the words of `other` are in `one`, from 0 to 1."""
    words = re.findall(r"\w+", other.lower())
    known = set(re.findall(r"\w+", one.lower()))
    return sum(word in known for word in words) / len(words) if words else 0.0


def _names(author: Any) -> str:
    """The names in a JSON-LD author: an object or a list of them."""
    people = author if isinstance(author, list) else [author]
    return ", ".join(name for name in (_text(_inside(one, "name")) for one in people[:20]) if name)


def _inside(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: Any) -> str:
    return _line(value) if isinstance(value, str) else ""


_SEPARATOR: Final = re.compile(r"\s[|\-–—\\/>»]\s")
_PATH_SEPARATOR: Final = re.compile(r"\s[\\/>»]\s")


def _plain_title(page: Page) -> str:
    """The <title> without the site's name, where that can be told apart."""
    titles = (one.line() for one in page.root.below({"title"}))
    whole = next((title for title in titles if title), "")[:_LONGEST]
    title = whole
    cuts = list(_SEPARATOR.finditer(whole))
    if cuts:
        title = whole[: cuts[-1].start()]
        if len(title.split()) < 3:
            title = re.sub(r"^[^|\-–—\\/>»]*[|\-–—\\/>»]", "", whole)
    elif ": " in whole:
        title = _after_colon(whole, page)
    elif not 15 <= len(whole) <= 150:
        headings = _headings(page, {"h1"})
        title = headings[0] if len(headings) == 1 else whole
    title = title.strip()
    words = len(title.split())
    if words <= 4 and (not _PATH_SEPARATOR.search(whole) or words != len(_SEPARATOR.sub(" ", whole).split()) - 1):
        return whole
    return title


def _after_colon(title: str, page: Page) -> str:
    """What follows the site's name and a colon, unless the page has the title as a heading just so."""
    if title in _headings(page, {"h1", "h2"}):
        return title
    after = title.rpartition(":")[2]
    if len(after.split()) < 3:
        return title.partition(":")[2]
    return title if len(title.partition(":")[0].split()) > 5 else after


def _headings(page: Page, tags: set[str]) -> list[str]:
    return [heading.line() for heading in islice(page.body.below(tags), _MOST_HEADINGS)]
