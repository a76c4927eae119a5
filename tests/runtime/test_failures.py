"""When nodes fail: what is said, what is tried again, what goes on, and what stops."""

from __future__ import annotations

import time

import pytest
from phloem.runtime import events as e
from phloem.runtime.errors import (
    InputError,
    NodeCrashed,
    NodeTimeout,
    PermissionNeeded,
    ServiceError,
    SettingError,
)
from phloem.runtime.workflow import OnError, Retry
from support.kinds_for_tests import CALLS
from support.playing import Played, box, drawn, given, play

FAILING = ["test.fail", "test.fail_aside", "test.fail_block"]
"""The same failures inline, in a task and in a thread."""


def failed(played: Played) -> e.NodeFailed:
    (only,) = played.of(e.NodeFailed)
    return only


@pytest.mark.parametrize("kind", FAILING)
@pytest.mark.parametrize(
    "how, error, message",
    [
        ("input", InputError, "a bad value"),
        ("setting", SettingError, "a bad setting"),
        ("service", ServiceError, "the server is away"),
        ("hopeless", ServiceError, "there is no such page"),
        ("permission", PermissionNeeded, "The workflow may not do this."),
        ("crash", NodeCrashed, "ZeroDivisionError: division by zero (kinds_for_tests.py, line "),
        ("speechless", NodeCrashed, "_Speechless: (its message cannot be shown)"),
        ("stop", NodeCrashed, "StopIteration"),
        ("exit", NodeCrashed, "SystemExit: 3"),
        ("cancelled", NodeCrashed, "CancelledError"),
    ],
)
def test_an_error_is_told_once_as_what_it_is(engine, kind, how, error, message):
    played = play(engine, drawn({"f": box(kind, set={"how": how}), "ok": box("test.numbers")}, ok="ok.number"))
    told = failed(played)
    assert played.result.status == "failed"
    assert told.error == error.__name__
    assert message in told.message
    assert type(played.result.failures["f"]) is error
    assert played.view.nodes["f"].state == "failed"
    if error is NodeCrashed:
        assert told.hint == "This is a bug in the node. Please tell its author."
        assert played.result.failures["f"].__cause__ is not None
    with pytest.raises(error):
        played.result.raise_for_failure()


@pytest.mark.parametrize("kind", FAILING)
def test_the_message_of_an_error_is_bounded(engine, kind):
    assert len(failed(play(engine, drawn({"f": box(kind, set={"how": "endless"})}))).message) < 2200


def test_a_node_that_returns_too_many_outputs_has_crashed(engine):
    told = failed(play(engine, drawn({"w": box("test.wrong_count")})))
    assert (told.error, told.message) == ("NodeCrashed", "test.wrong_count@1 returned tuple where 2 outputs were due")


def test_a_value_that_does_not_fit_its_port_fails_the_node_that_takes_it(engine):
    workflow = drawn(
        {"c": box("test.constant", set={"value": "three"}), "d": box("test.double", {"x": "c.json"})}, o="d.number"
    )
    told = failed(play(engine, workflow))
    assert (told.node, told.error, told.message) == ("d", "InputError", "expected number, got text: three")
    aside = drawn({"c": box("test.constant", set={"value": "three"}), "d": box("test.aside", {"x": "c.json"})})
    assert failed(play(engine, aside)).message == "expected number, got text: three"


def test_stop_begins_nothing_more_but_lets_what_runs_finish_and_keeps_it(engine):
    workflow = drawn(
        {
            "slow": box("test.sleep", set={"x": 1, "seconds": 0.1}),
            "thread": box("test.block", set={"x": 1, "seconds": 0.1}),
            "soon": box("test.sleep", set={"x": 1, "seconds": 0.02}),
            "fail": box("test.fail", {"x": "soon.number"}),
            "after fail": box("test.double", {"x": "fail.number"}),
            "after slow": box("test.double", {"x": "slow.number"}),
            "both": box("test.gather", {"values": ["after slow.number", "after fail.number"]}),
        },
        slow="slow.number",
        thread="thread.number",
        both="both.json",
    )
    played = play(engine, workflow)
    assert played.result.status == "failed"
    assert played.outputs == {"slow": 1, "thread": 2, "both": None}
    assert {event.node: event.because for event in played.of(e.NodeSkipped)} == {
        "after fail": "fail failed",
        "after slow": "the run stopped when fail failed",
        "both": "the run stopped when fail failed",
    }
    again = play(engine, workflow)
    assert again.states["slow"] == again.states["thread"] == "cached"


