"""What a catalogue knows of the nodes of a workflow, whatever state the workflow is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from phloem.runtime.bodies import used_inputs
from phloem.runtime.called import Called
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.checked import CheckedNode
from phloem.runtime.checks import check
from phloem.runtime.errors import CheckError, ConfigError, NodeError, PermissionNeeded
from phloem.runtime.kinds import NodeKind
from phloem.runtime.ports import Port, Ports, PortType
from phloem.runtime.workflow import Input, Node, Workflow

__all__ = ["Known", "Origin"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that a workflow lies in, None if in none, and what reads the files that it calls: without it, those
    beside."""

    file: Path | None = None
    called: Called | None = None


class Known:
    """The kinds and ports of a workflow's nodes.

    Ports and types are what checking finds, or what the kinds declare where the workflow has problems.
    Without a catalogue nothing is known.
    """

    def __init__(self, workflow: Workflow, catalogue: Catalogue | None, origin: Origin) -> None:
        self.workflow = workflow
        self.origin = origin
        self.kinds = _kinds_of(workflow, catalogue)
        self._checked = _checked(workflow, catalogue, self.kinds, origin)
        self._declared = {
            id: _declared(kind, workflow.nodes[id]) for id, kind in self.kinds.items() if id not in self._checked
        }

    def inputs(self, id: str) -> Mapping[str, Port]:
        """The inputs and settings of a node."""
        found = self._checked.get(id) or self._declared.get(id)
        return found.inputs if found else {}

    def outputs(self, id: str) -> Mapping[str, PortType]:
        """The outputs of a node with their types."""
        if id in self._checked:
            return self._checked[id].outputs
        routed = {"error": PortType("json")} if self.workflow.nodes[id].on_error.action == "route" else {}
        return {**self._declared[id].outputs, **routed} if id in self._declared else routed

    def inside(self, id: str) -> tuple[Workflow | None, Origin]:
        """The workflow in a node, with the inputs that it uses without declaring them, and where it lies: that of a
        file that is called where the file may be read."""
        node, found = self.workflow.nodes[id], self._checked.get(id)
        if found is not None and found.body is not None and found.body.file is not None:
            return found.body.file.workflow, Origin(found.body.file.path, self.origin.called)
        if node.do is None:
            return None, self.origin
        declared, used = node.do.inputs, used_inputs(node.do)
        if found is not None and found.body is not None:
            known: Mapping[str, Input] = found.body.checked.workflow.inputs
        else:
            known = {**dict.fromkeys([*node.links, *node.set, *self._given(id)], Input(PortType("any"))), **declared}
        inputs = {name: one for name, one in known.items() if name in declared or name in used}
        return replace(node.do, inputs=inputs), self.origin

    def _given(self, id: str) -> Iterable[str]:
        """What the kind of a node gives its body, as far as that can be told while the workflow has problems."""
        kind = self.kinds.get(id)
        if kind is None or kind.nests is None:
            return ()
        try:
            return kind.nests.given(self.workflow.nodes[id].set, {})
        except NodeError:
            return ()

    def maps(self, id: str) -> int:
        """How many levels of list a node runs over."""
        return self._checked[id].maps if id in self._checked else 0


def _kinds_of(workflow: Workflow, catalogue: Catalogue | None) -> dict[str, NodeKind]:
    """The kinds of the nodes whose kinds are there."""
    if catalogue is None:
        return {}
    known = {name: _found(catalogue, name) for name in {node.kind for node in workflow.nodes.values()}}
    return {id: kind for id, node in workflow.nodes.items() if (kind := known[node.kind]) is not None}


def _found(catalogue: Catalogue, name: str) -> NodeKind | None:
    try:
        return catalogue.find(name.partition("@")[0])
    except ConfigError:
        return None


def _checked(
    workflow: Workflow, catalogue: Catalogue | None, kinds: Mapping[str, NodeKind], origin: Origin
) -> dict[str, CheckedNode]:
    """What checking finds out about each node; nothing for a workflow with problems."""
    if catalogue is None or len(kinds) < len(workflow.nodes):
        return {}
    try:
        file = None if origin.file is None else str(origin.file)
        return check(workflow, catalogue, file=file, called=origin.called or Called.beside(origin.file)).nodes
    except (CheckError, PermissionNeeded):
        return {}


def _declared(kind: NodeKind, node: Node) -> Ports:
    """The ports of a node by its kind and settings alone, for when the links do not fit."""
    if kind.ports is None:
        return Ports(kind.inputs, kind.outputs)
    try:
        varying = kind.ports(node.set, dict.fromkeys(node.links, PortType("any")))
    except NodeError:
        return Ports(kind.inputs)
    return Ports({**kind.inputs, **varying.inputs}, varying.outputs or kind.outputs)
