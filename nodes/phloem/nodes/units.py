"""Where the sentences, words, paragraphs and lines of a text begin and end.

Everything is told as spans, pairs of character positions, so that a piece is always a slice of the
text it came from. A span has no white space at its ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["Span", "cut", "lines", "paragraphs", "parts", "sentences", "words"]

Span = tuple[int, int]

WINDOW: Final = 10_000
"""Characters given to the segmenter at a time: it is linear on prose, but quadratic on some nonsense."""

# Patterns are left as text, which re compiles once on first use: that keeps this cheap to import.
_WORD: Final = r"[぀-ヿ㐀-䶿一-鿿豈-﫿]|[^\s぀-ヿ㐀-䶿一-鿿豈-﫿]+"
_LINE_END: Final = r"\r\n|\n|\r"
_BLANK_LINES: Final = r"(?:\r\n|\n|\r)[^\S\r\n]*(?:\r\n|\n|\r)\s*"
_LONE_SURROGATE: Final = r"[\ud800-\udfff]"


def sentences(text: str, language: str = "en") -> list[Span]:
    """The sentences, by sentencex, which knows the abbreviations and stops of some 300 languages.

    `language` is a code such as `en` or `pt-br`; one that it does not know is read like English.
    """
    import sentencex  # type: ignore[import-untyped]

    language = language if language.isascii() else "en"
    given = re.sub(_LONE_SURROGATE, "\ufffd", text)
    found: list[Span] = []
    start = begin = 0
    while begin < len(given):
        end = min(begin + WINDOW, len(given))
        ends = [begin + piece["end_index"] for piece in sentencex.get_sentence_boundaries(language, given[begin:end])]
        if end < len(given):
            del ends[-1:]  # what lies at the end of the window may go on beyond it
        for stop in ends:
            found.append((start, stop))
            start = stop
        begin = ends[-1] if ends and end < len(given) else end
    return _trimmed(text, [*found, (start, len(text))])


def words(text: str) -> list[Span]:
    """The words: what stands between white space, and each character by itself in Chinese and Japanese."""
    return [match.span() for match in re.finditer(_WORD, text)]


def lines(text: str) -> list[Span]:
    """The lines, empty ones among them, without what ends them; a text that ends in a line end has no line after it."""
    found = list(_between(text, re.finditer(_LINE_END, text)))
    return found[:-1] if found and found[-1][0] == len(text) else found


def paragraphs(text: str) -> list[Span]:
    """What stands between blank lines."""
    return _trimmed(text, _between(text, re.finditer(_BLANK_LINES, text)))


def parts(text: str, separator: str) -> list[Span]:
    """What stands between separators, where there is anything."""
    return _trimmed(text, _between(text, re.finditer(re.escape(separator), text)))


def cut(text: str, spans: Iterable[Span], longest: int) -> Iterator[Span]:
    """The spans, those longer than `longest` characters cut at white space, or anywhere if there is none."""
    for begin, end in spans:
        while end - begin > longest:
            space = _last_space(text, begin, begin + longest + 1)
            stop = space if space > begin else begin + longest
            yield from _trimmed(text, [(begin, stop)])
            begin = stop
            while begin < end and text[begin].isspace():
                begin += 1
        if begin < end:
            yield begin, end


def _last_space(text: str, begin: int, end: int) -> int:
    """The position of the last white space in `text[begin:end]`, -1 if there is none."""
    for position in range(end - 1, begin, -1):
        if text[position].isspace():
            return position
    return -1


def _between(text: str, separators: Iterable[re.Match[str]]) -> Iterator[Span]:
    begin = 0
    for separator in separators:
        yield begin, separator.start()
        begin = separator.end()
    yield begin, len(text)


def _trimmed(text: str, spans: Iterable[Span]) -> list[Span]:
    """The spans without the white space at their ends; those of nothing else are left out."""
    found = []
    for begin, end in spans:
        piece = text[begin:end]
        inner = piece.lstrip()
        begin += len(piece) - len(inner)
        end = begin + len(inner.rstrip())
        if begin < end:
            found.append((begin, end))
    return found