def test_two_failures_are_both_told_and_the_first_is_raised(engine):
    workflow = drawn(
        {
            "a": box("test.fail_aside", set={"how": "input"}),
            "b": box("test.fail_aside", set={"how": "setting"}),
        }
    )
    result = play(engine, workflow).result
    assert list(result.failures) == ["a", "b"]
    with pytest.raises(InputError):
        result.raise_for_failure()


@pytest.mark.parametrize("kind", FAILING)
def test_skip_skips_what_hangs_on_the_node_and_nothing_else(engine, kind):
    workflow = drawn(
        {
            "f": box(kind, on_error=OnError("skip")),
            "after": box("test.double", {"x": "f.number"}),
            "merge": box("test.merge", {"values": ["after.number", "ok.number"]}),
            "ok": box("test.double", set={"x": 4}),
        },
        o="merge.any",
        f="f.number",
    )
    played = play(engine, workflow)
    assert played.result.status == "done"
    assert played.outputs == {"o": 8, "f": None}
    assert [(event.node, event.because) for event in played.of(e.NodeSkipped)] == [("after", "f failed")]
    assert failed(played).action == "skip"


@pytest.mark.parametrize("kind", FAILING)
def test_a_default_stands_in_for_what_failed(engine, kind):
    workflow = drawn(
        {"f": box(kind, on_error=OnError("default", 21)), "d": box("test.double", {"x": "f.number"})}, o="d.number"
    )
    played = play(engine, workflow)
    assert played.outputs == {"o": 42}
    assert played.result.status == "done"
    assert "ServiceError" in repr(played.result.failures["f"]), "and what failed is still told"


@pytest.mark.parametrize(
    "default, outputs",
    [
        ({"quotient": 1, "remainder": 2}, {"q": 1, "r": 2}),
        ({"remainder": 2}, {"q": None, "r": 2}),
        (7, {"q": 7, "r": 7}),
    ],
)
def test_a_default_is_for_each_output_or_for_all(engine, default, outputs):
    workflow = drawn(
        {"d": box("test.divide", set={"a": 1, "b": 0}, on_error=OnError("default", default))},
        q="d.quotient",
        r="d.remainder",
    )
    assert play(engine, workflow).outputs == outputs


def test_a_default_has_the_type_of_the_output(engine):
    workflow = drawn(
        {
            "p": box("test.fail_text", on_error=OnError("default", 3)),
            "u": box("test.upper", {"text": "p.text"}),
        },
        o="p.text",
        u="u.text",
    )
    assert play(engine, workflow).outputs == {"o": "3", "u": "3"}


@pytest.mark.parametrize("kind", FAILING)
def test_a_routed_error_lights_a_branch_of_its_own(engine, kind):
    workflow = drawn(
        {
            "f": box(kind, set={"how": "hopeless"}, on_error=OnError("route")),
            "after": box("test.double", {"x": "f.number"}),
            "sorry": box("test.same", {"value": "f.error"}),
            "either": box("test.merge", {"values": ["after.number", "sorry.any"]}),
        },
        o="either.any",
    )
    played = play(engine, workflow)
    assert played.result.status == "done"
    assert played.outputs["o"] == {"error": "ServiceError", "message": "there is no such page", "node": "f"}
    assert played.states["after"] == "skipped"


