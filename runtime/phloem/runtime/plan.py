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
from phloem.runtime.checked import CheckedNode, CheckedWorkflow
from phloem.runtime.codec import UnstorableValue, digest, pack
from phloem.runtime.document import WorkflowFile
from phloem.runtime.kinds import NodeKind, Runs
from phloem.runtime.paths import paths_handed_in
from phloem.runtime.ports import Coercion, PortType
from phloem.runtime.topology import ancestors
from phloem.runtime.workflow import INPUT, Limit, OnError, Retry, Source

__all__ = ["Gather", "Nested", "Plan", "Step", "compile_plan"]


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
    where it stands. With a `sole` output, what the function returns is that output's value. A step that `nests`
    runs another plan.
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
    nests: Nested | None = None


@dataclass(frozen=True, slots=True)
class Nested:
    """The plan of a body, and how it is joined to its step.

    `given` and `carried` have what turns the values that the kind gives the body, and its outputs that become inputs
    again. `paths` names the inputs that are paths, relative to the folder of the workflow around, where the body is a
    file of its own.
    """

    plan: Plan
    given: Mapping[str, Coercion | None] = field(default_factory=dict)
    carried: Mapping[str, Coercion | None] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()


@dataclass(slots=True)
class Plan:
    """Steps by index in the order of the file; `slots` values; which slot each workflow output is.

    `folder` is the workflow file's, if it has one: what paths in it are relative to. `waits` and `first` are how many
    steps each step waits for, and those that wait for none. A `light` plan has nothing but calls that are made where
    they stand, so that it runs in one go; `key` is what such a plan's results depend on besides its inputs, None if
    they are not kept. `document` is what the plan was made of, if it is known.
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
    model: str = ""
    limit: Limit = UNLIMITED
    waits: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    light: bool = False
    key: bytes | None = None
    document: WorkflowFile | None = None


def compile_plan(checked: CheckedWorkflow, *, to: str | None = None) -> Plan:
    """The plan of a checked workflow; with `to`, of only that node and what it depends on, whose outputs
    are then the plan's outputs."""
    return _compiled(checked, to, {})


def _compiled(checked: CheckedWorkflow, to: str | None, known: dict[int, Plan]) -> Plan:
    """`known` are the plans of files that are called, by the id of what was checked: each is compiled once."""
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
    steps = [_step(i, checked.nodes[id], slots, known) for id, i in index.items()]
    _connect(steps, slots)
    outputs = _outputs(checked, to)
    readers = [0] * len(slots)
    for step in steps:
        for slot in step.reads:
            readers[slot] += 1
    for source in outputs.values():
        readers[slots[source]] += 1
    plan = Plan(
        title=workflow.title,
        steps=steps,
        slots=len(slots),
        inputs={name: slots[Source(INPUT, name)] for name in workflow.inputs},
        outputs={name: slots[source] for name, source in outputs.items()},
        output_types={name: _type_of(checked, source) for name, source in outputs.items()},
        readers=readers,
        order=[index[id] for id in order],
        checked=checked,
        model=workflow.model,
        limit=UNLIMITED if workflow.limit == UNLIMITED else workflow.limit,
        waits=[step.waits_for for step in steps],
    )
    plan.first = [i for i in plan.order if not plan.waits[i]]
    plan.light = plan.limit is UNLIMITED and all(step.simple and not step.maps for step in steps)
    plan.key = _key_of_light(plan) if plan.light else None
    return plan


def _nested(found: CheckedNode, known: dict[int, Plan]) -> Nested | None:
    """The plan of a node's body."""
    body = found.body
    if body is None:
        return None
    plan = known.get(id(body.checked))
    if plan is None:
        plan = known[id(body.checked)] = _compiled(body.checked, None, known)
        if body.place is not None:
            plan.folder = body.place.parent
    return Nested(plan, body.given, body.carried, paths_handed_in(found))


def _key_of_light(plan: Plan) -> bytes | None:
    """What the results of a light plan depend on besides what goes in; None if a step's are not to be kept."""
    if any(step.key is None for step in plan.steps):
        return None
    types = {id: list(map(str, node.outputs.values())) for id, node in plan.checked.nodes.items()}
    steps = [
        [
            step.key, [(name, slot) for name, slot, _ in step.links], step.disabled, types[step.id],
            [(one.parameter, [slot for slot, _ in one.sources], one.joins) for one in step.gathers],
        ]
        for step in plan.steps
    ]  # fmt: skip
    inputs = {name: str(one.type) for name, one in plan.checked.workflow.inputs.items()}
    try:
        defaults = [step.on_error.default for step in plan.steps]
        ports = [list(inputs.items()), list(plan.inputs.items()), list(plan.outputs.items())]
        return digest(pack([steps, defaults, ports]))
    except UnstorableValue:
        return None


def _outputs(checked: CheckedWorkflow, to: str | None) -> dict[str, Source]:
    if to is None:
        return dict(checked.workflow.outputs)
    return {port: Source(to, port) for port in checked.nodes[to].outputs}


def _type_of(checked: CheckedWorkflow, source: Source) -> PortType:
    if source.node == INPUT:
        return checked.workflow.inputs[source.port].type
    return checked.nodes[source.node].outputs[source.port]


def _step(index: int, found: CheckedNode, slots: Mapping[Source, int], known: dict[int, Plan]) -> Step:
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
        resources=_resources(found),
        nests=_nested(found, known),
    )
    step.key = _key(found, step.nests)
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


def _key(found: CheckedNode, nests: Nested | None) -> bytes | None:
    """What a node's results depend on besides what reaches it by links and what its stamp says.

    What a light body gives is kept as a whole; in any other each step is kept by itself.
    """
    kind, node = found.kind, found.node
    keeps = kind.effect == "pure" or kind.stamp is not None
    if not (keeps if node.cache is None else node.cache) or (nests is not None and nests.plan.key is None):
        return None
    try:
        over = [name for name, joined in found.links.items() if joined[0].fit.maps]
        shape = [list(found.links), over, list(found.outputs), found.maps, node.on_error.action]
        written = pack([found.values, shape, *([nests.plan.key] if nests is not None else [])])
    except UnstorableValue:
        return None
    return hashlib.blake2b(f"{kind.name}\n{kind.digest}\n".encode() + written, digest_size=20).digest()


_LIMITED: Final = {"net": "net", "browser": "browser", "model": "model", "embedding": "model", "spend": "model"}


def _resources(found: CheckedNode) -> tuple[str, ...]:
    names = set()
    if found.body is not None:
        # What runs inside takes its own places, and might wait forever for those that its node has.
        return ()
    for need in found.kind.needs:
        resource = _LIMITED.get(need.word)
        if resource == "model":
            usual = "embedding" if need.word == "embedding" else "default"
            resource = f"model:{found.values.get(need.port or '') or usual}"
        if resource:
            names.add(resource)
    return tuple(sorted(names))
