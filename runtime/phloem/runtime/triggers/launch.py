"""One run of a schedule: a process of its own, `phloem run`, whose output goes to a log.

The process outlives whoever began it, and holds the schedule's lock as long as it goes on, so a schedule does not
overlap itself even when what looks after it was killed and began anew. The run is given a seed of its own, by which
the record of runs knows it when its process has died before it could say which run it was.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.triggers.history import Ending, History, Last, ending_in
from phloem.runtime.triggers.locks import Lock
from phloem.runtime.triggers.schedule import Schedule

__all__ = ["Launch"]

PATIENCE: Final = 5.0
"""Seconds that a run which is cancelled has for ending itself."""
SETTLED: Final = frozenset({"--to", "--model", "--seed", "--record", "--replay", "--ask-new", "--pace"})
"""Options of `phloem run` that a run which goes on was begun with, and cannot be given again."""


class Launch:
    """A run of a schedule that was begun. `log` is where its output goes, and `last` what is known of it.

    While it `may_be_put_off`, being cancelled means that it is to go on when somebody looks after schedules again.
    """

    def __init__(self, history: History, last: Last, process: asyncio.subprocess.Process, lock: Lock) -> None:
        self.log = history.logs / last.log
        self.last = last
        self.process = process
        self._history = history
        self._lock = lock
        self.may_be_put_off = False

    @classmethod
    async def begin(
        cls,
        home: Home,
        schedule: Schedule,
        *,
        due: datetime | None = None,
        missed: int = 0,
        instead_of: Last | None = None,
    ) -> Launch | None:
        """Begin one; None if the schedule runs already and may not overlap. ConfigError if it cannot be begun.

        With `due` everything that was due up to then counts as dealt with from the moment at which it begins, and
        not before. `instead_of` is a run that was cut short: it goes on, or begins again if it has no id.
        """
        history = History(home, schedule.name)
        began = datetime.now(UTC)
        lock = Lock(history.lock)
        try:
            log = history.new_log(began)
            if not lock.take(shared=schedule.overlap):
                return None
        except OSError as error:
            raise _cannot(schedule, error) from error
        words, seed = _words(schedule, instead_of)
        last = Last(
            began=began.isoformat(timespec="seconds"),
            log=log.name,
            due=due.isoformat() if due else None,
            missed=missed,
            seed=seed,
        )
        if instead_of is not None:
            last = _again(last, instead_of)
        # Written before the process is there: whatever is killed now, the run is not forgotten, and none begins twice.
        history.begin(last, when=None if instead_of else schedule.when, instead_of=instead_of)
        try:
            process = await _process(home, schedule, words, log, lock, due or began)
        except (OSError, ValueError) as error:
            # The latter for a character that no command line can have.
            failure = _cannot(schedule, error)
            history.end(last, Ending(last.run, "refused", failure.message), datetime.now(UTC))
            lock.release()
            raise failure from error
        except BaseException:
            lock.release()
            raise
        last = replace(last, pid=process.pid)
        history.begin(last)
        return cls(history, last, process, lock)

    async def ending(self) -> Ending:
        """How it ended, when it has; that is noted in the schedule's history too.

        One that was due and was cut short, put off or because something killed its process, is noted as one that is to
        go on.
        """
        code = await self.process.wait()
        ending = ending_in(self.log, code) or Ending("", "crashed")
        if self.may_be_put_off and ending.status in ("cancelled", "crashed"):
            ending = replace(ending, status="interrupted", error="schedules were no longer looked after")
        cut_short = ending.status == "interrupted" or (ending.status == "crashed" and code < 0)
        self._history.end(self.last, ending, datetime.now(UTC), goes_on=cut_short and self.last.due is not None)
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


def _again(last: Last, instead_of: Last) -> Last:
    """A run that takes the place of one that was cut short. Being put off on purpose does not count as that."""
    resumes = instead_of.resumes + (instead_of.status != "interrupted")
    return replace(last, run=instead_of.run, due=instead_of.due, missed=instead_of.missed, resumes=resumes)


def _cannot(schedule: Schedule, error: OSError | ValueError) -> ConfigError:
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    filename = getattr(error, "filename", None)
    place = f" ({filename})" if filename else ""
    return ConfigError(f"{schedule.name} cannot be run: {reason}{place}")


def _words(schedule: Schedule, instead_of: Last | None) -> tuple[list[str], int | None]:
    """What stands after `phloem run`, and the seed by which the run will be known."""
    if instead_of is not None and instead_of.run:
        return ["--resume", instead_of.run, *schedule.grants, *_going_on(schedule.options)], instead_of.seed
    if any(word.partition("=")[0] in ("--seed", "--replay") for word in schedule.options):
        # What is replayed has the seed that it was recorded with.
        return schedule.words, _seed_in(schedule.options)
    # As many as there are where nobody gives one.
    seed = secrets.randbits(31)
    return [*schedule.words, "--seed", str(seed)], seed


def _seed_in(options: Sequence[str]) -> int | None:
    """The seed that is among the options."""
    words = [part for word in options for part in word.partition("=")[::2] if part]
    given = words[words.index("--seed") + 1 :] if "--seed" in words else []
    return int(given[0]) if given and given[0].isdecimal() else None


def _going_on(options: Sequence[str]) -> list[str]:
    """Those options that say how a run goes on, and not what it was begun with."""
    kept: list[str] = []
    settled = False
    for word in options:
        if word.startswith("--"):
            settled = word.partition("=")[0] in SETTLED
        if not settled:
            kept.append(word)
    return kept


async def _process(
    home: Home, schedule: Schedule, words: Sequence[str], log: Path, lock: Lock, due: datetime
) -> asyncio.subprocess.Process:
    # Nothing is imported from the folder in which it is begun.
    program = [sys.executable, "-P", "-m", "phloem.runtime.cli", "run", *words, "--json", "--progress", "lines"]
    posix = os.name == "posix"
    with log.open("xb") as output:
        log.chmod(0o600)
        # In one line, whatever is in the inputs: nothing but a result may look like one.
        shown = shlex.join(words).replace("\n", "\\n")
        when = due.astimezone(schedule.zone).isoformat(" ", "seconds")
        output.write(f"{schedule.name}, {when}: {shown}\n".encode("utf-8", "replace"))
        output.flush()
        return await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=schedule.folder or schedule.file.parent,
            env={**os.environ, "PHLOEM_HOME": str(home.path)},
            pass_fds=(lock.handle,) if posix else (),
            # Ctrl-C is for whoever looks after the schedules, who decides what becomes of the run.
            start_new_session=posix,
        )
