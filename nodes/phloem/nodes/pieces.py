"""A text cut into pieces of so many units, each a slice of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from phloem.nodes import units
from phloem.nodes.shown import LARGEST_TEXT
from phloem.runtime.errors import SettingError

__all__ = ["MOST_PIECES", "check_count", "pieces", "pieces_of_characters"]

MOST_PIECES: Final = 1_000_000


def pieces(text: str, spans: Sequence[units.Span], size: int, overlap: int, longest: int) -> list[str]:
    """Pieces of `size` spans, each beginning with the last `overlap` of the one before.

    With `longest`, fewer where they would have more characters than that, and spans that are longer by
    themselves are cut. SettingError when that makes more than MOST_PIECES.
    """
    if longest:
        spans = list(islice(units.cut(text, spans, longest), MOST_PIECES * 10))
    found, length = [], 0
    for begin, end in _groups(spans, size, overlap, longest):
        found.append(text[begin:end])
        length += end - begin
        check_count(len(found))
        if length > 10 * LARGEST_TEXT:
            raise SettingError(
                f"the pieces would have more than {10 * LARGEST_TEXT:,} characters", hint="Let them overlap less."
            )
    return found


def pieces_of_characters(text: str, size: int, overlap: int) -> list[str]:
    """Pieces of `size` characters, white space and all."""
    last = max(len(text) - overlap, min(1, len(text)))
    check_count(last // (size - overlap))
    return [text[begin : begin + size] for begin in range(0, last, size - overlap)]


def check_count(count: int) -> None:
    """SettingError for more than MOST_PIECES."""
    if count > MOST_PIECES:
        raise SettingError(f"that would make more than {MOST_PIECES:,} pieces", hint="Choose a larger size.")


def _groups(spans: Sequence[units.Span], size: int, overlap: int, longest: int) -> Iterator[units.Span]:
    first = 0
    while first < len(spans):
        begin, stop = spans[first][0], min(first + size, len(spans))
        while longest and stop > first + 1 and spans[stop - 1][1] - begin > longest:
            stop -= 1
        yield begin, spans[stop - 1][1]
        if stop == len(spans):
            return
        first = max(first + 1, stop - overlap)
