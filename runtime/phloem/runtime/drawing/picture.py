"""What there is to draw: a workflow's boxes and links with their types, whatever state it is in.

Everything that can be known is found out here, and every text is made fit to draw, so that the ways
of drawing (text, Mermaid, SVG) only differ in ink. A link from something that is not there gets a
ghost to come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.checks import CheckedNode, check
from phloem.runtime.drawing.depth import depth_of
from phloem.runtime.drawing.lettering import clean, value_text
from phloem.runtime.errors import CheckError, DocumentError, NodeError
from phloem.runtime.kinds import NodeKind
from phloem.runtime.ports import Ports, PortType
from phloem.runtime.workflow import INPUT, Node, Source, Workflow

__all__ = ["Box", "Link", "Picture", "Socket", "picture_of"]

Role = Literal["input", "node", "output"]

_NAME: Final = 100
_VALUE: Final = 200
_UNUSED_OUTPUTS: Final = 4
"""A kind with more outputs than this shows only those that are used."""


@dataclass(slots=True)
class Socket:
    """A port as drawn. `type` is None where nobody knows it; an input that takes anything has the type of
    what comes in. `linked` says whether a link meets it."""

    name: str
    type: PortType | None = None
    linked: bool = False


@dataclass(slots=True)
class Box:
    """A node, an input of the workflow or an output of it.

    `title` is what its author calls it and `kind_title` what the catalogue calls its kind; `kind` is
    what the file says it is (the type, for an input or output), `value` what an input holds. `settings`
    are names with values in short, `flags` what else is said about it, `inside` the workflow nested in
    it. `installed` is False for a kind that the catalogue lacks, `missing` is True for what a link names
    and the workflow lacks. `times` is how many levels of list it runs over.
    """

    role: Role
    id: str
    title: str = ""
    kind_title: str = ""
    kind: str = ""
    about: str = ""
    value: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()
    ins: list[Socket] = field(default_factory=list)
    outs: list[Socket] = field(default_factory=list)
    installed: bool = True
    missing: bool = False
    disabled: bool = False
    times: int = 0
    inside: Workflow | None = None

    @property
    def family(self) -> str:
        """What stands before the dot in the kind's id."""
        return self.kind.partition("@")[0].partition(".")[0]


@dataclass(frozen=True, slots=True)
class Link:
    """From output socket `out` of box `source` into input socket `into` of box `target`, all by index.

    `back` is True for the links that would have to go for a circle to open.
    """

    source: int
    out: int
    target: int
    into: int
    type: PortType | None = None
    back: bool = False


@dataclass(slots=True)
class Picture:
    """`boxes` are inputs, then nodes in the order of the file, then ghosts, then outputs.

    `layer` holds, for each box, the number of links on the longest way to it from a node or ghost
    without any; inputs have -1. `places` are the corners of the nodes by index, if the workflow has all of them.
    """

    title: str = ""
    about: str = ""
    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)
    places: dict[int, tuple[float, float]] | None = None


def picture_of(workflow: Workflow, catalogue: Catalogue | None = None) -> Picture:
    """Everything about `workflow` that can be drawn.

    With a catalogue: titles, all ports, and the types of links as checking finds them, or as the
    kinds declare them where the workflow has problems. Without: what the workflow says itself.
    """
    return _Painter(workflow, catalogue).paint()


