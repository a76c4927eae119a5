"""Random workflows in one another, and a plain interpreter of them against which the engine is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from phloem.runtime.ports import PortType
from phloem.runtime.values import UNLIT
from phloem.runtime.workflow import Input, Node, Workflow
from support.playing import box, source

__all__ = ["Drawing", "nests"]

Values = dict[str, Any]
Step = Callable[[Values], Mapping[str, Any]]
"""From all values so far, by `node.port`, those of one more node; UNLIT where there is none."""


@dataclass
class Drawing:
    """A workflow, and what a plain loop over its nodes gives for some inputs."""

    workflow: Workflow
    steps: list[tuple[str, Step]] = field(default_factory=list)

    def run(self, inputs: Mapping[str, Any]) -> Values:
        """The outputs by name."""
        values: Values = {f"input.{name}": value for name, value in inputs.items()}
        for id, step in self.steps:
            values.update({f"{id}.{port}": value for port, value in step(values).items()})
        return {name: values[str(one)] for name, one in self.workflow.outputs.items()}


@st.composite
def nests(draw: st.DrawFn, depth: int = 2) -> Drawing:
    """A workflow of up to six nodes without inputs, in which others are nested up to `depth` deep."""
    return _Growing(draw, depth, {}).drawing({})


class _Growing:
    """One workflow that grows node by node. `ends` has the type of every source there is, `number` or `list`."""

    def __init__(self, draw: st.DrawFn, depth: int, inputs: Mapping[str, str]) -> None:
        self.draw = draw
        self.depth = depth
        self.ends: dict[str, str] = {f"input.{name}": kind for name, kind in inputs.items()}
        self.nodes: dict[str, Node] = {}
        self.steps: list[tuple[str, Step]] = []

    def drawing(self, declared: Mapping[str, str], carried: str | None = None) -> Drawing:
        for _ in range(self.draw(st.integers(1, 5))):
            self.grow()
        numbers = self.of("number") or [self.number()]
        outputs = {"o": self.draw(st.sampled_from(numbers)), "p": self.draw(st.sampled_from(numbers))}
        if carried is not None:
            outputs[carried] = self.draw(st.sampled_from(numbers))
        order = self.draw(st.permutations(list(self.nodes)))
        types = {"number": PortType("number"), "list": PortType("number", 1)}
        workflow = Workflow(
            inputs={name: Input(types[kind]) for name, kind in declared.items()},
            nodes={id: self.nodes[id] for id in order},
            outputs={name: source(text) for name, text in outputs.items()},
        )
        return Drawing(workflow, self.steps)

    def of(self, kind: str) -> list[str]:
        return [name for name, one in self.ends.items() if one == kind]

    def grow(self) -> None:
        able: list[Callable[[], Any]] = [self.number, self.numbers]
        if self.of("number"):
            able += [self.turned, self.added, self.branch, self.merged]
        if self.of("list"):
            able += [self.total, self.mapped]
        if self.depth:
            able += [self.each, self.repeat, self.group]
        self.draw(st.sampled_from(able))()

    def add(self, node: Node, outputs: Mapping[str, str], step: Step, *, needs: list[str]) -> str:
        """A node that runs if all that it needs is lit; now and then it is switched off."""
        id = f"n{len(self.nodes)}"
        off = self.draw(st.integers(0, 9)) == 0
        if off:
            node = Node(node.kind, node.links, node.set, disabled=True, do=node.do, listed=node.listed)

        def guarded(values: Values) -> Mapping[str, Any]:
            if off or any(values[one] is UNLIT for one in needs):
                return dict.fromkeys(outputs, UNLIT)
            return step(values)

        self.nodes[id] = node
        self.steps.append((id, guarded))
        self.ends |= {f"{id}.{port}": kind for port, kind in outputs.items()}
        return f"{id}.{next(iter(outputs))}"

    def one(self, kind: str = "number") -> str:
        """A source of this type; one is made if there is none."""
        known = self.of(kind)
        if not known:
            return self.number() if kind == "number" else self.numbers()
        return self.draw(st.sampled_from(known))

    def number(self) -> str:
        value = self.draw(st.integers(-3, 3))
        node = box("test.add", set={"a": value, "b": 0})
        return self.add(node, {"number": "number"}, lambda values: {"number": value}, needs=[])

    def numbers(self) -> str:
        n = self.draw(st.integers(0, 3))
        node = box("test.numbers", set={"n": n})
        return self.add(node, {"number": "list"}, lambda values: {"number": list(range(n))}, needs=[])

    def turned(self) -> None:
        x, kind = self.one(), self.draw(st.sampled_from(["double", "aside"]))
        self.add(
            box(f"test.{kind}", {"x": x}), {"number": "number"}, lambda values: {"number": values[x] * 2}, needs=[x]
        )

    def added(self) -> None:
        a, b = self.one(), self.one()
        node = box("test.subtract", {"a": a, "b": b})
        self.add(node, {"number": "number"}, lambda values: {"number": values[a] - values[b]}, needs=[a, b])

    def total(self) -> None:
        x = self.one("list")
        node = box("test.total", {"values": x})
        self.add(node, {"number": "number"}, lambda values: {"number": sum(values[x])}, needs=[x])

    def mapped(self) -> None:
        x = self.one("list")
        node = box("test.double", {"x": x})
        self.add(node, {"number": "list"}, lambda values: {"number": [2 * one for one in values[x]]}, needs=[x])

    def branch(self) -> None:
        x, value = self.one(), self.one()
        when = self.add(
            box("test.positive", {"x": x}), {"boolean": "boolean"}, lambda values: {"boolean": values[x] > 0}, needs=[x]
        )

        def step(values: Values) -> Values:
            lit = values[when]
            return {"then": values[value] if lit else UNLIT, "else": UNLIT if lit else values[value]}

        node = box("flow.if", {"value": value, "when": when})
        self.add(node, {"then": "number", "else": "number"}, step, needs=[value, when])

    def merged(self) -> None:
        ways = self.draw(st.lists(st.sampled_from(self.of("number")), min_size=1, max_size=3))

        def step(values: Values) -> Values:
            return {"value": next((values[one] for one in ways if values[one] is not UNLIT), UNLIT)}

        self.add(box("flow.merge", {"values": ways}), {"value": "number"}, step, needs=[])

    def inner(self, inputs: Mapping[str, str], declared: Mapping[str, str], carried: str | None = None) -> Drawing:
        return _Growing(self.draw, self.depth - 1, inputs).drawing(declared, carried)

    def each(self) -> None:
        items, more = self.one("list"), self.one()
        body = self.inner({"item": "number", "index": "number", "more": "number"}, {"more": "number"})
        # What the body does not use is no input, unless it is declared.
        node = box("flow.each", {"items": items, "more": more}, {"concurrency": self.draw(st.integers(1, 3))})
        node = Node(node.kind, node.links, node.set, do=body.workflow)

        def step(values: Values) -> Values:
            rows = [
                body.run({"item": item, "index": index, "more": values[more]})
                for index, item in enumerate(values[items])
            ]
            return {name: [row[name] for row in rows if row[name] is not UNLIT] for name in ("o", "p")}

        self.add(node, {"o": "list", "p": "list"}, step, needs=[items, more])

    def repeat(self) -> None:
        x, times = self.one(), self.draw(st.integers(1, 3))
        body = self.inner({"x": "number"}, {"x": "number"}, carried="x")
        node = box("flow.repeat", {"x": x}, {"times": times})
        node = Node(node.kind, node.links, node.set, do=body.workflow)

        def step(values: Values) -> Values:
            state, given = values[x], {}
            for _ in range(times):
                given = body.run({"x": state})
                state = state if given["x"] is UNLIT else given["x"]
            return {**given, "x": state, "turns": times}

        self.add(node, {"o": "number", "p": "number", "x": "number", "turns": "number"}, step, needs=[x])

    def group(self) -> None:
        x = self.one()
        body = self.inner({"x": "number"}, {"x": "number"})
        node = box("flow.group", {"x": x})
        node = Node(node.kind, node.links, node.set, do=body.workflow)
        self.add(node, {"o": "number", "p": "number"}, lambda values: body.run({"x": values[x]}), needs=[x])
