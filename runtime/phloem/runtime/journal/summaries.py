"""Rows of runs as Summaries, and who is at work on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from phloem.runtime.journal.locks import is_held
from phloem.runtime.journal.record import RunStatus, Summary

__all__ = ["OWNERS", "SUMMARY", "Owners", "summary_of"]

OWNERS: Final = "owners"
"""The folder with a locked file for each process that runs something."""

SUMMARY: Final = "number, id, title, file, status, began, ended, seconds, tokens_in, tokens_out, money, message, owner"
"""The columns that `summary_of` reads."""


class Owners:
    """The processes that hold runs; each is looked at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / OWNERS
        self._alive: dict[str, bool] = {}

    def alive(self, owner: str) -> bool:
        found = self._alive.get(owner)
        if found is None:
            found = self._alive[owner] = bool(owner) and is_held(self._folder / owner)
        return found


def summary_of(row: tuple[Any, ...], owners: Owners) -> Summary:
    """The run in a row of SUMMARY. One that should be running and is held by nobody was interrupted."""
    _, id, title, file, status, began, ended, seconds, read, written, money, message, owner = row
    here = status in ("running", "waiting") and owners.alive(owner)
    known: RunStatus = "interrupted" if status == "running" and not here else status
    return Summary(id, title, file, known, began, ended, seconds, read, written, money, message, here)
