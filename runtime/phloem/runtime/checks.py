"""Is this workflow one that can run? Every problem at once, each with its place and a remedy.

What comes out is what a Plan is compiled from: each node with its kind, its ports, where each input
comes from, and the types of its outputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from phloem.runtime.bodies import join_body, unknown_input
from phloem.runtime.bounds import misfit, within
from phloem.runtime.called import Called
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.checked import CheckedBody, CheckedNode, CheckedWorkflow, Joined
from phloem.runtime.errors import CheckError, ConfigError, NodeError, PermissionNeeded, Problem
from phloem.runtime.kinds import NodeKind
from phloem.runtime.mapped import along, goes_along, item_types
from phloem.runtime.outcomes import as_failure
from phloem.runtime.ports import LinkFit, Port, Ports, PortType, expect, join_link
from phloem.runtime.topology import CircleError, Topology, topology_of
from phloem.runtime.words import nearest, or_list
from phloem.runtime.workflow import INPUT, Node, Source, Workflow

__all__ = ["CheckedBody", "CheckedNode", "CheckedWorkflow", "Checker", "Joined", "check"]

Place = Callable[..., tuple[int, int] | None]

MOST_NODES: Final = 100_000
"""Nodes of a workflow with all that is nested in it and called from it: files that call others twice, and these
others twice, soon are more than any machine can run."""

MOST_NAMED: Final = 30
"""Names that a hint lists: a file with many problems would be told in more words than fit anywhere."""

MOST_SUGGESTIONS: Final = 200
"""Problems after which the nearest names are not looked for any more, which takes a millisecond each."""


def check(
    workflow: Workflow,
    catalogue: Catalogue,
    *,
    place: Place | None = None,
    file: str | None = None,
    store: Path | None = None,
    called: Called | None = None,
) -> CheckedWorkflow:
    """The workflow with everything about it resolved; CheckError with every problem there is.

    `place(*path)` gives the line and column of a part of the file, such as `("nodes", "read", "set")`;
    `store` is where topologies are kept; `called` reads the files that it calls, without it those beside `file`.
    PermissionNeeded if there is no problem but that some of these may not be read.
    """
    path = None if file is None else Path(file)
    checker = Checker(workflow, catalogue, place or (lambda *path: None), file, store, called or Called.beside(path))
    found = checker.run()
    if checker.problems or (found is None and not checker.lacking):
        raise CheckError(sorted(checker.problems, key=lambda one: (one.file or "", one.line or 0, one.column or 0)))
    if found is None or checker.lacking:
        said = "; ".join(f"{node} would read {name}" for node, name, _ in checker.lacking)
        flags = dict.fromkeys(flag for *_, flag in checker.lacking)
        raise PermissionNeeded(f"The workflow lacks a grant: {said}.", flags=list(flags))
    return found


class Checker:
    """Checks one workflow, and by further ones the bodies in it.

    `way` leads to the workflow in its file and `inside` is the path of the node that it is the body of, with a `/`
    at its end; both are empty for a whole file. `problems` and `lacking` (node, file, flag: what may not be read)
    are those of all of them. `calls` are the files on the way here, the outermost first.
    """

    way: tuple[str, ...] = ()
    inside = ""

    def __init__(
        self,
        workflow: Workflow,
        catalogue: Catalogue,
        place: Place,
        file: str | None,
        store: Path | None,
        called: Called,
    ) -> None:
        self.workflow = workflow
        self.catalogue = catalogue
        self.place = place
        self.file = file
        self.store = store
        self.called = called
        self.folder = None if file is None else Path(file).parent
        self.calls: tuple[Path, ...] = () if file is None else (Path(file).resolve(),)
        self.problems: list[Problem] = []
        self.lacking: list[tuple[str, str, str]] = []
        self.nodes: dict[str, CheckedNode] = {}

    def run(self) -> CheckedWorkflow | None:
        """The workflow with everything resolved; None if it has a problem, or calls a file that may not be read."""
        before = len(self.problems) + len(self.lacking)
        for name, given in self.workflow.inputs.items():
            self.check_input(name, given.value, given.type, given.has_value)
        if INPUT in self.workflow.nodes:
            hint = "Give it another id."
            self.problem(("nodes", INPUT), f"{INPUT} means the workflow's own inputs", hint, INPUT)
        self.find_kinds()
        topology = self.order()
        # Where the links go round there is no order, and any is as good for finding the other problems.
        for id in [topology.names[index] for index in topology.order] if topology else self.workflow.nodes:
            if id in self.nodes:
                self.check_node(self.nodes[id])
        for id, node in self.workflow.nodes.items():
            if id not in self.nodes:
                self.link_types(id, node)
        for name, source in self.workflow.outputs.items():
            self.source_type(source, ("outputs", name), None, None)
        if len(self.problems) + len(self.lacking) > before or topology is None:
            return None
        return self.bounded(CheckedWorkflow(self.workflow, topology, self.nodes))

    def inner(self, workflow: Workflow, place: Place, file: str | None) -> Checker:
        """A checker for a workflow in a node of this one, whose problems are among those of this one."""
        inner = Checker(workflow, self.catalogue, place, file, self.store, self.called)
        inner.problems, inner.lacking = self.problems, self.lacking
        return inner

    def find_kinds(self) -> None:
        """The nodes whose kinds are known, brought to the kind's version; a problem for each other."""
        for id, node in self.workflow.nodes.items():
            kind = self.kind_of(id, node)
            if kind is not None:
                self.nodes[id] = CheckedNode(id, self.migrated(id, node, kind), kind)

    def bounded(self, found: CheckedWorkflow) -> CheckedWorkflow | None:
        """The workflow with its size; None with a problem if it is larger than can be run."""
        found.size = len(self.nodes) + sum(body.checked.size for body in found.bodies())
        if found.size <= MOST_NODES:
            return found
        message = f"with all that is nested and called it has {found.size:,} nodes; at most {MOST_NODES:,} can run"
        self.problem(("nodes",), message, "Call fewer files, or call them for a list with flow.each.")
        return None

    def problem(
        self,
        path: tuple[str, ...],
        message: str,
        hint: str | None = None,
        node: str | None = None,
        port: str | None = None,
    ) -> None:
        line, column = self.place(*self.way, *path) or (None, None)
        whose = f"{self.inside}{node}" if node else self.inside.rstrip("/") or None
        self.problems.append(Problem(message, hint, self.file, line, column, whose, port))

    def did_you_mean(self, name: str, known: Mapping[str, Any], prefix: str, none: str) -> str:
        """The name that was meant, or those that there are; `none` if there are none."""
        near = self.nearest(name, known)
        if near:
            return f"Did you mean {prefix}{near}?"
        verb = "is" if len(known) == 1 else "are"
        return f"There {verb} {_listed(known, prefix)}." if known else none

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The name that was meant. A file with very many problems is not one that was mistyped."""
        return nearest(name, known) if len(self.problems) < MOST_SUGGESTIONS else None

    def check_input(self, name: str, value: Any, wanted: PortType, has_value: bool) -> None:
        if has_value:
            try:
                expect(value, wanted)
            except NodeError as error:
                self.problem(("inputs", name, "value"), f"the value of input {name}: {error.message}")

    def kind_of(self, id: str, node: Node) -> NodeKind | None:
        """The kind of a node, or None with a problem that says what is wrong with its name."""
        kind_id, _, version = node.kind.partition("@")
        path = ("nodes", id, "kind")
        try:
            kind = self.catalogue.find(kind_id)
        except ConfigError as error:
            self.problem(path, error.message, error.hint, id)
            return None
        if kind is None:
            near = self.nearest(kind_id, [one.id for one in self.catalogue])
            known = near and self.catalogue.find(near)
            hint = (
                f"Did you mean {known.name}?"
                if known
                else "Install the package that brings it; `phloem nodes` lists the kinds there are."
            )
            self.problem(path, f"there is no kind of node called {node.kind}", hint, id)
        elif not version:
            self.problem(path, f"the kind {kind_id} is written without its version", f"Write {kind.name}", id)
            return kind
        elif not _migratable(kind, version):
            hint = f"Update the package that brings it, or write {kind.name}"
            self.problem(path, f"version {version} of {kind_id} is not installed; version {kind.version} is", hint, id)
        return kind

    def migrated(self, id: str, node: Node, kind: NodeKind) -> Node:
        """The node with its settings brought to the kind's version; as it is, with a problem, if they cannot be."""
        version = node.kind.partition("@")[2]
        settings = dict(node.set)
        try:
            for step in range(int(version), kind.version) if _migratable(kind, version) else ():
                settings = kind.migrations[step](settings)
        except Exception as error:
            failure = as_failure(error)
            message = f"its settings cannot be brought from version {version} to {kind.version}: {failure.message}"
            self.problem(("nodes", id, "set"), message, failure.hint, id)
            return node
        if settings == node.set:
            return node
        return replace(node, set=settings)

    def order(self) -> Topology | None:
        """The topology over the links that lead somewhere, or None with a problem for each circle."""
        known = self.workflow.nodes
        edges = {id: tuple(one for one in sources if one in known) for id, sources in self.workflow.edges().items()}
        try:
            return topology_of(edges, self.store)
        except CircleError as error:
            for circle in error.circles:
                first = min(circle, key=list(known).index)
                at = circle.index(first)
                way = [*circle[at:], *circle[:at], first]
                self.problem(
                    ("nodes", first, "in"),
                    f"the links go round in a circle: {' → '.join(way)}",
                    "Remove one of these links.",
                    first,
                )
            return None

    def check_node(self, found: CheckedNode) -> None:
        """Fill in ports, links and values; a problem for each that does not fit."""
        id, node, kind = found.id, found.node, found.kind
        types = self.link_types(id, node)
        found.inputs, found.outputs = dict(kind.inputs), dict(kind.outputs)
        if not self.shape(found, types):
            return
        if node.on_error.action == "route":
            self.add_error_output(found)
        linked = [name for name, sources in node.links.items() if sources]
        for port_name in sorted(linked, key=lambda name: goes_along(found.inputs, name)):
            self.check_links(found, port_name, node.links[port_name], types)
        for name, value in node.set.items():
            self.check_setting(found, name, value)
        self.fill_in(found, [name for name in found.inputs if name not in linked and name not in node.set])
        routed = node.on_error.action == "route"
        for _ in range(found.maps):
            found.outputs = {
                name: port_type if routed and name == "error" else port_type.listed
                for name, port_type in found.outputs.items()
            }
        if node.on_error.action == "default":
            self.check_default(found)

    def fill_in(self, found: CheckedNode, names: Iterable[str]) -> None:
        """The defaults of the inputs that nothing is said of; a problem for those that have none."""
        for name in names:
            port = found.inputs[name]
            if port.required:
                self.problem(
                    ("nodes", found.id), f"the input {name} ({port.type}) is missing",
                    "Link an output to it under `in`, or write a value under `set`.", found.id, name,
                )  # fmt: skip
            else:
                found.values[name] = port.default

    def shape(self, found: CheckedNode, types: Mapping[str, PortType]) -> bool:
        """Give the node the ports that depend on its settings, its links and its body; False if they cannot be told."""
        kind = found.kind
        if kind.nests is not None:
            return join_body(self, found, types)
        if found.node.do is not None:
            message = f"{kind.name} has no body, so what stands under `do` would never run"
            hint = "Remove it, or use a kind that runs one, as flow.each."
            self.problem(("nodes", found.id, "do"), message, hint, found.id)
        return kind.ports is None or self.add_ports(found, item_types(kind.inputs, types))

    def add_error_output(self, found: CheckedNode) -> None:
        if "error" in found.outputs:
            self.problem(
                ("nodes", found.id, "on_error"), f"{found.kind.name} has an output error of its own",
                "Use another on_error than route.", found.id,
            )  # fmt: skip
        found.outputs["error"] = PortType("json")

    def check_default(self, found: CheckedNode) -> None:
        """Have `on_error` hold, for each output that it gives, a value of the output's type."""
        value, names = found.node.on_error.default, found.outputs.keys()
        by_name = len(names) > 1 and isinstance(value, dict) and value.keys() <= names
        defaults = {}
        for name, default in value.items() if by_name else dict.fromkeys(names, value).items():
            try:
                defaults[name] = expect(default, found.outputs[name])
            except NodeError as error:
                message = f"the default of the output {name} does not fit: {error.message}"
                self.problem(("nodes", found.id, "on_error"), message, None, found.id, name)
        found.node = replace(found.node, on_error=replace(found.node.on_error, default=defaults))

    def link_types(self, id: str, node: Node) -> dict[str, PortType]:
        """The type that arrives at each linked port; `any` where several differ or one is unknown."""
        types = {}
        for port_name, sources in node.links.items():
            arriving = {self.source_type(source, ("nodes", id, "in", port_name), id, port_name) for source in sources}
            only = arriving.pop() if len(arriving) == 1 else None
            types[port_name] = only or PortType("any")
        return types

    def source_type(self, source: Source, path: tuple[str, ...], id: str | None, port: str | None) -> PortType | None:
        """The type an output gives; None if it is not there (a problem) or not known (no new problem)."""
        if source.node == INPUT:
            given = self.workflow.inputs.get(source.port)
            if given is None:
                hint = self.did_you_mean(source.port, self.workflow.inputs, "input.", "The workflow has no inputs.")
                if self.inside:
                    hint += f" To hand it in, link it to {self.inside.rstrip('/')}: `in: {{{source.port}: …}}`."
                self.problem(path, f"there is no input called {source.port}", hint, id, port)
            return given.type if given else None
        if source.node not in self.workflow.nodes:
            hint = self.did_you_mean(source.node, self.workflow.nodes, "", "The workflow has no nodes.")
            self.problem(path, f"there is no node called {source.node}", hint, id, port)
            return None
        found = self.nodes.get(source.node)
        if found is None or not found.outputs:
            if found is not None and not found.kind.outputs and not found.kind.ports and not found.kind.nests:
                self.problem(path, f"{source.node} ({found.kind.name}) has no outputs", None, id, port)
            return None
        if source.port not in found.outputs:
            hint = self.did_you_mean(source.port, found.outputs, f"{source.node}.", "")
            self.problem(path, f"{source.node} ({found.kind.name}) has no output {source.port}", hint, id, port)
            return None
        return found.outputs[source.port]

    def add_ports(self, found: CheckedNode, types: Mapping[str, PortType]) -> bool:
        """The ports that depend on the node's own settings; False with a problem if they cannot be told."""
        assert found.kind.ports is not None
        if not self.shapes_fit(found):
            return False
        try:
            ports: Ports = found.kind.ports(found.node.set, types)
        except Exception as error:
            self.misshapen(found, error)
            return False
        found.inputs.update(ports.inputs)
        found.outputs = dict(ports.outputs) or found.outputs
        return True

    def misshapen(self, found: CheckedNode, error: Exception) -> None:
        """A problem for settings from which no ports can be told, be it by a bug of the kind."""
        failure = as_failure(error)
        shaping = next((name for name, port in found.kind.inputs.items() if port.shapes), None)
        path = ("nodes", found.id, "set", shaping) if shaping else ("nodes", found.id)
        self.problem(path, failure.message, failure.hint, found.id, shaping)

    def shapes_fit(self, found: CheckedNode) -> bool:
        """True if the settings that decide which ports a node has are written down and fit; else with a problem."""
        for name in found.node.links:
            port = found.kind.inputs.get(name)
            if port is not None and port.shapes:
                self.problem(
                    ("nodes", found.id, "in", name), f"{name} decides which ports the node has, so it cannot be linked",
                    "Write its value under `set`.", found.id, name,
                )  # fmt: skip
                return False
        for name, port in found.kind.inputs.items():
            wrong = misfit(port, found.node.set[name]) if port.shapes and name in found.node.set else None
            if wrong:
                self.problem(
                    ("nodes", found.id, "set", name), f"the value of {name} {wrong}", None, found.id, name
                )  # fmt: skip
                return False
        return True

    def check_links(
        self, found: CheckedNode, name: str, sources: tuple[Source, ...], types: Mapping[str, PortType]
    ) -> None:
        id, path = found.id, ("nodes", found.id, "in", name)
        port = found.inputs.get(name)
        if port is None:
            hint = self.did_you_mean(name, found.inputs, "", f"{found.kind.name} has no inputs.")
            shaping = [port.name for port in found.kind.inputs.values() if port.shapes]
            if found.kind.nests is not None:
                hint = unknown_input(found, name, hint)
            elif shaping and found.kind.ports is not None:
                hint = f"Which inputs it has is decided by its setting {or_list(shaping)}. {hint}"
            self.problem(path, f"{found.kind.name} has no input {name}", hint, id, name)
            return
        if name in found.node.set:
            self.problem(path, f"{name} has a link and a value", "Remove one of the two.", id, name)
        if len(sources) > 1 and not port.many:
            hint = "Keep one, or join them first with flow.merge or text.join."
            self.problem(path, f"the input {name} takes one link, not {len(sources)}", hint, id, name)
            return
        joined = []
        for source in sources:
            arriving = types[name] if len(sources) == 1 else self.quiet_type(source)
            fit = along(arriving, found.maps) if port.maps == "along" else join_link(arriving, port)
            if isinstance(fit, str):
                self.problem(path, f"{source} does not fit the input {name}: {fit}", _remedy(arriving, port), id, name)
            else:
                joined.append(Joined(source, within(fit, port)))
                self.join_maps(found, name, fit)
        found.links[name] = tuple(joined)

    def quiet_type(self, source: Source) -> PortType:
        """The type an output gives, `any` if it has been complained about already."""
        given = self.workflow.inputs.get(source.port) if source.node == INPUT else None
        if given is not None:
            return given.type
        found = self.nodes.get(source.node)
        return found.outputs.get(source.port, PortType("any")) if found else PortType("any")

    def join_maps(self, found: CheckedNode, name: str, fit: LinkFit) -> None:
        if fit.maps and found.maps and fit.maps != found.maps:
            self.problem(
                ("nodes", found.id, "in", name),
                f"the node runs once per item of lists of different depth ({found.maps} and {fit.maps})",
                "Flatten the deeper list first with data.flatten.", found.id, name,
            )  # fmt: skip
        found.maps = max(found.maps, fit.maps)

    def check_setting(self, found: CheckedNode, name: str, value: Any) -> None:
        id, path = found.id, ("nodes", found.id, "set", name)
        port = found.inputs.get(name)
        if port is None:
            hint = self.did_you_mean(name, found.inputs, "", f"{found.kind.name} has no settings.")
            self.problem(path, f"{found.kind.name} has no setting {name}", hint, id, name)
            return
        wrong = misfit(port, value)
        if wrong:
            self.problem(path, f"the value of {name} {wrong}", None, id, name)
        else:
            found.values[name] = value if value is None else expect(value, port.type)


def _migratable(kind: NodeKind, version: str) -> bool:
    """True for a version that is installed or can be brought to the one that is."""
    if not re.fullmatch("[1-9][0-9]{0,5}", version):
        return False
    return int(version) <= kind.version and all(step in kind.migrations for step in range(int(version), kind.version))


def _listed(known: Mapping[str, Any], prefix: str) -> str:
    """The names that there are, as a person says them; of very many the first."""
    names = [prefix + one for one in islice(known, MOST_NAMED)]
    more = len(known) - len(names)
    return or_list([*names, f"{more:,} more"] if more else names, "and")


def _remedy(source: PortType, port: Port) -> str:
    if source.base == "file":
        return "Read it into text first, for example with files.read."
    if port.type.base == "number" and source.base == "text":
        return "Turn the text into a number first, for example with data.parse."
    return f"The input takes {port.type}" + (f" ({port.about})." if port.about else ".")
