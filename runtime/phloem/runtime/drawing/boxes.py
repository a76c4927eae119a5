"""The parts of a drawing, whatever it is drawn with: boxes with sockets, and the links between them.

Every text in them is on one line and fit to draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from phloem.runtime.called import Called
from phloem.runtime.ports import PortType
from phloem.runtime.workflow import Workflow

__all__ = ["Box", "Link", "Origin", "Picture", "Role", "Socket"]

Role = Literal["input", "node", "output"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that a workflow lies in, None if in none, and what reads the files that it calls: without it, those
    beside."""

    file: Path | None = None
    called: Called | None = None


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
    it, or called, which comes from `origin`. `installed` is False for a kind that the catalogue lacks, `missing`
    is True for what a link names and the workflow lacks. `times` is how many levels of list it runs over.
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
    origin: Origin = Origin()

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
    without any; inputs have -1.
    """

    title: str = ""
    about: str = ""
    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)