class _Painter:
    """Collects boxes and links; `at` finds a box by its role and id as the file has them."""

    def __init__(self, workflow: Workflow, catalogue: Catalogue | None) -> None:
        self.workflow = workflow
        self.catalogue = catalogue
        self.kinds = _kinds_of(workflow, catalogue)
        self.checked = _checked(workflow, catalogue, self.kinds)
        self.declared = {id: _declared(kind, workflow.nodes[id]) for id, kind in self.kinds.items()}
        self.boxes: list[Box] = []
        self.links: list[Link] = []
        self.at: dict[tuple[Role, str], int] = {}
        self.outs: dict[tuple[int, str], int] = {}

    def paint(self) -> Picture:
        for name, given in self.workflow.inputs.items():
            value = value_text(given.value, _VALUE) if given.has_value else ""
            box = Box("input", _name(name), kind=str(given.type), about=clean(given.about), value=value)
            self.put(name, box, {name: given.type})
        for id, node in self.workflow.nodes.items():
            self.put(id, self.node(id, node), self.outputs(id))
        for source in self.sources():
            if self.found(source) is None:
                role: Role = "input" if source.node == INPUT else "node"
                key = source.port if role == "input" else source.node
                self.put(key, Box(role, _name(key), missing=True), {})
        depth = depth_of(self.workflow)
        for id, node in self.workflow.nodes.items():
            self.link(id, node, depth.back)
        for name, source in self.workflow.outputs.items():
            self.give(name, source)
        self.drop_unused()
        return Picture(
            title=clean(self.workflow.title),
            about=clean(self.workflow.about),
            boxes=self.boxes,
            links=self.links,
            layer=self.layers(depth.layer),
            places=self.places(),
        )

    def put(self, key: str, box: Box, outs: Mapping[str, PortType | None]) -> int:
        index = self.at[(box.role, key)] = len(self.boxes)
        self.boxes.append(box)
        for name, port_type in outs.items():
            self.outs[(index, name)] = len(box.outs)
            box.outs.append(Socket(_name(name), port_type))
        return index

    def node(self, id: str, node: Node) -> Box:
        kind, checked = self.kinds.get(id), self.checked.get(id)
        return Box(
            "node",
            _name(id),
            title=clean(node.title),
            kind_title=clean(kind.title) if kind else "",
            kind=_name(node.kind),
            about=clean(node.note),
            settings=tuple((_name(name), value_text(value, _VALUE)) for name, value in node.set.items()),
            flags=(*(["once per item"] if checked and checked.maps else []), *_flags(node)),
            installed=self.catalogue is None or kind is not None,
            disabled=node.disabled,
            times=checked.maps if checked else 0,
            inside=_body(node),
        )

    def outputs(self, id: str) -> Mapping[str, PortType]:
        """The outputs of a node with their types, as far as they are known."""
        if id in self.checked:
            return self.checked[id].outputs
        routed = {"error": PortType("json")} if self.workflow.nodes[id].on_error.action == "route" else {}
        return {**self.declared[id].outputs, **routed} if id in self.declared else routed

    def sources(self) -> Iterable[Source]:
        for node in self.workflow.nodes.values():
            for sources in node.links.values():
                yield from sources
        yield from self.workflow.outputs.values()

    def found(self, source: Source) -> int | None:
        """The box a link comes from."""
        if source.node == INPUT:
            return self.at.get(("input", source.port))
        return self.at.get(("node", source.node))

    def link(self, id: str, node: Node, back: frozenset[tuple[str, str]]) -> None:
        """The inputs of a node, in the order of its kind where that is known, and the links into them."""
        target = self.at[("node", id)]
        box = self.boxes[target]
        known = self.checked.get(id) or self.declared.get(id)
        ports = known.inputs if known else {}
        wanted = [name for name, port in ports.items() if name in node.links or (port.required and name not in node.set)]
        for name in dict.fromkeys([*wanted, *node.links]):
            sources = node.links.get(name, ())
            port_type = ports[name].type if name in ports else None
            box.ins.append(Socket(_name(name), port_type, bool(sources)))
            for source in sources:
                self.join(source, target, len(box.ins) - 1, back=(source.node, id) in back)

    def give(self, name: str, source: Source) -> None:
        """An output of the workflow and the link to it."""
        target = self.put(name, Box("output", _name(name), ins=[Socket(_name(name), None, True)]), {})
        joined = self.join(source, target, 0)
        self.boxes[target].kind = str(joined.type or "")
        self.boxes[target].ins[0].type = joined.type

    def join(self, source: Source, target: int, into: int, *, back: bool = False) -> Link:
        index = self.found(source)
        assert index is not None, "every source has a box, a ghost if need be"
        box = self.boxes[index]
        out = self.outs.get((index, source.port))
        if out is None:
            out = self.outs[(index, source.port)] = len(box.outs)
            box.outs.append(Socket(_name(source.port)))
        box.outs[out].linked = True
        taken = self.boxes[target].ins[into]
        if taken.type is None or taken.type.base == "any":
            taken.type = box.outs[out].type
        joined = Link(index, out, target, into, box.outs[out].type, back)
        self.links.append(joined)
        return joined

    def drop_unused(self) -> None:
        """Of nodes with many outputs, keep only those that a link leaves from, or the first few if none does."""
        moved: dict[int, dict[int, int]] = {}
        for index, box in enumerate(self.boxes):
            if len(box.outs) > _UNUSED_OUTPUTS:
                used = [at for at, out in enumerate(box.outs) if out.linked] or range(_UNUSED_OUTPUTS)
                moved[index] = {old: new for new, old in enumerate(used)}
                box.outs = [box.outs[at] for at in used]
        self.links = [
            Link(one.source, moved[one.source][one.out], one.target, one.into, one.type, one.back)
            if one.source in moved
            else one
            for one in self.links
        ]

    def layers(self, of_node: Mapping[str, int]) -> list[int]:
        """The layer of each box; an output's is one after what it comes from."""
        layer = [0] * len(self.boxes)
        for (role, key), index in self.at.items():
            layer[index] = -1 if role == "input" else of_node.get(key, 0)
        for one in self.links:
            if self.boxes[one.target].role == "output":
                layer[one.target] = layer[one.source] + 1
        return layer

    def places(self) -> dict[int, tuple[float, float]] | None:
        """Where the layout puts each node, if it puts every one, and no two in the same place."""
        places: dict[int, tuple[float, float]] = {}
        if any(box.role == "node" and box.missing for box in self.boxes):
            return None
        for id in self.workflow.nodes:
            place = _place(self.workflow.layout.get(id))
            if place is None:
                return None
            places[self.at[("node", id)]] = place
        return places if places and len(set(places.values())) == len(places) else None


