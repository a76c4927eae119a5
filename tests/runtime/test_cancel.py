"""Cancelling a run: at once, at any moment, and nothing is left behind."""

from __future__ import annotations

import asyncio
import time

import pytest
from phloem.runtime import events as e
from phloem.runtime.runs import Options
from phloem.runtime.workflow import OnError, Retry
from support.kinds_for_tests import CALLS
from support.playing import Played, box, drawn, play


def cancelled(played: Played, within: float = 0.2) -> None:
    """What is true of every cancelled run; that each node has one end is checked by `play`."""
    assert played.result.status == "cancelled"
    assert played.view.status == "cancelled"
    asked = next(event.at for event in played.events if isinstance(event, Asked))
    assert played.events[-1].at - asked < within, "seconds from asking to the end"


class Asked(e.NodeProgress):
    """Put among the events where the test cancelled."""


def cancel_when(engine, workflow, event_type, node=None, after: float = 0.0, **options) -> Played:
    """Run and cancel `after` seconds after the first event of a type (of a node)."""
    asked: list[float] = []

    def watch(run, event):
        if isinstance(event, event_type) and not asked and node in (None, getattr(event, "node", None)):
            asked.append(0.0)

            def now() -> None:
                asked[0] = time.time()
                run.cancel()

            if after:
                asyncio.get_running_loop().call_later(after, now)
            else:
                now()

    played = play(engine, workflow, watch=watch, **options)
    assert asked, "it was never cancelled"
    assert asked[0], "it was over before it was cancelled"
    played.events.insert(-1, Asked(played.result.run, -1, asked[0], node or ""))
    return played


SLEEPING = drawn(
    {
        "first": box("test.double", set={"x": 1}),
        "sleep": box("test.sleep", {"x": "first.number"}, {"seconds": 5}),
        "after": box("test.double", {"x": "sleep.number"}),
    },
    first="first.number",
    after="after.number",
)


def test_a_sleeping_node_is_interrupted_and_what_had_finished_stays(engine):
    played = cancel_when(engine, SLEEPING, e.NodeStarted, "sleep", after=0.02)
    cancelled(played)
    assert played.outputs == {"first": 2, "after": None}
    assert played.states == {"first": "done", "sleep": "skipped", "after": "skipped"}
    assert {event.because for event in played.of(e.NodeSkipped)} == {"the run was cancelled"}
    again = cancel_when(engine, SLEEPING, e.NodeStarted, "sleep")
    assert again.states["first"] == "cached"


def test_a_node_in_a_thread_is_not_waited_for(engine):
    played = cancel_when(
        engine, drawn({"b": box("test.block", set={"x": 1, "seconds": 0.3})}), e.NodeStarted, after=0.02
    )
    cancelled(played)


def test_a_thread_that_looks_is_told_to_stop(engine):
    played = cancel_when(engine, drawn({"p": box("test.patient")}), e.NodeStarted, after=0.02)
    cancelled(played)
    deadline = time.monotonic() + 2
    while not CALLS["test.patient stopped"]:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_inline_nodes_are_stopped_between_two_of_them(engine):
    nodes = {"n0": box("test.spin", set={"x": 0})}
    for index in range(1, 2000):
        nodes[f"n{index}"] = box("test.spin", {"x": f"n{index - 1}.number"})
    played = cancel_when(engine, drawn(nodes), e.NodeFinished, "n20")
    cancelled(played)
    assert 21 <= CALLS["test.spin"] <= 22


def test_a_list_gone_through_inline_is_stopped_between_two_slices(engine):
    workflow = drawn({"n": box("test.numbers", set={"n": 2000}), "s": box("test.spin", {"x": "n.number"})})
    played = cancel_when(engine, workflow, e.NodeStarted, "s", after=0.03)
    cancelled(played)
    assert CALLS["test.spin"] < 500


@pytest.mark.parametrize("kind", ["test.sleep", "test.block"])
def test_a_list_gone_through_side_by_side_is_stopped(engine, kind):
    workflow = drawn({"n": box("test.numbers", set={"n": 500}), "s": box(kind, {"x": "n.number"}, {"seconds": 0.02})})
    played = cancel_when(engine, workflow, e.NodeStarted, "s", after=0.03)
    cancelled(played)
    assert 64 <= CALLS[kind] < 400


def test_a_stream_is_closed(engine):
    workflow = drawn({"s": box("test.stream", set={"text": "abcdefgh" * 100, "wait": 0.005})}, o="s.text")
    played = cancel_when(engine, workflow, e.NodeChunk, "s")
    cancelled(played)
    assert CALLS["test.stream closed"] == 1
    assert played.outputs == {"o": None}


def test_a_wait_before_another_attempt_is_interrupted(engine):
    workflow = drawn({"f": box("test.flaky", set={"x": 1}, retry=Retry(3, 30))})
    cancelled(cancel_when(engine, workflow, e.NodeRetrying))


