"""Workflows inside nodes: what goes in and comes out, how they fail, end and are told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from phloem.nodes import flow
from phloem.runtime import events as e
from phloem.runtime import parse
from phloem.runtime.context import Context
from phloem.runtime.declare import kind_of, kinds_in, node
from phloem.runtime.errors import CheckError, PermissionNeeded, ServiceError
from phloem.runtime.kinds import Nesting
from phloem.runtime.values import UNLIT
from phloem.runtime.workflow import Limit, OnError, Retry, Workflow
from support.kinds_for_tests import CALLS
from support.nests import nests
from support.playing import Played, box, drawn, given, play


@pytest.fixture
def engine(engine):
    for kind in kinds_in(flow):
        engine.catalogue.add(kind)
    return engine


def body(nodes, inputs=None, **outputs: str) -> Workflow:
    return replace(drawn(nodes, inputs, **outputs), title="")


def nested(kind: str, do: Workflow, links=None, set=None, **rest):
    return box(f"flow.{kind}", links, set, do=do, **rest)


def doubles(kind: str = "test.double") -> Workflow:
    return body({"twice": box(kind, {"x": "input.item"})}, out="twice.number")


def each(do: Workflow, set=None, links=None, **rest) -> Workflow:
    """A workflow that runs `do` for the items of its input `items`."""
    names = {name: f"each.{name}" for name in do.outputs}
    if (set or {}).get("on_item_error") == "collect":
        names["errors"] = "each.errors"
    return drawn(
        {"each": nested("each", do, {"items": "input.items", **(links or {})}, set, **rest)},
        {"items": given("list[number]"), "more": given("number", 7)},
        **names,
    )


def problems(engine, workflow) -> str:
    with pytest.raises(CheckError) as caught:
        engine.plan(workflow)
    return str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@for_all(nests())
def test_any_nested_workflow_gives_what_a_plain_interpreter_gives(engine, drawing):
    wanted = {name: None if value is UNLIT else value for name, value in drawing.run({}).items()}
    assert play(engine, drawing.workflow).outputs == wanted
    calls = CALLS.copy()
    again = play(engine, drawing.workflow)
    assert again.outputs == wanted
    assert calls == CALLS, "nothing ran a second time"
    assert play(engine, drawing.workflow, cache=False).outputs == wanted


@pytest.mark.parametrize("kind", ["test.double", "test.aside", "test.block"])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_outputs_of_each_stand_in_the_order_of_its_items(engine, kind, concurrency):
    items = list(range(20))
    played = play(engine, each(doubles(kind), {"concurrency": concurrency}), {"items": items}, cache=False)
    assert played.outputs == {"out": [2 * item for item in items]}
    told = [event.node for event in played.of(e.NodeFinished)]
    assert sorted(told) == sorted(["each", *(f"each/{index}/twice" for index in items)])


def test_each_over_nothing_gives_nothing(engine):
    assert play(engine, each(doubles()), {"items": []}).outputs == {"out": []}


def test_no_more_items_are_worked_on_at_once_than_was_said(engine):
    do = body({"net": box("test.net", {"x": "input.item"})}, out="net.number")
    play(engine, each(do, {"concurrency": 3}), {"items": list(range(9))})
    assert CALLS["test.net most"] == 3


def test_a_body_gets_the_item_its_index_and_what_it_uses_of_the_rest(engine):
    do = body(
        {
            "a": box("test.subtract", {"a": "input.item", "b": "input.index"}),
            "b": box("test.add", {"a": "a.number", "b": "input.more"}),
        },
        out="b.number",
        same="input.item",
    )
    workflow = each(do, links={"more": "input.more"})
    assert play(engine, workflow, {"items": [5, 5, 5]}).outputs == {"out": [12, 11, 10], "same": [5, 5, 5]}
    assert str(engine.check(workflow).nodes["each"].inputs["more"].type) == "number"


def test_what_a_body_declares_has_a_type_and_a_value(engine):
    do = body(
        {"b": box("test.add", {"a": "input.item", "b": "input.plus"})},
        {"item": given("number"), "plus": given("number", 10)},
        out="b.number",
    )
    workflow = drawn({"each": nested("each", do, {"items": "input.x"})}, {"x": given("list[json]")}, o="each.out")
    assert play(engine, workflow, {"x": [1, 2]}).outputs == {"o": [11, 12]}
    played = play(engine, workflow, {"x": [1, "two"]})
    assert played.result.failures["each"].message == "item 2: item: expected number, got text: two"
    with_link = drawn(
        {"each": nested("each", do, {"items": "input.x", "plus": "input.p"})},
        {"x": given("list[number]"), "p": given("number", 100)},
        o="each.out",
    )
    assert play(engine, with_link, {"x": [1]}).outputs == {"o": [101]}


def test_a_list_into_another_input_runs_the_whole_node_once_per_item(engine):
    do = body({"b": box("test.add", {"a": "input.item", "b": "input.plus"})}, {"plus": given("number")}, out="b.number")
    workflow = drawn(
        {"each": nested("each", do, {"items": "input.x", "plus": "input.p"})},
        {"x": given("list[number]"), "p": given("list[number]")},
        o="each.out",
    )
    played = play(engine, workflow, {"x": [1, 2], "p": [10, 20]}, cache=False)
    assert played.outputs == {"o": [[11, 12], [21, 22]]}
    assert "each/1/0/b" in [event.node for event in played.of(e.NodeFinished)]


@pytest.mark.parametrize("kind", ["test.picky", "test.picky_aside"])
def test_a_failing_item_stops_is_skipped_or_is_collected(engine, kind):
    do = body({"picky": box(kind, {"x": "input.item"}, {"bad": [2, 4]})}, out="picky.number")
    items = {"items": [1, 2, 3, 4, 5]}
    played = play(engine, each(do, {"concurrency": 1}), items, cache=False)
    assert (played.result.status, played.outputs) == ("failed", {"out": None})
    assert [(event.node, event.message) for event in played.of(e.NodeFailed)] == [
        ("each/1/picky", "2 is bad"),
        ("each", "item 2: picky: 2 is bad"),
    ]
    assert list(played.result.failures) == ["each"]
    played = play(engine, each(do, {"on_item_error": "skip"}), items, cache=False)
    assert (played.result.status, played.outputs) == ("done", {"out": [2, 6, 10]})
    played = play(engine, each(do, {"on_item_error": "collect"}), items, cache=False)
    error = {"error": "InputError", "message": "picky: 2 is bad"}
    assert played.outputs["out"] == [2, 6, 10]
    assert played.outputs["errors"][0] == {"index": 1, **error, "node": "each/1/picky"}
    assert [one["index"] for one in played.outputs["errors"]] == [1, 3]


def test_failures_are_tried_and_told_again_in_the_next_run(engine):
    do = body({"picky": box("test.picky", {"x": "input.item"}, {"bad": [2]})}, out="picky.number")
    workflow = each(do, {"on_item_error": "skip"})
    for _ in range(2):
        assert len(play(engine, workflow, {"items": [1, 2]}).of(e.NodeFailed)) == 1


def test_items_under_way_are_finished_when_another_has_failed(engine):
    do = body(
        {
            "picky": box("test.picky_aside", {"x": "input.item"}, {"bad": [1]}),
            "late": box("test.sleep", {"x": "picky.number"}, {"seconds": 0.05}),
        },
        out="late.number",
    )
    played = play(engine, each(do, {"concurrency": 2}), {"items": [0, 1, 2, 3]}, cache=False)
    assert played.result.status == "failed"
    finished = [event.node for event in played.of(e.NodeFinished)]
    assert "each/0/late" in finished
    assert not [name for name in finished if name.startswith(("each/2", "each/3"))]


def test_what_an_item_did_not_light_is_left_out(engine):
    do = body(
        {
            "is": box("test.positive", {"x": "input.item"}),
            "way": box("flow.if", {"value": "input.item", "when": "is.boolean"}),
            "off": box("test.double", {"x": "input.item"}, disabled=True),
            "join": box("flow.merge", {"values": ["off.number", "way.then"]}),
        },
        then="way.then",
        off="off.number",
        join="join.value",
    )
    assert play(engine, each(do), {"items": [1, -1, 2]}).outputs == {"then": [1, 2], "off": [], "join": [1, 2]}


def test_the_case_that_breaks_other_engines_a_branch_in_a_loop_in_a_join(engine):
    loop = body(
        {
            "is": box("test.positive", {"x": "input.x"}),
            "way": box("flow.if", {"value": "input.x", "when": "is.boolean"}),
            "less": box("test.subtract", {"a": "way.then"}, {"b": 3}),
            "join": box("flow.merge", {"values": ["less.number", "way.else"]}),
        },
        {"x": given("number")},
        x="join.value",
        over="way.else",
    )
    workflow = drawn(
        {
            "is": box("test.positive", {"x": "input.start"}),
            "way": box("flow.if", {"value": "input.start", "when": "is.boolean"}),
            "loop": nested("repeat", loop, {"x": "way.then"}, {"times": 4}),
            "join": box("flow.merge", {"values": ["loop.over", "loop.x", "way.else"]}),
        },
        {"start": given("number")},
        o="join.value",
        turns="loop.turns",
    )
    assert play(engine, workflow, {"start": 7}).outputs == {"o": -2, "turns": 4}
    assert play(engine, workflow, {"start": 70}).outputs == {"o": 58, "turns": 4}
    assert play(engine, workflow, {"start": -7}).outputs == {"o": -7, "turns": None}


REPEAT = body(
    {"more": box("test.double", {"x": "input.x"}), "is": box("test.positive", {"x": "more.number"})},
    {"x": given("number")},
    x="more.number",
    done="is.boolean",
)


def repeat(do: Workflow = REPEAT, **set) -> Workflow:
    names = {name: f"loop.{name}" for name in (*do.outputs, "turns")}
    return drawn({"loop": nested("repeat", do, {"x": "input.x"}, set)}, {"x": given("number")}, **names)


def test_repeat_carries_what_has_the_name_of_an_input(engine):
    played = play(engine, repeat(times=5), {"x": 1}, cache=False)
    assert played.outputs == {"x": 32, "done": True, "turns": 5}
    assert [event.node for event in played.of(e.NodeFinished)][:3] == ["loop/0/more", "loop/0/is", "loop/1/more"]


def test_repeat_ends_when_an_output_is_true(engine):
    assert play(engine, repeat(times=5, until="done"), {"x": 1}).outputs["turns"] == 1
    assert play(engine, repeat(times=3, until="done"), {"x": -1}).outputs == {"x": -8, "done": False, "turns": 3}
    played = play(engine, repeat(times=3, until="done", at_limit="fail"), {"x": -1})
    assert played.result.failures["loop"].message == "after 3 turns done is not true"


def test_a_turn_that_fails_is_named(engine):
    do = body({"a": box("test.picky_aside", {"x": "input.x"}, {"bad": [4]})}, {"x": given("number")}, x="a.number")
    played = play(engine, repeat(do, times=9), {"x": 1})
    assert played.result.failures["loop"].message == "turn 3: a: 4 is bad"
    assert played.result.failures["loop"].node == "loop/2/a"


@pytest.mark.parametrize(
    ("set", "words"),
    [
        ({"until": "doen"}, "the body has no output called doen\n  Did you mean done?"),
        ({"until": "x"}, "the output x gives number, and what decides when to end is true or false"),
        ({"times": 0}, "the value of times is 0; the least is 1"),
        ({"at_limit": "stop"}, "it can be give or fail"),
    ],
)
def test_settings_of_repeat_that_cannot_be(engine, set, words):
    assert words in problems(engine, repeat(**set))


def test_what_is_carried_has_to_fit(engine):
    do = body({"t": box("test.upper", set={"text": "a"})}, {"x": given("number")}, x="t.text")
    assert "the output x gives text, and becomes the input x, which takes number" in problems(engine, repeat(do))


def test_a_group_is_one_box_and_can_catch_what_fails_in_it(engine):
    do = body(
        {"a": box("test.double", {"x": "input.x"}), "b": box("test.picky", {"x": "a.number"}, {"bad": [4]})},
        out="b.number",
    )
    workflow = drawn(
        {
            "try": nested("group", do, {"x": "input.x"}, on_error=OnError("route")),
            "sorry": box("test.gather", {"values": ["try.error"]}),
        },
        {"x": given("number")},
        o="try.out",
        sorry="sorry.json",
    )
    assert play(engine, workflow, {"x": 3}).outputs == {"o": 12, "sorry": None}
    assert play(engine, workflow, {"x": 2}).outputs["sorry"] == [
        {"error": "InputError", "message": "b: 4 is bad", "node": "try"}
    ]


def test_a_node_around_is_tried_again_as_a_whole(engine):
    do = body({"a": box("test.flaky_aside", {"x": "input.x"}, {"label": "g", "times": 1})}, out="a.number")
    workflow = drawn(
        {"try": nested("group", do, {"x": "input.x"}, retry=Retry(1, 0))}, {"x": given("number")}, o="try.out"
    )
    assert _loosely(engine, workflow, {"x": 3}).outputs == {"o": 3}


def _loosely(engine, workflow, inputs) -> Played:
    """As `play`, for a run in which a node inside may end more than once."""

    async def whole() -> Played:
        from phloem.runtime.runs import Options

        run = engine.start(workflow, inputs, Options(cache=False))
        events = [event async for event in run]
        return Played(await run.result(), events)

    return asyncio.run(whole())


def test_a_timeout_around_ends_what_is_inside(engine):
    do = body({"a": box("test.sleep", {"x": "input.item"}, {"seconds": 5})}, out="a.number")
    played = play(engine, each(do, timeout=0.05), {"items": [1, 2]})
    assert played.result.failures["each"].message == "it took longer than 0.05 s"
    skipped = sorted((event.node, event.because) for event in played.of(e.NodeSkipped))
    assert skipped == [(f"each/{at}/a", "the node around it was interrupted") for at in (0, 1)]
    assert played.result.seconds < 2


def test_a_cancel_reaches_the_innermost_at_once(engine):
    inner = body({"a": box("test.sleep", {"x": "input.item"}, {"seconds": 5})}, out="a.number")
    do = body({"inner": nested("each", inner, {"items": "list.number"}), "list": box("test.numbers")}, out="inner.out")

    def watch(run, event):
        if isinstance(event, e.NodeStarted) and event.node == "each/0/inner/2/a":
            run.cancel()

    played = play(engine, each(do), {"items": [1]}, watch=watch)
    assert played.result.status == "cancelled"
    assert played.result.seconds < 2
    assert {event.because for event in played.of(e.NodeSkipped)} == {"the run was cancelled"}
    assert "each/0/inner/2/a" in [event.node for event in played.of(e.NodeSkipped)]


def test_a_light_loop_can_be_cancelled(engine):
    do = body({"spin": box("test.spin", {"x": "input.x"})}, {"x": given("number")}, x="spin.number")

    def watch(run, event):
        if event.seq == 50:
            run.cancel()

    played = play(engine, repeat(do, times=100_000), {"x": 1}, watch=watch)
    assert played.result.status == "cancelled"
    assert played.result.seconds < 5


def test_a_light_loop_lets_others_have_their_turn(engine):
    do = body({"spin": box("test.spin", {"x": "input.x"})}, {"x": given("number")}, x="spin.number")
    workflow = drawn(
        {
            "loop": nested("repeat", do, set={"x": 1, "times": 300}),
            "sleep": box("test.sleep", set={"x": 0, "seconds": 0.02}),
        }
    )
    ends = [event.node for event in play(engine, workflow, cache=False).of(e.NodeFinished)]
    assert ends.index("sleep") < ends.index("loop/250/spin")


def test_a_missing_grant_lets_what_is_under_way_finish_too(engine):
    """Work that was paid for is kept."""
    do = body(
        {
            "is": box("test.positive", {"x": "input.item"}),
            "way": box("flow.if", {"value": "input.item", "when": "is.boolean"}),
            "fail": box("test.fail_aside", {"x": "way.then"}, {"how": "permission"}, on_error=OnError("skip")),
            "late": box("test.sleep", {"x": "way.else"}, {"seconds": 0.05}),
        },
        out="late.number",
    )
    played = play(engine, each(do, {"concurrency": 2, "on_item_error": "skip"}), {"items": [0, 1, 2]}, cache=False)
    assert played.result.failures["each"].message == "item 2: fail: The workflow may not do this."
    assert played.states == {"each": "failed"}
    ended = {event.node for event in played.of(e.NodeFinished)}
    assert "each/0/late" in ended
    assert not [name for name in ended if name.startswith("each/2")]


def test_what_stops_in_a_body_does_not_stop_the_run(engine):
    do = body(
        {
            "picky": box("test.picky_aside", {"x": "input.item"}, {"bad": [1]}),
            "slow": box("test.sleep", {"x": "input.item"}, {"seconds": 0.02}),
            "after": box("test.double", {"x": "slow.number"}),
        },
        out="picky.number",
    )
    played = play(engine, each(do, {"on_item_error": "skip"}), {"items": [1, 2]}, cache=False)
    assert played.outputs == {"out": [4]}
    assert [event.because for event in played.of(e.NodeSkipped)] == ["the body stopped when each/0/picky failed"]


def test_what_is_inside_has_an_end_though_it_is_interrupted_twice(engine):
    """By the timeout of the node around it, and, while it cleans up, by a cancel of the run."""
    do = body({"a": box("test.stubborn", set={"seconds": 0.3})}, out="a.text")
    workflow = drawn({"group": nested("group", do, timeout=0.02)}, o="group.out")

    def watch(run, event):
        if isinstance(event, e.NodeStarted) and event.node == "group/a":
            asyncio.get_running_loop().call_later(0.1, run.cancel)

    played = play(engine, workflow, watch=watch)
    assert played.result.status == "cancelled"
    assert "group/a" in [event.node for event in played.of(e.NodeSkipped)]


def test_a_limit_of_the_node_is_for_everything_inside(engine):
    do = body({"report": box("test.reporting", {"steps": "input.item"})}, out="report.text")
    workflow = each(do, {"concurrency": 1}, limit=Limit(tokens=18))
    played = play(engine, workflow, {"items": [4, 4, 4]}, cache=False)
    assert played.result.status == "failed"
    assert played.result.failures["each"].message == "the node stopped at its limit: 21 of 18 tokens"
    assert played.result.tokens_in == 9
    skipping = each(do, {"concurrency": 1, "on_item_error": "skip"}, limit=Limit(tokens=18))
    assert play(engine, skipping, {"items": [4, 4, 4]}, cache=False).result.status == "failed"


def test_a_limit_of_the_run_ends_it_wherever_it_is_passed(engine):
    do = body({"report": box("test.reporting", {"steps": "input.item"})}, out="report.text")
    workflow = each(do, {"concurrency": 1, "on_item_error": "skip"})
    played = play(engine, workflow, {"items": [4, 4, 4]}, cache=False, limit=Limit(tokens=10))
    assert played.result.status == "limited"
    assert "the run stopped at its limit" in played.result.limit.message


def test_a_limit_of_the_body_is_for_each_of_its_runs(engine):
    do = body({"report": box("test.reporting", {"steps": "input.item"})}, out="report.text")
    workflow = each(replace(do, limit=Limit(tokens=8)), {"on_item_error": "collect"})
    outputs = play(engine, workflow, {"items": [4, 9, 5]}, cache=False).outputs
    assert outputs["out"] == ["0123", "01234"]
    assert [one["index"] for one in outputs["errors"]] == [1]
    assert "the body of each stopped at its limit" in outputs["errors"][0]["message"]


def test_what_is_spent_inside_is_counted_once(engine):
    do = body({"report": box("test.reporting", {"steps": "input.item"})}, out="report.text")
    group = body({"in": nested("each", do, {"items": "input.items"})}, out="in.out")
    workflow = drawn(
        {"group": nested("group", group, {"items": "input.items"})}, {"items": given("list[number]")}, o="group.out"
    )
    played = play(engine, workflow, {"items": [1, 2, 3]}, cache=False)
    assert (played.result.tokens_in, played.result.tokens_out) == (9, 6)
    assert (played.view.nodes["group"].tokens_in, played.view.tokens_in) == (9, 9)


def test_a_missing_grant_deep_inside_is_told_before_the_run(engine):
    do = body({"net": box("test.net", {"url": "input.item"})}, out="net.number")
    group = body({"in": nested("each", do, {"items": "input.urls"})}, out="in.out")
    workflow = drawn(
        {"group": nested("group", group, {"urls": "input.urls"})},
        {"urls": given("list[text]", ["http://example.org/a"])},
        o="group.out",
    )
    with pytest.raises(PermissionNeeded) as caught:
        play(engine, workflow)
    assert caught.value.flags == ("--allow net=example.org",)
    assert "group/in/net would connect to http://example.org/a" in caught.value.message


def test_seeds_and_keys_go_by_the_path(engine):
    do = body({"c": box("test.context", {"x": "input.item"})}, out="c.json")
    played = play(engine, each(do), {"items": [1, 1]}, seed=3, cache=False)
    first, second = played.outputs["out"]
    assert [first["node"], second["node"]] == ["each/0/c", "each/1/c"]
    assert first["seed"] != second["seed"]
    assert first["key"].endswith("/each/0/c")
    assert play(engine, each(do), {"items": [1, 1]}, seed=3, cache=False).outputs["out"][0]["seed"] == first["seed"]


def test_a_light_body_is_kept_as_a_whole_and_any_other_step_by_step(engine):
    light, heavy = each(doubles()), each(doubles("test.aside"))
    for workflow in (light, heavy):
        play(engine, workflow, {"items": [1, 2]})
    CALLS.clear()
    again = play(engine, light, {"items": [1, 2]})
    assert again.states == {"each": "cached"}
    again = play(engine, heavy, {"items": [2, 3, 1]})
    assert again.outputs == {"out": [4, 6, 2]}
    assert Counter({"test.aside": 1}) == CALLS


@pytest.mark.parametrize("change", ["setting", "link", "disabled", "input"])
def test_a_changed_body_runs_again(engine, change):
    def made(a: str, b: int, off: bool, type: str) -> Workflow:
        nodes = {
            "x": box("test.subtract", {"a": a}, {"b": b}),
            "y": box("test.double", {"x": "x.number"}, disabled=off),
            "join": box("flow.merge", {"values": ["y.number", "x.number"]}),
        }
        return each(body(nodes, {"item": given(type)}, out="join.value"))

    play(engine, made("input.item", 1, False, "number"), {"items": [4]})
    other = {
        "setting": made("input.item", 2, False, "number"),
        "link": made("input.index", 1, False, "number"),
        "disabled": made("input.item", 1, True, "number"),
        "input": made("input.item", 1, False, "json"),
    }[change]
    assert play(engine, other, {"items": [4]}).states == {"each": "done"}
    CALLS.clear()
    play(engine, made("input.item", 1, False, "number"), {"items": [4]})
    assert not CALLS


def test_chance_inside_is_not_kept(engine):
    do = body({"c": box("test.chance", {"x": "input.item"})}, out="c.number")
    first = play(engine, each(do), {"items": [1]}).outputs
    assert play(engine, each(do), {"items": [1]}).outputs != first


def test_a_view_of_ten_thousand_items_stays_small(engine):
    played = play(engine, each(doubles()), {"items": list(range(3000))}, cache=False)
    inside = played.view.nodes["each"].inside
    assert (inside.done, inside.running, inside.failed, len(inside.now)) == (3000, 0, 0, 0)
    assert list(played.view.nodes) == ["each"]
    do = body({"picky": box("test.picky", {"x": "input.item"}, {"bad": list(range(100))})}, out="picky.number")
    view = play(engine, each(do, {"on_item_error": "skip"}), {"items": list(range(200))}, cache=False).view
    assert view.nodes["each"].inside.failed == 100
    assert next(iter(view.nodes["each"].inside.failures)) == "each/0/picky"
    assert len(view.nodes["each"].inside.failures) == 20


def test_progress_tells_how_many_items_are_done(engine):
    do = body({"s": box("test.sleep", {"x": "input.item"}, {"seconds": 0.06})}, out="s.number")
    progress = play(engine, each(do, {"concurrency": 1}), {"items": list(range(5))}).of(e.NodeProgress)
    assert progress
    assert progress[0].message.endswith(" of 5")


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        (lambda: drawn({"each": box("flow.each", set={"items": []})}), "flow.each@1 has no body to run"),
        (lambda: drawn({"a": box("test.numbers", do=doubles())}), "test.numbers@1 has no body"),
        (lambda: each(body({"a": box("test.double", {"x": "input.itm"})})), "there is no input called itm\n  Did you mean input.item?"),
        (lambda: each(body({"a": box("test.double", {"x": "b.y"})})), "each/a.x: there is no node called b"),
        (lambda: each(body({"a": box("test.nope")})), "each/a: there is no kind of node called test.nope@1"),
        (lambda: each(doubles(), links={"plus": "input.more"}), "flow.each@1 has no input plus"),
        (lambda: each(body({}, {"items": given("number")})), "has an input called items of its own"),
        (lambda: each(body({}, {"item": given("vector")}, o="input.item")), "the input item is declared as vector"),
        (lambda: each(body({}, errors="input.item"), {"on_item_error": "collect"}), "the body has an output called errors"),
        (lambda: each(body({"a": box("test.double", {"x": "a.number"})})), "the links go round in a circle: a → a"),
        (lambda: drawn({"g": nested("group", body({}, {"x": given("number")}))}), "the input x (number) is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_is_told_with_its_path(engine, workflow, words):
    assert words in problems(engine, workflow())


def test_problems_inside_have_their_place_in_the_file(engine):
    text = """\
