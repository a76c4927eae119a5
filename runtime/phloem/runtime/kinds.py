"""What a node is: its ports, what it may touch, how it runs, and a worked example."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from phloem.runtime.ports import Port, Ports, PortType

__all__ = ["Effect", "Estimate", "Estimator", "Example", "Inside", "Migration", "Need", "Nesting", "NodeKind", "Runs"]

Effect = Literal["pure", "reads", "writes", "chance"]
Runs = Literal["inline", "task", "thread"]
Migration = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Need:
    """Something a kind asks to touch: a word (`net`, `read`, `write`, `model`, …) and the input naming it.

    Written `"net:url"` in a declaration: the host in the input `url`. Without an input (`"browser"`)
    the need has no scope.
    """

    word: str
    port: str | None = None

    @classmethod
    def parse(cls, text: str) -> Need:
        word, _, port = text.partition(":")
        return cls(word, port or None)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one execution of a node would have a model do, as far as that can be told before the run.

    `model` is its name as the node has it: empty for the run's default (with `embedding` the default embedding
    model), None if only the run will tell. `read` is how many tokens the model would read, None if only the run
    will tell (`budget.tokens_in` tells of a text); `written` how many it would write at most.
    """

    model: str | None = ""
    read: int | None = None
    written: int | None = 0
    embedding: bool = False


Estimator = Callable[[Mapping[str, Any]], Estimate | None]
"""Given the inputs of one execution that are known before the run (written down, defaults, or given to the
workflow; the others are missing), what it would spend; None if nothing. It must be quick and touch nothing."""


Settings = Mapping[str, Any]
Types = Mapping[str, PortType]


@dataclass(frozen=True, slots=True)
class Inside:
    """What a body takes and gives: the types of its inputs and of its outputs."""

    inputs: Types
    outputs: Types


def _nothing(settings: Settings, types: Types) -> Types:
    return {}


def _as_inside(settings: Settings, inside: Inside) -> Types:
    return inside.outputs


@dataclass(frozen=True, slots=True)
class Nesting:
    """How a kind whose nodes hold a workflow, the body, is joined to it. Its function is given a Body to call.

    `given` tells, from the settings written down and the types that reach the node, what the kind itself gives the
    body, by name and type; every other input of the body is an input of the node. `outputs` tells the outputs of the
    node. Both raise SettingError for what cannot be.

    `items` has, for what is given to the body as items of an input of the node, the name of that input. With
    `carries` an output of the body that has the name of one of its inputs becomes that input when the body runs
    again, so their types have to agree. `most` names the setting that says how often the body runs at most.
    `file` names the setting with the path of the workflow file that is the body; without it the body is what the
    node has under `do`.
    """

    given: Callable[[Settings, Types], Types] = _nothing
    outputs: Callable[[Settings, Inside], Types] = _as_inside
    items: Mapping[str, str] = field(default_factory=dict)
    carries: bool = False
    most: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example: given these inputs (settings among them), these outputs.

    `files` are written beside the workflow first; `pages` are what the named URLs answer. `do` is the body of a
    kind that nests, as it stands in a file. An output given as `...` is shown as whatever comes; floats agree to
    three digits.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    do: str = ""


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A kind of node, whoever wrote it.

    `function` takes the inputs by name (after a Context, if `takes_context`) and returns the output's
    value; with several outputs a tuple in their order or a dict by name. `ports` tells, from the
    settings written down and the types of the links, which ports a node has when that varies.
    `stamp(context, inputs)` tells what the result depends on besides the inputs: a text that becomes
    part of the cache key, or None when this call must not be cached. `estimate` tells before a run what
    an execution would spend, if the kind spends anything. `streams` names the output that an async-iterator
    function fills piece by piece. A kind that `nests` holds a workflow; its function, an `async def`, takes a Body
    (after the Context).
    """

    id: str
    version: int
    title: str
    about: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, PortType]
    function: Callable[..., Any]
    effect: Effect = "pure"
    runs: Runs = "inline"
    needs: tuple[Need, ...] = ()
    takes_context: bool = False
    streams: str | None = None
    ports: Callable[[Mapping[str, Any], Mapping[str, PortType]], Ports] | None = None
    stamp: Callable[..., Any] | None = None
    estimate: Estimator | None = None
    examples: tuple[Example, ...] = ()
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    nests: Nesting | None = None

    @property
    def name(self) -> str:
        """The id with the version, as a workflow file writes it: `text.split@1`."""
        return f"{self.id}@{self.version}"

    @property
    def family(self) -> str:
        """What stands before the dot: the palette's category."""
        return self.id.partition(".")[0]

    @property
    def digest(self) -> str:
        """A hash of the code behind the kind: part of every cache key, so a changed node runs again."""
        return code_digest(self.function.__module__)


@lru_cache(maxsize=256)
def code_digest(module: str) -> str:
    """A hash of the package that `module` belongs to (at most 500 source files), or of its one file."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None:
        return f"module {module}"
    path = Path(file)
    in_package = getattr(loaded, "__package__", "")
    files = sorted(path.parent.rglob("*.py"))[:500] if in_package else [path]
    digest = hashlib.blake2b(digest_size=16)
    for source in files if path in files else [*files, path]:
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()