@pytest.mark.parametrize("kind", ["test.double", "test.aside", "test.block"])
def test_a_routed_error_is_not_lit_when_all_goes_well(engine, kind):
    workflow = drawn(
        {
            "d": box(kind, set={"x": 2}, on_error=OnError("route")),
            "sorry": box("test.same", {"value": "d.error"}),
            "either": box("test.merge", {"values": ["sorry.any", "d.number"]}),
        },
        o="either.any",
    )
    for _ in range(2):
        played = play(engine, workflow)
        assert played.outputs == {"o": 4}
        assert played.states["sorry"] == "skipped"


def test_a_missing_grant_stops_the_run_whatever_on_error_says(engine):
    for on_error in (OnError("skip"), OnError("default", 1), OnError("route")):
        played = play(engine, drawn({"f": box("test.fail", set={"how": "permission"}, on_error=on_error)}))
        assert played.result.status == "failed"
        assert failed(played).action == "stop"
        assert "--allow net=example.org" in str(failed(played).hint)


@pytest.mark.parametrize("kind", ["test.flaky", "test.flaky_aside"])
@pytest.mark.parametrize("times, status", [(-1, "failed"), (0, "failed"), (1, "failed"), (2, "done"), (5, "done")])
def test_a_node_is_tried_again_as_often_as_it_says(engine, kind, times, status):
    workflow = drawn({"f": box(kind, set={"x": 7}, retry=Retry(times, 0))}, o="f.number")
    played = play(engine, workflow)
    assert played.result.status == status
    assert CALLS["test.flaky"] == max(0, min(times, 2)) + 1
    retries = played.of(e.NodeRetrying)
    assert [(one.attempt, one.message) for one in retries] == [(n + 1, "not yet") for n in range(min(times, 2))]
    assert played.view.nodes["f"].attempts == max(0, min(times, 2)) + 1
    assert len(played.of(e.NodeStarted)) == 1


def test_the_wait_before_each_attempt_grows_by_the_backoff(engine):
    node = box("test.flaky", set={"x": 7, "times": 3}, retry=Retry(3, 0.02, 2))
    began = time.perf_counter()
    played = play(engine, drawn({"f": node}))
    assert [one.wait for one in played.of(e.NodeRetrying)] == pytest.approx([0.02, 0.04, 0.08])
    assert time.perf_counter() - began >= 0.14


def test_other_nodes_go_on_while_one_waits_to_try_again(engine):
    workflow = drawn(
        {
            "f": box("test.flaky", set={"x": 7, "times": 1}, retry=Retry(1, 0.15)),
            "a": box("test.sleep", set={"x": 1, "seconds": 0.02}),
            "b": box("test.double", {"x": "a.number"}),
        }
    )
    assert [event.node for event in play(engine, workflow).of(e.NodeFinished)] == ["a", "b", "f"]


def test_a_node_that_waits_to_try_again_holds_no_place(engine):
    from phloem.runtime.resources import Resources

    engine.resources = Resources({"net": 1})
    workflow = drawn(
        {
            "f": box("test.flaky_net", set={"label": "f"}, retry=Retry(1, 0.15)),
            "a": box("test.net", set={"seconds": 0.02}),
        }
    )
    assert [event.node for event in play(engine, workflow).of(e.NodeFinished)] == ["a", "f"]


@pytest.mark.parametrize("kind", FAILING)
@pytest.mark.parametrize(
    "how, attempts",
    [("service", 3), ("crash", 3), ("hopeless", 1), ("input", 1), ("setting", 1), ("permission", 1)],
)
def test_what_would_only_fail_again_is_not_tried_again(engine, kind, how, attempts):
    play(engine, drawn({"f": box(kind, set={"how": how}, retry=Retry(2, 0))}))
    assert CALLS[kind] == attempts


