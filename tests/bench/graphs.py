"""The graphs that every engine is given, and the bodies of their nodes: the same for all, from the standard library.

A value is a small dict, and the result of a graph is the number that its last node holds; `expected`
works it out without any engine.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

__all__ = ["GRAPHS", "Graph", "Value", "carry", "chain", "expected", "made", "wait_async", "wait_blocking", "work"]

Value = dict[str, Any]
Body = Literal["work", "wait_blocking", "wait_async", "carry"]

MODULUS: Final = 1_000_003

made: list[bytearray] = []
"""The block of bytes that `carry` made last: what comes out at the other end must be this very object."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they could run, each with those it takes values from.

    All nodes have the same body. `settings` are the arguments by which a node differs from the others.
    """

    before: dict[str, tuple[str, ...]]
    body: Body = "work"
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def last(self) -> str:
        return next(reversed(self.before))

    def function(self, name: str) -> Callable[[Sequence[Value]], Any]:
        """The body of a node as a function of the values of those before it; `wait_async` is to be awaited."""
        return partial(_BODIES[self.body], **self.settings.get(name, {}))


def work(values: Sequence[Value]) -> Value:
    """Next to nothing: what is measured is the engine."""
    total = 1
    for value in values:
        total += value["v"]
    return {"v": total % MODULUS, "s": "abc"}


def wait_blocking(values: Sequence[Value], wait: float = 0.0) -> Value:
    """`work` that holds its thread for `wait` seconds."""
    time.sleep(wait)
    return work(values)


async def wait_async(values: Sequence[Value], wait: float = 0.0) -> Value:
    """`work` that waits for `wait` seconds as for an answer from the network."""
    await asyncio.sleep(wait)
    return work(values)


def carry(values: Sequence[Value], size: int = 0) -> Value:
    """`work` that makes `size` bytes, or hands on those that came in."""
    if size:
        made[:] = [bytearray(size)]
    return {**work(values), "data": made[0] if size else values[0]["data"]}


def expected(graph: Graph) -> int:
    """The number that the last node must hold."""
    held: dict[str, Value] = {}
    for name, sources in graph.before.items():
        held[name] = work([held[source] for source in sources])
    number: int = held[graph.last]["v"]
    return number


def chain(length: int = 1000) -> dict[str, tuple[str, ...]]:
    """One node after the other."""
    return {f"n{i}": (f"n{i - 1}",) if i else () for i in range(length)}


def fan(width: int = 1000) -> dict[str, tuple[str, ...]]:
    """One node, `width` that take from it, and one that takes from all of those."""
    middle = {f"n{i}": ("n0",) for i in range(1, width + 1)}
    return {"n0": (), **middle, f"n{width + 1}": tuple(middle)}


def layered(layers: int = 40, width: int = 50, links: int = 6000, seed: int = 7) -> dict[str, tuple[str, ...]]:
    """Layers with links at random from each to the next, and one node that takes from the whole last layer."""
    chance = random.Random(seed)
    pairs = {
        ((layer - 1) * width + chance.randrange(width), layer * width + place)
        for layer in range(1, layers)
        for place in range(width)
    }
    while len(pairs) < links:
        layer = chance.randrange(1, layers)
        pairs.add(((layer - 1) * width + chance.randrange(width), layer * width + chance.randrange(width)))
    before: dict[str, tuple[str, ...]] = {f"n{i}": () for i in range(layers * width)}
    for source, target in sorted(pairs):
        before[f"n{target}"] += (f"n{source}",)
    before[f"n{layers * width}"] = tuple(f"n{i}" for i in range((layers - 1) * width, layers * width))
    return before


def branches(body: Body, *, skewed: bool, count: int = 32, steps: int = 4) -> Graph:
    """`count` branches of `steps` waiting nodes between a first and a last: 200 ms each way.

    Even, every node waits 50 ms. Skewed, one node of each branch waits 140 ms and the others 20 ms, not
    all at the same step: an engine that finishes one step everywhere before the next takes 560 ms.
    """
    before: dict[str, tuple[str, ...]] = {"n0": ()}
    settings: dict[str, dict[str, Any]] = {"n0": {"wait": 0.0}}
    ends = []
    for branch in range(count):
        name = "n0"
        for step in range(steps):
            source, name = name, f"n{len(before)}"
            before[name] = (source,)
            settings[name] = {"wait": 0.05 if not skewed else 0.14 if step == branch % steps else 0.02}
        ends.append(name)
    last = f"n{len(before)}"
    return Graph({**before, last: tuple(ends)}, body, {**settings, last: {"wait": 0.0}})


GRAPHS: Final[dict[str, Callable[[], Graph]]] = {
    "chain": lambda: Graph(chain()),
    "fan": lambda: Graph(fan()),
    "layered": lambda: Graph(layered()),
    "blocking": lambda: branches("wait_blocking", skewed=False),
    "blocking-skewed": lambda: branches("wait_blocking", skewed=True),
    "async": lambda: branches("wait_async", skewed=False),
    "async-skewed": lambda: branches("wait_async", skewed=True),
    "payload": lambda: Graph(chain(100), "carry", {"n0": {"size": 10_000_000}}),
}

_BODIES: Final[dict[Body, Callable[..., Any]]] = {
    "work": work,
    "wait_blocking": wait_blocking,
    "wait_async": wait_async,
    "carry": carry,
}
