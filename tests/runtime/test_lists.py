"""Lists into ports for one item: the node runs once per item, and its outputs become lists."""

from __future__ import annotations

import asyncio

import pytest
from phloem.runtime import events as e
from phloem.runtime.declare import kind_of, node
from phloem.runtime.errors import InputError, NodeCrashed
from phloem.runtime.workflow import OnError, Retry
from support.kinds_for_tests import CALLS
from support.playing import box, drawn, given, play

ONE_NUMBER = ["test.double", "test.aside", "test.block"]
"""The same kind inline, as a task and in a thread: lists must go through all three alike."""


@node("list.crowd", "Crowd", effect="chance")
async def crowd(x: float, y: float = 0) -> float:
    """Says how many are here at once."""
    CALLS["list.crowd"] += 1
    CALLS["crowd now"] += 1
    CALLS["crowd most"] = max(CALLS["crowd most"], CALLS["crowd now"])
    await asyncio.sleep(0.005)
    CALLS["crowd now"] -= 1
    return x


def through(kind: str, **rest):
    return drawn({"d": box(kind, {"x": "input.items"}, **rest)}, {"items": given("list[number]")}, o="d.number")


@pytest.mark.parametrize("kind", ONE_NUMBER)
@pytest.mark.parametrize("items", [[], [5], [3, 1, 2], list(range(200))])
def test_a_list_is_gone_through_item_by_item_in_its_order(engine, kind, items):
    assert play(engine, through(kind), {"items": items}).outputs == {"o": [item * 2 for item in items]}


@pytest.mark.parametrize("kind", ONE_NUMBER)
def test_an_empty_list_gives_an_empty_list_and_runs_nothing(engine, kind):
    played = play(engine, through(kind), {"items": []})
    assert played.outputs == {"o": []}
    assert not CALLS[kind]
    assert played.states == {"d": "done"}


@pytest.mark.parametrize("kind", ONE_NUMBER)
@pytest.mark.parametrize("items", [[], [[]], [[], [1], [2, 3]], [[1, 2], [3, 4]]])
def test_a_list_of_lists_keeps_its_shape(engine, kind, items):
    workflow = drawn({"d": box(kind, {"x": "input.t"})}, {"t": given("list[list[number]]")}, o="d.number")
    assert play(engine, workflow, {"t": items}).outputs == {"o": [[item * 2 for item in row] for row in items]}


def test_a_list_three_levels_deep_keeps_its_shape(engine):
    workflow = drawn(
        {"d": box("test.aside", {"x": "input.t"}), "s": box("test.total", {"values": "d.number"})},
        {"t": given("list[list[list[number]]]")},
        o="d.number",
        s="s.number",
    )
    played = play(engine, workflow, {"t": [[[1, 2], []], [], [[3]]]})
    assert played.outputs == {"o": [[[2, 4], []], [], [[6]]], "s": [[6, 0], [], [6]]}


def test_lists_are_gone_through_in_step_and_single_values_stay(engine):
    workflow = drawn(
        {
            "sum": box("test.add", {"a": "input.xs", "b": "input.ys"}),
            "more": box("test.add", {"a": "input.xs", "b": "input.n"}),
            "less": box("test.subtract", {"b": "input.xs"}, {"a": 10}),
        },
        {"xs": given("list[number]"), "ys": given("list[number]"), "n": given("number")},
        sum="sum.number",
        more="more.number",
        less="less.number",
    )
    played = play(engine, workflow, {"xs": [1, 2], "ys": [10, 20], "n": 100})
    assert played.outputs == {"sum": [11, 22], "more": [101, 102], "less": [9, 8]}


@pytest.mark.parametrize("xs, ys", [([1, 2], [1]), ([], [1]), ([1], [])])
@pytest.mark.parametrize("timeout", [None, 60])
def test_lists_of_different_length_fail_with_their_lengths(engine, xs, ys, timeout):
    workflow = drawn(
        {"sum": box("test.add", {"a": "input.xs", "b": "input.ys"}, timeout=timeout)},
        {"xs": given("list[number]"), "ys": given("list[number]")},
    )
    played = play(engine, workflow, {"xs": xs, "ys": ys})
    (failed,) = played.of(e.NodeFailed)
    assert failed.error == "InputError"
    assert failed.message.endswith(f"differ in length: a has {len(xs)}, b has {len(ys)}")
    assert "Make them equally long" in str(failed.hint)


