"""What became of a schedule: up to when it was looked after, how its last run went, and the logs of its runs.

It lies beside the schedule's file in a folder of its name: `last.json`, `running.lock`, which every run holds as long
as it goes on, `last.lock`, which is held while `last.json` is changed, and the folder `logs`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from phloem.runtime.disk import replace_file
from phloem.runtime.home import Home
from phloem.runtime.triggers.locks import Lock
from phloem.runtime.triggers.schedules import private_folder

__all__ = ["Ending", "History", "Last", "ending_in"]

MOST_LOGS: Final = 50
MOST_BYTES: Final = 50_000_000
"""Of all logs of a schedule together."""
LONGEST: Final = 10_000_000
"""Bytes of one log: of a longer one the middle is left out."""
_KEPT: Final = 1_000_000
MOST_UNFINISHED: Final = 100

_RESULT: Final = re.compile(rb'^\{"run": "([^"\n]{1,100})", "status": "(\w{1,20})"', re.MULTILINE)
_ERROR: Final = re.compile(r"^error: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: its id, empty if that is not known; `status` as of a run, or `refused` for one that could not
    begin, `crashed` and `interrupted`; and what went wrong."""

    run: str
    status: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Last:
    """A run of the schedule, the last one if nothing else is said: when it was due (None if a person asked for it),
    when it began and ended, its log, the number of its process, its ending, and by which seed the record of runs
    knows it. `resumes` counts how often it was cut short before and begun again."""

    began: str
    log: str
    due: str | None = None
    missed: int = 0
    pid: int = 0
    ended: str | None = None
    run: str = ""
    status: str = "running"
    error: str = ""
    seed: int | None = None
    resumes: int = 0

    @classmethod
    def read(cls, data: object) -> Last | None:
        """What was kept of a run; None if it is damaged."""
        try:
            found = cls(**data) if isinstance(data, dict) else None
        except TypeError:
            return None
        if found is None or not _is_name(found.log) or _moment(found.began) is None:
            return None
        times = all(one is None or _moment(one) is not None for one in (found.due, found.ended))
        texts = all(isinstance(one, str) for one in (found.run, found.status, found.error))
        return found if times and texts and isinstance(found.resumes, int) else None

    def ending(self, ending: Ending, ended: datetime | None = None) -> Last:
        """The same run at its end; `ended` is None where nobody knows when that was."""
        when = ended.astimezone(UTC).isoformat(timespec="seconds") if ended else None
        return replace(self, ended=when, run=ending.run or self.run, status=ending.status, error=ending.error)


