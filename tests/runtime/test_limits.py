"""Limits on what runs and nodes spend: where they stop, what they say, and what is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from phloem.runtime import events as e
from phloem.runtime.engine import Engine
from phloem.runtime.errors import LimitReached, NodeCrashed
from phloem.runtime.runs import Options
from phloem.runtime.workflow import Limit, OnError, Retry, Workflow
from support import kinds_for_tests
from support.playing import Played, box, drawn, play
from support.spending import Talker, spending_engine


@pytest.fixture
def talking(home) -> Iterator[tuple[Engine, Talker]]:
    kinds_for_tests.CALLS.clear()
    kinds_for_tests.FAILURES.clear()
    engine, talker = spending_engine(home)
    yield engine, talker
    asyncio.run(engine.close())


@pytest.fixture
def engine(talking) -> Engine:
    return talking[0]


@pytest.fixture
def talker(talking) -> Talker:
    return talking[1]


def failed(played: Played) -> e.NodeFailed:
    (only,) = played.of(e.NodeFailed)
    return only


def limited(workflow: Workflow, **words) -> Workflow:
    from dataclasses import replace

    return replace(workflow, limit=Limit(**words))


ASK = {"model": "dear:one", "prompt": "one two three", "max_tokens": 5}
MAY = ["spend=dear", "spend=near", "spend=odd"]


# ---- One node


def test_a_streamed_answer_stops_in_the_middle_and_is_closed(engine, talker):
    workflow = drawn({"a": box("spend.ask", set=ASK, limit=Limit(tokens=5)), "ok": box("test.numbers")}, ok="ok.number")
    played = play(engine, workflow, allow=MAY)
    told = failed(played)
    assert (told.error, told.action) == ("LimitReached", "stop")
    assert told.message == "the node stopped at its limit: 6 of 5 tokens"
    assert told.hint == "Raise the node's `limit`, or give it less to do."
    assert "".join(event.text for event in played.of(e.NodeChunk)) == "0 1 "
    assert talker.closed == 1
    assert (told.tokens_in, told.tokens_out, told.money) == (3, 3, 1.5)
    assert played.result.status == "failed"
    assert (played.result.tokens_in, played.result.tokens_out, played.result.money) == (3, 3, 1.5)
    with pytest.raises(LimitReached):
        played.result.raise_for_failure()


@pytest.mark.parametrize("limit", [Limit(tokens=8), Limit(money=2.0), Limit(tokens=8, money=2.0, seconds=60)])
def test_what_is_just_enough_is_enough(engine, limit):
    played = play(engine, drawn({"a": box("spend.ask", set=ASK, limit=limit)}, o="a.text"), allow=MAY)
    assert played.outputs == {"o": "0 1 2 3 4 "}
    (finished,) = played.of(e.NodeFinished)
    assert (finished.tokens_in, finished.tokens_out, finished.money) == (3, 5, 2.0)


@pytest.mark.parametrize(
    ("action", "states", "output"),
    [
        (OnError("skip"), {"a": "failed", "b": "skipped"}, None),
        (OnError("default", "none"), {"a": "failed", "b": "done"}, "NONE"),
    ],
)
def test_on_error_holds_for_a_node_s_own_limit(engine, action, states, output):
    node = box("spend.ask", set=ASK, limit=Limit(money=1.0), on_error=action)
    played = play(engine, drawn({"a": node, "b": box("test.upper", {"text": "a.text"})}, o="b.text"), allow=MAY)
    assert played.result.status == "done"
    assert played.states == states
    assert played.outputs == {"o": output}
    assert played.result.money == 1.25


def test_a_limit_is_for_all_attempts_and_never_tried_again(engine):
    node = box("spend.tokens", set={"read": 4, "fails": 5}, limit=Limit(tokens=10), retry=Retry(9, 0))
    played = play(engine, drawn({"a": node}))
    assert len(played.of(e.NodeRetrying)) == 2
    assert failed(played).message == "the node stopped at its limit: 12 of 10 tokens"
    assert failed(played).tokens_in == 12


def test_what_failed_attempts_spent_counts(engine):
    node = box("spend.tokens", set={"read": 4, "money": 0.5, "fails": 2}, retry=Retry(2, 0))
    played = play(engine, drawn({"a": node}, o="a.number"))
    (finished,) = played.of(e.NodeFinished)
    assert (finished.tokens_in, finished.money) == (12, 1.5)


def test_a_limit_is_for_all_items_together(engine):
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 9}), "a": box("spend.tokens", {"x": "n.number"}, {"read": 2}, limit=Limit(tokens=11))}
    )  # fmt: skip
    told = failed(play(engine, workflow))
    assert told.message.startswith("the node stopped at its limit: ")
    assert told.tokens_in >= 12


def test_a_node_that_does_not_listen_fails_all_the_same(engine):
    told = failed(play(engine, drawn({"a": box("spend.deaf", limit=Limit(tokens=3))})))
    assert told.message == "the node stopped at its limit: 10 of 3 tokens"


def test_spending_less_than_nothing_is_a_bug_of_the_node(engine):
    played = play(engine, drawn({"a": box("spend.greedy")}))
    assert type(played.result.failures["a"]) is NodeCrashed
    assert played.result.money == 0


@pytest.mark.parametrize("kind", ["test.sleep", "test.block", "test.spin"])
def test_a_node_works_for_as_long_as_it_may(engine, kind):
    node = box(kind, set={"x": 1, "seconds": 30 if kind == "test.sleep" else 0.4}, limit=Limit(seconds=0.05))
    told = failed(play(engine, drawn({"a": node}, o="a.number")))
    assert (told.error, told.message) == ("LimitReached", "the node stopped at its limit: 0.05 s")
    quick = drawn({"a": box(kind, set={"x": 1, "seconds": 0.001}, limit=Limit(seconds=30))}, o="a.number")
    assert play(engine, quick).result.status == "done"


def test_the_seconds_are_those_of_all_items_and_attempts(engine):
    items = drawn(
        {"n": box("test.numbers", set={"n": 500}), "a": box("test.sleep", {"x": "n.number"}, {"seconds": 0.05}, limit=Limit(seconds=0.12))}
    )  # fmt: skip
    assert failed(play(engine, items)).error == "LimitReached"
    attempts = drawn(
        {"a": box("test.flaky", set={"x": 1, "times": 99}, retry=Retry(99, 0.03, 1), limit=Limit(seconds=0.1))}
    )
    told = failed(play(engine, attempts))
    assert told.error == "LimitReached"


@pytest.mark.parametrize("limit", [Limit(seconds=30), Limit(tokens=1)])
@pytest.mark.parametrize("kind", ["test.sleep", "test.double", "spend.tokens"])
def test_a_limit_over_an_empty_list_is_no_trouble(engine, kind, limit):
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 0}), "a": box(kind, {"x": "n.number"}, limit=limit)}, o="a.number"
    )
    assert play(engine, workflow).outputs == {"o": []}


def test_the_time_in_which_a_node_waits_for_its_turn_does_not_count(engine):
    from phloem.runtime.resources import Resources

    engine.resources = Resources({"net": 1})
    nodes = {f"n{i}": box("test.net", set={"seconds": 0.08, "x": i}, limit=Limit(seconds=0.3)) for i in range(6)}
    assert play(engine, drawn(nodes)).result.status == "done"


def test_a_timeout_of_an_attempt_stays_one_beside_a_limit(engine):
    node = box("test.sleep", set={"x": 1, "seconds": 5}, timeout=0.02, limit=Limit(seconds=30))
    assert failed(play(engine, drawn({"a": node}))).error == "NodeTimeout"
    own = box("test.own_timeout", limit=Limit(seconds=30))
    assert failed(play(engine, drawn({"a": own}))).error == "NodeCrashed"


# ---- The run


def test_a_run_stops_at_its_limit_and_keeps_what_had_finished(engine):
    workflow = drawn(
        {
            "first": box("spend.ask", set={**ASK, "model": "near:one"}),
            "second": box("spend.ask", {"prompt": "first.text"}, {**{k: v for k, v in ASK.items() if k != "prompt"}}),
            "slow": box("test.sleep", {"x": "long.number"}, {"seconds": 30}),
            "long": box("test.aside", set={"x": 1}),
            "after": box("test.upper", {"text": "second.text"}),
        },
        o="after.text",
        first="first.text",
    )
    played = play(engine, workflow, allow=MAY, limit=Limit(tokens=14))
    assert played.result.status == played.view.status == "limited"
    assert played.states == {"first": "done", "second": "failed", "slow": "failed", "long": "done", "after": "skipped"}
    assert {event.node: event.action for event in played.of(e.NodeFailed)} == {"second": "limit", "slow": "limit"}
    assert played.outputs == {"o": None, "first": "0 1 2 3 4 "}
    end = played.events[-1]
    assert end.message == "the run stopped at its limit: 15 of 14 tokens"
    assert end.hint == "Raise it, with --limit tokens=…. What has finished is kept, so the next run goes on from there."
    assert (played.view.message, played.view.hint) == (end.message, end.hint)
    assert {node: error.message for node, error in played.result.failures.items()} == {
        "second": end.message, "slow": end.message,
    }  # fmt: skip
    assert (end.tokens_in, end.tokens_out, end.money) == (3 + 5, 5 + 2, 0.25 * 7)
    with pytest.raises(LimitReached, match="15 of 14"):
        played.result.raise_for_failure()
    again = play(engine, workflow, allow=MAY, limit=Limit(tokens=10, seconds=0.3))
    assert again.states["first"] == "cached"
    assert again.states["second"] == "done", "what was kept is not spent again"
    assert again.result.limit is not None
    assert "0.3 s" in again.result.limit.message


@pytest.mark.parametrize("action", [OnError("skip"), OnError("default", "none"), OnError("route")])
def test_on_error_does_not_swallow_the_limit_of_a_run(engine, action):
    workflow = drawn(
        {"a": box("spend.ask", set=ASK, on_error=action), "b": box("test.upper", {"text": "a.text"})}, o="b.text"
    )
    played = play(engine, workflow, allow=MAY, limit=Limit(tokens=4))
    assert played.result.status == "limited"
    assert failed(played).action == "limit"
    assert played.outputs == {"o": None}


def test_of_the_file_s_limit_and_that_of_the_options_the_stricter_holds(engine):
    workflow = drawn({"a": box("spend.ask", set=ASK)})
    loose = play(engine, limited(workflow, tokens=4), allow=MAY, limit=Limit(tokens=100))
    assert "tokens` of the file's `limit`" in loose.events[-1].hint
    strict = play(engine, limited(workflow, tokens=100, money=50.0), allow=MAY, limit=Limit(tokens=4))
    assert "--limit tokens=…" in strict.events[-1].hint
    money = play(engine, limited(workflow, money=1.0), allow=MAY, limit=Limit(tokens=100))
    assert money.events[-1].message == "the run stopped at its limit: $1.25 of $1.00"


def test_a_run_ends_when_its_time_is_up_whatever_it_does(engine):
    nodes = {
        "sleep": box("test.sleep", set={"x": 1, "seconds": 30}),
        "thread": box("test.patient", set={"seconds": 30}),
        "stream": box("test.stream", set={"text": "abcdef" * 99, "wait": 0.01}),
        "retrying": box("test.flaky", set={"x": 1, "times": 99}, retry=Retry(99, 30)),
        "later": box("test.double", {"x": "sleep.number"}),
    }
    began = time.perf_counter()
    played = play(engine, drawn(nodes), limit=Limit(seconds=0.1))
    assert time.perf_counter() - began < 15, "not the 30 seconds of each"
    assert played.result.status == "limited"
    assert played.events[-1].message == "the run stopped at its limit: 0.1 s"
    assert played.states == {**dict.fromkeys(nodes, "failed"), "later": "skipped"}
    assert kinds_for_tests.CALLS["test.stream closed"] == 1


def test_pure_nodes_on_the_loop_stop_too(engine):
    nodes = {"n0": box("test.spin", set={"x": 1, "seconds": 0.004})}
    nodes |= {f"n{i}": box("test.spin", {"x": f"n{i - 1}.number"}, {"seconds": 0.004}) for i in range(1, 500)}
    played = play(engine, drawn(nodes), limit=Limit(seconds=0.1))
    assert played.result.status == "limited"
    assert played.result.failures == {}, "nothing was interrupted"
    assert 1 <= played.view.count("done") < 250
    with pytest.raises(LimitReached):
        played.result.raise_for_failure()


def test_a_run_that_is_done_in_time_is_done(engine):
    played = play(engine, drawn({"a": box("test.aside", set={"x": 1})}, o="a.number"), limit=Limit(60_000, 1.0, 30))
    assert (played.result.status, played.result.limit, played.events[-1].message) == ("done", None, "")


def test_a_thread_that_spends_too_much_stops_the_run(engine):
    workflow = drawn(
        {"a": box("spend.thread", set={"steps": 1000}), "b": box("test.sleep", set={"x": 1, "seconds": 30})}
    )
    played = play(engine, workflow, limit=Limit(tokens=50))
    assert played.result.status == "limited"
    assert played.result.tokens_out == 51


def test_many_nodes_at_once_pass_the_limit_by_no_more_than_a_token_each(engine, talker):
    talker.wait = 0.001
    nodes = {
        f"n{i}": box("spend.ask", set={"model": "near:one", "prompt": f"q {i}", "max_tokens": 10_000}) for i in range(8)
    }
    played = play(engine, drawn(nodes), allow=MAY, limit=Limit(tokens=500))
    spent = played.result.tokens_in + played.result.tokens_out
    assert 500 < spent <= 508
    assert sum(event.tokens_in + event.tokens_out for event in played.of(e.NodeFailed)) == spent
    assert talker.closed == 8


def test_a_run_that_reached_its_limit_and_swallowed_it_stops(engine):
    workflow = drawn({"a": box("spend.deaf", set={"steps": 9}), "b": box("test.sleep", set={"x": 1, "seconds": 30})})
    played = play(engine, workflow, limit=Limit(tokens=3))
    assert played.result.status == "limited"
    assert played.states["b"] == "failed"
    alone = play(engine, drawn({"a": box("spend.deaf", set={"steps": 9})}, o="a.number"), limit=Limit(tokens=3))
    assert (alone.result.status, alone.states) == ("limited", {"a": "done"})
    assert alone.events[-1].message.endswith(" of 3 tokens")


def test_cancelling_first_is_cancelling(engine):
    def cancel(run, event) -> None:
        if isinstance(event, e.NodeStarted):
            run.cancel()

    workflow = drawn({"a": box("test.sleep", set={"x": 1, "seconds": 30})})
    assert play(engine, workflow, watch=cancel, limit=Limit(seconds=20)).result.status == "cancelled"


# ---- Before anything is sent


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (Limit(tokens=2), "the prompt has 3 tokens, and 2 of 2 are left"),
        (Limit(money=0.5), "to read the prompt costs $0.75, and $0.50 of $0.50 are left"),
    ],
)
@pytest.mark.parametrize("kind", ["spend.ask", "spend.embed"])
def test_a_prompt_that_would_pass_a_limit_is_not_sent(engine, talker, limit, message, kind):
    given = {"text": ASK["prompt"], "model": ASK["model"]} if kind == "spend.embed" else ASK
    of_node = play(engine, drawn({"a": box(kind, set=given, limit=limit)}), allow=MAY)
    assert failed(of_node).message == f"the node stopped before its limit: {message}"
    of_run = play(engine, drawn({"a": box(kind, set=given)}), allow=MAY, limit=limit)
    assert of_run.events[-1].message == f"the run stopped before its limit: {message}"
    assert of_run.result.status == "limited"
    assert talker.asked == []


def test_money_is_not_spent_at_an_unknown_price_where_money_is_limited(engine, talker):
    workflow = drawn({"a": box("spend.ask", set={**ASK, "model": "odd:one"})})
    played = play(engine, workflow, allow=MAY, limit=Limit(money=5.0))
    assert failed(played).message == "nobody knows what the model costs, so the run could not keep its limit of $5.00"
    assert "prices" in str(failed(played).hint)
    assert talker.asked == []
    assert play(engine, workflow, allow=MAY, limit=Limit(tokens=50)).result.status == "done"


# ---- What is told


def test_what_came_from_the_cache_costs_nothing_again(engine):
    workflow = drawn({"a": box("spend.ask", set=ASK)}, o="a.text")
    first, second = (play(engine, workflow, allow=MAY) for _ in range(2))
    for played, cached in ((first, False), (second, True)):
        (finished,) = played.of(e.NodeFinished)
        assert (finished.cached, finished.tokens_in, finished.tokens_out, finished.money) == (cached, 3, 5, 2.0)
        node = played.view.nodes["a"]
        assert (node.tokens_in, node.tokens_out, node.money) == (3, 5, 2.0)
    for totals in (first.view, first.result, first.events[-1]):
        assert (totals.tokens_in, totals.tokens_out, totals.money) == (3, 5, 2.0)
    for totals in (second.view, second.result, second.events[-1]):
        assert (totals.tokens_in, totals.tokens_out, totals.money) == (0, 0, 0.0)


def test_the_view_adds_up_while_the_run_goes_on(engine):
    seen = []

    def watch(run, event) -> None:
        view.apply(event)
        seen.append((view.tokens_in, view.money))

    from phloem.runtime.view import RunView

    view = RunView()
    nodes = {
        "a": box("spend.tokens", set={"read": 1, "money": 0.5}),
        "b": box("spend.tokens", {"x": "a.number"}, {"read": 2}),
    }
    play(engine, drawn(nodes), watch=watch)
    assert list(dict.fromkeys(seen)) == [(0, 0.0), (1, 0.5), (3, 0.5)]


def test_of_items_that_were_kept_in_part_only_the_others_are_counted(engine):
    def asked(*prompts: str) -> Played:
        nodes = {
            "w": box("test.words", set={"text": " ".join(prompts)}),
            "a": box("spend.ask", {"prompt": "w.text"}, {"model": "dear:one"}),
        }
        return play(engine, drawn(nodes), allow=MAY)

    assert asked("one", "two").result.tokens_out == 8
    mixed = asked("one", "two", "three")
    (finished,) = [event for event in mixed.of(e.NodeFinished) if event.node == "a"]
    assert (finished.cached, finished.tokens_out, finished.money) == (False, 4, 1.25)
    assert mixed.view.tokens_out == mixed.result.tokens_out == 4


# ---- The exact text


def test_prompts_are_told_only_when_they_are_asked_for(engine):
    nodes = {
        "w": box("test.words", set={"text": "one two"}),
        "a": box("spend.ask", {"prompt": "w.text"}, {"model": "near:one"}),
        "b": box("spend.ask", set=ASK),
    }
    workflow = drawn(nodes)
    assert play(engine, workflow, allow=MAY, cache=False).of(e.NodePrompt) == []
    played = play(engine, workflow, allow=MAY, cache=False, prompts=True)
    told = {(one.node, one.item, one.model, one.text) for one in played.of(e.NodePrompt)}
    assert told == {
        ("a", 0, "near:one", "<|user|>one<|end|>"),
        ("a", 1, "near:one", "<|user|>two<|end|>"),
        ("b", None, "dear:one", "<|user|>one two three<|end|>"),
    }
    assert played.view.nodes["b"].prompt == "<|user|>one two three<|end|>"


def test_a_prompt_is_told_whole(engine):
    long = "word " * 50_000
    workflow = drawn({"a": box("spend.ask", set={"model": "near:one", "prompt": long})})
    (told,) = play(engine, workflow, allow=MAY, prompts=True).of(e.NodePrompt)
    assert told.text == f"<|user|>{long}<|end|>"


def test_a_run_that_only_tells_its_prompts_is_not_another(engine):
    """The cache does not look at it: what was kept is not sent again, so there is nothing to tell."""
    workflow = drawn({"a": box("spend.ask", set=ASK)})
    play(engine, workflow, allow=MAY)
    again = play(engine, workflow, allow=MAY, prompts=True)
    assert again.states == {"a": "cached"}
    assert again.of(e.NodePrompt) == []


def test_options_without_a_limit_have_none():
    assert Options().limit == Limit()
    assert not Options().prompts
