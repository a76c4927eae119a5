"""The plain way to run a drawn workflow, against which the engine is held."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from phloem.runtime.workflow import Node, Workflow
from support.playing import box, drawn

__all__ = ["drawings"]


@st.composite
def drawings(draw: st.DrawFn, most: int = 14) -> tuple[Workflow, dict[str, Any]]:
    """Random workflows with, for each node, the value that a plain loop over them gives.

    They mix inline, async and thread kinds, numbers, lists and lists of lists, ports for many links,
    fan-in and fan-out. Their nodes stand in the file in any order; each node's value is an output.
    """
    growing = _Growing(draw)
    for _ in range(draw(st.integers(1, most))):
        growing.grow()
    order = draw(st.permutations(list(growing.nodes)))
    nodes = {id: growing.nodes[id] for id in order}
    return drawn(nodes, **growing.outputs), growing.values


class _Growing:
    """A workflow that grows node by node, and is run as it grows."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.nodes: dict[str, Node] = {}
        self.values: dict[str, Any] = {}
        self.depths: dict[str, int] = {}
        self.outputs: dict[str, str] = {}

    def grow(self) -> None:
        able: list[Callable[[], None]] = [self.number, self.list, self.table]
        if self.depths:
            able += [self.one_number, self.two_numbers, self.total, self.gather]
        self.draw(st.sampled_from(able))()

    def number(self) -> None:
        value = self.draw(st.integers(-5, 5))
        self.add(box("test.constant", set={"value": value}), "json", value, 0)

    def list(self) -> None:
        n = self.draw(st.integers(0, 4))
        self.add(box("test.numbers", set={"n": n}), "number", list(range(n)), 1)

    def table(self) -> None:
        rows = self.draw(st.integers(0, 3))
        value = [[row * 3 + column for column in range(3)] for row in range(rows)]
        self.add(box("test.table", set={"rows": rows}), "number", value, 2)

    def one_number(self) -> None:
        """A kind for one number; it goes through whatever lists arrive."""
        kind = self.draw(st.sampled_from(["double", "aside", "block", "sign", "sleep"]))
        id = self.draw(st.sampled_from(list(self.depths)))
        turns: dict[str, Callable[[float], float]] = {"sign": lambda x: (x > 0) - (x < 0), "sleep": lambda x: x}
        node = box(f"test.{kind}", {"x": self.outputs[id]}, {"seconds": 0} if kind == "sleep" else {})
        value = _each(turns.get(kind, lambda x: x * 2), self.depths[id], self.values[id])
        self.add(node, "number", value, self.depths[id])

    def two_numbers(self) -> None:
        """A kind for two numbers: one of them may stay the same for all items of the other."""
        first = self.draw(st.sampled_from(list(self.depths)))
        fitting = [
            id
            for id, depth in self.depths.items()
            if not depth or not self.depths[first] or self.shape(id) == self.shape(first)
        ]
        second = self.draw(st.sampled_from(fitting))
        links = {"a": self.outputs[first], "b": self.outputs[second]}
        if self.draw(st.booleans()):
            links = dict(reversed(links.items()))
        depth = max(self.depths[first], self.depths[second])
        pairs = _paired(depth, self.depths[first], self.values[first], self.depths[second], self.values[second])
        value = _each(lambda pair: operator.sub(*pair), depth, pairs)
        self.add(box("test.subtract", links), "number", value, depth)

    def total(self) -> None:
        """A kind for a list: one number is a list of one, a table is gone through row by row."""
        id = self.draw(st.sampled_from(list(self.depths)))
        depth, value = self.depths[id], self.values[id]
        result = value if depth == 0 else sum(value) if depth == 1 else [sum(row) for row in value]
        self.add(box("test.total", {"values": self.outputs[id]}), "number", result, max(depth - 1, 0))

    def gather(self) -> None:
        """A port for many links. What comes out is anything, so nothing goes on from here."""
        chosen = self.draw(st.lists(st.sampled_from(list(self.outputs)), min_size=1, max_size=4))
        node = box("test.gather", {"values": [self.outputs[id] for id in chosen]})
        self.add(node, "json", [self.values[id] for id in chosen], None)

    def add(self, node: Node, port: str, value: Any, depth: int | None) -> None:
        id = f"n{len(self.nodes)}"
        self.nodes[id], self.values[id], self.outputs[id] = node, value, f"{id}.{port}"
        if depth is not None:
            self.depths[id] = depth

    def shape(self, id: str) -> tuple[int, Any]:
        return self.depths[id], _each(lambda _: None, self.depths[id], self.values[id])


def _each(turn: Callable[[Any], Any], depth: int, value: Any) -> Any:
    return [_each(turn, depth - 1, one) for one in value] if depth else turn(value)


def _paired(depth: int, left: int, a: Any, right: int, b: Any) -> Any:
    if not depth:
        return a, b
    length = len(a if left else b)
    return [
        _paired(depth - 1, max(left - 1, 0), a[i] if left else a, max(right - 1, 0), b[i] if right else b)
        for i in range(length)
    ]
