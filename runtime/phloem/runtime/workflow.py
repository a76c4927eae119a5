"""What the user drew: inputs, nodes, links and outputs. A value; an edit makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from phloem.runtime.ports import PortType

__all__ = ["Input", "Limit", "Node", "OnError", "Retry", "Source", "Workflow"]

Amount = TypeVar("Amount", int, float)

INPUT = "input"
"""The name under which links reach the workflow's own inputs; no node may have it as its id."""


class Source(NamedTuple):
    """Where a link comes from: an output port of a node, or, with `node` = `input`, a workflow input."""

    node: str
    port: str

    def __str__(self) -> str:
        return f"{self.node}.{self.port}"


@dataclass(frozen=True, slots=True)
class Input:
    """A value the workflow is given from outside. `value` stands in when none is given."""

    type: PortType
    about: str = ""
    value: Any = None
    has_value: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again up to `times` times, first after `wait` seconds, each wait `backoff` times the one before."""

    times: int = 0
    wait: float = 1.0
    backoff: float = 2.0


@dataclass(frozen=True, slots=True)
class OnError:
    """What a node's failure means: `stop` the run, `skip` what hangs on it, use `default` values, or
    `route` it to the output `error`."""

    action: str = "stop"
    default: Any = None


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be spent at most: tokens read and written together, US dollars, seconds. None is no bound."""

    tokens: int | None = None
    money: float | None = None
    seconds: float | None = None

    def stricter(self, other: Limit) -> Limit:
        """Of each the lower bound."""
        return Limit(
            _least(self.tokens, other.tokens), _least(self.money, other.money), _least(self.seconds, other.seconds)
        )


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `links` says where inputs come from, `set` holds values written down.

    `listed` names the inputs whose links are written as a list, though it may be a list of one.
    `timeout` is in seconds, for each attempt; `limit` is for all that the node does in one run. `cache`
    overrules whether results are kept; `do` is the workflow nested in the node, its body; `extra` holds what
    the file says beyond what this version knows, so that saving loses nothing.
    """

    kind: str
    links: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    note: str = ""
    disabled: bool = False
    retry: Retry = Retry()
    timeout: float | None = None
    on_error: OnError = OnError()
    cache: bool | None = None
    listed: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)
    limit: Limit = Limit()
    do: Workflow | None = None

    def __post_init__(self) -> None:
        """Several links can only be written as a list, and what is not linked is not written at all."""
        listed = frozenset(port for port, links in self.links.items() if len(links) != 1 or port in self.listed)
        if listed != self.listed:
            object.__setattr__(self, "listed", listed)


@dataclass(frozen=True, slots=True)
class Workflow:
    """Inputs, nodes by id, and outputs. `layout` is the editor's; the engine never reads it.

    `limit` is what one run may spend.
    """

    title: str = ""
    about: str = ""
    model: str = ""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    outputs: Mapping[str, Source] = field(default_factory=dict)
    layout: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    limit: Limit = Limit()

    def with_node(self, id: str, node: Node) -> Workflow:
        """The same with `node` under `id`, new or in place of what was there."""
        return replace(self, nodes={**self.nodes, id: node})

    def without_node(self, id: str) -> Workflow:
        """The same without a node, the links from it, and the outputs it gave."""
        nodes = {name: replace(node, links=_without(node.links, id)) for name, node in self.nodes.items() if name != id}
        outputs = {name: source for name, source in self.outputs.items() if source.node != id}
        layout = {name: place for name, place in self.layout.items() if name != id}
        return replace(self, nodes=nodes, outputs=outputs, layout=layout)

    def with_renamed(self, names: Mapping[str, str]) -> Workflow:
        """The same with new ids for nodes (old id to new), in their links, outputs and layout too."""

        def source(old: Source) -> Source:
            return Source(names.get(old.node, old.node), old.port)

        nodes = {
            names.get(id, id): replace(
                node, links={port: tuple(map(source, sources)) for port, sources in node.links.items()}
            )
            for id, node in self.nodes.items()
        }
        outputs = {name: source(old) for name, old in self.outputs.items()}
        layout = {names.get(id, id): place for id, place in self.layout.items()}
        return replace(self, nodes=nodes, outputs=outputs, layout=layout)

    def with_links(self, id: str, port: str, *sources: Source) -> Workflow:
        """The same with exactly these links into a port; with none, the port is unlinked."""
        node = self.nodes[id]
        links = {name: old for name, old in node.links.items() if name != port}
        if sources:
            links[port] = sources
        return self.with_node(id, replace(node, links=links))

    def with_setting(self, id: str, name: str, value: Any) -> Workflow:
        """The same with a value written into a node."""
        node = self.nodes[id]
        return self.with_node(id, replace(node, set={**node.set, name: value}))

    def with_body(self, id: str, body: Workflow | None) -> Workflow:
        """The same with another workflow nested in a node, or none."""
        return self.with_node(id, replace(self.nodes[id], do=body))

    def edges(self) -> dict[str, tuple[str, ...]]:
        """For each node, the nodes it takes values from, each once, in the order of its links."""
        return {id: tuple(_origins(node)) for id, node in self.nodes.items()}


def _least(one: Amount | None, other: Amount | None) -> Amount | None:
    return other if one is None else one if other is None else min(one, other)


def _without(links: Mapping[str, tuple[Source, ...]], id: str) -> dict[str, tuple[Source, ...]]:
    kept = {port: tuple(source for source in sources if source.node != id) for port, sources in links.items()}
    return {port: sources for port, sources in kept.items() if sources}


def _origins(node: Node) -> dict[str, None]:
    """The nodes that a node takes values from, each once, in the order of its links."""
    return dict.fromkeys(source.node for sources in node.links.values() for source in sources if source.node != INPUT)
