"""No engine at all: a loop over the nodes in order. What the bodies and the passing of values cost by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphs import Graph, Value, work

__all__ = ["mapper", "runner"]


def runner(graph: Graph) -> Callable[[], Value]:
    place = {name: i for i, name in enumerate(graph.before)}
    steps = [
        (graph.function(name), tuple(place[source] for source in sources)) for name, sources in graph.before.items()
    ]

    def run() -> Value:
        values: list[Any] = []
        for function, sources in steps:
            values.append(function([values[source] for source in sources]))
        last: Value = values[-1]
        return last

    return run


def mapper(count: int) -> Callable[[], list[Value]]:
    return lambda: [work([{"v": number}]) for number in range(count)]