@pytest.mark.parametrize("kind", ["test.sleep", "test.block", "test.spin"])
def test_a_node_may_take_so_long_and_no_longer(engine, kind):
    slow = drawn({"s": box(kind, set={"x": 1, "seconds": 1}, timeout=0.05)}, o="s.number")
    played = play(engine, slow)
    assert played.result.seconds < 0.8
    assert failed(played).error == "NodeTimeout"
    assert failed(played).message == "it took longer than 0.05 s"
    quick = drawn({"s": box(kind, set={"x": 1, "seconds": 0.001}, timeout=5)}, o="s.number")
    assert play(engine, quick).result.status == "done"


def test_each_attempt_has_its_own_time(engine):
    workflow = drawn({"s": box("test.sleep", set={"x": 1, "seconds": 0.2}, timeout=0.03, retry=Retry(2, 0))})
    played = play(engine, workflow)
    assert type(played.result.failures["s"]) is NodeTimeout
    assert CALLS["test.sleep"] == 3


def test_each_item_has_its_own_time(engine):
    workflow = drawn(
        {
            "n": box("test.numbers", set={"n": 100}),
            "s": box("test.sleep", {"x": "n.number"}, {"seconds": 0.02}, timeout=5),
        },
        o="s.number",
    )
    assert play(engine, workflow).outputs["o"] == list(range(100))


def test_a_stream_that_takes_too_long_is_closed(engine):
    workflow = drawn({"s": box("test.stream", set={"text": "abc", "wait": 0.04}, timeout=0.06)})
    played = play(engine, workflow)
    assert failed(played).error == "NodeTimeout"
    assert "".join(event.text for event in played.of(e.NodeChunk)) == "a"
    assert CALLS["test.stream closed"] == 1


def test_a_timeout_of_the_node_s_own_is_its_own_error(engine):
    assert failed(play(engine, drawn({"f": box("test.own_timeout", timeout=5)}))).error == "NodeCrashed"


def test_a_thread_that_outlived_its_node_is_not_heard_any_more(engine):
    """The events after the end of a node are checked by `play`."""
    workflow = drawn(
        {
            "l": box("test.lingering", set={"seconds": 0.1}, timeout=0.02, on_error=OnError("skip")),
            "s": box("test.sleep", set={"x": 1, "seconds": 0.2}),
        }
    )
    assert play(engine, workflow).states == {"l": "failed", "s": "done"}


def test_a_stamp_with_a_bug_fails_its_node_only(engine):
    workflow = drawn({"m": box("test.misstamped", set={"x": 1}), "ok": box("test.numbers")}, ok="ok.number")
    played = play(engine, workflow)
    assert failed(played).error == "NodeCrashed"
    assert "KeyError" in failed(played).message
    assert played.outputs == {"ok": [0, 1, 2]}


def test_an_input_error_says_which_input_of_the_workflow(engine):
    from phloem.runtime.errors import CheckError

    with pytest.raises(CheckError, match="input n: expected number, got text: x"):
        play(engine, drawn({}, {"n": given("number")}, o="input.n"), {"n": "x"})


@pytest.mark.parametrize(
    "links, inputs, message",
    [
        ({"size": "input.n"}, {"n": 11}, "the value of size is 11; the most is 10"),
        ({"size": "input.n"}, {"n": 0}, "the value of size is 0; the least is 1"),
        ({"by": "input.t"}, {"t": "word"}, "the value of by is word; it can be letters or words. Did you mean words?"),
        ({"size": "input.ns"}, {"ns": [3, 99]}, "item 2: the value of size is 99; the most is 10"),
    ],
)
def test_a_linked_value_keeps_to_the_bounds_of_its_setting_too(engine, links, inputs, message):
    types = {"n": "number", "t": "text", "ns": "list[number]"}
    workflow = drawn(
        {"s": box("test.strict@3", links, {"text": "some words"})},
        {name: given(types[name]) for name in inputs},
        o="s.text",
    )
    assert failed(play(engine, workflow, inputs)).message == message
    good = {"n": 4, "t": "words", "ns": [4, 4]}
    played = play(engine, workflow, {name: good[name] for name in inputs})
    assert played.outputs["o"] in ("some", "some words", ["some", "some"])
