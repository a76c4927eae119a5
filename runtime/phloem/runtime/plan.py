"""A checked workflow compiled for running: what the scheduler reads, in integers and tuples.

Every output port of every node has a slot, an index into one list of values; workflow inputs have the
first slots. Nothing here looks at the workflow again, and nothing imports networkx.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from phloem.runtime.budget import UNLIMITED
from phloem.runtime.checks import CheckedNode, CheckedWorkflow
from phloem.runtime.codec import UnstorableValue, pack
from phloem.runtime.kinds import NodeKind, Runs
from phloem.runtime.ports import Coercion, PortType
from phloem.runtime.topology import ancestors
from phloem.runtime.workflow import INPUT, Limit, OnError, Retry, Source

__all__ = ["Gather", "Plan", "Step", "compile_plan"]


@dataclass(frozen=True, slots=True)
class Gather:
    """How a port that takes many links gets its list: one entry per link, `joins` lists into one or not."""

    parameter: str
    sources: tuple[tuple[int, Coercion | None], ...]
    joins: bool


@dataclass(slots=True)
class Step:
    """One node, ready to run.

    `values` are the inputs written down; `links` the linked ones, each with its slot and what turns
    the value; `over` names those whose lists the node runs through, `maps` levels deep. `key` is the
    part of the cache key that never changes, None when results are not kept. `resources` are the
    names it holds a place in while it runs. A `simple` step is a call (or one per item) and no more, made
    where it stands. With a `sole` output, what the function returns is that output's value.
    """

    index: int
    id: str
    kind: NodeKind
    runs: Runs
    values: dict[str, Any]
    links: tuple[tuple[str, int, Coercion | None], ...]
    gathers: tuple[Gather, ...]
    over: tuple[str, ...]
    maps: int
    outputs: tuple[tuple[str, int], ...]
    reads: tuple[int, ...]
    followers: tuple[int, ...] = ()
    waits_for: int = 0
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    limit: Limit = UNLIMITED
    on_error: OnError = field(default_factory=OnError)
    disabled: bool = False
    key: bytes | None = None
    resources: tuple[str, ...] = ()
    simple: bool = False
    sole: bool = False


@dataclass(slots=True)
class Plan:
    """Steps by index in the order of the file; `slots` values; which slot each workflow output is.

    `folder` is the workflow file's, if it has one: what paths in it are relative to.
    """

    title: str
    steps: list[Step]
    slots: int
    inputs: dict[str, int]
    outputs: dict[str, int]
    output_types: dict[str, PortType]
    readers: list[int]
    order: list[int]
    checked: CheckedWorkflow
    folder: Path | None = None


def compile_plan(checked: CheckedWorkflow, *, to: str | None = None) -> Plan:
    """The plan of a checked workflow; with `to`, of only that node and what it depends on, whose outputs
    are then the plan's outputs."""
    workflow = checked.workflow
    wanted = set(workflow.nodes)
    if to is not None:
        edges = workflow.edges()
        wanted = ancestors(edges, to)
    slots: dict[Source, int] = {Source(INPUT, name): i for i, name in enumerate(workflow.inputs)}
    order = [checked.topology.names[i] for i in checked.topology.order if checked.topology.names[i] in wanted]
    index = {id: i for i, id in enumerate(id for id in workflow.nodes if id in wanted)}
    for id in index:
        for port in checked.nodes[id].outputs:
            slots[Source(id, port)] = len(slots)
    steps = [_step(i, checked.nodes[id], slots) for id, i in index.items()]
    _connect(steps, slots)
    outputs = _outputs(checked, to)
    readers = [0] * len(slots)
    for step in steps:
        for slot in step.reads:
            readers[slot] += 1
    for source in outputs.values():
        readers[slots[source]] += 1
    return Plan(
        title=workflow.title,
        steps=steps,
        slots=len(slots),
        inputs={name: slots[Source(INPUT, name)] for name in workflow.inputs},
        outputs={name: slots[source] for name, source in outputs.items()},
        output_types={name: _type_of(checked, source) for name, source in outputs.items()},
        readers=readers,
        order=[index[id] for id in order],
        checked=checked,
    )


