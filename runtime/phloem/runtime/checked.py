"""A workflow without problems: each node with its kind, its ports, where each input comes from, and its body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phloem.runtime.document import WorkflowFile
from phloem.runtime.kinds import NodeKind
from phloem.runtime.ports import Coercion, LinkFit, Port, PortType
from phloem.runtime.topology import Topology
from phloem.runtime.workflow import Node, Source, Workflow

__all__ = ["CheckedBody", "CheckedNode", "CheckedWorkflow", "Joined"]


@dataclass(frozen=True, slots=True)
class Joined:
    """One link into a port, and how its value enters."""

    source: Source
    fit: LinkFit


@dataclass(slots=True)
class CheckedNode:
    """A node whose kind and ports are known. `maps` is how many levels of list it is run over."""

    id: str
    node: Node
    kind: NodeKind
    inputs: dict[str, Port] = field(default_factory=dict)
    outputs: dict[str, PortType] = field(default_factory=dict)
    links: dict[str, tuple[Joined, ...]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    maps: int = 0
    body: CheckedBody | None = None


@dataclass(slots=True)
class CheckedWorkflow:
    """A workflow without problems. `nodes` are in the order of the file; a body's inputs are all declared in it.

    `size` counts the nodes with those in bodies and called files, each as often as it stands there.
    """

    workflow: Workflow
    topology: Topology
    nodes: dict[str, CheckedNode]
    size: int = 0

    def called(self) -> Mapping[Path, WorkflowFile]:
        """The files that are called from here, and from these, by their real paths."""
        found: dict[Path, WorkflowFile] = {}
        waiting: list[CheckedWorkflow] = [self]
        while waiting:
            for body in waiting.pop().bodies():
                if body.file is None:
                    waiting.append(body.checked)
                elif body.place not in found and body.place is not None:
                    found[body.place] = body.file
                    waiting.append(body.checked)
        return found

    def bodies(self) -> Iterator[CheckedBody]:
        """The bodies of its nodes."""
        return (node.body for node in self.nodes.values() if node.body is not None)


@dataclass(slots=True)
class CheckedBody:
    """The workflow inside a node.

    `given` are the inputs that the kind itself gives, `carried` the outputs that become inputs when it runs again,
    each with what turns the value. `file` is the file that is called and `place` its real path; both are None for
    what stands in the node.
    """

    checked: CheckedWorkflow
    given: dict[str, Coercion | None] = field(default_factory=dict)
    carried: dict[str, Coercion | None] = field(default_factory=dict)
    file: WorkflowFile | None = None
    place: Path | None = None
