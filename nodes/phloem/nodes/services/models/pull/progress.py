"""What is told how it goes."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """Told how a fetch goes. What it raises ends the fetch, which can be gone on with."""

    def begin(self, doing: str, done: int, total: int | None) -> None:
        """From here on `doing` (fetching, checking) is done, of `total` bytes, `done` of them already."""
        ...

    def reach(self, done: int) -> None:
        """So many bytes are done."""
        ...

    def say(self, words: str) -> None:
        """Something happened that the user should know: a cut, a new start."""
        ...