def _kinds_of(workflow: Workflow, catalogue: Catalogue | None) -> dict[str, NodeKind]:
    """The kinds of the nodes whose kinds are there."""
    if catalogue is None:
        return {}
    known = {name: catalogue.find(name.partition("@")[0]) for name in {node.kind for node in workflow.nodes.values()}}
    return {id: kind for id, node in workflow.nodes.items() if (kind := known[node.kind]) is not None}


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


def _name(text: str) -> str:
    return clean(text, _NAME) or "?"


def _body(node: Node) -> Workflow | None:
    """The workflow nested in a node; an empty one if it cannot be read."""
    if "do" not in node.extra:
        return None
    from phloem.runtime.document import body

    try:
        return body(node.extra["do"])
    except DocumentError:
        return Workflow()


def _flags(node: Node) -> Iterable[str]:
    """What else the file says about a node, in its words."""
    if node.disabled:
        yield "disabled"
    if node.retry.times:
        yield f"retry {node.retry.times}"
    if node.timeout is not None:
        yield f"timeout {node.timeout:g} s"
    if node.on_error.action != "stop":
        yield f"on error {clean(node.on_error.action, 20)}"
    if node.cache is not None:
        yield "cached" if node.cache else "not cached"


def _place(found: object) -> tuple[float, float] | None:
    """A corner written `[x, y]`, or `{at: [x, y], …}`; None for anything else, or for what lies too far out."""
    if isinstance(found, Mapping):
        found = found.get("at")
    if not isinstance(found, list | tuple) or len(found) < 2:
        return None
    x, y = found[0], found[1]
    if any(isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) < _FAR for one in (x, y)):
        return None
    return float(x), float(y)


_FAR: Final = 1e6
