"""One run of a schedule: a process of its own, `phloem run`, whose output goes to a log.

The process outlives whoever began it, and holds the schedule's lock as long as it goes on, so a schedule does not
overlap itself even when what looks after it was killed and began anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.triggers.history import Ending, History, Last, ending_in
from phloem.runtime.triggers.locks import Lock
from phloem.runtime.triggers.schedules import Schedule

__all__ = ["Launch", "command"]

PATIENCE: Final = 5.0
"""Seconds that a run which is cancelled has for ending itself."""


def command(words: Sequence[str]) -> list[str]:
    """The command line of a run; nothing is imported from the folder in which it is begun."""
    return [sys.executable, "-P", "-m", "phloem.runtime.cli", "run", *words, "--json", "--progress", "lines"]


class Launch:
    """A run of a schedule that was begun. `log` is where its output goes, and `last` what is known of it."""

    def __init__(self, history: History, last: Last, process: asyncio.subprocess.Process, lock: Lock) -> None:
        self.log = history.logs / last.log
        self.last = last
        self.process = process
        self._history = history
        self._lock = lock

    @classmethod
    async def begin(
        cls, home: Home, schedule: Schedule, *, due: datetime | None = None, missed: int = 0
    ) -> Launch | None:
        """Begin one; None if the schedule runs already and may not overlap. ConfigError if it cannot be begun."""
        history = History(home, schedule.name)
        began = datetime.now(UTC)
        try:
            log = history.new_log(began)
            lock = Lock(history.lock)
            if not lock.take(shared=schedule.overlap):
                return None
            try:
                process = await _process(home, schedule, log, lock, due or began)
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            place = f" ({error.filename})" if error.filename else ""
            raise ConfigError(f"{schedule.name} cannot be run: {reason}{place}") from error
        last = Last(
            began=began.isoformat(timespec="seconds"),
            log=log.name,
            due=due.isoformat() if due else None,
            missed=missed,
            pid=process.pid,
        )
        history.begin(last)
        return cls(history, last, process, lock)

    async def ending(self) -> Ending:
        """How it ended, when it has; that is noted in the schedule's history too."""
        code = await self.process.wait()
        ending = ending_in(self.log, code) or Ending("", "crashed")
        self._history.end(self.last, ending, datetime.now(UTC))
        self._lock.release()
        return ending

    async def cancel(self) -> None:
        """Have it stop as after Ctrl-C; the hard way if it does not."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), PATIENCE)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()


async def _process(home: Home, schedule: Schedule, log: Path, lock: Lock, due: datetime) -> asyncio.subprocess.Process:
    folder = schedule.folder or schedule.file.parent
    words = command(schedule.words)
    posix = os.name == "posix"
    with log.open("xb") as output:
        log.chmod(0o600)
        shown = " ".join(schedule.words)
        output.write(f"{schedule.name}, {due.astimezone(schedule.zone).isoformat(' ', 'seconds')}: {shown}\n".encode())
        output.flush()
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, "PHLOEM_HOME": str(home.path)},
            pass_fds=(lock.handle,) if posix else (),
            # Ctrl-C is for whoever looks after the schedules, who decides what becomes of the run.
            start_new_session=posix,
        )
