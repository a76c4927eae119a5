"""The shortest text that fits each part of a grammar, and how long it is.

Dijkstra's algorithm over rules instead of roads: D. Knuth, A generalization of Dijkstra's algorithm,
Information Processing Letters 6 (1977).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Final

from phloem.nodes.services.models.forms.tree import Alt, Chars, Node, Ref, Repeat, Seq, Text, walk

__all__ = ["ENDLESS", "Shortest"]

ENDLESS: Final = 1 << 60
"""The length of what no text fits."""

_PREFERRED: Final = " 0aA"


class Shortest:
    """The lengths of the shortest texts, in characters: of each rule in `rules`, of any part of one by `length`."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._trees = rules
        self._lengths = _Settling(rules).lengths()
        self.rules = {name: self._lengths.get(id(node), ENDLESS) for name, node in rules.items()}

    @property
    def empty(self) -> set[str]:
        """The rules that the empty text fits."""
        return {name for name, length in self.rules.items() if length == 0}

    def length(self, node: Node) -> int:
        """The length of the shortest text that fits `node`, a part of these rules; ENDLESS if none fits."""
        if isinstance(node, Repeat):
            return min(node.least * self.length(node.item), ENDLESS) if node.least else 0
        return self._lengths.get(id(node), ENDLESS)

    def text(self, *nodes: Node) -> str:
        """The shortest text that fits `nodes`, one after the other: of several the one that is listed first."""
        return "".join(self._pieces(list(reversed(nodes))))

    def _pieces(self, left: list[Node]) -> Iterator[str]:
        while left:
            node = left.pop()
            match node:
                case Text(text):
                    yield text
                case Chars(ranges):
                    yield next((one for one in _PREFERRED if one in node), chr(ranges[0][0]))
                case Seq(items):
                    left.extend(reversed(items))
                case Alt(options):
                    left.append(min(options, key=self.length))
                case Repeat(item, least, _):
                    left.extend([item] * least)
                case Ref(rule):
                    left.append(self._trees[rule])


class _Settling:
    """Settles the parts of a grammar from the shortest on: what a part needs is known once all in it is."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self._around: dict[int, list[Node]] = {}
        self._named: dict[str, list[Node]] = {}
        self._missing: dict[int, int] = {}
        self._sums: dict[int, int] = {}
        self._settled: dict[int, int] = {}
        self._waiting: list[tuple[int, int, Node]] = []
        self._count = 0

    def lengths(self) -> dict[int, int]:
        """By the id of each part that some text fits, the length of the shortest."""
        seen: set[int] = set()
        for tree in self._rules.values():
            for node in walk(tree):
                if id(node) not in seen:
                    seen.add(id(node))
                    self._begin(node)
        owners: dict[int, list[str]] = {}
        for name, tree in self._rules.items():
            owners.setdefault(id(tree), []).append(name)
        while self._waiting:
            length, _, node = heapq.heappop(self._waiting)
            if id(node) in self._settled:
                continue
            self._settled[id(node)] = length
            for outer in self._around.get(id(node), ()):
                self._grow(outer, length)
            for name in owners.get(id(node), ()):
                for ref in self._named.get(name, ()):
                    self._push(ref, length)
        return self._settled

    def _begin(self, node: Node) -> None:
        match node:
            case Text(text):
                self._push(node, len(text))
            case Chars(ranges) if ranges:
                self._push(node, 1)
            case Seq(()) | Repeat(_, 0, _):
                self._push(node, 0)
            case Seq(items):
                self._missing[id(node)], self._sums[id(node)] = len(items), 0
                self._wait(node, *items)
            case Alt(options):
                self._wait(node, *options)
            case Repeat(item, _, _):
                self._wait(node, item)
            case Ref(rule):
                self._named.setdefault(rule, []).append(node)

    def _wait(self, node: Node, *parts: Node) -> None:
        """Let `node` be told of these parts of it."""
        for part in parts:
            self._around.setdefault(id(part), []).append(node)

    def _grow(self, node: Node, length: int) -> None:
        """Tell `node` what one part of it takes."""
        if isinstance(node, Seq):
            self._missing[id(node)] -= 1
            self._sums[id(node)] += length
            if not self._missing[id(node)]:
                self._push(node, self._sums[id(node)])
        elif isinstance(node, Repeat):
            self._push(node, node.least * length)
        else:
            self._push(node, length)

    def _push(self, node: Node, length: int) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (min(length, ENDLESS), self._count, node))