class History:
    """What became of one schedule. But for `new_log` nothing here raises for a disk that is full or a record that is
    damaged: what cannot be read is as if it had not been."""

    def __init__(self, home: Home, name: str) -> None:
        self.folder = home.schedules / name
        self.logs = self.folder / "logs"
        self.lock = self.folder / "running.lock"
        self._file = self.folder / "last.json"

    def handled(self, when: str) -> datetime | None:
        """The time up to which everything that was due has begun, or was left out on purpose. None for a schedule
        that nobody looked after yet, or that was meant for other times (`when`) then."""
        kept = self._read()
        return _moment(kept.get("handled")) if kept.get("when") == when else None

    @property
    def failures(self) -> int:
        """How many of the last runs in a row did not end well."""
        return _failures(self._read())

    @property
    def last(self) -> Last | None:
        """The last run. One whose process is gone without having told its end is told from its log, as
        `interrupted` if it did not get that far."""
        last = Last.read(self._read().get("last"))
        if last is None or last.status != "running" or self.is_running:
            return last
        return last.ending(
            ending_in(self.logs / last.log) or Ending("", "interrupted", "its process, or the machine, was stopped")
        )

    @property
    def unfinished(self) -> list[Last]:
        """The runs that began and whose end was not told, and those that were cut short and are to go on, the oldest
        first. Some of them may go on just now."""
        return _unfinished(self._read())

    @property
    def is_running(self) -> bool:
        """True while a run of this schedule goes on, whoever began it."""
        return not Lock.is_free(self.lock)

    def handle(self, moment: datetime, when: str) -> None:
        """Everything that was due up to `moment` is dealt with, by a schedule that is meant for `when`."""
        with self._changed() as kept:
            kept.update(_handled(moment, when))

    def new_log(self, began: datetime) -> Path:
        """A path for the log of a run that begins, in a folder that is there. OSError if that cannot be made."""
        private_folder(self.folder.parent)
        private_folder(self.folder)
        private_folder(self.logs)
        stem = began.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = (f"{stem}{f'-{number}' if number else ''}.log" for number in range(1_000))
        return next(self.logs / name for name in names if not (self.logs / name).exists())

    def begin(self, last: Last, *, when: str | None = None, instead_of: Last | None = None) -> None:
        """Note that a run begins, or its process; with `when`, that all which was due up to then is dealt with. It
        may go on `instead_of` one that was cut short."""
        gone = {last.log, instead_of.log if instead_of else ""}
        with self._changed() as kept:
            rest = [one for one in _unfinished(kept) if one.log not in gone]
            kept["last"] = asdict(last)
            kept["unfinished"] = [asdict(one) for one in [*rest, last][-MOST_UNFINISHED:]]
            due = _moment(last.due)
            if when is not None and due is not None:
                kept.update(_handled(due, when))

    def end(self, began: Last, ending: Ending, ended: datetime | None = None, *, goes_on: bool = False) -> None:
        """Note how a run ended, and let go of old logs. One that was cut short and `goes_on` later is not forgotten."""
        if not self.folder.is_dir():
            # The schedule was removed meanwhile.
            return
        over = began.ending(ending, ended)
        with self._changed() as kept:
            last = Last.read(kept.get("last"))
            if last is None or last.log == began.log:
                kept["last"] = asdict(over)
            rest = [one for one in _unfinished(kept) if one.log != began.log]
            kept["unfinished"] = [asdict(one) for one in ([*rest, over] if goes_on else rest)]
            if ending.status == "done":
                kept["failures"] = 0
            elif ending.status != "waiting" and not goes_on:
                kept["failures"] = _failures(kept) + 1
        _shorten(self.logs / began.log)
        self._let_go()

    def newest_logs(self, count: int) -> list[Path]:
        """The last logs, the newest first."""
        try:
            return sorted(self.logs.glob("*.log"), reverse=True)[:count]
        except OSError:
            return []

    def remove(self) -> None:
        """Take away all that was kept."""
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)

    def _let_go(self) -> None:
        """Remove the oldest logs, so that neither their number nor their size grows for ever."""
        size = 0
        for number, log in enumerate(self.newest_logs(100_000)):
            try:
                size += log.stat().st_size
                if number >= MOST_LOGS or (size > MOST_BYTES and number):
                    log.unlink()
            except OSError:
                continue

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        """What is kept, to be changed, and written when the block is left; of two who change it one waits."""
        lock = Lock(self.folder / "last.lock")
        try:
            with suppress(OSError):
                if self.folder.parent.is_dir():
                    private_folder(self.folder)
                    lock.take()
            kept = self._read()
            yield kept
            with suppress(OSError):
                replace_file(self._file, json.dumps({**kept, "version": 1}).encode())
        finally:
            lock.release()


def ending_in(log: Path, code: int | None = None) -> Ending | None:
    """How a run ended by its log, whose last line is its result; `code` is its process's exit code, where that is
    known. None if nothing tells."""
    data = _end_of(log)
    results = list(_RESULT.finditer(data))
    result = results[-1] if results else None
    errors = _ERROR.findall(data[-200_000:].decode("utf-8", "replace"))
    error = errors[0][:500] if errors else ""
    if result is not None:
        run, status = result[1].decode("utf-8", "replace"), result[2].decode()
        if status == "waiting":
            return Ending(run, status, f"`phloem runs show {run}` says for what")
        return Ending(run, status, "" if status == "done" else error)
    if code is None:
        return None
    if code < 0:
        return Ending("", "crashed", f"its process was ended by signal {-code}")
    if code == 130:
        return Ending("", "cancelled", error)
    return Ending("", "refused" if code == 2 else "crashed", error or f"its process ended with code {code}")


def _end_of(log: Path) -> bytes:
    """The end of a log, from the line of the result on if that is a long one."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            wanted = 300_000
            while True:
                file.seek(max(size - wanted, 0))
                data = file.read(wanted)
                if wanted >= size or _RESULT.search(data) or wanted > 100_000_000:
                    return data
                wanted *= 8
    except OSError:
        return b""


def _shorten(log: Path) -> None:
    """Leave out the middle of a log that is too long."""
    try:
        size = log.stat().st_size
        if size <= LONGEST:
            return
        with log.open("rb") as file:
            head = file.read(_KEPT)
            file.seek(size - _KEPT)
            tail = file.read()
        left_out = f"\n… {size - 2 * _KEPT:,} bytes were left out …\n".encode()
        replace_file(log, head + left_out + tail)
    except OSError:
        return


def _handled(moment: datetime, when: str) -> dict[str, str]:
    return {"handled": moment.astimezone(UTC).isoformat(), "when": when}


def _failures(kept: dict[str, Any]) -> int:
    found = kept.get("failures")
    return found if isinstance(found, int) else 0


def _unfinished(kept: dict[str, Any]) -> list[Last]:
    found = kept.get("unfinished")
    runs = [Last.read(one) for one in found] if isinstance(found, list) else []
    return [one for one in runs if one is not None]


def _is_name(text: object) -> bool:
    """True for the name of a file in a folder, which does not lead out of it."""
    return isinstance(text, str) and Path(text).name == text


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
