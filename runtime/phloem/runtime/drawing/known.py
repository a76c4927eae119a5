"""What a catalogue knows of the nodes of a workflow, whatever state the workflow is in."""

from __future__ import annotations

from collections.abc import Mapping

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.checks import CheckedNode, check
from phloem.runtime.errors import CheckError, ConfigError, NodeError
from phloem.runtime.kinds import NodeKind
from phloem.runtime.ports import Port, Ports, PortType
from phloem.runtime.workflow import Node, Workflow

__all__ = ["Known"]


class Known:
    """The kinds and ports of a workflow's nodes.

    Ports and types are what checking finds, or what the kinds declare where the workflow has problems.
    Without a catalogue nothing is known.
    """

    def __init__(self, workflow: Workflow, catalogue: Catalogue | None) -> None:
        self.workflow = workflow
        self.kinds = _kinds_of(workflow, catalogue)
        self._checked = _checked(workflow, catalogue, self.kinds)
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


def _checked(workflow: Workflow, catalogue: Catalogue | None, kinds: Mapping[str, NodeKind]) -> dict[str, CheckedNode]:
    """What checking finds out about each node; nothing for a workflow with problems."""
    if catalogue is None or len(kinds) < len(workflow.nodes):
        return {}
    try:
        return check(workflow, catalogue).nodes
    except CheckError:
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
