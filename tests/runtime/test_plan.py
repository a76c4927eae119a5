"""A checked workflow compiled for running."""

from __future__ import annotations

import subprocess
import sys

import pytest
from phloem.runtime.checks import check
from phloem.runtime.errors import CheckError
from phloem.runtime.plan import Plan, compile_plan
from phloem.runtime.workflow import Node, Retry, Workflow
from support import kinds_for_tests as kinds
from support.playing import box, drawn, given, play

CATALOGUE = kinds.catalogue()


def plan_of(workflow: Workflow, to: str | None = None) -> Plan:
    return compile_plan(check(workflow, CATALOGUE), to=to)


CHAIN = drawn(
    {
        "c": box("test.double", {"x": "b.number"}),
        "b": box("test.add", {"a": "a.number", "b": "input.more"}),
        "a": box("test.numbers"),
        "aside": box("test.upper", set={"text": "x"}),
    },
    {"more": given("number", 1), "unused": given("text")},
    out="c.number",
)


def test_every_output_has_a_place_and_every_reader_is_counted():
    plan = plan_of(CHAIN)
    assert [step.id for step in plan.steps] == ["c", "b", "a", "aside"]
    assert [plan.steps[index].id for index in plan.order if plan.steps[index].id != "aside"] == ["a", "b", "c"]
    assert plan.slots == 6
    slots = {step.id: dict(step.outputs) for step in plan.steps}
    assert plan.readers[slots["a"]["number"]] == plan.readers[slots["b"]["number"]] == 1
    assert plan.readers[slots["c"]["number"]] == 1, "the workflow's output reads too"
    assert plan.readers[slots["aside"]["text"]] == 0
    assert plan.readers[plan.inputs["unused"]] == 0
    assert str(plan.output_types["out"]) == "list[number]"


def test_a_plan_to_a_node_has_only_what_it_needs_and_its_outputs():
    plan = plan_of(CHAIN, to="b")
    assert [step.id for step in plan.steps] == ["b", "a"]
    assert set(plan.outputs) == {"number"}


def test_a_node_that_reads_an_output_twice_counts_once():
    plan = plan_of(
        drawn(
            {
                "a": box("test.numbers"),
                "b": box("test.gather", {"values": ["a.number", "a.number"]}),
                "c": box("test.subtract", {"a": "a.number", "b": "a.number"}),
            }
        )
    )
    assert plan.readers[0] == 2
    assert [step.waits_for for step in plan.steps] == [0, 1, 1]
    assert plan.steps[0].followers == (1, 2)


def keys(workflow: Workflow) -> dict[str, bytes | None]:
    return {step.id: step.key for step in plan_of(workflow).steps}


def key(node: Node, **inputs) -> bytes | None:
    """The part of a node's key that does not depend on what its links bring."""
    given_inputs = {name: given(type) for name, type in (inputs or {"x": "number", "y": "number"}).items()}
    return keys(drawn({"n": node}, given_inputs))["n"]


def test_the_key_has_the_settings_in_it_but_not_the_words_about_the_node():
    node = box("test.add", set={"a": 1, "b": 2})
    assert key(node) == key(
        box("test.add", set={"a": 1, "b": 2}, title="Sum", note="of two", retry=Retry(3), timeout=5)
    )
    different = [
        node, box("test.add", set={"a": 1, "b": 3}), box("test.add", set={"a": 1, "b": 2.0}), box("test.add", set={"a": 1}),
        box("test.subtract", set={"a": 1, "b": 2}), box("test.add", {"a": "input.x"}, {"b": 2}),
        box("test.add", {"b": "input.x"}, {"a": 1}), box("test.add", {"a": "input.x", "b": "input.y"}),
        box("test.add", {"b": "input.x", "a": "input.y"}),
    ]  # fmt: skip
    assert len({key(one) for one in different}) == len(different)


def test_the_key_tells_a_list_gone_through_from_a_list_taken_whole():
    through = key(box("test.same", {"value": "input.x"}), x="list[text]")
    assert key(box("test.upper", {"text": "input.x"}), x="list[text]") != key(
        box("test.upper", {"text": "input.x"}), x="text"
    )
    assert through == key(box("test.same", {"value": "input.x"}), x="text"), "a port for anything takes the list whole"


@pytest.mark.parametrize(
    "node, kept",
    [
        (box("test.double", set={"x": 1}), True),
        (box("test.double", set={"x": 1}, cache=False), False),
        (box("test.double", set={"x": 1}, cache=True), True),
        (box("test.chance"), False),
        (box("test.chance", cache=True), True),
        (box("test.lucky", set={"x": 1}), True),
        (box("test.lucky", set={"x": 1}, cache=False), False),
        (box("test.read", set={"path": "a"}), True),
        (box("test.read", set={"path": "a"}, cache=False), False),
    ],
)
def test_what_is_kept_depends_on_the_kind_and_on_the_node(node, kept):
    assert (key(node) is not None) == kept


@pytest.mark.slow
def test_the_key_follows_the_code_of_the_kind(tmp_path, home):
    source = '''
from phloem.runtime.declare import node
@node("mine.turn", "Turn")
def turn(x: float) -> float:
    """Turns."""
    return {result}
'''
    run = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import asyncio, own_nodes
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.declare import kinds_in
from phloem.runtime.engine import Engine
from phloem.runtime.workflow import *
engine = Engine(catalogue=Catalogue(kinds_in(own_nodes)))
flow = Workflow(nodes={{"n": Node("mine.turn@1", set={{"x": 3}})}}, outputs={{"o": Source("n", "number")}})
async def main():
    run = engine.start(flow)
    cached = [event.cached async for event in run if hasattr(event, "cached")]
    print((await run.result()).outputs["o"], *cached)
    await engine.close()
asyncio.run(main())
"""
    said = []
    for result in ("x + 1", "x + 1", "x + 2", "x + 1"):
        (tmp_path / "own_nodes.py").write_text(source.format(result=result))
        done = subprocess.run([sys.executable, "-B", "-c", run], capture_output=True, text=True, check=True)
        said.append(done.stdout.strip())
    assert said == ["4 False", "4 True", "5 False", "4 True"]


def test_running_up_to_a_node_that_is_not_there_names_the_nearest(engine):
    with pytest.raises(CheckError, match="there is no node called asid\n  Did you mean aside"):
        engine.plan(CHAIN, to="asid")


def test_a_plan_runs_as_often_as_wanted(engine):
    plan = engine.plan(CHAIN)
    assert [play(engine, plan, {"more": more}).outputs["out"] for more in (1, 10, 1)] == [
        [2, 4, 6],
        [20, 22, 24],
        [2, 4, 6],
    ]
