"""Waiting for a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import Annotated, Any, Final

from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.document.fields import seconds_of
from phloem.runtime.errors import InputError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Ports, PortType

LONGEST: Final = 366 * 86_400.0


@node(
    "flow.wait",
    "Wait",
    effect="chance",
    ports=lambda settings, types: Ports({}, {"value": types.get("value", PortType("any"))}),
    examples=[Example({"value": "tea", "time": "20 ms"}, {"value": "tea"})],
)
async def wait(
    ctx: Context,
    value: Annotated[Any, In("What to pass on when the time has come", maps="along")] = None,
    *,
    time: Annotated[
        str, Setting("How long (30s, 5 min, 1h 30min), or until when (18:30, 2027-01-31, 2027-01-31 08:00)")
    ],
) -> Annotated[Any, Out("value")]:
    """Pass a value on after a length of time, or at a time.

    A number is seconds. A time of day is the next one that comes, a date its first minute, both in the time of this
    machine unless a zone stands behind (2027-01-31T08:00+01:00, or Z). A time that has passed is not waited for.
    """
    now = ctx.now().astimezone()
    at = due(str(time), now)
    await ctx.wait_until(at.timestamp(), f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}")
    return value


def due(text: str, now: datetime) -> datetime:
    """When a text, as the setting takes it, is over; InputError if it is none. `now` has a zone."""
    words = text.strip()
    seconds = seconds_of(words) if words[:1].isdigit() else None
    if seconds is None:
        try:
            seconds = float(words)
        except ValueError:
            return _moment(words, now)
    if not 0 <= seconds <= LONGEST:
        raise InputError(f"it cannot wait for {words[:60]}", hint="From nothing to a year.")
    return now + timedelta(seconds=seconds)


def _moment(words: str, now: datetime) -> datetime:
    """A time of day or a date."""
    try:
        of_day = time_of_day.fromisoformat(words)
    except ValueError:
        try:
            moment = datetime.fromisoformat(words)
        except ValueError:
            raise InputError(
                f"{words[:60]!r} is not a length of time, a time of day or a date",
                hint="Write 30s, 5 min, 18:30 or 2027-01-31 08:00.",
            ) from None
        try:
            found = moment.astimezone(None if moment.tzinfo is None else now.tzinfo)
        except (ValueError, OverflowError):
            raise InputError(f"there is no such time here: {words[:60]}") from None
    else:
        zone = of_day.tzinfo
        today = now.astimezone(zone) if zone is not None else now.astimezone()
        found = _at(today, of_day, zone is None)
        if found <= now:
            found = _at(today + timedelta(days=1), of_day, zone is None)
    if found - now > timedelta(seconds=LONGEST):
        raise InputError(f"{words[:60]} is more than a year away")
    return found


def _at(day: datetime, of_day: time_of_day, here: bool) -> datetime:
    """A time of day on a day; here the clocks may be put forward or back in between."""
    naive = datetime.combine(day.date(), of_day.replace(tzinfo=None))
    return naive.astimezone() if here else naive.replace(tzinfo=of_day.tzinfo)
