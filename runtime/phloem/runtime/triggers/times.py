"""When a schedule is due: cron expressions and intervals, in a time zone and across its changes of the clock."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from phloem.runtime.errors import ConfigError
from phloem.runtime.words import nearest

__all__ = ["Cron", "Every", "Times", "local_zone", "local_zone_changed", "zone_named"]

_MINUTE: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = 40 * 366
"""Days. The rarest day that there is, a 29 February on a given weekday, comes every 28 years, and once after 40."""


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five fields of a cron expression. Its `words` count from `least`, and may be cut to three letters."""

    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()


_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_FIELDS: Final = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, _MONTHS),
    Field("day of the week", 0, 7, _DAYS),
)
_NICKNAMES: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_PART: Final = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]{1,4}))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).

    As in cron, where both kinds of day are named either will do. With an hour that is named, a time that the clock
    leaps over comes when it has leapt, and one that the clock shows twice comes once; with `*` or `*/2` as the hour
    what counts is the time that passes.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    any_hour: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read an expression, or one of `@hourly`, `@daily` and so on; ConfigError says what is wrong with it."""
        words = _NICKNAMES.get(text.strip().lower(), text).lower().split()
        if text.strip().startswith("@") and len(words) == 1:
            near = nearest(words[0], _NICKNAMES)
            hint = f"Did you mean {near}?" if near else f"There is {', '.join(_NICKNAMES)}."
            raise ConfigError(f"the cron expression {text!r}: there is no {words[0]}", hint=hint)
        if len(words) != len(_FIELDS):
            hint = "Minute, hour, day of the month, month, day of the week, such as `0 7 * * 1-5`."
            raise ConfigError(f"the cron expression {text!r} has {len(words)} fields, and needs 5", hint=hint)
        values = [_values(text, field, word) for field, word in zip(_FIELDS, words, strict=True)]
        found = cls(
            text=" ".join(text.split()),
            minutes=tuple(sorted(values[0])),
            hours=tuple(sorted(values[1])),
            days=frozenset(values[2]),
            months=frozenset(values[3]),
            weekdays=frozenset(day % 7 for day in values[4]),
            either_day=not words[2].startswith("*") and not words[4].startswith("*"),
            any_hour=words[1].startswith("*"),
        )
        if next(found._shown_from(datetime(2000, 1, 1)), None) is None:
            raise ConfigError(f"the cron expression {text!r} names a day that never comes")
        return found

    def after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first time it is due later than `moment`, as the clocks of `zone` show it; None if there is none."""
        return self._passing(moment, zone) if self.any_hour else self._shown(moment, zone)

    def _shown(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The next time that the clock shows what is asked for, or leaps over it."""
        for shown in self._shown_from(moment.astimezone(zone).replace(tzinfo=None)):
            due = _when_shown(shown, zone)
            if due > moment:
                return due.astimezone(zone)
        return None

    def _passing(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The next moment at which the clock shows what is asked for, whether or not it showed it before."""
        here, inclusive = moment.astimezone(UTC), False
        while True:
            offset = _offset(here, zone)
            begin = (here + offset).replace(tzinfo=None)
            shown = next((one for one in self._shown_from(begin) if one > begin or inclusive), None)
            if shown is None:
                return None
            due = shown.replace(tzinfo=UTC) - offset
            if _offset(due, zone) == offset:
                return due.astimezone(zone)
            here, inclusive = _change(here, due, zone), True

    def _shown_from(self, start: datetime) -> Iterator[datetime]:
        """Everything from `start` on that a clock which never changes would show; the start's own minute too."""
        first = start.replace(second=0, microsecond=0)
        for number in range(_LONGEST_WAIT):
            day = first.date() + timedelta(days=number) if first.date().toordinal() + number <= _LAST else None
            if day is None:
                return
            if not self._has_day(day):
                continue
            for hour in self.hours:
                for minute in self.minutes:
                    shown = datetime.combine(day, time(hour, minute))
                    if shown >= first:
                        yield shown

    def _has_day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either_day else by_month and by_week


_LAST: Final = date.max.toordinal() - 1


@dataclass(frozen=True, slots=True)
class Every:
    """Every so many seconds, counted from `since`; the clock may change as it likes. ConfigError for less than a
    second, or more than 11574 days, as for every length of time in a file."""

    seconds: float
    since: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= 1e9:
            raise ConfigError("the time from one run to the next must be 1 s at least, and 11574 d at most")

    @property
    def text(self) -> str:
        """`10 min`, `36 h`, `90 s`, `1.5 s`."""
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
            if self.seconds % size == 0:
                return f"{int(self.seconds // size)} {unit}"
        return f"{self.seconds} s"

    def after(self, moment: datetime, zone: tzinfo) -> datetime:
        """The first time it is due later than `moment`."""
        passed = (moment - self.since).total_seconds()
        count = max(math.floor(passed / self.seconds) + 1, 1)
        due = self.since + timedelta(seconds=count * self.seconds)
        if due <= moment:
            due += timedelta(seconds=self.seconds)
        return due.astimezone(zone)


Times = Cron | Every


def zone_named(name: str) -> tzinfo:
    """The time zone of that name, or this machine's for an empty one. ConfigError if there is none."""
    import zoneinfo

    if not name:
        return local_zone()
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        near = nearest(name, sorted(known)) or _ending_in(name, known)
        hint = f"Did you mean {near}?" if near else "It is written as in Europe/Berlin, or UTC."
        raise ConfigError(f"there is no time zone called {name}", hint=hint) from None


def local_zone() -> tzinfo:
    """The time zone of this machine, with its changes of the clock."""
    from tzlocal import get_localzone

    return get_localzone()


def local_zone_changed() -> bool:
    """Look again what the time zone of this machine is: it may be carried about. True if it was another before."""
    from tzlocal import reload_localzone

    before = local_zone()
    try:
        return str(reload_localzone()) != str(before)
    except (LookupError, ValueError, OSError):
        # As while it is being set.
        return False


def _ending_in(name: str, known: set[str]) -> str | None:
    """`Europe/Berlin` for `berlin`."""
    city = name.replace(" ", "_").casefold()
    return min((one for one in known if one.rpartition("/")[2].casefold() == city), default=None)


def _values(text: str, field: Field, word: str) -> set[int]:
    """The numbers that a field of a cron expression means."""
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.match(part)
        if match is None:
            hint = "It is `*`, a number, a range such as 1-5, steps such as */15, or several of these with commas."
            raise ConfigError(f"the cron expression {text!r}: {part!r} is no {field.name}", hint=hint)
        step = int(match["step"] or 1)
        if match["all"]:
            first, last = field.least, field.most
        else:
            first = _number(text, field, match["first"])
            open_end = field.most if match["step"] else first
            last = _number(text, field, match["last"]) if match["last"] else open_end
        if field.words is _DAYS and match["last"] and last == 0 < first:
            # To Sunday, from any day.
            last = 7
        if step == 0 or last < first:
            what = "a step of 0" if step == 0 else "a range that ends before it begins"
            raise ConfigError(f"the cron expression {text!r}: {part!r} is {what}")
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, field: Field, word: str) -> int:
    for place, name in enumerate(field.words):
        if word in (name, name[:3]):
            return field.least + place
    number = int(word) if word.isdigit() and len(word) < 5 else -1
    if not field.least <= number <= field.most:
        near = nearest(word, field.words) if field.words else None
        hint = f"Did you mean {near}?" if near else f"It is a number from {field.least} to {field.most}."
        raise ConfigError(f"the cron expression {text!r}: {word!r} is no {field.name}", hint=hint)
    return number


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _when_shown(shown: datetime, zone: tzinfo) -> datetime:
    """When the clock first shows this; if it leaps over it, when it has leapt. In UTC."""
    when = shown.replace(tzinfo=zone).astimezone(UTC)
    if when.astimezone(zone).replace(tzinfo=None) == shown:
        return when
    # In a gap the offset from before it (fold 0) leads behind the gap, and that from after it before the gap.
    before = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(min(before, when), max(before, when), zone)


def _change(start: datetime, end: datetime, zone: tzinfo) -> datetime:
    """The first moment after `start`, to the second, at which the offset is another than it was then."""
    offset = _offset(start, zone)
    low, high = math.floor(start.timestamp()), math.ceil(end.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(datetime.fromtimestamp(middle, UTC), zone) == offset else (low, middle)
    return datetime.fromtimestamp(high, UTC)
