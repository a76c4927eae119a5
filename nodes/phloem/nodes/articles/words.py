"""What the names that page authors give to boxes say about them, and which tags do what.

The method and most of these words are those of Mozilla's Readability (github.com/mozilla/readability,
Apache-2.0), which collected them from many thousands of pages; see `article.py`.
"""

from __future__ import annotations

import re
from typing import Final

from phloem.nodes.articles.tree import Element

__all__ = [
    "HEADINGS",
    "PHRASING",
    "is_byline",
    "is_hidden",
    "is_phrasing",
    "is_sharing",
    "is_unlikely",
    "name_weight",
]

HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})

PHRASING: Final = frozenset({
    "abbr", "audio", "b", "bdo", "br", "button", "cite", "code", "data", "datalist", "dfn", "em", "embed", "font", "i",
    "img", "input", "kbd", "label", "mark", "math", "meter", "object", "output", "progress", "q", "ruby", "samp",
    "select", "small", "span", "strong", "sub", "sup", "textarea", "time", "var", "wbr",
})  # fmt: skip
"""Tags that live inside a paragraph whatever they hold; links, <ins> and <del> do if all they hold does."""

_TRANSPARENT: Final = frozenset({"a", "del", "ins"})


def _any_of(words: str) -> re.Pattern[str]:
    return re.compile("|".join(words.split()), re.IGNORECASE)


_UNLIKELY: Final = _any_of(
    "-ad- ad-break agegate ai2html banner breadcrumbs combx comment community cover-wrap disqus extra footer gdpr "
    "header legends menu pager pagination popup related remark replies rss shoutbox sidebar skyscraper social sponsor "
    "supplemental"
)
_MAYBE_AFTER_ALL: Final = _any_of("and article body column content main mathjax shadow")
_UNLIKELY_ROLES: Final = frozenset({"alert", "alertdialog", "complementary", "dialog", "menu", "menubar", "navigation"})
_GOOD: Final = _any_of("article blog body content entry main page pagination post story text")
_BAD: Final = _any_of(
    r"-ad- \bhid\b hidden banner combx com- comment contact footer gdpr masthead media meta outbrain promo related "
    "scroll share shopping shoutbox sidebar skyscraper sponsor tags widget"
)
_BYLINE: Final = _any_of("byline author dateline writtenby")
_SHARING: Final = re.compile(r"(?:\b|_)share(?:daddy)?(?:\b|_)", re.IGNORECASE)

_UNSEEN_STYLE: Final = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)


def is_unlikely(element: Element) -> bool:
    """True if the name or role of a box says that it is not a part of the article."""
    if element.get("role") in _UNLIKELY_ROLES:
        return True
    names = element.names
    if element.tag in ("body", "a") or len(names) == 1 or not _UNLIKELY.search(names) or _MAYBE_AFTER_ALL.search(names):
        return False
    return not any(above.tag in ("table", "code") for above in element.ancestors(4))


def name_weight(element: Element) -> int:
    """Points for what a box is called: 25 for a good class or id, -25 for a bad one; they add up."""
    weight = 0
    for name in (element.get("class"), element.get("id")):
        if name:
            weight += 25 * bool(_GOOD.search(name)) - 25 * bool(_BAD.search(name))
    return weight


def is_byline(element: Element) -> bool:
    """True if a box is marked as naming the author."""
    return (
        element.get("rel") == "author"
        or "author" in element.get("itemprop")
        or _BYLINE.search(element.names) is not None
    )


def is_sharing(element: Element) -> bool:
    """True if a box is called after sharing on other sites."""
    return _SHARING.search(element.names) is not None


def is_hidden(element: Element) -> bool:
    """True if nobody sees the element, or only as a window in front of the page."""
    given = element.attributes
    if not given:
        return False
    if "hidden" in given or (given.get("aria-modal") == "true" and given.get("role") == "dialog"):
        return True
    if given.get("aria-hidden") == "true" and "fallback-image" not in given.get("class", ""):
        return True
    return "style" in given and _UNSEEN_STYLE.search(given["style"]) is not None


def is_phrasing(node: Element | str) -> bool:
    """True for what stands in a paragraph: texts, and elements that break no line."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) or one.tag in PHRASING:
            continue
        if one.tag not in _TRANSPARENT:
            return False
        waiting.extend(one.children)
    return True
