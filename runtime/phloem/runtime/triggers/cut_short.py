"""What became of a run of a schedule when nobody heard how it ended: its process, or who waited for it, was killed.

A run goes on if it was cut short: if its process ended without a word, or whoever looks after schedules stopped it.
One that ended by itself, waits for a person, or was cancelled by somebody does not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from phloem.runtime.home import Home
from phloem.runtime.journal import Journal, Summary
from phloem.runtime.triggers.history import Ending, History, Last, ending_in
from phloem.runtime.triggers.schedule import Schedule

__all__ = ["MOST_RESUMES", "CutShort", "reason_to_leave", "what_became_of"]

MOST_RESUMES: Final = 3
"""How often a run is gone on with by itself: what kills its process each time may be the run."""
_SLACK: Final = 2.0
"""Seconds. Beginnings of processes are noted in whole seconds."""


@dataclass(frozen=True, slots=True)
class CutShort:
    """A run that can go on: its id, empty if nothing of it was recorded, so that nothing of it was done."""

    run: str


def what_became_of(home: Home, schedule: Schedule, last: Last) -> CutShort | Ending | None:
    """That it was cut short, or its ending; None while a process may be at work on it. JournalError if the record of
    runs cannot be read."""
    history = History(home, schedule.name)
    busy = history.is_running
    if busy and not schedule.overlap:
        return None
    told = ending_in(history.logs / last.log) if last.status == "running" else None
    if told is not None:
        return told
    found = _recorded(home, schedule, last)
    if found is None:
        # Of several runs that overlap one that has not got far cannot be told from one that is dead.
        return None if busy else CutShort(last.run)
    if found.here:
        return None
    if found.status in ("done", "failed", "limited"):
        return Ending(found.id, found.status, found.message)
    if found.status == "cancelled" and last.status != "interrupted":
        return Ending(found.id, "cancelled")
    return CutShort(found.id)


def reason_to_leave(schedule: Schedule, last: Last) -> str | None:
    """Why a run that was cut short does not go on by itself; None if it does."""
    if last.due is None:
        return "a person had begun it"
    if schedule.missed == "skip":
        return "what is late is left out"
    if last.resumes >= MOST_RESUMES:
        return f"it was cut short {last.resumes + 1} times"
    return None


def _recorded(home: Home, schedule: Schedule, last: Last) -> Summary | None:
    """The run in the record of runs: by its id, or else by its file and seed, as it was begun with them."""
    journal = Journal(home.journal)
    if last.run:
        return next((one for one in journal.runs() if one.id == last.run), None)
    since = datetime.fromisoformat(last.began).timestamp() - _SLACK
    file, found = os.path.abspath(schedule.file), None  # noqa: PTH100, as the record has it
    for one in journal.runs():
        if one.began < since:
            break
        if one.file == file and journal.run(one.id).record.options.get("seed") == last.seed:
            found = one
    return found
