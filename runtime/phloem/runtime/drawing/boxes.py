"""The parts of a drawing, whatever it is drawn with: boxes with sockets, and the links between them.

Every text in them is on one line and fit to draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from phloem.runtime.drawing.corners import Corner
from phloem.runtime.ports import PortType

__all__ = ["Box", "Link", "Picture", "Role", "Socket"]

Role = Literal["input", "node", "output"]


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
    are names with values in short, `flags` what else is said about it. `installed` is False for a kind that
    the catalogue lacks, `missing` is True for what a link names and the workflow lacks. `times` is how many levels
    of list it runs over. `holds` is how many nodes the workflow has that is nested in it, or called, None without
    one; `inside` is the picture of it, None too where it lies too deep to be drawn.
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
    holds: int | None = None
    inside: Picture | None = None

    @property
    def family(self) -> str:
        """What stands before the dot in the kind's id."""
        return self.kind.partition("@")[0].partition(".")[0]

    @property
    def held(self) -> str:
        """How many nodes it holds, in words."""
        return "1 node" if self.holds == 1 else f"{self.holds or 0} nodes"


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
    without any; inputs have -1. `corners` are the places that a person gave the nodes, by the index of the box,
    None unless every node has one.
    """

    title: str = ""
    about: str = ""
    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)
    corners: dict[int, Corner] | None = None

    def nodes(self) -> Iterator[Box]:
        """The boxes of the nodes that the workflow has."""
        return (box for box in self.boxes if box.role == "node" and not box.missing)
