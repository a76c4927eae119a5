"""Looking after the schedules of a home: each is run when it is due, until this is told to stop.

The schedules' files are read again whenever one of them changes. Times that passed while nobody looked, because this
did not run or the machine slept, are dealt with as each schedule says. A run that was cut short goes on before anything
else of its schedule begins.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.errors import ConfigError, PhloemError
from phloem.runtime.home import Home
from phloem.runtime.triggers.cut_short import CutShort, reason_to_leave, what_became_of
from phloem.runtime.triggers.history import Ending, History, Last
from phloem.runtime.triggers.launch import Launch
from phloem.runtime.triggers.locks import Lock
from phloem.runtime.triggers.schedule import Schedule
from phloem.runtime.triggers.schedules import Schedules, private_folder
from phloem.runtime.triggers.times import local_zone_changed

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

__all__ = ["Service", "is_served"]

LOOK_EVERY: Final = 1.0
"""Seconds between looks at the schedules' files, and at the clock, which may have been set or have slept."""
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
        self._waiting: set[str] = set()
        """Schedules whose next run has to wait: for a place, or for one that goes on first."""
        self._cleared: set[str] = set()
        """Schedules whose runs that nobody heard the end of are being dealt with."""
        self._looked = _now()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._ending = False
        self._jobs: AsyncIOScheduler = _scheduler()

    def stop(self) -> None:
        """Begin nothing more, and end when what runs has ended, or has had its time; when said twice, at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        # Who stops this may stop the runs as well, as a machine does that is shut down.
        for launch in self._launches:
            launch.may_be_put_off = True

    async def run(self, grace: float = 60.0) -> None:
        """Look after the schedules until `stop`; then what runs has `grace` seconds. ConfigError if another does."""
        lock = self._lock()
        try:
            self._jobs.start()
            while not self._stopping.is_set():
                self._follow()
                self._look_at_the_clock()
                await _either(self._stopping, LOOK_EVERY)
            await self._end(grace)
        finally:
            if self._jobs.running:
                self._jobs.shutdown(wait=False)
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
        except OSError as error:
            raise ConfigError(f"cannot use {path}: {(error.strerror or str(error)).lower()}") from error
        holder = ""
        # Windows lets nobody read a file that is locked.
        with suppress(OSError, ValueError):
            holder = path.read_text("utf-8").strip()
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
        if before is None:
            self._clear(name)
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
        self._tell(f"{name}: {schedule.when}, next {schedule.shown(due)}" if due else f"{name}: never due")
        self._await(schedule)

    def _await(self, schedule: Schedule) -> None:
        """Have it come when it is due, and at once if it was due already."""
        self._jobs.add_job(
            self._fire, _trigger(schedule), args=[schedule.name], id=schedule.name, replace_existing=True,
            misfire_grace_time=None, coalesce=True, max_instances=1_000_000,
        )  # fmt: skip
        self._come(schedule.name)

    def _look_at_the_clock(self) -> None:
        """Notice times that passed while the machine slept, a clock that was set back (what waits for a time would wait
        until it is there again), and another time zone."""
        now = _now()
        if now < self._looked or local_zone_changed():
            for schedule in self._known.values():
                if not schedule.paused:
                    self._await(schedule)
        self._looked = now
        self._jobs.wakeup()

    def _drop(self, name: str) -> None:
        if self._jobs.get_job(name) is not None:
            self._jobs.remove_job(name)

    async def _fire(self, name: str) -> None:
        self._come(name)

    def _come(self, name: str) -> None:
        """Begin a run for what was due since the schedule was last dealt with, if anything was."""
        schedule, now = self._known.get(name), _now()
        if schedule is None or schedule.paused or name in self._waiting or self._stopping.is_set():
            return
        due, _ = self._outstanding(schedule, now)
        if due is None:
            return
        if schedule.missed == "skip" and now - due > LATE:
            History(self.home, name).handle(due, schedule.when)
            self._tell(f"{name}: missed {schedule.shown(due)}, left out")
            return
        self._waiting.add(name)
        self._spawn(self._turn(name))

    def _outstanding(self, schedule: Schedule, now: datetime) -> tuple[datetime | None, int]:
        """The last time at which it was due and that is not dealt with, and how many there were."""
        history = History(self.home, schedule.name)
        handled = history.handled(schedule.when) or now
        if handled > now + timedelta(hours=1):
            # The clock was wrong when that was noted.
            history.handle(now, schedule.when)
            return None, 0
        return schedule.last_due(handled, now)

    async def _turn(self, name: str) -> None:
        """Run it for what is due when there is a place for it. What has not begun is not dealt with: if this is ended
        first, the next one finds it."""
        async with self._places:
            self._waiting.discard(name)
            schedule = self._known.get(name)
            if schedule is None or schedule.paused or self._stopping.is_set():
                return
            due, count = self._outstanding(schedule, _now())
            if due is None:
                return
            try:
                launch = await Launch.begin(self.home, schedule, due=due, missed=count - 1)
            except PhloemError as error:
                self._tell(f"error: {error}")
                return
            if launch is None:
                History(self.home, name).handle(due, schedule.when)
                self._tell(f"{name}: left out {schedule.shown(due)}, for the run before it still goes on")
                return
            more = f", with {count - 1} more that were missed" if count > 1 else ""
            self._tell(f"{name}: running for {schedule.shown(due)}{more}")
            await self._see_through(launch, schedule)

    async def _see_through(self, launch: Launch, schedule: Schedule) -> None:
        """Wait for the end of a run, and tell it. One that was killed goes on."""
        self._launches[launch] = schedule.name
        launch.may_be_put_off = self._stopping.is_set()
        if self._ending:
            self._spawn(launch.cancel())
        try:
            ending = await launch.ending()
        finally:
            del self._launches[launch]
        upcoming = schedule.after(_now())
        reason = f": {ending.error}" if ending.error else ""
        following = f"; next {schedule.shown(upcoming)}" if upcoming else ""
        self._tell(f"{schedule.name}: {ending.status}{reason}{following}")
        self._clear(schedule.name)

    def _clear(self, name: str) -> None:
        """Deal with the runs of a schedule that nobody heard the end of, if there are any."""
        if name not in self._cleared and self._unheard(name):
            self._cleared.add(name)
            self._waiting.add(name)
            self._spawn(self._deal(name))

    def _unheard(self, name: str) -> list[Last]:
        own = {launch.last.log for launch, whose in self._launches.items() if whose == name}
        return [one for one in History(self.home, name).unfinished if one.log not in own]

    async def _deal(self, name: str) -> None:
        """Note the end of each run that nobody heard the end of, or have it go on."""
        try:
            while not self._stopping.is_set() and (schedule := self._known.get(name)) and (left := self._unheard(name)):
                found = None if schedule.paused else next(
                    ((last, end) for last in left if (end := what_became_of(self.home, schedule, last))), None
                )  # fmt: skip
                if found is not None and await self._settled(schedule, *found):
                    continue
                # Somebody is at work on it, and what is due meanwhile is left out or not, as ever. Of runs that overlap
                # only the record of runs tells, which takes longer to ask.
                self._waiting.discard(name)
                await _either(self._stopping, LOOK_EVERY * (5 if schedule.overlap else 1))
        except PhloemError as error:
            self._tell(f"error: {name}: what was cut short cannot go on: {error}")
        finally:
            self._cleared.discard(name)
            self._waiting.discard(name)
        self._come(name)

    async def _settled(self, schedule: Schedule, last: Last, end: CutShort | Ending) -> bool:
        """Note how a run ended, or have it go on to its end; False if another of the schedule was quicker."""
        name, history = schedule.name, History(self.home, schedule.name)
        if isinstance(end, Ending):
            history.end(last, end)
            self._tell(f"{name}: {end.status}" + (f": {end.error}" if end.error else ""))
            return True
        reason = reason_to_leave(schedule, last)
        if reason is not None:
            hint = f"; `phloem runs resume {end.run}` goes on with it" if end.run else ""
            history.end(last, Ending(end.run, "interrupted", f"{reason}{hint}"))
            self._tell(f"{name}: was interrupted, and is left so: {reason}{hint}")
            return True
        async with self._places:
            if self._stopping.is_set() or name not in self._known:
                return False
            launch = await Launch.begin(self.home, schedule, instead_of=replace(last, run=end.run))
            if launch is None:
                return False
            how = f"going on with {end.run}" if end.run else "beginning again, for nothing of it is recorded"
            self._tell(f"{name}: was interrupted; {how}")
            await self._see_through(launch, schedule)
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A bug of ours: that it is told is the least, and the other schedules go on.
            self._tell(f"error: this is a bug in Phloem: {type(error).__name__}: {error}")

    async def _end(self, grace: float) -> None:
        """Wait for what runs, at most so long; then put it off."""
        if self._launches:
            names = ", ".join(sorted(self._launches.values()))
            self._tell(f"stopping; waiting for {names} at most {grace:g} s")
        waiting = asyncio.ensure_future(_all(self._tasks))
        hurried = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait([waiting, hurried], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        # From now on also what is just being begun.
        self._ending = True
        await asyncio.gather(*(launch.cancel() for launch in list(self._launches)))
        await waiting


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
