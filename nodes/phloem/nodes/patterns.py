"""Regular expressions that cannot hang or fill the memory.

The `regex` library understands what Python's `re` does and more, and can be told a time after which it
gives up. What it does before that clock starts, or without looking at it, is bounded here: counted
repetitions, which it writes out in full; long runs of literal text, for which it builds a table in
cubic time; and patterns that call themselves. Measured with regex 2026.11.15.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from phloem.runtime.errors import SettingError

if TYPE_CHECKING:
    import regex

__all__ = ["compiled", "found"]

LONGEST: Final = 10_000
LONGEST_LITERAL: Final = 1_000
MOST_REPEATED: Final = 10_000
SECONDS: Final = 1.0
SECONDS_PER_CHARACTER: Final = 1e-6

_LITERAL: Final = rf"(?s)(?:[^|()\[\]{{}}?*+.^$\\]|\\.){{{LONGEST_LITERAL + 1}}}"
_CALLS_ITSELF: Final = r"\(\?(?:R|&|P>|[+-]?\d)"
_TOKEN: Final = (
    r"(?s)\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|(?P<open>\((?:\?(?:P?<\w+>|<?[=!]|[^:)(<]*:|>|\|))?)|(?P<close>\))"
    r"|(?P<or>\|)|\{(?P<least>\d+)(?:,\d*)?\}[?+]?|[*+?][?+]?|."
)


@lru_cache(maxsize=256)
def compiled(pattern: str, *, plain: bool = False, ignore_case: bool = False) -> regex.Pattern[str]:
    """The pattern ready for use; `plain` takes it as it is written. SettingError says what is wrong, and where."""
    import regex

    if len(pattern) > LONGEST:
        raise SettingError(f"the pattern is longer than {LONGEST:,} characters")
    source = regex.escape(pattern, special_only=True, literal_spaces=True) if plain else pattern
    if re.search(_LITERAL, source):
        raise SettingError(f"the pattern has a piece of plain text longer than {LONGEST_LITERAL:,} characters")
    if not plain:
        _check(source)
    try:
        return regex.compile(source, regex.IGNORECASE if ignore_case else 0)
    except regex.error as error:
        position = getattr(error, "pos", None)
        place = "" if position is None else f" at character {position + 1}"
        raise SettingError(
            f"the pattern {_short(pattern)} is not a regular expression: {getattr(error, 'msg', error)}{place}",
            hint="Put a backslash before a character that is meant as it is, or set plain to true.",
        ) from None
    except (RecursionError, MemoryError, OverflowError):
        raise SettingError("the pattern is nested too deeply or repeats too much") from None


def found(pattern: regex.Pattern[str], text: str) -> Iterator[regex.Match[str]]:
    """Every match in `text`, one after the other; SettingError when the search takes too long."""
    limit = SECONDS + len(text) * SECONDS_PER_CHARACTER
    try:
        yield from pattern.finditer(text, timeout=limit)
    except (TimeoutError, MemoryError):
        raise SettingError(
            f"the pattern {_short(pattern.pattern)} takes too long on a text of {len(text):,} characters",
            hint="Repetition inside repetition, such as (a+)+, is the usual cause: let only one of them repeat.",
        ) from None


def _check(pattern: str) -> None:
    """Refuse what would take memory or time before the clock starts."""
    if re.search(_CALLS_ITSELF, pattern):
        raise SettingError(f"the pattern {_short(pattern)} calls itself, which is not available")
    counts = re.findall(r"\{(\d+)[,}]", pattern)
    endless = any(len(count) > 9 for count in counts)
    if endless or (math.prod(map(int, counts)) > MOST_REPEATED and _length(pattern) > MOST_REPEATED):
        raise SettingError(f"the pattern {_short(pattern)} repeats something more than {MOST_REPEATED:,} times over")


def _length(pattern: str) -> int:
    """The number of characters, classes and so on that the pattern has when its least repetitions are written out."""
    totals, group = [0], 1
    for token in re.finditer(_TOKEN, pattern):
        if token["open"]:
            totals.append(0)
            group = 0
        elif token["close"]:
            group = max(totals.pop(), 1) if len(totals) > 1 else 1
            totals[-1] += group
        elif token["least"]:
            extra = group * (max(int(token["least"]), 1) - 1)
            totals[-1] += extra
            group += extra
        elif not token["or"] and token[0][0] not in "*+?":
            group = 1
            totals[-1] += 1
    return sum(totals)


def _short(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else pattern[:77] + "…")