def test_rows_of_different_length_fail_with_the_row_named(engine):
    workflow = drawn(
        {"sum": box("test.add", {"a": "input.t", "b": "input.u"})},
        {"t": given("list[list[number]]"), "u": given("list[list[number]]")},
    )
    played = play(engine, workflow, {"t": [[1], [2]], "u": [[1], [2, 3]]})
    (failed,) = played.of(e.NodeFailed)
    assert failed.message.startswith("item 2: the lists it goes through together differ in length")


@pytest.mark.parametrize("kind", ["test.picky", "test.picky_aside"])
def test_a_failing_item_is_named_and_the_error_stays_what_it_was(engine, kind):
    played = play(engine, through(kind), {"items": [1, 2, 3]})
    assert played.outputs == {"o": [2, 4, 6]}
    workflow = drawn(
        {"d": box(kind, {"x": "input.items"}, {"bad": [7]})}, {"items": given("list[number]")}, o="d.number"
    )
    played = play(engine, workflow, {"items": [1, 7, 3]})
    (failed,) = played.of(e.NodeFailed)
    assert (failed.error, failed.message) == ("InputError", "item 2: 7 is bad")
    assert type(played.result.failures["d"]) is InputError
    assert played.outputs == {"o": None}


@pytest.mark.parametrize("kind", ["test.picky", "test.picky_aside"])
def test_a_failing_item_of_a_list_of_lists_is_named_level_by_level(engine, kind):
    workflow = drawn({"d": box(kind, {"x": "input.t"}, {"bad": [7]})}, {"t": given("list[list[number]]")})
    played = play(engine, workflow, {"t": [[1], [2, 3, 7]]})
    assert played.of(e.NodeFailed)[0].message == "item 2: item 3: 7 is bad"


@pytest.mark.parametrize("kind", ["test.reciprocal", "test.reciprocal_aside"])
def test_a_crash_of_an_item_keeps_its_cause(engine, kind):
    workflow = drawn({"n": box("test.numbers"), "r": box(kind, {"x": "n.number"})})
    crashed = play(engine, workflow).result.failures["r"]
    assert type(crashed) is NodeCrashed
    assert crashed.message.startswith("item 1: ZeroDivisionError: ")
    assert type(crashed.__cause__) is ZeroDivisionError


def test_an_item_of_a_type_that_does_not_fit_is_named(engine):
    workflow = drawn({"d": box("test.double", {"x": "input.any"})}, {"any": given("list[any]")})
    played = play(engine, workflow, {"any": [1, "two"]})
    assert played.of(e.NodeFailed)[0].message == "item 2: expected number, got text: two"
    aside = drawn({"d": box("test.aside", {"x": "input.any"})}, {"any": given("list[any]")})
    assert play(engine, aside, {"any": [1, "two"]}).of(e.NodeFailed)[0].message == (
        "item 2: expected number, got text: two"
    )


def test_items_are_turned_one_by_one(engine):
    workflow = drawn(
        {"u": box("test.upper", {"text": "input.docs"}), "v": box("test.vector", {"text": "u.text"})},
        {"docs": given("list[document]")},
        u="u.text",
        v="v.vector",
    )
    played = play(engine, workflow, {"docs": [{"text": "a"}, {"text": "bc"}]})
    assert played.outputs == {"u": ["A", "BC"], "v": [[1.0, 1.0], [2.0, 1.0]]}


@pytest.mark.parametrize("kind", ["test.flaky", "test.flaky_aside"])
def test_items_are_tried_again_one_by_one(engine, kind):
    """Two of the attempts fail; only those items are tried again."""
    workflow = drawn({"f": box(kind, {"x": "n.number"}, retry=Retry(2, 0)), "n": box("test.numbers")}, o="f.number")
    played = play(engine, workflow)
    assert played.outputs == {"o": [0, 1, 2]}
    assert CALLS["test.flaky"] == 5
    assert len(played.of(e.NodeRetrying)) == 2


