"""Waiting: until when, how it is told, and that it ends at once when the run does."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from phloem.nodes.flow.wait import due
from phloem.runtime import events as e
from phloem.runtime.engine import Engine
from phloem.runtime.errors import InputError
from support.playing import box, drawn, given, play

HERE = timezone(timedelta(hours=2))
NOW = datetime(2027, 1, 30, 18, 0, tzinfo=HERE)


@pytest.fixture
def real(home):
    engine = Engine(home)
    yield engine
    asyncio.run(engine.close())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5 min", 300), ("1h 30min", 5400), ("250 ms", 0.25), ("2", 2), ("0", 0), ("1.5", 1.5)],
)
def test_a_length_of_time(text, seconds):
    assert due(text, NOW) - NOW == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2027-01-31T08:00+02:00", datetime(2027, 1, 31, 8, 0, tzinfo=HERE)),
        ("2027-01-31 06:00Z", datetime(2027, 1, 31, 8, 0, tzinfo=HERE)),
        ("19:30+02:00", datetime(2027, 1, 30, 19, 30, tzinfo=HERE)),
        ("17:30+02:00", datetime(2027, 1, 31, 17, 30, tzinfo=HERE)),
        ("16:30Z", datetime(2027, 1, 30, 18, 30, tzinfo=HERE)),
        ("2020-01-01T00:00Z", datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_of_day_is_the_next_and_a_date_what_it_says(text, when):
    assert due(text, NOW) == when


def test_times_without_a_zone_are_those_of_this_machine():
    now = datetime.now().astimezone()
    soon = (now + timedelta(minutes=2)).replace(second=0, microsecond=0)
    assert due(f"{soon:%H:%M}", now) == soon
    assert due(f"{soon:%Y-%m-%d %H:%M}", now) == soon


@pytest.mark.parametrize("text", ["", "soon", "25:00", "2027-13-01", "-5", "400 d", "nan", "inf", "2030-01-01T00:00Z", "0001-01-01T00:00+14:00", "0001-01-01"])  # fmt: skip
def test_what_is_no_time(text):
    with pytest.raises(InputError):
        due(text, NOW)


def wait(time_: str) -> object:
    return drawn({"w": box("flow.wait", {"value": "input.v"}, {"time": time_})}, {"v": given("text", "x")}, o="w.value")


def test_it_passes_the_value_on_when_the_time_has_come_in_every_run(real):
    for _ in range(2):
        played = play(real, wait("60 ms"))
        assert played.outputs == {"o": "x"}
        assert played.result.seconds >= 0.05
        (waiting,) = played.of(e.NodeWaiting)
        assert waiting.until == pytest.approx(time.time(), abs=5)


def test_a_cancel_ends_it_at_once(real):
    def watch(run, event):
        if isinstance(event, e.NodeWaiting):
            assert event.until > time.time() + 3000
            run.cancel()

    played = play(real, wait("1h"), watch=watch)
    assert played.result.status == "cancelled"
    assert played.result.seconds < 2


def test_a_view_shows_until_when(real):
    states = []

    def watch(run, event):
        from phloem.runtime.view import RunView

        view.apply(event)
        states.append(view.nodes["w"].state if isinstance(view, RunView) and view.nodes else "")

    from phloem.runtime.view import RunView

    view = RunView()
    play(real, wait("20 ms"), watch=watch)
    assert "sleeping" in states
    assert states[-1] == "done"


def test_a_timeout_does_not_run_while_it_waits(real):
    from dataclasses import replace

    workflow = wait("150 ms")
    workflow = workflow.with_node("w", replace(workflow.nodes["w"], timeout=0.05))
    assert play(real, workflow).outputs == {"o": "x"}


def test_the_journal_can_hold_the_deadline(real):
    """Whoever keeps deadlines is asked by path, and the earlier one counts."""
    from phloem.runtime.context import Context, Scope, Services
    from phloem.runtime.grants import Permissions

    asked = []

    def earlier(path: str, at: float) -> float:
        asked.append(path)
        return time.time()

    scope = Scope(run="r", services=Services({}), permissions=Permissions(), deadline=earlier)
    began = time.monotonic()
    asyncio.run(Context(scope, "each/3/w").wait_until(time.time() + 60, "a minute"))
    assert time.monotonic() - began < 5
    assert asked == ["each/3/w"]
