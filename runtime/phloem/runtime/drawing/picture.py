"""What there is to draw: a workflow's boxes and links with their types, whatever state it is in.

Everything that can be known is found out here, and every text is made fit to draw, so that the ways
of drawing (text, Mermaid, SVG) only differ in ink. A link from something that is not there gets a
ghost to come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from phloem.runtime.budget import UNLIMITED, limit_words
from phloem.runtime.called import Called
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.drawing.boxes import Box, Link, Picture, Role, Socket
from phloem.runtime.drawing.corners import corners_of
from phloem.runtime.drawing.depth import depth_of
from phloem.runtime.drawing.known import Known, Origin
from phloem.runtime.drawing.lettering import clean, value_text
from phloem.runtime.ports import PortType
from phloem.runtime.workflow import INPUT, Node, Source, Workflow

__all__ = ["picture_of"]

_NAME: Final = 100
_VALUE: Final = 200
_DEEPEST: Final = 6
"""Workflows in workflows that are drawn, the outermost not counted."""

_UNUSED_OUTPUTS: Final = 4
"""A kind with more outputs than this shows only those that are used."""


def picture_of(workflow: Workflow, catalogue: Catalogue | None, file: Path | None) -> Picture:
    """Everything about `workflow`, and what is nested in it or called from beside `file`, that can be drawn.

    With a catalogue: titles, all ports, and the types of links as checking finds them, or as the
    kinds declare them where the workflow has problems. Without: what the workflow says itself.
    """
    return _Painter(workflow, catalogue, Origin(file, Called.beside(file)), 0).paint()


class _Painter:
    """Collects boxes and links; `at` finds a box by its role and id as the file has them."""

    def __init__(self, workflow: Workflow, catalogue: Catalogue | None, origin: Origin, depth: int) -> None:
        self.workflow = workflow
        self.catalogue = catalogue
        self.known = Known(workflow, catalogue, origin)
        self.depth = depth
        self.boxes: list[Box] = []
        self.links: list[Link] = []
        self.at: dict[tuple[Role, str], int] = {}
        self.outs: dict[tuple[int, str], int] = {}

    def paint(self) -> Picture:
        for name, given in self.workflow.inputs.items():
            value = value_text(given.value, _VALUE) if given.has_value else ""
            box = Box("input", _name(name), kind=_name(str(given.type)), about=clean(given.about), value=value)
            self.put(name, box, {name: given.type})
        for id, node in self.workflow.nodes.items():
            self.put(id, self.node(id, node), self.known.outputs(id))
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
        corners = corners_of(self.workflow)
        return Picture(
            title=clean(self.workflow.title),
            about=clean(self.workflow.about),
            boxes=self.boxes,
            links=self.links,
            layer=self.layers(depth.layer),
            corners=None if corners is None else {self.at[("node", id)]: place for id, place in corners.items()},
        )

    def put(self, key: str, box: Box, outs: Mapping[str, PortType | None]) -> int:
        index = self.at[(box.role, key)] = len(self.boxes)
        self.boxes.append(box)
        for name, port_type in outs.items():
            self.outs[(index, name)] = len(box.outs)
            box.outs.append(Socket(_name(name), port_type))
        return index

    def node(self, id: str, node: Node) -> Box:
        kind, maps = self.known.kinds.get(id), self.known.maps(id)
        body, origin = self.known.inside(id)
        inside = None
        if body is not None and self.depth < _DEEPEST:
            inside = _Painter(body, self.catalogue, origin, self.depth + 1).paint()
        return Box(
            "node",
            _name(id),
            title=clean(node.title),
            kind_title=clean(kind.title) if kind else "",
            kind=_name(node.kind),
            about=clean(node.note),
            settings=tuple((_name(name), value_text(value, _VALUE)) for name, value in node.set.items()),
            flags=(*(["once per item"] if maps else []), *_flags(node)),
            installed=kind is not None or self.catalogue is None,
            disabled=node.disabled,
            times=maps,
            holds=None if body is None else len(body.nodes),
            inside=inside,
        )

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
        ports = self.known.inputs(id)
        empty = {name for name, port in ports.items() if port.required and name not in node.set}
        shown = [name for name in ports if name in node.links or name in empty]
        for name in dict.fromkeys([*shown, *node.links]):
            sources = node.links.get(name, ())
            port_type = ports[name].type if name in ports else None
            box.ins.append(Socket(_name(name), port_type, bool(sources)))
            for source in sources:
                self.join(source, target, len(box.ins) - 1, back=(source.node, id) in back)

    def give(self, name: str, source: Source) -> None:
        """An output of the workflow and the link to it."""
        target = self.put(name, Box("output", _name(name), ins=[Socket(_name(name), None, True)]), {})
        joined = self.join(source, target, 0)
        self.boxes[target].kind = _name(str(joined.type)) if joined.type else ""
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


def _name(text: str) -> str:
    return clean(text, _NAME) or "?"


def _flags(node: Node) -> Iterable[str]:
    """What else the file says about a node, in its words."""
    if node.disabled:
        yield "disabled"
    if node.retry.times:
        yield f"retry {node.retry.times}"
    if node.timeout is not None:
        yield f"timeout {node.timeout:g} s"
    if node.limit != UNLIMITED:
        yield f"limit {limit_words(node.limit)}"
    if node.on_error.action != "stop":
        yield f"on error {clean(node.on_error.action, 20)}"
    if node.cache is not None:
        yield "cached" if node.cache else "not cached"
