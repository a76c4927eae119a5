"""Phloem, with every event taken off the run and looked at, and no journal."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphs import Graph, Value, chain
from phloem.runtime.engine import Engine
from phloem.runtime.events import NodeFinished
from phloem.runtime.home import Home
from phloem.runtime.plan import Plan
from phloem.runtime.runs import Options, Result, Run
from phloem.runtime.workflow import Node, Source, Workflow

from peers.ours_kinds import CATALOGUE, executed

__all__ = ["cached", "drawn", "forget", "mapper", "plan_of", "planned", "result_of", "runner", "watched"]

_home = tempfile.TemporaryDirectory()
_engine = Engine(Home(Path(_home.name)), catalogue=CATALOGUE)


def runner(graph: Graph) -> Callable[[], Value]:
    return planned(drawn(graph), watched)


def plan_of(graph: Graph) -> Plan:
    return _engine.plan(drawn(graph))


def mapper(count: int, kind: str = "bench.item@1") -> Callable[[], list[Value]]:
    nodes = {
        "numbers": Node("bench.numbers@1", set={"count": count}),
        "item": Node(kind, links={"number": (Source("numbers", "number"),)}),
    }
    return planned(Workflow(nodes=nodes, outputs={"last": Source("item", "json")}), watched)


def cached(settings: Sequence[Mapping[str, Any]]) -> Callable[[], tuple[Value, int]]:
    graph = Graph(chain(len(settings)), settings={f"n{i}": dict(one) for i, one in enumerate(settings) if one})
    plan = _engine.plan(drawn(graph, "bench.cached@1"))

    async def once() -> tuple[Value, int]:
        executed[0] = fresh = 0
        run = _engine.start(plan, {}, Options(cache=True, journal=False))
        async for event in run:
            if type(event) is NodeFinished and not event.cached:
                fresh += 1
        value: Value = (await result_of(run)).outputs["last"]
        if fresh != executed[0]:
            raise RuntimeError(f"the events tell of {fresh} executions, but there were {executed[0]}")
        return value, fresh

    def run() -> tuple[Value, int]:
        given = asyncio.run(once())
        _engine.cache.flush()
        return given

    return run


def forget() -> None:
    global _home, _engine
    asyncio.run(_engine.close())
    _home.cleanup()
    _home = tempfile.TemporaryDirectory()
    _engine = Engine(Home(Path(_home.name)), catalogue=CATALOGUE)


def drawn(graph: Graph, kind: str = "") -> Workflow:
    """The graph as a workflow whose output `last` is the last node's value."""
    kind = kind or f"bench.{graph.body}@1"
    nodes = {}
    for name, sources in graph.before.items():
        links = {"values": tuple(Source(source, "json") for source in sources)} if sources else {}
        nodes[name] = Node(kind, links=links, set=graph.settings.get(name, {}))
    return Workflow(nodes=nodes, outputs={"last": Source(graph.last, "json")})


def planned(workflow: Workflow, watch: Callable[[Run, Plan], Awaitable[None]]) -> Callable[[], Any]:
    """A function that runs the workflow once, `watch` taking the events, and gives the output `last`."""
    plan = _engine.plan(workflow)
    given: dict[str, Any] = {}

    async def once() -> None:
        run = _engine.start(plan, {}, Options(cache=False, journal=False))
        await watch(run, plan)
        given.update((await result_of(run)).outputs)

    def run() -> Any:
        # Not by way of the task's result: asyncio.run takes the repr of that, all 10 MB of it (Python 3.11).
        asyncio.run(once())
        return given.pop("last")

    return run


async def result_of(run: Run) -> Result:
    """How a run ended whose events have all been taken; the first failure raised, if there was one."""
    return (await run.result()).raise_for_failure()


async def watched(run: Run, plan: Plan) -> None:
    """Take every event; their numbers must have no gap, and every node must have finished."""
    taken = finished = 0
    async for event in run:
        if event.seq != taken:
            raise RuntimeError(f"event {event.seq} came where {taken} was due")
        taken += 1
        finished += type(event) is NodeFinished
    if finished != len(plan.steps):
        raise RuntimeError(f"{finished} of {len(plan.steps)} nodes finished")
