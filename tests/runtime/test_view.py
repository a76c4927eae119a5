"""What a screen shows is a fold of the events, wherever they come from."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from phloem.runtime import events as e
from phloem.runtime.view import TEXT_KEPT, RunView, fold
from phloem.runtime.workflow import OnError, Retry
from support.loops import drawings
from support.playing import box, drawn, play

STORY = drawn(
    {
        "n": box("test.numbers"),
        "stream": box("test.stream", set={"text": "hello"}),
        "report": box("test.reporting"),
        "bad": box("test.fail", on_error=OnError("skip")),
        "after": box("test.double", {"x": "bad.number"}),
        "flaky": box("test.flaky", set={"x": 1, "times": 2}, retry=Retry(3, 0)),
        "off": box("test.numbers", disabled=True),
    },
    text="stream.text",
)


def replayed(events: list[e.Event]) -> list[e.Event]:
    """The events as somebody reads them from a log."""
    return [e.from_json(json.loads(json.dumps(e.to_json(event)))) for event in events]


def test_a_node_that_goes_on_shows_no_more_what_it_waited_for():
    view = fold([e.RunStarted("r", 0, 0.0, "test", ["n"]), e.NodeStarted("r", 1, 0.0, "n")])
    for seq, pause in enumerate(
        [e.NodeWaiting("r", 2, 0.0, "n", "a grant: net"), e.NodeRetrying("r", 4, 0.0, "n", 1, 0.5, "no")]
    ):
        view.apply(pause)
        assert view.nodes["n"].message == ["a grant: net", "no"][seq]
        view.apply(e.NodeProgress("r", pause.seq + 1, 0.0, "n"))
        assert (view.nodes["n"].state, view.nodes["n"].message) == ("running", "")


def test_a_view_shows_how_each_node_stands(engine):
    view = play(engine, STORY).view
    assert {name: node.state for name, node in view.nodes.items()} == {
        "n": "done", "stream": "done", "report": "done", "bad": "failed", "after": "skipped", "flaky": "done", "off": "skipped",
    }  # fmt: skip
    assert (view.title, view.status, view.ended) == ("test", "done", 7)
    assert view.count("done") == 4
    assert view.count("failed", "skipped") == 3
    assert view.outputs == {"text": "hello"}
    assert view.nodes["bad"].message == "the server is away"
    assert view.nodes["after"].message == "bad failed"
    assert view.nodes["flaky"].attempts == 3
    assert view.nodes["stream"].outputs["text"].text == "hello"
    assert view.nodes["report"].tokens_out == 4
    assert view.started > 1e9
    assert view.seconds > 0


def test_a_view_built_live_is_the_fold_of_the_events(engine):
    live = RunView()
    stages = []

    def watch(run, event):
        live.apply(event)
        stages.append((live.status, live.ended))

    played = play(engine, STORY, watch=watch)
    assert live == played.view == fold(replayed(played.events))
    assert stages == sorted(stages, key=lambda stage: stage[1])
    assert stages[0] == ("running", 0)
    assert stages[-1] == ("done", 7)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@for_all(drawings(8))
def test_any_run_replays_to_the_same_view_from_its_log(engine, drawing):
    workflow, _ = drawing
    live = RunView()
    played = play(engine, workflow, watch=lambda run, event: live.apply(event))
    assert live == fold(played.events) == fold(replayed(played.events))


def test_an_event_that_was_applied_already_changes_nothing(engine):
    events = play(engine, STORY).events
    view = RunView()
    for event in events:
        view.apply(event)
        view.apply(event)
    assert view == fold(events)
    for event in events:
        view.apply(event)
    assert view == fold(events), "as when a screen connects again and is told everything once more"


def test_half_a_story_is_a_view_too(engine):
    events = play(engine, STORY).events
    for length in range(len(events) + 1):
        view = fold(events[:length])
        assert view.last == length - 1
        assert view.ended <= 7


def at(cls, *fields, seq=0):
    return cls("r", seq, 1.0, *fields)


def test_a_node_that_streams_shows_its_text_until_it_has_finished():
    events = [
        at(e.RunStarted, "t", ["a"]),
        at(e.NodeStarted, "a", seq=1),
        at(e.NodeChunk, "a", "text", "hel", seq=2),
        at(e.NodeChunk, "a", "text", "lo", seq=3),
    ]
    view = fold(events)
    assert view.nodes["a"].state == "running"
    assert view.nodes["a"].text == {"text": "hello"}
    view.apply(at(e.NodeFinished, "a", {"text": e.Preview("text", "hello", 5)}, 1.0, seq=4))
    assert view.nodes["a"].text == {}


def test_what_an_attempt_streamed_goes_when_the_next_one_begins(engine):
    seen = []
    view = RunView()

    def watch(run, event):
        view.apply(event)
        seen.append(view.nodes["s"].text.get("text"))

    played = play(
        engine, drawn({"s": box("test.stumble", set={"text": "abcd"}, retry=Retry(1, 0))}, o="s.text"), watch=watch
    )
    assert played.outputs == {"o": "abcd"}
    assert "ab" in seen
    assert "abcd" in seen
    assert "ababcd" not in seen


def test_a_node_that_is_tried_again_shows_that_it_runs(engine):
    states = []
    view = RunView()

    def watch(run, event):
        view.apply(event)
        states.append(view.nodes["s"].state)

    play(engine, drawn({"s": box("test.stumble", set={"text": "abcd"}, retry=Retry(1, 0))}, o="s.text"), watch=watch)
    assert [state for before, state in zip([None, *states], states, strict=False) if state != before] == [
        "waiting", "running", "retrying", "running", "done",
    ]  # fmt: skip


def test_a_long_stream_keeps_its_end_only():
    view = fold([at(e.RunStarted, "t", ["a"])])
    for seq in range(1, 40):
        view.apply(at(e.NodeChunk, "a", "text", "x" * 9_999 + str(seq % 10), seq=seq))
    text = view.nodes["a"].text["text"]
    assert len(text) == TEXT_KEPT
    assert text.endswith("9")


def test_progress_keeps_what_it_does_not_say():
    view = fold(
        [
            at(e.RunStarted, "t", ["a"]),
            at(e.NodeProgress, "a", 0.5, "half", seq=1),
            at(e.NodeProgress, "a", None, "more", seq=2),
            at(e.NodeProgress, "a", 0.75, "", seq=3),
        ]
    )
    assert (view.nodes["a"].fraction, view.nodes["a"].message) == (0.75, "more")


def test_a_node_inside_a_nested_workflow_gets_its_place_when_it_is_first_heard_of():
    view = fold([at(e.RunStarted, "t", ["each"]), at(e.NodeStarted, "each/3/read", seq=1)])
    assert list(view.nodes) == ["each"]
    assert view.nodes["each"].inside.now["each/3/read"].state == "running"


def test_waiting_for_a_person_is_shown():
    view = fold([at(e.RunStarted, "t", ["a"]), at(e.NodeWaiting, "a", "your approval", seq=1)])
    assert (view.nodes["a"].state, view.nodes["a"].message) == ("asking", "your approval")


@pytest.mark.parametrize("status", ["done", "failed", "limited", "cancelled"])
def test_the_end_is_shown(status):
    view = fold([at(e.RunStarted, "t", []), at(e.RunFinished, status, {"o": 1}, 2.5, seq=1)])
    assert (view.status, view.outputs, view.seconds) == (status, {"o": 1}, 2.5)
