"""How deep each node of a workflow lies, for workflows with circles and missing nodes too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phloem.runtime.topology import CircleError, topology_of
from phloem.runtime.workflow import INPUT, Workflow

__all__ = ["Depth", "depth_of"]


@dataclass(frozen=True, slots=True)
class Depth:
    """`layer` is the number of links on the longest way to each node, `back` the links (source, reader)
    left out for that: those without which no circle is left."""

    layer: Mapping[str, int]
    back: frozenset[tuple[str, str]] = frozenset()


def depth_of(workflow: Workflow) -> Depth:
    """The depth of every node; one that links name and the workflow lacks is a node that takes from nothing."""
    takes = workflow.edges()
    named = [source for sources in takes.values() for source in sources]
    named += [source.node for source in workflow.outputs.values() if source.node != INPUT]
    takes = {**{id: () for id in dict.fromkeys(named) if id not in takes}, **takes}
    try:
        topology = topology_of(takes)
        back: frozenset[tuple[str, str]] = frozenset()
    except CircleError:
        back = _closing(takes)
        opened = {id: tuple(one for one in sources if (one, id) not in back) for id, sources in takes.items()}
        topology = topology_of(opened)
    return Depth(dict(zip(topology.names, topology.layer, strict=True)), back)


def _closing(takes: Mapping[str, Sequence[str]]) -> frozenset[tuple[str, str]]:
    """The links that lead back to a node whose readers are still being walked through.

    Depth-first search from the nodes that take from nothing, then from the rest in the order of the
    file; every circle has such a link (Tarjan, Depth-first search and linear graph algorithms, 1972).
    """
    readers: dict[str, list[str]] = {id: [] for id in takes}
    for id, sources in takes.items():
        for source in sources:
            readers[source].append(id)
    back: set[tuple[str, str]] = set()
    begun: set[str] = set()
    on_the_way: set[str] = set()
    for root in [*(id for id, sources in takes.items() if not sources), *takes]:
        way = [(root, iter(readers[root]))] if root not in begun else []
        begun.add(root)
        on_the_way.add(root)
        while way:
            id, rest = way[-1]
            reader = next(rest, None)
            if reader is None:
                on_the_way.discard(id)
                way.pop()
            elif reader in on_the_way:
                back.add((id, reader))
            elif reader not in begun:
                begun.add(reader)
                on_the_way.add(reader)
                way.append((reader, iter(readers[reader])))
        on_the_way.discard(root)
    return frozenset(back)
