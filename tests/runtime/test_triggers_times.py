"""When a schedule is due: cron expressions held against a plain reading of the clock, and its changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from phloem.runtime.errors import ConfigError
from phloem.runtime.triggers.times import Cron, Every, local_zone, local_zone_changed, zone_named

BERLIN = ZoneInfo("Europe/Berlin")
"""At 2:00 on 2026-03-29 the clock leaps to 3:00, and at 3:00 on 2026-10-25 back to 2:00."""


def next_times(text: str, start: str, count: int, zone=BERLIN) -> list[str]:
    cron, moment, found = Cron.parse(text), datetime.fromisoformat(start).replace(tzinfo=zone), []
    for _ in range(count):
        moment = cron.after(moment, zone)
        found.append(moment.strftime("%m-%d %H:%M%z"))
    return found


@pytest.mark.parametrize(
    ("text", "start", "due"),
    [
        ("0 7 * * 1-5", "2026-11-20 08:00", ["11-23 07:00+0100", "11-24 07:00+0100", "11-25 07:00+0100"]),
        ("0 7 * * mon-fri", "2026-11-20 07:00", ["11-23 07:00+0100"]),
        ("0 0 * * sun", "2026-11-20 07:00", ["11-22 00:00+0100"]),
        ("0 0 * * 7", "2026-11-20 07:00", ["11-22 00:00+0100"]),
        ("0 0 * * fri-sun", "2026-11-19 07:00", ["11-20 00:00+0100", "11-21 00:00+0100", "11-22 00:00+0100", "11-27 00:00+0100"]),
        ("0 0 13 * 5", "2026-11-20 08:00", ["11-27 00:00+0100", "12-04 00:00+0100", "12-11 00:00+0100", "12-13 00:00+0100"]),
        ("0 0 */10 * 5", "2026-11-20 08:00", ["12-11 00:00+0100"]),
        ("15,45 8-9 1 jan *", "2026-11-20 08:00", ["01-01 08:15+0100", "01-01 08:45+0100", "01-01 09:15+0100"]),
        ("@daily", "2026-11-20 08:00", ["11-21 00:00+0100"]),
        ("@hourly", "2026-11-20 08:00", ["11-20 09:00+0100"]),
        ("5/20 * * * *", "2026-11-20 08:00", ["11-20 08:05+0100", "11-20 08:25+0100", "11-20 08:45+0100"]),
        # A time that the clock leaps over comes when it has leapt, once.
        ("30 2 * * *", "2026-03-28 12:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("*/15 2 * * *", "2026-03-28 02:45", ["03-29 03:00+0200", "03-30 02:00+0200"]),
        # One that it shows twice comes once.
        ("30 2 * * *", "2026-10-24 12:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("0 3 * * *", "2026-10-24 12:00", ["10-25 03:00+0100"]),
        # With any hour it is the time that passes.
        ("*/30 * * * *", "2026-03-29 01:10", ["03-29 01:30+0100", "03-29 03:00+0200", "03-29 03:30+0200"]),
        ("*/30 * * * *", "2026-10-25 01:40", ["10-25 02:00+0200", "10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100", "10-25 03:00+0100"]),
    ],
)  # fmt: skip
def test_the_next_times_of_a_cron_expression(text, start, due):
    assert next_times(text, start, len(due)) == due


def test_a_leap_year_is_waited_for():
    assert Cron.parse("0 0 29 2 *").after(datetime(2026, 11, 20, tzinfo=UTC), UTC) == datetime(2028, 2, 29, tzinfo=UTC)


def test_a_zone_with_a_change_of_half_an_hour_and_one_that_left_out_a_day():
    assert next_times("15 2 * * *", "2026-10-03 12:00", 2, ZoneInfo("Australia/Lord_Howe")) == [
        "10-04 02:30+1100",
        "10-05 02:15+1100",
    ]
    assert next_times("0 12 * * *", "2011-12-29 13:00", 2, ZoneInfo("Pacific/Apia")) == [
        "12-31 00:00+1400",
        "12-31 12:00+1400",
    ]


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/20", "5-10", "59,1"]),
    st.sampled_from(["*", "2", "0-3", "*/5", "23"]),
    st.sampled_from(["*", "1", "25", "*/7", "28-31"]),
    st.sampled_from(["*", "3", "10", "mar,oct"]),
    st.sampled_from(["*", "0", "1-5", "7", "sat"]),
)


@settings(max_examples=60)
@for_all(FIELDS, st.integers(0, 365 * 24 * 60))
def test_where_the_clock_never_changes_it_is_due_at_the_first_minute_that_matches(fields, minutes):
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    cron = Cron.parse(" ".join(fields))
    due = cron.after(start, UTC)
    assert due is not None and due > start and due.second == 0
    assert matches(fields, due)
    one = start.replace(second=0) + timedelta(minutes=1)
    for _ in range(3_000):
        if one >= due:
            break
        assert not matches(fields, one)
        one += timedelta(minutes=1)


@settings(max_examples=60)
@for_all(FIELDS, st.sampled_from(["2026-03-28 20:00", "2026-10-24 20:00"]), st.integers(0, 600))
def test_across_a_change_of_the_clock_time_only_goes_on(fields, start, minutes):
    cron = Cron.parse(" ".join(fields))
    moment = datetime.fromisoformat(start).replace(tzinfo=BERLIN).astimezone(UTC) + timedelta(minutes=minutes)
    for _ in range(12):
        due = cron.after(moment, BERLIN)
        assert due is not None and due > moment
        moment = due.astimezone(UTC)


def matches(fields, moment: datetime) -> bool:
    """A reading of the five fields that is as plain as can be."""
    minute, hour, day, month, weekday = fields
    by_month, by_week = among(day, moment.day, 1), among(weekday, moment.isoweekday() % 7, 0)
    either = not day.startswith("*") and not weekday.startswith("*")
    return (
        among(minute, moment.minute, 0)
        and among(hour, moment.hour, 0)
        and among(month, moment.month, 1)
        and (by_month or by_week if either else by_month and by_week)
    )


def among(field: str, number: int, least: int) -> bool:
    if field.startswith("*"):
        return (number - least) % int(field.partition("/")[2] or 1) == 0
    for part in field.replace("sat", "6").replace("mar", "3").replace("oct", "10").split(","):
        first, _, last = part.partition("-")
        if int(first) <= number <= int(last or first) or (part == "7" and number == 0):
            return True
    return False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 7 * *", "has 4 fields, and needs 5"),
        ("61 * * * *", "'61' is no minute"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of the month"),
        ("* * * * monn", "Did you mean monday?"),
        ("* * * * 5-1", "a range that ends before it begins"),
        ("*/0 * * * *", "a step of 0"),
        ("a b c d e", "'a' is no minute"),
        ("0 0 31 2 *", "a day that never comes"),
        ("@dayly", "Did you mean @daily?"),
        ("٣ * * * *", "is no minute"),
        ("1,,2 * * * *", "'' is no minute"),
        ("", "has 0 fields"),
    ],
)
def test_what_is_no_cron_expression_is_told(text, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")) as told:
        Cron.parse(text)
    assert text in str(told.value)


def test_every_so_often_is_counted_from_a_moment_whatever_the_clock_does():
    since = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    every = Every(3600, since)
    assert every.after(since - timedelta(days=1), UTC) == since + timedelta(hours=1)
    assert every.after(since, BERLIN) == datetime(2026, 3, 29, 3, 30, tzinfo=BERLIN)
    assert every.after(since + timedelta(minutes=59, seconds=59), UTC) == since + timedelta(hours=1)
    assert every.after(since + timedelta(hours=1), UTC) == since + timedelta(hours=2)


@for_all(st.sampled_from([1, 7, 1.5, 600, 86_400, 100_000.25]), st.integers(0, 10**9), st.integers(0, 10**6))
def test_the_next_time_is_the_first_of_them(seconds, start, micros):
    every = Every(seconds)
    moment = datetime.fromtimestamp(start, UTC) + timedelta(microseconds=micros)
    due = every.after(moment, UTC)
    assert due is not None and moment < due <= moment + timedelta(seconds=seconds, microseconds=2)


def test_another_time_zone_of_the_machine_is_noticed(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    local_zone_changed()
    assert not local_zone_changed()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert local_zone_changed() and local_zone() == ZoneInfo("Asia/Tokyo")
    assert not local_zone_changed()
    monkeypatch.setenv("TZ", "no/such")
    assert not local_zone_changed()
    monkeypatch.undo()
    local_zone_changed()


def test_zones_have_names_and_nearest_names():
    assert zone_named("Europe/Berlin") == BERLIN
    assert zone_named("") == local_zone()
    with pytest.raises(ConfigError, match=r"Did you mean Europe/Berlin\?"):
        zone_named("berlin")
    with pytest.raises(ConfigError, match="no time zone"):
        zone_named("../../etc/passwd")
