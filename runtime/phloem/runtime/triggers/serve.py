"""Looking after the schedules of a home: each is run when it is due, until this is told to stop.

The schedules' files are read again whenever one of them changes. Times that passed while nobody looked, because this
did not run or the machine slept, are dealt with as each schedule says.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.errors import ConfigError, PhloemError
from phloem.runtime.home import Home
from phloem.runtime.triggers.history import History
from phloem.runtime.triggers.launch import Launch
from phloem.runtime.triggers.locks import Lock
from phloem.runtime.triggers.schedules import Schedule, Schedules, private_folder

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

__all__ = ["Service", "is_served"]

LOOK_EVERY: Final = 1.0
"""Seconds between looks at the schedules' files, and at the clock, which may have been set or have slept."""
MOST_COUNTED: Final = 1_000
LATE: Final = timedelta(seconds=60)
"""Something that begins later than this was missed."""


def is_served(home: Home) -> bool:
    """True while some process looks after the schedules of this home."""
    return not Lock.is_free(home.schedules / "serve.lock")


class Service:
    """Looks after the schedules of a home. `tell` gets a line for whatever happens; at most `at_once` run together."""

    def __init__(self, home: Home, *, tell: Callable[[str], None] = lambda line: None, at_once: int = 4) -> None:
        self.home = home
        self._schedules = Schedules(home)
        self._tell = tell
        self._places = asyncio.Semaphore(at_once)
        self._known: dict[str, Schedule] = {}
        self._seen: dict[str, tuple[int, ...]] = {}
        self._launches: dict[Launch, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._jobs: AsyncIOScheduler = _scheduler()

    def stop(self) -> None:
        """Begin nothing more, and end when what runs has ended, or has had its time; when said twice, at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self, grace: float = 60.0) -> None:
        """Look after the schedules until `stop`; then what runs has `grace` seconds. ConfigError if another does."""
        lock = self._lock()
        try:
            self._jobs.start()
            while not self._stopping.is_set():
                self._follow()
                self._jobs.wakeup()
                await _either(self._stopping, LOOK_EVERY)
            self._jobs.shutdown(wait=False)
            await self._end(grace)
        finally:
            lock.release()

    def _lock(self) -> Lock:
        path = self.home.schedules / "serve.lock"
        lock = Lock(path)
        try:
            private_folder(self.home.schedules)
            if lock.take():
                os.truncate(lock.handle, 0)
                os.write(lock.handle, str(os.getpid()).encode())
                return lock
            holder = path.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(f"cannot use {path}: {(error.strerror or str(error)).lower()}") from error
        who = f" (process {holder})" if holder.isdigit() else ""
        raise ConfigError(f"the schedules of {self.home.path} are looked after already{who}")

    def _follow(self) -> None:
        """Take in what changed in the files since the last look."""
        found = {name: self._state(name) for name in self._schedules.names()}
        for name in self._seen.keys() - found.keys():
            self._known.pop(name, None)
            self._drop(name)
            self._tell(f"{name}: removed")
        for name, state in found.items():
            if self._seen.get(name) != state:
                self._take(name)
        self._seen = found

    def _state(self, name: str) -> tuple[int, ...]:
        try:
            found = self._schedules.path(name).stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _take(self, name: str) -> None:
        """Read one schedule and have it come when it is due. One that is damaged goes on as it was."""
        try:
            schedule = self._schedules.read(name)
        except PhloemError as error:
            kept = "; it goes on as it was" if name in self._known else "; it will not run"
            self._tell(f"error: {error}{kept}")
            return
        before = self._known.get(name)
        self._known[name] = schedule
        history, now = History(self.home, name), _now()
        history.settle()
        if schedule.paused:
            self._drop(name)
            self._tell(f"{name}: paused")
            return
        if before is not None and before.paused:
            # What was due while it was paused was not missed.
            history.handle(now, schedule.when)
        elif history.handled(schedule.when) is None:
            history.handle(now if before is not None or schedule.since is None else schedule.since, schedule.when)
        due = schedule.after(now)
        if due is None:
            self._drop(name)
            self._tell(f"{name}: never due")
            return
        self._jobs.add_job(
            self._fire, _trigger(schedule), args=[name], id=name, replace_existing=True,
            misfire_grace_time=None, coalesce=True, max_instances=1_000_000,
        )  # fmt: skip
        self._tell(f"{name}: {schedule.when}, next {shown(due, schedule)}")
        self._come(name)

    def _drop(self, name: str) -> None:
        if self._jobs.get_job(name) is not None:
            self._jobs.remove_job(name)

    async def _fire(self, name: str) -> None:
        self._come(name)

    def _come(self, name: str) -> None:
        """Begin a run for what was due since the schedule was last dealt with, if anything was."""
        schedule, now = self._known.get(name), _now()
        if schedule is None or schedule.paused or self._stopping.is_set():
            return
        history = History(self.home, name)
        handled = history.handled(schedule.when) or now
        if handled > now + timedelta(hours=1):
            # The clock was wrong when that was noted.
            history.handle(now, schedule.when)
            return
        due, count = _due(schedule, handled, now)
        if due is None:
            return
        history.handle(due, schedule.when)
        if schedule.missed == "skip" and now - due > LATE:
            self._tell(f"{name}: missed {shown(due, schedule)}, left out")
            return
        task = asyncio.get_running_loop().create_task(self._run(schedule, due, count - 1))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, schedule: Schedule, due: datetime, missed: int) -> None:
        name = schedule.name
        async with self._places:
            if self._stopping.is_set():
                return
            try:
                launch = await Launch.begin(self.home, schedule, due=due, missed=missed)
            except PhloemError as error:
                self._tell(f"error: {name}: {error}")
                return
            if launch is None:
                self._tell(f"{name}: left out {shown(due, schedule)}, for the run before it still goes on")
                return
            more = f", with {missed} more that were missed" if missed else ""
            self._tell(f"{name}: running for {shown(due, schedule)}{more}")
            self._launches[launch] = name
            try:
                ending = await launch.ending()
            finally:
                del self._launches[launch]
        upcoming = schedule.after(_now())
        reason = f": {ending.error}" if ending.error else ""
        following = f"; next {shown(upcoming, schedule)}" if upcoming else ""
        self._tell(f"{name}: {ending.status}{reason}{following}")

    async def _end(self, grace: float) -> None:
        """Wait for what runs, at most so long; then cancel it."""
        if self._launches:
            names = ", ".join(sorted(self._launches.values()))
            self._tell(f"stopping; waiting for {names} at most {grace:g} s")
        waiting = asyncio.ensure_future(_all(self._tasks))
        hurried = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait([waiting, hurried], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        await asyncio.gather(*(launch.cancel() for launch in list(self._launches)))
        await waiting


def shown(moment: datetime, schedule: Schedule) -> str:
    """`2026-11-23 07:00` as the clocks of the schedule show it; seconds only where there are some."""
    local = moment.astimezone(schedule.zone)
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")


def _due(schedule: Schedule, handled: datetime, now: datetime) -> tuple[datetime | None, int]:
    """The last time up to `now` that was not dealt with, and how many there were; beyond a thousand nobody counts."""
    last, count = None, 0
    moment = schedule.after(handled)
    while moment is not None and moment <= now and count < MOST_COUNTED:
        last, count = moment, count + 1
        moment = schedule.after(moment)
    if moment is not None and moment <= now:
        # Of so many the last is found from the end.
        step = timedelta(seconds=1)
        while (moment := schedule.after(now - step)) is None or moment > now:
            step *= 4
        while moment is not None and moment <= now:
            last, moment = moment, schedule.after(moment)
    return last, count


def _now() -> datetime:
    return datetime.now(UTC)


def _scheduler() -> AsyncIOScheduler:
    try:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler
    except ImportError as error:
        raise ConfigError("schedules need APScheduler", hint='pip install "apscheduler>=3.11,<4"') from error
    return AsyncIOScheduler(timezone=UTC)


def _trigger(schedule: Schedule) -> Any:
    """What tells APScheduler when the schedule is due."""
    from apscheduler.triggers.base import BaseTrigger

    class Trigger(BaseTrigger):  # type: ignore[misc]
        def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
            return schedule.after(max(previous_fire_time or now, now))

    return Trigger()


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so long."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


async def _all(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        await asyncio.wait(set(tasks))
