"""Drawing small workflows in tests and running them to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phloem.runtime import events as e
from phloem.runtime.engine import Engine
from phloem.runtime.plan import Plan
from phloem.runtime.ports import PortType
from phloem.runtime.runs import Options, Result, Run
from phloem.runtime.view import RunView, fold
from phloem.runtime.workflow import Input, Node, Source, Workflow

__all__ = ["Played", "box", "drawn", "given", "play", "watched"]


@dataclass
class Played:
    """A run that is over: how it ended, and its events."""

    result: Result
    events: list[e.Event]
    view: RunView = field(init=False)

    def __post_init__(self) -> None:
        self.view = fold(self.events)

    @property
    def outputs(self) -> dict[str, Any]:
        return self.result.outputs

    def of(self, *types: type[e.Event]) -> list[Any]:
        """The events of these types, in order."""
        return [event for event in self.events if isinstance(event, types)]

    @property
    def states(self) -> dict[str, str]:
        return {name: node.state for name, node in self.view.nodes.items()}


def source(text: str) -> Source:
    """`node.port` as a Source."""
    return Source(*text.rsplit(".", 1))


def box(
    kind: str, links: Mapping[str, str | Sequence[str]] | None = None, set: Mapping[str, Any] | None = None, **rest: Any
) -> Node:
    """A node; a link is written `node.port`, several as a list."""
    written = {
        name: tuple(source(one) for one in ([froms] if isinstance(froms, str) else froms))
        for name, froms in (links or {}).items()
    }
    return Node(kind if "@" in kind else f"{kind}@1", links=written, set=set or {}, **rest)


def drawn(nodes: Mapping[str, Node], inputs: Mapping[str, Input] | None = None, **outputs: str) -> Workflow:
    """A workflow; its outputs as `name="node.port"`."""
    return Workflow(
        title="test", inputs=inputs or {}, nodes=nodes, outputs={name: source(text) for name, text in outputs.items()}
    )


def given(type: str, *value: Any) -> Input:
    """A workflow input, with its value if there is one."""
    return Input(PortType.parse(type), value=value[0] if value else None, has_value=bool(value))


def play(
    engine: Engine,
    workflow: Workflow | Plan,
    inputs: Mapping[str, Any] | None = None,
    *,
    watch: Callable[[Run, e.Event], None] | None = None,
    **options: Any,
) -> Played:
    """Run a workflow in a fresh event loop; `watch` sees each event as it happens.

    Fails when anything is left behind: a task, or a complaint to the loop.
    """
    return asyncio.run(watched(engine, workflow, inputs, watch, **options))


async def watched(
    engine: Engine,
    workflow: Workflow | Plan,
    inputs: Mapping[str, Any] | None = None,
    watch: Callable[[Run, e.Event], None] | None = None,
    **options: Any,
) -> Played:
    """As `play`, on the running loop."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, about: complaints.append(about))
    before = asyncio.all_tasks()
    run = engine.start(workflow, inputs, Options(**options))
    if watch is not None:
        run.subscribe(lambda event: watch(run, event))
    events = [event async for event in run]
    result = await run.result()
    left = asyncio.all_tasks() - before
    assert not left, f"tasks left behind: {left}"
    assert not complaints, complaints
    _well_formed(events, result)
    return Played(result, events)


def _well_formed(events: list[e.Event], result: Result) -> None:
    """What is true of every run."""
    assert [event.seq for event in events] == list(range(len(events)))
    assert {event.run for event in events} == {result.run}
    first, last = events[0], events[-1]
    assert isinstance(first, e.RunStarted)
    assert isinstance(last, e.RunFinished)
    assert last.status == result.status
    ends = [event.node for event in events if isinstance(event, e.NodeFinished | e.NodeFailed | e.NodeSkipped)]
    assert sorted(one for one in ends if "/" not in one) == sorted(first.nodes), "every node ends exactly once"
    assert len(set(ends)) == len(ends), "those inside too"
    open_: set[str] = set()
    over: set[str] = set()
    begun: list[str] = []
    for event in events[1:-1]:
        node = event.node  # type: ignore[attr-defined]
        assert node not in over, f"{event} after the end of {node}"
        outer = node.partition("/")[0]
        assert outer == node or (outer in open_ and outer not in over), f"{event} while {outer} is not at work"
        if isinstance(event, e.NodeStarted):
            assert node not in open_
            open_.add(node)
            begun.append(node)
        elif isinstance(event, e.NodeFinished | e.NodeFailed | e.NodeSkipped):
            over.add(node)
        if isinstance(event, e.NodeFinished) and not event.cached:
            assert node in open_, f"{node} finished before it started"
    assert set(begun) <= set(ends), "what begins ends"
