"""The shape of a workflow: an order in which its nodes could run, and how deep each lies.

networkx proves that there is no circle and finds the order. That takes a third of a second to import,
so the result is kept, in memory and on disk, under a hash of the shape; what comes back from disk is
checked against the links before it is believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phloem.runtime.disk import replace_file

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["CircleError", "Topology", "topology_of"]

Edges = Mapping[str, Sequence[str]]

_KEPT_IN_MEMORY: Final = 256
_memory: dict[str, Topology] = {}


class CircleError(Exception):
    """The links go round; `circles` has one list of node names for each separate knot."""

    def __init__(self, circles: list[list[str]]) -> None:
        super().__init__(circles)
        self.circles = circles


@dataclass(frozen=True, slots=True)
class Topology:
    """`names` in the order of the file; `order` has indices into it, every node after those it takes
    from; `layer[i]` is the number of links on the longest way to node i."""

    names: tuple[str, ...]
    order: tuple[int, ...]
    layer: tuple[int, ...]


def topology_of(edges: Edges, store: Path | None = None) -> Topology:
    """The topology of `edges` (each node with those it takes from). CircleError if it has none.

    `store` is a folder where topologies are kept between processes.
    """
    key = _key(edges)
    found = _memory.get(key) or _from_disk(edges, store, key)
    if found is None:
        found = _proved(edges)
        _to_disk(found, store, key)
    if len(_memory) >= _KEPT_IN_MEMORY:
        _memory.pop(next(iter(_memory)))
    _memory[key] = found
    return found


def ancestors(edges: Edges, name: str) -> set[str]:
    """`name` and everything it depends on."""
    found = {name}
    waiting = [name]
    while waiting:
        fresh = set(edges[waiting.pop()]) - found
        found |= fresh
        waiting.extend(fresh)
    return found


def _key(edges: Edges) -> str:
    text = json.dumps(list(edges.items()), separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _proved(edges: Edges) -> Topology:
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(edges)
    graph.add_edges_from((source, name) for name, sources in edges.items() for source in sources)
    if not nx.is_directed_acyclic_graph(graph):
        raise CircleError(_circles(graph))
    names = tuple(edges)
    index = {name: i for i, name in enumerate(names)}
    layer = [0] * len(names)
    for depth, generation in enumerate(nx.topological_generations(graph)):
        for name in generation:
            layer[index[name]] = depth
    return Topology(names, tuple(index[name] for name in nx.topological_sort(graph)), tuple(layer))


def _circles(graph: nx.DiGraph[str]) -> list[list[str]]:
    import networkx as nx

    knots = (graph.subgraph(knot) for knot in nx.strongly_connected_components(graph))
    return [[source for source, _ in nx.find_cycle(knot)] for knot in knots if knot.number_of_edges()]


def _from_disk(edges: Edges, store: Path | None, key: str) -> Topology | None:
    if store is None:
        return None
    try:
        data = json.loads((store / f"{key}.json").read_bytes())
        found = Topology(tuple(edges), tuple(data["order"]), tuple(data["layer"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if _holds(found, edges) else None


def _holds(found: Topology, edges: Edges) -> bool:
    """True if every node stands once, after all it takes from, and as deep as it lies."""
    place = {found.names[i]: at for at, i in enumerate(found.order) if isinstance(i, int) and 0 <= i < len(edges)}
    return (
        len(place) == len(found.order) == len(found.layer) == len(edges)
        and all(place[source] < place[name] for name, sources in edges.items() for source in sources)
        and _has_depths(found, edges)
    )


def _has_depths(found: Topology, edges: Edges) -> bool:
    layer = dict(zip(found.names, found.layer, strict=True))
    return all(
        isinstance(layer[name], int) and layer[name] == max((layer[one] + 1 for one in sources), default=0)
        for name, sources in edges.items()
    )


def _to_disk(found: Topology, store: Path | None, key: str) -> None:
    if store is None:
        return
    try:
        store.mkdir(parents=True, exist_ok=True)
        replace_file(store / f"{key}.json", json.dumps({"order": found.order, "layer": found.layer}).encode())
    except OSError:
        # Keeping it only saves time: a full or read-only disk must not stop a run.
        return
