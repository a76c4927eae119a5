"""The parts of a grammar: texts, characters, and how they follow one another."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "NOTHING", "Alt", "Chars", "Node", "Ref", "Repeat", "Seq", "Text", "alt", "may_be_empty", "repeat", "seq", "walk",
]  # fmt: skip

LAST: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Text:
    """Exactly this text, which is not empty."""

    text: str

    @property
    def size(self) -> int:
        return 1 + len(self.text)


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

    def __invert__(self) -> Chars:
        bounds = [0, *(bound for low, high in self.ranges for bound in (low, high + 1)), LAST + 1]
        return Chars.of((low, high - 1) for low, high in zip(bounds[::2], bounds[1::2], strict=True) if low < high)

    def __or__(self, other: Chars) -> Chars:
        return Chars.of([*self.ranges, *other.ranges])

    def __and__(self, other: Chars) -> Chars:
        found = []
        one, two = iter(self.ranges), iter(other.ranges)
        first, second = next(one, None), next(two, None)
        while first and second:
            low, high = max(first[0], second[0]), min(first[1], second[1])
            if low <= high:
                found.append((low, high))
            if first[1] < second[1]:
                first = next(one, None)
            else:
                second = next(two, None)
        return Chars(tuple(found))

    def __contains__(self, character: str) -> bool:
        code = ord(character)
        at = bisect.bisect_right(self.ranges, (code, LAST)) - 1
        return at >= 0 and code <= self.ranges[at][1]


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(item.size for item in self.items))


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of these. Made by `alt`."""

    options: tuple[Node, ...]
    size: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(option.size for option in self.options))


@dataclass(frozen=True, slots=True)
class Repeat:
    """`least` to `most` times, or `least` or more where `most` is None. Made by `repeat`."""

    item: Node
    least: int
    most: int | None

    @property
    def size(self) -> int:
        """llama.cpp writes a repetition out as often as it may happen."""
        return 1 + max(1, self.least if self.most is None else self.most) * self.item.size


@dataclass(frozen=True, slots=True)
class Ref:
    """What the rule of this name says."""

    rule: str
    size = 1


Node = Text | Chars | Seq | Alt | Repeat | Ref
"""`size` is how much of it llama.cpp keeps in memory."""

NOTHING: Final = Seq(())
"""What only the empty text fits."""


def seq(*items: Node) -> Node:
    """One after the other; neighbouring texts become one."""
    joined: list[Node] = []
    for item in items:
        for part in item.items if isinstance(item, Seq) else (item,):
            if isinstance(part, Text) and joined and isinstance(joined[-1], Text):
                joined[-1] = Text(joined[-1].text + part.text)
            else:
                joined.append(part)
    return joined[0] if len(joined) == 1 else Seq(tuple(joined))


def alt(*options: Node) -> Node:
    """Any one of these, each once."""
    parts = [part for option in options for part in (option.options if isinstance(option, Alt) else (option,))]
    found = tuple(dict.fromkeys(parts))
    return found[0] if len(found) == 1 else Alt(found)


def repeat(item: Node, least: int, most: int | None) -> Node:
    """`item` from `least` to `most` times, or without end where `most` is None."""
    if item == NOTHING or most == 0:
        return NOTHING
    return item if (least, most) == (1, 1) else Repeat(item, least, most)


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


def may_be_empty(node: Node, empty: set[str]) -> bool:
    """Whether the empty text fits `node`, given that it fits each rule in `empty`."""
    match node:
        case Text() | Chars():
            return False
        case Seq(items):
            return all(may_be_empty(item, empty) for item in items)
        case Alt(options):
            return any(may_be_empty(option, empty) for option in options)
        case Repeat(item, least, _):
            return least == 0 or may_be_empty(item, empty)
        case Ref(rule):
            return rule in empty