def test_all_items_succeed_or_the_node_fails_as_one(engine):
    for on_error, output in ((OnError("skip"), None), (OnError("default", -1), [-1]), (OnError("default", []), [])):
        workflow = drawn(
            {
                "d": box("test.picky", {"x": "n.number"}, {"bad": [1]}, on_error=on_error),
                "n": box("test.numbers"),
                "after": box("test.double", {"x": "d.number"}),
            },
            o="d.number",
            after="after.number",
        )
        played = play(engine, workflow)
        assert played.result.status == "done"
        assert played.outputs["o"] == output
        assert played.outputs["after"] == (None if output is None else [item * 2 for item in output])


@pytest.mark.parametrize("kind", ["test.picky", "test.picky_aside"])
def test_a_routed_error_of_a_list_is_lit_only_when_an_item_failed(engine, kind):
    for bad, lit in (([], False), ([1], True)):
        workflow = drawn(
            {
                "n": box("test.numbers"),
                "d": box(kind, {"x": "n.number"}, {"bad": bad}, on_error=OnError("route")),
                "sorry": box("test.same", {"value": "d.error"}),
                "good": box("test.total", {"values": "d.number"}),
            },
            sorry="sorry.any",
            good="good.number",
        )
        played = play(engine, workflow)
        assert (played.outputs["good"] is None) == lit
        assert (played.states["sorry"] == "skipped") != lit
        if lit:
            assert played.outputs["sorry"] == {"error": "InputError", "message": "item 2: 1 is bad", "node": "d"}


def test_a_kind_that_breaks_its_word_about_lists_fails_alone(engine):
    workflow = drawn(
        {"liar": box("test.liar"), "d": box("test.double", {"x": "liar.number"}), "ok": box("test.numbers")},
        ok="ok.number",
    )
    played = play(engine, workflow)
    assert played.of(e.NodeFailed)[0].message == "x should be a list to go through, not 5"
    assert played.outputs == {"ok": [0, 1, 2]}


def test_progress_counts_the_items(engine):
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 8}), "s": box("test.sleep", {"x": "n.number"}, {"seconds": 0.01})}
    )
    fractions = [event.fraction for event in play(engine, workflow).of(e.NodeProgress)]
    assert fractions
    assert fractions == sorted(fractions)


def test_many_items_are_worked_on_at_once(engine):
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 50}), "s": box("test.sleep", {"x": "n.number"}, {"seconds": 0.05})}
    )
    assert play(engine, workflow).result.seconds < 50 * 0.05, "one after the other"


def test_an_empty_list_crashes_nothing_further_on(engine):
    workflow = drawn(
        {
            "n": box("test.numbers", set={"n": 0}),
            "d": box("test.double", {"x": "n.number"}),
            "s": box("test.total", {"values": "d.number"}),
            "j": box("test.join", {"texts": "d.number"}),
        },
        s="s.number",
        j="j.text",
    )
    assert play(engine, workflow).outputs == {"s": 0, "j": ""}


def test_items_of_lists_of_lists_are_no_more_at_once_than_others(engine):
    engine.catalogue.add(kind_of(crowd))
    nodes = {"t": box("test.table", set={"rows": 20, "columns": 20}), "n": box("list.crowd", {"x": "t.number"})}
    play(engine, drawn(nodes))
    assert (CALLS["list.crowd"], CALLS["crowd most"]) == (400, 64)


@pytest.mark.parametrize(("kind", "a", "b"), [("test.subtract", "a", "b"), ("list.crowd", "x", "y")])
def test_lists_of_other_lengths_are_found_before_anything_runs(engine, kind, a, b):
    engine.catalogue.add(kind_of(crowd))
    workflow = drawn(
        {"s": box(kind, {a: "input.a", b: "input.b"})},
        {"a": given("list[list[number]]"), "b": given("list[list[number]]")},
        o="s.number",
    )
    played = play(engine, workflow, {"a": [[1, 2], [3]], "b": [[1, 2], [3, 4]]})
    assert played.result.failures["s"].message == (
        f"item 2: the lists it goes through together differ in length: {a} has 1, {b} has 2"
    )
    assert not CALLS[kind]