def test_a_wait_for_a_place_is_interrupted(engine):
    workflow = drawn({f"n{index}": box("test.net", set={"x": index, "seconds": 5}) for index in range(40)})
    cancelled(cancel_when(engine, workflow, e.NodeStarted, "n15", after=0.3))
    assert CALLS["test.net most"] == 16
    assert play(engine, drawn({"n": box("test.net")})).result.status == "done", "the places are free again"


def test_a_node_may_clean_up_before_it_goes(engine):
    played = cancel_when(engine, drawn({"s": box("test.stubborn")}), e.NodeStarted, after=0.01)
    cancelled(played, within=0.5)
    assert CALLS["test.stubborn cleaned"] == 1


@pytest.mark.parametrize("on_error", [OnError("skip"), OnError("default", 3), OnError("route")])
def test_being_cancelled_is_not_an_error_of_the_node(engine, on_error):
    workflow = drawn({"s": box("test.sleep", set={"x": 1, "seconds": 5}, on_error=on_error, timeout=60)}, o="s.number")
    played = cancel_when(engine, workflow, e.NodeStarted, after=0.01)
    cancelled(played)
    assert not played.of(e.NodeFailed)
    assert played.result.failures == {}
    assert played.outputs == {"o": None}
    played.result.raise_for_failure()


def test_cancelling_twice_is_cancelling_once(engine):
    async def twice():
        run = engine.start(drawn({"s": box("test.stubborn")}))
        await asyncio.sleep(0.01)
        run.cancel()
        run.cancel()
        await asyncio.sleep(0.01)
        run.cancel()
        events = [event async for event in run]
        result = await run.result()
        run.cancel()
        assert (await run.result()) is result
        return result, events

    result, events = asyncio.run(twice())
    assert result.status == "cancelled"
    assert [type(event) for event in events] == [e.RunStarted, e.NodeStarted, e.NodeSkipped, e.RunFinished]
    assert CALLS["test.stubborn cleaned"] == 1


def test_a_run_cancelled_before_its_first_step_runs_nothing(engine):
    async def at_once():
        run = engine.start(drawn({"d": box("test.double", set={"x": 1})}, o="d.number"))
        run.cancel()
        return [event async for event in run], await run.result()

    events, result = asyncio.run(at_once())
    assert [type(event) for event in events] == [e.RunStarted, e.NodeSkipped, e.RunFinished]
    assert (result.status, result.outputs) == ("cancelled", {"o": None})
    assert not CALLS


@pytest.mark.parametrize("event_type", [e.NodeFinished, e.RunFinished])
def test_a_run_cancelled_when_all_has_ended_is_done(engine, event_type):
    async def late():
        run = engine.start(drawn({"d": box("test.double", set={"x": 1})}, o="d.number"))
        run.subscribe(lambda event: run.cancel() if isinstance(event, event_type) else None)
        return await run.result()

    result = asyncio.run(late())
    assert (result.status, result.outputs) == ("done", {"o": 2})


def test_whoever_waits_for_a_result_and_is_cancelled_cancels_the_run(engine):
    async def given_up():
        run = engine.start(SLEEPING)
        waiting = asyncio.create_task(run.result())
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [event async for event in run][-1].status == "cancelled"
        return await run.result()

    began = time.perf_counter()
    assert asyncio.run(given_up()).status == "cancelled"
    assert time.perf_counter() - began < 4, "not the 5 seconds of the node"


def test_a_timeout_around_a_result_ends_the_run_and_is_told(engine):
    async def impatient():
        run = engine.start(SLEEPING)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await run.result()
        return await run.result()

    assert asyncio.run(impatient()).status == "cancelled"


def test_a_loop_that_ends_in_the_middle_of_a_run_leaves_nothing_behind(engine, capsys, caplog):
    async def hurried():
        engine.start(drawn({"s": box("test.sleep", set={"x": 1, "seconds": 5}), "p": box("test.patient")}))
        await asyncio.sleep(0.02)

    began = time.perf_counter()
    asyncio.run(hurried())
    assert time.perf_counter() - began < 4, "not the 5 seconds of the node"
    assert "never" not in capsys.readouterr().err
    assert not caplog.records


def test_breaking_off_the_events_does_not_stop_the_run(engine):
    async def impatient():
        run = engine.start(drawn({"s": box("test.sleep", set={"x": 1, "seconds": 0.02})}, o="s.number"))
        async for _ in run:
            break
        return await run.result()

    assert asyncio.run(impatient()).outputs == {"o": 1}


def test_one_cancelled_run_leaves_the_others_of_the_engine_alone(engine):
    async def two():
        slow = drawn({"s": box("test.sleep", set={"x": 1, "seconds": 0.1})}, o="s.number")
        first, second = (engine.start(slow, options=Options(cache=False)) for _ in range(2))
        await asyncio.sleep(0.02)
        first.cancel()
        return (await first.result()).status, (await second.result()).outputs

    assert asyncio.run(two()) == ("cancelled", {"o": 1})
