"""The characters behind `\\d`, `\\w`, `\\s`, their opposites and the dot, for writing and for matching.

What a class may mean differs between Python's re, the package regex and other languages. So a class
writes a part of what all of them take it to mean, and its opposite nothing of what any of them does.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Callable
from typing import Final

from phloem.nodes.services.models.forms.tree import Chars

__all__ = ["ANY", "ANY_LINE", "VISIBLE", "means", "writes"]

DIGITS: Final = Chars.of([(0x30, 0x39)])
LETTERS: Final = DIGITS | Chars.of(
    [(0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F)]
)
"""What `\\d` and `\\w` write: ASCII digits, and with them the letters of Latin scripts and the underscore."""
SPACES: Final = Chars.of([(0x20, 0x20), (0x09, 0x0A)])
ANY: Final = Chars.of([(0x09, 0x09), (0x20, 0x7E), (0xA0, 0x2027), (0x202A, 0x10FFFF)])
"""What `.` writes: no line ends, no control characters but the tab."""
ANY_LINE: Final = ~Chars.of([(0x0A, 0x0A)])
"""What `.` may mean."""
VISIBLE: Final = ANY | Chars.of([(0x0A, 0x0A)])
"""What the opposite of a class or a set writes, as far as it may: the same, and the end of a line."""


def writes(name: str) -> Chars:
    """The characters that a class escape writes."""
    known = {"d": DIGITS, "w": LETTERS, "s": SPACES}
    return known.get(name) or ~means(name.lower()) & VISIBLE


def means(name: str) -> Chars:
    """The characters that a class escape may mean."""
    return _meant(name) if name.islower() else ~_meant(name.lower())


_WORD_CATEGORIES: Final = frozenset({"Mn", "Mc", "Me", "Pc", "Nl", "No", "So", "Cf"})
"""What counts as a part of a word beside letters and digits, to one of the two at least."""


@functools.cache
def _meant(name: str) -> Chars:
    """Every character that the class `d`, `w` or `s` may mean, to Python's re or to the package regex."""
    if name == "s":
        return _all_that(str.isspace, 0x3001)
    if name == "d":
        return _all_that(str.isdecimal)
    return _all_that(lambda character: character.isalnum() or unicodedata.category(character) in _WORD_CATEGORIES)


def _all_that(holds: Callable[[str], bool], end: int = sys.maxunicode + 1) -> Chars:
    return Chars.of((code, code) for code in range(end) if holds(chr(code)))
