"""Running a plan: the right values, in the right order, nothing waiting for what it does not need."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from phloem.runtime import events as e
from phloem.runtime.ports import PortType
from phloem.runtime.resources import Resources
from phloem.runtime.values import Blob
from phloem.runtime.workflow import Workflow
from support import kinds_for_tests as kinds
from support.kinds_for_tests import CALLS, SEEN
from support.loops import drawings
from support.playing import box, drawn, given, play


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@for_all(drawings())
def test_any_workflow_gives_what_a_plain_loop_gives(engine, drawing):
    workflow, values = drawing
    first = play(engine, workflow)
    assert first.result.status == "done"
    assert first.outputs == values
    calls = CALLS.copy()
    assert play(engine, workflow).outputs == values
    assert calls == CALLS, "nothing ran a second time"
    assert play(engine, workflow, cache=False).outputs == values


def test_an_empty_workflow_runs(engine):
    played = play(engine, Workflow())
    assert [type(event) for event in played.events] == [e.RunStarted, e.RunFinished]
    assert played.result.status == "done"


def test_an_input_may_be_an_output(engine):
    workflow = drawn({}, {"a": given("text", "x"), "b": given("list[number]")}, o="input.a", p="input.b")
    assert play(engine, workflow, {"b": [1]}).outputs == {"o": "x", "p": [1]}


def test_a_node_starts_as_soon_as_what_it_needs_is_there(engine):
    """Two branches, one slow at first and one slow at last: with barriers between layers the one would wait for the
    other."""
    workflow = drawn(
        {
            "slow": box("test.sleep", set={"x": 1, "seconds": 0.2}),
            "then quick": box("test.sleep", {"x": "slow.number"}, {"seconds": 0.01}),
            "quick": box("test.sleep", set={"x": 1, "seconds": 0.01}),
            "then slow": box("test.sleep", {"x": "quick.number"}, {"seconds": 0.2}),
        }
    )
    played = play(engine, workflow, cache=False)
    ends = [event.node for event in played.of(e.NodeFinished)]
    starts = [event.node for event in played.of(e.NodeStarted)]
    assert ends[0] == "quick"
    assert starts.index("then slow") < starts.index("then quick")
    told = [(type(event), event.node) for event in played.events if isinstance(event, e.NodeStarted | e.NodeFinished)]
    assert told.index((e.NodeStarted, "then slow")) < told.index((e.NodeFinished, "slow"))


def test_blocking_nodes_run_side_by_side_and_more_of_them_than_there_are_processors(engine):
    nodes = {f"n{index}": box("test.block", set={"x": index, "seconds": 0.1}) for index in range(40)}
    assert play(engine, drawn(nodes), cache=False).result.seconds < 40 * 0.1 / 2


def test_long_chains_of_inline_nodes_let_others_have_their_turn(engine):
    """400 nodes of 1 ms stand beside one that sleeps 20 ms ten times: it must not wait for all of them."""
    nodes = {"s0": box("test.sleep", set={"x": 0, "seconds": 0.01}), "n0": box("test.spin", set={"x": 0})}
    for index in range(1, 10):
        nodes[f"s{index}"] = box("test.sleep", {"x": f"s{index - 1}.number"}, {"seconds": 0.01})
    for index in range(1, 400):
        nodes[f"n{index}"] = box("test.spin", {"x": f"n{index - 1}.number"})
    played = play(engine, drawn(nodes), cache=False)
    order = [event.node for event in played.of(e.NodeFinished)]
    assert order.index("s9") < order.index("n399") - 50


def test_a_list_gone_through_inline_lets_others_have_their_turn(engine):
    workflow = drawn(
        {
            "list": box("test.numbers", set={"n": 300}),
            "spin": box("test.spin", {"x": "list.number"}),
            "sleep": box("test.sleep", set={"x": 0, "seconds": 0.02}),
        }
    )
    played = play(engine, workflow, cache=False)
    assert [event.node for event in played.of(e.NodeFinished)][:2] == ["list", "sleep"]
    fractions = [event.fraction for event in played.of(e.NodeProgress)]
    assert fractions
    assert fractions == sorted(fractions)
    assert all(0 < one < 1 for one in fractions)


def test_wide_workflows_run_in_one_go(engine):
    nodes = {f"n{index}": box("test.constant", set={"value": index}) for index in range(500)}
    nodes["all"] = box("test.gather", {"values": [f"n{index}.json" for index in range(500)]})
    assert play(engine, drawn(nodes, o="all.json")).outputs["o"] == list(range(500))


def test_the_links_into_a_port_for_many_come_in_their_order(engine):
    workflow = drawn(
        {
            "late": box("test.sleep", set={"x": 1, "seconds": 0.05}),
            "soon": box("test.constant", set={"value": 2}),
            "list": box("test.numbers", set={"n": 2}),
            "all": box("test.gather", {"values": ["late.number", "soon.json", "list.number", "late.number"]}),
            "text": box("test.join", {"texts": ["late.number", "list.number", "soon.json"]}, {"separator": "-"}),
        },
        o="all.json",
        t="text.text",
    )
    assert play(engine, workflow).outputs == {"o": [1, 2, [0, 1], 1], "t": "1-0-1-2"}


def test_a_value_of_10_MB_goes_by_reference_through_100_nodes(engine):
    nodes = {"n0": box("test.payload")}
    for index in range(1, 101):
        nodes[f"n{index}"] = box("test.identity", {"blob": f"n{index - 1}.file"})
    played = play(engine, drawn(nodes, o="n100.file"), cache=False)
    assert len(SEEN) == 100
    assert set(SEEN) == {id(played.outputs["o"].data)}


class Heavy:
    """A value whose end can be seen."""


def test_a_value_is_dropped_after_its_last_reader(engine):
    """Each node of a chain makes a new value: only the newest may live, and what a thread has not let go of yet."""
    alive: list[int] = []
    made: list[weakref.ref[Heavy]] = []

    def track(run, event):
        if isinstance(event, e.NodeFinished):
            alive.append(sum(one() is not None for one in made))

    def fresh(value: object = None) -> Heavy:
        heavy = Heavy()
        made.append(weakref.ref(heavy))
        return heavy

    from phloem.runtime.catalogue import Catalogue
    from phloem.runtime.declare import kind_of, node

    fresh.__annotations__ = {"value": object, "return": object}

    async def later(value: object = None) -> object:
        return fresh()

    def threaded(value: object = None) -> object:
        return fresh()

    later.__annotations__ = {"value": object, "return": object}
    threaded.__annotations__ = {"value": object, "return": object}
    engine.catalogue = Catalogue(
        [
            kind_of(node("own.inline", "Inline", effect="chance")(fresh)),
            kind_of(node("own.task", "Task", effect="chance")(later)),
            kind_of(node("own.thread", "Thread", effect="chance", blocking=True)(threaded)),
        ]
    )
    nodes = {"n0": box("own.inline")}
    for index in range(1, 30):
        kind = ("own.inline", "own.task", "own.thread")[index % 3]
        nodes[f"n{index}"] = box(kind, {"value": f"n{index - 1}.any"})
    gc.collect()
    gc.disable()
    try:
        play(engine, drawn(nodes), watch=track)
    finally:
        gc.enable()
    assert len(made) == 30
    assert max(alive) <= 4, f"values alive at the end of each node: {alive}"
    # The thread that made it may not have come to its next job yet.
    end = time.monotonic() + 10
    while made[-1]() is not None and time.monotonic() < end:
        time.sleep(0.001)
    assert made[-1]() is None, "an output that nobody reads is not kept at all"


def test_a_value_that_several_read_lives_until_the_last_has(engine):
    workflow = drawn(
        {
            "n": box("test.numbers"),
            "slow": box("test.sleep", {"x": "n.number"}, {"seconds": 0.05}),
            "quick": box("test.double", {"x": "n.number"}),
            "last": box("test.subtract", {"a": "n.number", "b": "slow.number"}),
        },
        o="last.number",
    )
    assert play(engine, workflow).outputs == {"o": [0, 0, 0]}


@pytest.mark.parametrize("kind", ["test.if", "test.switch"])
def test_only_the_lit_branch_runs_and_a_merge_takes_it(engine, kind):
    for lit, dark in (("left", "right"), ("right", "left")):
        CALLS.clear()
        if kind == "test.if":
            choice, ports = box(kind, set={"value": "v", "when": lit == "left"}), {"left": "then", "right": "otherwise"}
        else:
            choice = box(kind, set={"value": "v", "key": lit, "cases": ["left", "right"]})
            ports = {"left": "left", "right": "right"}
        workflow = drawn(
            {
                "choice": choice,
                "left": box("test.same", {"value": f"choice.{ports['left']}"}),
                "left 2": box("test.same", {"value": "left.any"}),
                "right": box("test.same", {"value": f"choice.{ports['right']}"}),
                "merge": box("test.merge", {"values": ["right.any", "left 2.any"]}),
                "end": box("test.gather", {"values": ["merge.any", "right.any"]}),
            },
            merged="merge.any",
            dark=f"{dark}.any",
            end="end.json",
        )
        played = play(engine, workflow)
        assert played.result.status == "done"
        assert played.outputs["merged"] == "v"
        assert played.outputs["dark"] is None
        assert played.outputs["end"] == (["v", "v"] if lit == "right" else ["v"]), "unlit links bring nothing"
        assert {name for name, state in played.states.items() if state == "skipped"} == (
            {"left", "left 2"} if dark == "left" else {"right"}
        )
        assert all(event.because == "choice did not light it" for event in played.of(e.NodeSkipped))
        again = play(engine, workflow)
        assert again.outputs == played.outputs, "what was not lit stays unlit when it comes from the cache"
        assert again.states["choice"] == "cached"


def test_a_node_with_one_unlit_single_input_is_skipped_in_a_diamond(engine):
    workflow = drawn(
        {
            "choice": box("test.if", set={"value": 1, "when": True}),
            "left": box("test.double", {"x": "choice.then"}),
            "right": box("test.double", {"x": "choice.otherwise"}),
            "both": box("test.subtract", {"a": "left.number", "b": "right.number"}),
            "after": box("test.gather", {"values": ["both.number", "right.number"]}),
            "any": box("test.gather", {"values": ["both.number", "left.number"]}),
        },
        after="after.json",
        any="any.json",
    )
    played = play(engine, workflow)
    assert played.outputs == {"after": None, "any": [2]}
    assert played.states == {
        "choice": "done", "left": "done", "right": "skipped", "both": "skipped", "after": "skipped", "any": "done",
    }  # fmt: skip


def test_nothing_runs_when_no_case_has_anything_after_it(engine):
    workflow = drawn(
        {
            "switch": box("test.switch", set={"value": 1, "key": "c", "cases": ["a", "b"]}),
            "a": box("test.double", {"x": "switch.a"}),
            "merge": box("test.merge", {"values": ["a.number", "switch.b"]}),
        },
        o="merge.any",
        rest="switch.else",
    )
    assert play(engine, workflow).outputs == {"o": None, "rest": 1}


def test_a_branch_may_be_chosen_item_by_item(engine):
    """A list through a branch: each output has the items that lit it."""
    import types

    from phloem.runtime.catalogue import Catalogue
    from phloem.runtime.declare import kinds_in, node
    from phloem.runtime.values import UNLIT

    module = types.ModuleType("own")

    def sieve(x: float) -> kinds.DivMod:
        return kinds.DivMod(x, UNLIT) if x % 2 else kinds.DivMod(UNLIT, x)

    sieve.__annotations__ = {"x": float, "return": kinds.DivMod}
    sieve.__module__ = "own"
    module.sieve = node("own.sieve", "Sieve", effect="chance")(sieve)
    engine.catalogue = Catalogue([*kinds.catalogue(), *kinds_in(module)])
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 5}), "s": box("own.sieve", {"x": "n.number"})},
        odd="s.quotient",
        even="s.remainder",
    )
    assert play(engine, workflow).outputs == {"odd": [1, 3], "even": [0, 2, 4]}


def test_a_disabled_node_and_what_hangs_on_it_are_skipped(engine):
    workflow = drawn(
        {
            "off": box("test.double", set={"x": 1}, disabled=True),
            "after": box("test.double", {"x": "off.number"}),
            "later": box("test.double", {"x": "after.number"}),
            "other": box("test.double", set={"x": 2}),
            "merge": box("test.merge", {"values": ["later.number", "other.number"]}),
        },
        o="merge.any",
        off="off.number",
    )
    played = play(engine, workflow)
    assert played.outputs == {"o": 4, "off": None}
    assert {event.node: event.because for event in played.of(e.NodeSkipped)} == {
        "off": "it is switched off",
        "after": "off is switched off",
        "later": "off is switched off",
    }


def test_running_to_a_node_runs_only_what_it_needs(engine):
    workflow = drawn(
        {
            "a": box("test.numbers"),
            "b": box("test.double", {"x": "a.number"}),
            "c": box("test.double", {"x": "b.number"}),
            "d": box("test.upper", set={"text": "x"}),
        },
        o="c.number",
    )
    played = play(engine, workflow, to="b")
    assert played.outputs == {"number": [0, 2, 4]}
    assert set(played.states) == {"a", "b"}


def test_resources_bound_what_runs_together_in_all_runs_of_an_engine(engine):
    engine.resources = Resources({"net": 3})
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 12}), "net": box("test.net", {"x": "n.number"}), "one": box("test.net")}
    )

    async def two_runs():
        await asyncio.gather(*(engine.start(workflow).result() for _ in range(2)))

    asyncio.run(two_runs())
    assert CALLS["test.net most"] == 3
    assert CALLS["test.net now"] == 0


def test_an_engine_may_be_used_by_one_loop_after_another(engine):
    """Places that were fought over in one loop must not stay bound to it."""
    engine.resources = Resources({"net": 1})
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 5}), "net": box("test.net", {"x": "n.number"})}, o="net.number"
    )
    for _ in range(3):
        assert play(engine, workflow).outputs == {"o": [0, 1, 2, 3, 4]}


def test_two_runs_of_one_engine_do_not_disturb_each_other(engine):
    async def both():
        return await asyncio.gather(*(engine.start(workflow, {"n": n}).result() for n in range(20)))

    workflow = drawn(
        {"a": box("test.sleep", {"x": "input.n"}, {"seconds": 0.01}), "b": box("test.block", {"x": "a.number"})},
        {"n": given("number")},
        o="b.number",
    )
    assert [result.outputs["o"] for result in asyncio.run(both())] == [n * 2 for n in range(20)]


def test_the_outputs_of_a_node_may_come_by_name(engine):
    workflow = drawn({"d": box("test.divide", set={"a": 7, "b": 2})}, q="d.quotient", r="d.remainder")
    assert play(engine, workflow).outputs == {"q": 3, "r": 1}


@pytest.mark.slow
@pytest.mark.parametrize("what", kinds.ODD)
def test_no_value_is_too_odd_for_a_run(engine, what):
    workflow = drawn(
        {"odd": box("test.odd", set={"what": what}), "same": box("test.same", {"value": "odd.any"})}, o="same.any"
    )
    began = time.perf_counter()
    played = play(engine, workflow)
    assert played.result.status == "done"
    shown = played.view.nodes["same"].outputs["any"]
    assert len(shown.text) <= 200
    assert time.perf_counter() - began < 5


def test_output_types_are_known_before_anything_runs(engine):
    plan = engine.plan(drawn({"p": box("test.payload", set={"size": 3})}, o="p.file"))
    assert plan.output_types == {"o": PortType("file")}
    assert play(engine, plan).outputs == {"o": Blob(bytes(3), "zeros")}
