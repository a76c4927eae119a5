"""The parts of a grammar: texts, characters, and how they follow one another.

A grammar in which nothing can be read in many ways keeps llama.cpp busy for ever. `seq`, `alt` and
`repeat` build trees in which nothing can be read in one way only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["NOTHING", "Alt", "Chars", "Node", "Ref", "Repeat", "Seq", "Text", "alt", "repeat", "seq", "walk"]

LAST: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Text:
    """Exactly this text, which is not empty."""

    text: str

    @property
    def size(self) -> int:
        return 1 + len(self.text)

    empty = False


@dataclass(frozen=True, slots=True)
class Chars:
    """One character in one of these ranges of code points, which include both ends, are in order and apart."""

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Chars:
        """The ranges put in order and joined where they touch, without NUL and surrogates, which no text holds."""
        joined: list[tuple[int, int]] = []
        for low, high in sorted(ranges):
            if joined and low <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        return cls(tuple(_usable(joined)))

    @property
    def size(self) -> int:
        return 1 + len(self.ranges)

    empty = False

    def __invert__(self) -> Chars:
        edges = [0, *(edge for low, high in self.ranges for edge in (low, high + 1)), LAST + 1]
        return Chars.of((low, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high)

    def __or__(self, other: Chars) -> Chars:
        return Chars.of([*self.ranges, *other.ranges])

    def __and__(self, other: Chars) -> Chars:
        return ~(~self | ~other)

    def __contains__(self, character: str) -> bool:
        return any(low <= ord(character) <= high for low, high in self.ranges)


def _usable(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        for first, last in ((1, 0xD7FF), (0xE000, LAST)):
            if max(low, first) <= min(high, last):
                yield max(low, first), min(high, last)


@dataclass(frozen=True, slots=True)
class Seq:
    """One after the other. Made by `seq`."""

    items: tuple[Node, ...]
    size: int = field(init=False, compare=False)
    empty: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(item.size for item in self.items))
        object.__setattr__(self, "empty", all(item.empty for item in self.items))


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of these, of which none is empty. Made by `alt`."""

    options: tuple[Node, ...]
    size: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(option.size for option in self.options))

    empty = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """`least` to `most` times, or `least` or more where `most` is None; `item` is not empty. Made by `repeat`."""

    item: Node
    least: int
    most: int | None

    @property
    def size(self) -> int:
        """llama.cpp writes a repetition out as often as it may happen."""
        return 1 + max(1, self.least if self.most is None else self.most) * self.item.size

    @property
    def empty(self) -> bool:
        return self.least == 0


@dataclass(frozen=True, slots=True)
class Ref:
    """What the rule of this name says."""

    rule: str
    size = 1
    empty = False


Node = Text | Chars | Seq | Alt | Repeat | Ref
"""`size` is how much of it llama.cpp keeps in memory; `empty` whether the empty text fits it."""

NOTHING: Final = Seq(())
"""What only the empty text fits."""


def seq(*items: Node) -> Node:
    """One after the other; neighbouring texts become one."""
    joined: list[Node] = []
    for item in items:
        inner = item.items if isinstance(item, Seq) else (item,)
        for part in inner:
            if isinstance(part, Text) and joined and isinstance(joined[-1], Text):
                part = Text(joined.pop().text + part.text)  # type: ignore[union-attr]
            joined.append(part)
    return joined[0] if len(joined) == 1 else Seq(tuple(joined))


def alt(*options: Node) -> Node:
    """Any one of these."""
    filled = tuple(part for option in options for part in _filled(option))
    chosen = filled[0] if len(filled) == 1 else Alt(filled)
    if not any(option.empty for option in options):
        return chosen
    return repeat(chosen, 0, 1) if filled else NOTHING


def repeat(item: Node, least: int, most: int | None) -> Node:
    """`item` from `least` to `most` times, or without end where `most` is None."""
    filled = tuple(_filled(item))
    if not filled or most == 0:
        return NOTHING
    if (least, most) == (1, 1):
        return item
    return Repeat(filled[0] if len(filled) == 1 else Alt(filled), 0 if item.empty else least, most)


def walk(node: Node) -> Iterator[Node]:
    """Every part of `node`, itself first."""
    left = [node]
    while left:
        part = left.pop()
        yield part
        if isinstance(part, Seq):
            left.extend(part.items)
        elif isinstance(part, Alt):
            left.extend(part.options)
        elif isinstance(part, Repeat):
            left.append(part.item)


def _filled(node: Node) -> Iterator[Node]:
    """Options that together are what fits `node`, but for the empty text."""
    if not node.empty:
        yield node
    elif isinstance(node, Repeat):
        yield Repeat(node.item, 1, node.most) if node.most != 1 else node.item
    elif isinstance(node, Seq):
        for index, item in enumerate(node.items):
            for part in _filled(item):
                yield seq(part, *node.items[index + 1 :])
