"""What became of a schedule: up to when it was looked after, how its last run went, and the logs of its runs.

It lies beside the schedule's file in a folder of its name: `last.json`, `running.lock`, which every run holds as long
as it goes on, and the folder `logs`.
"""

from __future__ import annotations

import json
import re
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

_RESULT: Final = re.compile(rb'^\{"run": "([^"\n]{1,100})", "status": "(\w{1,20})"', re.MULTILINE)
_ERROR: Final = re.compile(r"^error: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: its id, empty if it did not begin; `status` as of a run, or `refused` for one that could not
    begin, and `crashed`; and what went wrong."""

    run: str
    status: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Last:
    """The last run: when it was due (None if a person asked for it), when it began and ended, its log, the number of
    its process, and its ending."""

    began: str
    log: str
    due: str | None = None
    missed: int = 0
    pid: int = 0
    ended: str | None = None
    run: str = ""
    status: str = "running"
    error: str = ""

    def ending(self, ending: Ending, ended: datetime | None = None) -> Last:
        """The same run at its end; `ended` is None where nobody knows when that was."""
        when = ended.astimezone(UTC).isoformat(timespec="seconds") if ended else None
        return replace(self, ended=when, run=ending.run, status=ending.status, error=ending.error)


class History:
    """What became of one schedule. Nothing here raises for a disk that is full or a record that is damaged: what
    cannot be read is as if it had not been."""

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
        found = self._read().get("failures")
        return found if isinstance(found, int) else 0

    @property
    def last(self) -> Last | None:
        """The last run. One whose process is gone without having told its end is told from its log, as
        `interrupted` if it did not get that far."""
        last = self._last()
        ending = self._untold(last)
        return last if last is None or ending is None else last.ending(ending)

    @property
    def is_running(self) -> bool:
        """True while a run of this schedule goes on, whoever began it."""
        return not Lock.is_free(self.lock)

    def handle(self, moment: datetime, when: str) -> None:
        """Everything that was due up to `moment` is dealt with, by a schedule that is meant for `when`."""
        self._write({**self._read(), "handled": moment.astimezone(UTC).isoformat(), "when": when})

    def settle(self) -> None:
        """Note the end of a run that nobody waited for."""
        last = self._last()
        ending = self._untold(last)
        if last is not None and ending is not None:
            self.end(last, ending)

    def new_log(self, began: datetime) -> Path:
        """A path for the log of a run that begins, in a folder that is there. OSError if that cannot be made."""
        private_folder(self.folder.parent)
        private_folder(self.folder)
        private_folder(self.logs)
        stem = began.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = (f"{stem}{f'-{number}' if number else ''}.log" for number in range(1_000))
        return next(self.logs / name for name in names if not (self.logs / name).exists())

    def begin(self, last: Last) -> None:
        self._write({**self._read(), "last": asdict(last)})

    def end(self, began: Last, ending: Ending, ended: datetime | None = None) -> None:
        """Note how a run ended, unless another began after it, and let go of old logs."""
        kept, last = self._read(), self._last()
        failures = 0 if ending.status == "done" else self.failures + 1
        if last is None or last.log == began.log:
            kept["last"] = asdict(began.ending(ending, ended))
        self._write({**kept, "failures": failures})
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

    def _last(self) -> Last | None:
        found = self._read().get("last")
        try:
            return Last(**found) if isinstance(found, dict) else None
        except TypeError:
            return None

    def _untold(self, last: Last | None) -> Ending | None:
        """How a run ended whose end was not told; None if it was, or if it goes on."""
        if last is None or last.status != "running" or self.is_running:
            return None
        return ending_in(self.logs / last.log) or Ending("", "interrupted", "its process, or the machine, was stopped")

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

    def _write(self, data: dict[str, Any]) -> None:
        try:
            if self.folder.parent.is_dir():
                private_folder(self.folder)
                replace_file(self._file, json.dumps({"version": 1, **data}).encode())
        except OSError:
            return


def ending_in(log: Path, code: int | None = None) -> Ending | None:
    """How a run ended by its log, whose last line is its result; `code` is its process's exit code, where that is
    known. None if nothing tells."""
    data = _end_of(log)
    results = list(_RESULT.finditer(data))
    result = results[-1] if results else None
    errors = _ERROR.findall(data[-200_000:].decode("utf-8", "replace"))
    error = errors[0][:500] if errors else ""
    if result is not None:
        return Ending(result[1].decode(), result[2].decode(), "" if result[2] == b"done" else error)
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


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
