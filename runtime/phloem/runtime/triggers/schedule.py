"""One schedule: a workflow file, when to run it, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final, Literal

from phloem.runtime.triggers.times import Every, Times, zone_named

__all__ = ["Missed", "Schedule"]

MOST_COUNTED: Final = 1_000

Missed = Literal["run-once", "skip"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A workflow file, when to run it, and how: `inputs`, `allow` and `options` are as after `phloem run`.

    `folder` is where relative paths are meant from. `missed` says what becomes of times at which nothing was there to
    run it; with `overlap` a run begins even while the one before it goes on. Times up to `since` do not count.
    """

    name: str
    file: Path
    times: Times
    timezone: str = ""
    folder: Path | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    missed: Missed = "run-once"
    overlap: bool = False
    paused: bool = False
    since: datetime | None = None

    @property
    def zone(self) -> tzinfo:
        """The time zone in which it is meant. ConfigError if there is none of that name."""
        return zone_named(self.timezone)

    def after(self, moment: datetime) -> datetime | None:
        """The first time it is due later than `moment`, paused or not."""
        return self.times.after(moment, self.zone)

    def last_due(self, handled: datetime, now: datetime) -> tuple[datetime | None, int]:
        """The last time up to `now`, if there is one after `handled`, and how many there are; beyond a thousand nobody
        counts."""
        last, count = None, 0
        moment = self.after(handled)
        while moment is not None and moment <= now and count < MOST_COUNTED:
            last, count = moment, count + 1
            moment = self.after(moment)
        if moment is not None and moment <= now:
            # Of so many the last is found from the end.
            step = timedelta(seconds=1)
            while (moment := self.after(now - step)) is None or moment > now:
                step *= 4
            while moment is not None and moment <= now:
                last, moment = moment, self.after(moment)
        return last, count

    def shown(self, moment: datetime) -> str:
        """`2026-11-23 07:00` as the clocks of the schedule show it; seconds only where there are some."""
        local = moment.astimezone(self.zone)
        return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")

    def next(self, count: int, now: datetime) -> list[datetime]:
        """The next times it is due."""
        found: list[datetime] = []
        moment: datetime | None = now
        while moment is not None and len(found) < count:
            moment = self.after(moment)
            if moment is not None:
                found.append(moment)
        return found

    @property
    def words(self) -> list[str]:
        """What stands after `phloem run` for it."""
        given = [f"{name}={value}" for name, value in self.inputs.items()]
        return [
            str(self.file),
            *(word for one in given for word in ("-i", one)),
            *self.grants,
            *self.options,
        ]

    @property
    def grants(self) -> list[str]:
        """Its grants, as words of a command line."""
        return [word for one in self.allow for word in ("--allow", one)]

    @property
    def when(self) -> str:
        """`0 7 * * 1-5 (Europe/Berlin)`, `every 10 min`."""
        if isinstance(self.times, Every):
            return f"every {self.times.text}"
        return f"{self.times.text} ({self.timezone})" if self.timezone else self.times.text