def _outputs(checked: CheckedWorkflow, to: str | None) -> dict[str, Source]:
    if to is None:
        return dict(checked.workflow.outputs)
    return {port: Source(to, port) for port in checked.nodes[to].outputs}


def _type_of(checked: CheckedWorkflow, source: Source) -> PortType:
    if source.node == INPUT:
        return checked.workflow.inputs[source.port].type
    return checked.nodes[source.node].outputs[source.port]


def _step(index: int, found: CheckedNode, slots: Mapping[Source, int]) -> Step:
    node, kind = found.node, found.kind
    links: list[tuple[str, int, Coercion | None]] = []
    gathers: list[Gather] = []
    over: list[str] = []
    for name, joined in found.links.items():
        port = found.inputs[name]
        if port.many:
            sources = tuple((slots[one.source], one.fit.coerce) for one in joined)
            gathers.append(Gather(name, sources, joins=port.type.depth > 0))
        else:
            links.append((name, slots[joined[0].source], joined[0].fit.coerce))
            if joined[0].fit.maps:
                over.append(name)
    timed = node.timeout is not None or node.limit.seconds is not None
    runs: Runs = "thread" if timed and kind.runs == "inline" else kind.runs
    step = Step(
        index=index,
        id=found.id,
        kind=kind,
        runs=runs,
        values=found.values,
        links=tuple(links),
        gathers=tuple(gathers),
        over=tuple(over),
        maps=found.maps,
        outputs=tuple((name, slots[Source(found.id, name)]) for name in found.outputs),
        reads=tuple(dict.fromkeys(slots[one.source] for joined in found.links.values() for one in joined)),
        retry=node.retry,
        timeout=node.timeout,
        limit=UNLIMITED if node.limit == UNLIMITED else node.limit,
        on_error=node.on_error,
        disabled=node.disabled,
        key=_key(found),
        resources=_resources(found),
    )
    step.simple = (
        runs == "inline" and not kind.takes_context and not node.retry.times and kind.stamp is None
    )  # fmt: skip
    step.sole = len(step.outputs) == 1 and node.on_error.action != "route"
    return step


def _connect(steps: list[Step], slots: Mapping[Source, int]) -> None:
    """Who comes after whom, in step indices, each pair once."""
    maker = {slot: step.index for step in steps for _, slot in step.outputs}
    followers: list[list[int]] = [[] for _ in steps]
    for step in steps:
        before = {maker[slot] for slot in step.reads if slot in maker}
        step.waits_for = len(before)
        for index in sorted(before):
            followers[index].append(step.index)
    for step, after in zip(steps, followers, strict=True):
        step.followers = tuple(after)


def _key(found: CheckedNode) -> bytes | None:
    """What a node's results depend on besides what reaches it by links and what its stamp says."""
    kind, node = found.kind, found.node
    keeps = kind.effect == "pure" or kind.stamp is not None
    if not (keeps if node.cache is None else node.cache):
        return None
    try:
        over = [name for name, joined in found.links.items() if joined[0].fit.maps]
        shape = [list(found.links), over, list(found.outputs), found.maps, node.on_error.action]
        written = pack([found.values, shape])
    except UnstorableValue:
        return None
    return hashlib.blake2b(f"{kind.name}\n{kind.digest}\n".encode() + written, digest_size=20).digest()


_LIMITED: Final = {"net": "net", "browser": "browser", "model": "model", "embedding": "model", "spend": "model"}


def _resources(found: CheckedNode) -> tuple[str, ...]:
    names = set()
    for need in found.kind.needs:
        resource = _LIMITED.get(need.word)
        if resource == "model":
            usual = "embedding" if need.word == "embedding" else "default"
            resource = f"model:{found.values.get(need.port or '') or usual}"
        if resource:
            names.add(resource)
    return tuple(sorted(names))
