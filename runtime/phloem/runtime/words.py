"""Words for messages: the nearest right word, and lists as a person says them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

__all__ = ["nearest", "or_list", "printable"]

_LONGEST = 100
_MOST = 5_000


def nearest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str | None:
    """The one of `known` that looks most like `word`, upper and lower case alike; None if none is near.

    `closeness` is the least likeness, up to 1 for the same word (difflib's ratio). It looks at no more
    than 5,000 known words, and at no word longer than 100 characters.
    """
    if not word or len(word) > _LONGEST:
        return None
    folded: dict[str, str] = {}
    for one in known:
        if len(one) <= _LONGEST:
            folded.setdefault(one.casefold(), one)
        if len(folded) >= _MOST:
            break
    found = get_close_matches(word.casefold(), folded, n=1, cutoff=closeness)
    return folded[found[0]] if found else None


MOST_LISTED: Final = 40
"""Words that a message lists: a person reads no more, and a workflow may have a hundred thousand."""


def or_list(words: Sequence[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`; with `last` between the final two. Empty for none. Of very many only the first."""
    if len(words) < 2:
        return "".join(words)
    if len(words) > MOST_LISTED:
        words = [*words[:MOST_LISTED], f"{len(words) - MOST_LISTED} more"]
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def printable(text: str) -> str:
    """`text` as a terminal may be given it: what could move the cursor or change its settings becomes �."""
    return text if text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character
