"""What one rendering of a template may still do: so much processor time, so many characters to make."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from phloem.nodes.shown import LARGEST_TEXT, weigh

__all__ = ["MADE", "TooMuch", "Work", "collected", "current"]

SECONDS: Final = 1.0
MADE: Final = 5 * LARGEST_TEXT


class TooMuch(Exception):
    """The template went over a limit; the message is a sentence that says which."""


class Work:
    """What one rendering may still do: `SECONDS` of processor time, and `MADE` characters or items to make."""

    __slots__ = ("_ends", "_left", "_looks")

    def __init__(self) -> None:
        self._left = MADE
        self._looks = 0
        self._ends = time.thread_time() + SECONDS

    def spend(self, amount: int) -> None:
        """Count `amount` characters or items; TooMuch when the budget, or now and then the time, is up."""
        self._left -= amount
        self._looks += 1
        if self._left < 0:
            raise TooMuch(f"the template makes more than {MADE:,} characters on its way")
        if not self._looks & 63 and time.thread_time() > self._ends:
            raise TooMuch(f"the template works for more than {SECONDS:g} second")

    def weighed(self, value: Any) -> Any:
        """`value`, once it is paid for: characters at their number, what stands in lists at ten times that."""
        if isinstance(value, str):
            self.spend(len(value))
        elif isinstance(value, list | tuple | dict):
            self.spend(10 * weigh(value, self._left // 10))
        return value


current: ContextVar[Work] = ContextVar("current")
"""The budget of the rendering that this thread is in."""


def collected(pieces: Iterable[str], work: Work) -> str:
    """The pieces as one text; TooMuch when it is longer than LARGEST_TEXT."""
    parts, length = [], 0
    for piece in pieces:
        work.spend(0)
        length += len(piece)
        if length > LARGEST_TEXT:
            raise TooMuch(f"the template writes more than {LARGEST_TEXT:,} characters")
        parts.append(piece)
    return "".join(parts)