phloem: 1
nodes:
  each:
    kind: flow.each@1
    set: {items: [1]}
    do:
      nodes:
        a:
          kind: test.double@1
          in: {x: input.item, y: input.index}
      outputs: {o: a.nmber}
"""
    with pytest.raises(CheckError) as caught:
        engine.check(parse(text, path="x.flow.yaml"))
    places = [(one.line, one.node, one.port) for one in caught.value.problems]
    assert places == [(10, "each/a", "y"), (11, "each", None)]


def test_a_plugin_can_bring_a_kind_that_nests(engine):
    @node(
        "test.twice",
        "Twice",
        nests=Nesting(
            given=lambda settings, types: {"attempt": types.get("x", types.get("y"))} if types else {},
            outputs=lambda settings, inside: {name: one.listed for name, one in inside.outputs.items()},
        ),
    )
    async def twice(body, **inputs):
        """Runs its body two times at once."""
        first, second = await asyncio.gather(body({**inputs, "attempt": 1}, 0), body({**inputs, "attempt": 2}, 1))
        return {name: [first[name], second[name]] for name in first}

    engine.catalogue.add(kind_of(twice))
    do = body({"add": box("test.add", {"a": "input.x", "b": "input.attempt"})}, out="add.number")
    workflow = drawn({"t": box("test.twice", {"x": "input.x"}, do=do)}, {"x": given("number", 5)}, o="t.out")
    assert play(engine, workflow).outputs == {"o": [6, 7]}


@pytest.mark.parametrize("wrong", ["sync", "no body", "no rest"])
def test_a_declaration_that_cannot_nest_is_told_at_once(wrong):
    async def no_body(**inputs): ...
    async def no_rest(body): ...
    def sync(body, **inputs): ...

    function = {"sync": sync, "no body": no_body, "no rest": no_rest}[wrong]
    with pytest.raises(TypeError, match="a kind that nests is an `async def` with a parameter body"):
        kind_of(node("test.x", "X", nests=Nesting())(function))


def test_a_run_does_not_leave_off_while_another_item_waits_for_its_next_attempt(engine):
    @node("test.asks", "Asks", effect="chance")
    async def asks(ctx: Context, x: float) -> float:
        """Asks a person for 0, and fails once for any other number."""
        CALLS["test.asks"] += x > 0
        if x and CALLS["test.asks"] == 1:
            raise ServiceError("not yet", retryable=True)
        return x or await ctx.ask("How many?", type="number")

    asks.__annotations__ = {"ctx": Context, "x": float, "return": float}
    engine.catalogue.add(kind_of(asks))
    do = body({"a": box("test.asks", {"x": "input.x"})}, {"x": given("number")}, out="a.number")
    nodes = {
        "group": nested("group", do, {"x": "input.x"}, retry=Retry(1, 0.2)),
        "soon": box("test.sleep", set={"x": 1, "seconds": 0.05}),
    }
    played = _loosely(engine, drawn(nodes, {"x": given("list[number]")}, o="group.out"), {"x": [1, 0]})
    assert played.result.status == "waiting"
    assert CALLS["test.asks"] == 2


@pytest.mark.slow
def test_ten_thousand_items_of_a_body_with_tasks_take_little_memory(engine):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    played = play(engine, each(doubles("test.aside")), {"items": list(range(10_000))}, cache=False)
    assert played.outputs["out"][-1] == 19_998
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000
