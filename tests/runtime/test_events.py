"""Events: what a run says, in which order, and how it is written down and read back."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from phloem.runtime import events as e
from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message
from support.kinds_for_tests import ODD, odd_value
from support.playing import box, drawn, play
from support.values import json_values, link_values

PREVIEWS = st.builds(e.Preview, st.text(max_size=5), st.text(max_size=5), st.integers(0, 10))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "run": st.text(min_size=1, max_size=4), "seq": st.integers(0, 5), "seed": st.integers(0, 5), "at": st.floats(0, 1e10), "title": st.text(max_size=4),
    "nodes": st.lists(st.sampled_from(["a", "b", "each/3/read"]), unique=True), "node": st.sampled_from(["a", "b", "each/3/read"]),
    "fraction": st.none() | st.floats(0, 1), "message": st.text(max_size=4), "port": st.sampled_from(["p", "q"]),
    "text": st.text(max_size=4), "item": st.none() | st.integers(0, 3), "seconds": st.floats(0, 10), "cached": st.booleans(),
    "tokens_in": st.integers(0, 9), "tokens_out": st.integers(0, 9), "error": st.text(max_size=4),
    "hint": st.none() | st.text(max_size=4), "action": st.sampled_from(["stop", "skip", "default", "route"]),
    "because": st.text(max_size=4), "attempt": st.integers(1, 3), "wait": st.floats(0, 3), "waits_for": st.text(max_size=4),
    "status": st.sampled_from(["done", "failed", "limited", "cancelled", "waiting"]), "money": st.floats(0, 9), "model": st.text(max_size=4),
    "until": st.none() | st.floats(0, 1e10), "resumed": st.booleans(), "asks": st.text(max_size=4), "takes": st.sampled_from(["", "text", "boolean"]),
    "choices": st.lists(st.text(max_size=3), max_size=2),
}  # fmt: skip
TYPES = [
    e.RunStarted, e.NodeStarted, e.NodeProgress, e.NodeChunk, e.NodePrompt, e.NodeFinished, e.NodeFailed, e.NodeSkipped, e.NodeRetrying,
    e.NodeWaiting, e.RunFinished,
]  # fmt: skip


def an_event() -> st.SearchStrategy[e.Event]:
    """Any event with any fields."""
    outputs = {
        e.NodeFinished: st.dictionaries(st.sampled_from(["p", "q"]), PREVIEWS),
        e.RunFinished: st.dictionaries(
            st.text(max_size=3), json_values(3).filter(lambda value: "nan" not in repr(value))
        ),
    }
    return st.one_of(
        st.builds(cls, **{one.name: outputs[cls] if one.name == "outputs" else FIELDS[one.name] for one in fields(cls)})
        for cls in TYPES
    )


@for_all(an_event())
def test_an_event_comes_back_from_its_json_as_it_was(event):
    data = e.to_json(event)
    assert data["type"] == type(event).__name__
    assert list(data)[:4] == ["run", "seq", "at", "type"]
    assert e.from_json(json.loads(json.dumps(data))) == event
    assert e.from_json({**data, "new in a later version": 1}) == event


@pytest.mark.parametrize(
    "data",
    [
        {}, {"type": "Nothing"}, {"type": "NodeStarted"}, {"type": ["NodeStarted"]}, {"type": "Event", "run": "", "seq": 0, "at": 0},
        {"type": "NodeFinished", "run": "", "seq": 0, "at": 0, "node": "a", "seconds": 0},
        {"type": "NodeFinished", "run": "", "seq": 0, "at": 0, "node": "a", "seconds": 0, "outputs": []},
        {"type": "NodeFinished", "run": "", "seq": 0, "at": 0, "node": "a", "seconds": 0, "outputs": {"p": {}}},
        {"type": "NodeFinished", "run": "", "seq": 0, "at": 0, "node": "a", "seconds": 0, "outputs": {"p": 5}},
    ],
)  # fmt: skip
def test_what_is_not_an_event_is_refused(data):
    with pytest.raises(ValueError, match=r"is not an event|lacks a field"):
        e.from_json(data)


STORY = drawn(
    {
        "n": box("test.numbers"),
        "stream": box("test.stream", set={"text": "hello"}),
        "aside": box("test.aside", {"x": "n.number"}),
        "report": box("test.reporting"),
        "bad": box("test.fail", {"x": "report.text"}),
        "after": box("test.double", {"x": "bad.number"}),
    },
    text="stream.text",
    after="after.number",
)


def test_a_run_is_told_from_its_start_to_its_end(engine):
    """`play` checks the numbering, the one end of each node, and that nothing comes before a start or after an end."""
    played = play(engine, STORY)
    first, last = played.events[0], played.events[-1]
    assert first.title == "test"
    assert set(first.nodes) == set(STORY.nodes)
    assert last.outputs == {"text": "hello", "after": None}
    assert last.status == "failed"
    assert [event.at for event in played.events] == sorted(event.at for event in played.events)
    (finished,) = [event for event in played.of(e.NodeFinished) if event.node == "n"]
    assert finished.outputs == {"number": e.Preview("list", "[0, 1, 2]", 3)}
    json.dumps([e.to_json(event) for event in played.events])


@pytest.mark.parametrize("node, port", [("stream", "text"), ("report", "text")])
def test_the_pieces_of_a_stream_make_its_output(engine, node, port):
    played = play(engine, STORY)
    pieces = [event for event in played.of(e.NodeChunk) if event.node == node]
    assert len(pieces) > 1
    assert {(piece.port, piece.item) for piece in pieces} == {(port, None)}
    (finished,) = [event for event in played.of(e.NodeFinished) if event.node == node]
    assert finished.outputs[port].text == "".join(piece.text for piece in pieces)


def test_the_pieces_of_a_mapped_stream_name_their_item(engine):
    workflow = drawn(
        {"w": box("test.words", set={"text": "abc de f"}), "s": box("test.stream", {"text": "w.text"})}, o="s.text"
    )
    played = play(engine, workflow)
    texts = ["", "", ""]
    for piece in played.of(e.NodeChunk):
        texts[piece.item] += piece.text
    assert texts == played.outputs["o"] == ["abc", "de", "f"]


def test_a_stream_of_other_things_than_text_becomes_a_list(engine):
    played = play(engine, drawn({"p": box("test.pieces", set={"n": 4})}, o="p.squares"))
    assert played.outputs == {"o": [0, 1, 4, 9]}
    assert not played.of(e.NodeChunk)


def test_progress_from_a_thread_comes_in_order_and_before_the_end(engine):
    played = play(engine, drawn({"r": box("test.reporting", set={"steps": 5})}, o="r.text"))
    progress = played.of(e.NodeProgress)
    assert [(one.fraction, one.message) for one in progress] == [
        *[((step + 1) / 5, f"step {step + 1}") for step in range(5)],
        (None, "nearly there"),
    ]
    (finished,) = played.of(e.NodeFinished)
    assert (finished.tokens_in, finished.tokens_out) == (3, 5)


def test_tokens_of_all_items_are_added_up_and_kept_with_the_results(engine):
    workflow = drawn({"n": box("test.numbers", set={"n": 3}), "r": box("test.reporting", {"steps": "n.number"})})
    for cached in (False, True):
        (finished,) = [event for event in play(engine, workflow).of(e.NodeFinished) if event.node == "r"]
        assert (finished.cached, finished.tokens_in, finished.tokens_out) == (cached, 9, 3)


def test_the_time_of_a_node_is_its_own(engine):
    """The second waits for the first to leave its place; that is not its own time."""
    from phloem.runtime.resources import Resources

    engine.resources = Resources({"net": 1})
    workflow = drawn({"a": box("test.net", set={"seconds": 0.5}), "b": box("test.net", set={"seconds": 0.01, "x": 1})})
    own = {event.node: event.seconds for event in play(engine, workflow).of(e.NodeFinished)}
    assert own["a"] >= 0.49
    assert own["b"] < 0.4


def test_listeners_hear_what_iterators_see_from_when_they_begin(engine):
    heard: list[e.Event] = []
    played = play(engine, STORY, watch=lambda run, event: heard.append(event))
    assert heard == played.events


def test_events_come_in_batches_that_are_never_empty(engine):
    async def batches():
        run = engine.start(STORY)
        found = [batch async for batch in run.batches()]
        assert (await run.result()).status == "failed"
        return found

    found = asyncio.run(batches())
    assert all(found)
    assert [event.seq for batch in found for event in batch] == list(range(sum(map(len, found))))


def test_events_may_be_read_while_somebody_waits_for_the_result_and_afterwards(engine):
    async def both(read_first: bool):
        run = engine.start(drawn({"s": box("test.sleep", set={"x": 1, "seconds": 0.03})}))

        async def read():
            return [event async for event in run]

        if not read_first:
            await run.result()
            return await read()
        reading = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        await run.result()
        return await reading

    for read_first in (True, False):
        events = asyncio.run(both(read_first))
        assert isinstance(events[-1], e.RunFinished)
        assert events[0].seq == 0


def test_a_run_may_keep_no_events(engine):
    async def silent():
        run = engine.start(STORY)
        run.discard_events()
        result = await run.result()
        return result, [event async for event in run]

    result, events = asyncio.run(silent())
    assert (result.status, events) == ("failed", [])


def test_a_listener_with_a_bug_does_not_take_the_run_with_it(engine):
    complaints = []

    async def broken():
        asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
        run = engine.start(drawn({"d": box("test.aside", set={"x": 2})}, o="d.number"))
        run.subscribe(lambda event: 1 / 0)
        heard = []
        run.subscribe(heard.append)
        return await run.result(), heard

    result, heard = asyncio.run(broken())
    assert result.outputs == {"o": 4}
    assert len(heard) == 4
    assert len(complaints) == 4
    assert {type(one["exception"]) for one in complaints} == {ZeroDivisionError}


# ---- Previews


@pytest.mark.parametrize(
    "value, type, text, size",
    [
        ("abc", "text", "abc", 3), ("x" * 300, "text", "x" * 200, 300), (3, "number", "3", 1), (2.5, "number", "2.5", 1),
        (True, "boolean", "true", 1), (None, "json", "null", 0), (UNLIT, "unlit", "", 0), ([], "list", "[]", 0),
        ([1, "a", None], "list", '[1, "a", null]', 3), ({"a": [1, True]}, "json", '{"a": [1, true]}', 1),
        (Document("abc"), "document", "abc", 3), (Hit("abc", 1), "hit", "abc", 3), (Message("user", "abc"), "message", "abc", 3),
        (Blob(b"abcd", "n.png"), "file", "n.png", 4), (Blob(b"abcd"), "file", "application/octet-stream", 4),
        (Collection("books", "m"), "collection", "books", 1), (b"abcd", "bytes", "4 bytes", 4), ({1, 2}, "set", "<set>", 2),
        ([Document("abc")], "list", "[abc]", 1), ((1, 2), "list", "[1, 2]", 2), pytest.param(10**6000, "number", "an integer of 19,932 bits", 1, id="huge"),
        ([-0.0, 1e300], "list", "[-0.0, 1e+300]", 2),
    ],
)  # fmt: skip
def test_a_preview_is_the_beginning_of_a_value(value, type, text, size):
    assert e.preview(value) == e.Preview(type, text, size)


@for_all(link_values(), st.integers(30, 250))
def test_a_preview_is_never_longer_than_asked(value, length):
    shown = e.preview(value, length)
    assert len(shown.text) <= length
    assert shown.size >= 0


@pytest.mark.slow
@pytest.mark.parametrize("what", ODD)
def test_a_preview_of_the_oddest_value_is_short_and_quick(what):
    value = odd_value(what)
    began = time.perf_counter()
    shown = e.preview(value)
    assert time.perf_counter() - began < 1, "some milliseconds"
    assert len(shown.text) <= 200
    assert shown.type


@pytest.mark.slow
def test_a_preview_costs_the_same_however_large_the_value_is():
    def cost(value: Any) -> float:
        best = 1.0
        for _ in range(20):
            began = time.perf_counter()
            e.preview(value)
            best = min(best, time.perf_counter() - began)
        return best

    for small, large in (
        ("x" * 1000, "x" * 50_000_000),
        ([1] * 1000, [1] * 5_000_000),
        (dict.fromkeys(range(1000)), dict.fromkeys(range(1_000_000))),
        ([["x" * 300] * 3], [["x" * 30_000_000] * 1000]),
        ({"k" * 300: 1}, {"k" * 30_000_000: 1}),
    ):
        assert cost(large) < 20 * cost(small) + 1e-5, "not a thousand times more"
    assert sys.getrecursionlimit() >= 1000
