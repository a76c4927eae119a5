"""Grammars that hold a model to a form: a small tree of our own, checked before llama.cpp sees its text.

A grammar that llama.cpp cannot use ends the process, and one in which nothing can be read in many ways
keeps it busy for ever. So the text that llama.cpp gets comes from a Grammar that passed `check`, and
`seq`, `alt` and `repeat` build trees in which nothing can be read in one way only.
Notation: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from phloem.runtime.errors import SettingError

__all__ = ["NOTHING", "Alt", "Chars", "Grammar", "Node", "Ref", "Repeat", "Seq", "Text", "alt", "repeat", "seq"]

MOST_TIMES: Final = 1_000
"""llama.cpp refuses a repetition of more than 2,000."""
MOST_PARTS: Final = 50_000
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


@dataclass(frozen=True)
class Grammar:
    """Rules by name; an answer is what `root` says."""

    rules: Mapping[str, Node]

    def pruned(self) -> Grammar:
        """The same without the ways that no text fits, and rules that nothing needs. SettingError if none is left."""
        ending: set[str] = set()
        while True:
            more = {name for name, node in self.rules.items() if name not in ending and _can_end(node, ending)}
            if not more:
                break
            ending |= more
        if "root" not in ending:
            raise SettingError(
                "the form can never be filled", hint="Nothing fits a part of it, or it always needs itself again."
            )
        kept: dict[str, Node] = {}
        waiting = ["root"]
        while waiting:
            name = waiting.pop()
            node = _pruned(self.rules[name], ending)
            assert node is not None
            kept[name] = node
            waiting += [part.rule for part in _walk(node) if isinstance(part, Ref) and part.rule not in kept]
        return Grammar(kept)

    def check(self) -> None:
        """SettingError unless llama.cpp can use this: all there, not too large, able to end, in no circle."""
        if sum(node.size for node in self.rules.values()) > MOST_PARTS:
            raise SettingError("the form is too large", hint="Allow fewer repetitions, choices or properties.")
        wanted = {"root"}
        for name, node in self.rules.items():
            wanted |= {part.rule for part in _walk(node) if isinstance(part, Ref)}
            if node.empty and name != "root":
                raise SettingError(f"the part {name!r} of the form may be empty")
        if wanted - self.rules.keys():
            raise SettingError(f"the form needs {min(wanted - self.rules.keys())!r}, which is not defined")
        if self.pruned() != self:
            raise SettingError("a part of the form can never be filled, or nothing needs it")
        self._check_left()

    @functools.cached_property
    def gbnf(self) -> str:
        """The grammar in the notation of llama.cpp; SettingError as `check`."""
        self.check()
        names = {rule: "root" if rule == "root" else f"r{index}" for index, rule in enumerate(self.rules)}
        return "".join(f"{names[rule]} ::= {_written(node, names)}\n" for rule, node in self.rules.items())

    def _check_left(self) -> None:
        """SettingError if a rule can come back to itself before it has read a character."""
        first = {name: set(_firsts(node)) for name, node in self.rules.items()}
        done: set[str] = set()
        for name in self.rules:
            path = [(name, iter(first[name]))]
            while path:
                step = next(path[-1][1], None)
                if step is None:
                    done.add(path.pop()[0])
                elif any(step == before for before, _ in path):
                    raise SettingError("the form goes in a circle: a part of it begins with itself")
                elif step not in done:
                    path.append((step, iter(first[step])))


def _walk(node: Node) -> Iterator[Node]:
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


def _can_end(node: Node, ending: set[str]) -> bool:
    """Whether some text fits `node`, given that some fits each rule in `ending`."""
    match node:
        case Text():
            return True
        case Chars(ranges):
            return bool(ranges)
        case Seq(items):
            return all(_can_end(item, ending) for item in items)
        case Alt(options):
            return any(_can_end(option, ending) for option in options)
        case Repeat(item):
            return node.empty or _can_end(item, ending)
        case Ref(rule):
            return rule in ending


def _pruned(node: Node, ending: set[str]) -> Node | None:
    """`node` without what leads to a rule that is not in `ending`; None if nothing is left."""
    match node:
        case Chars(ranges):
            return node if ranges else None
        case Seq(items):
            kept = [_pruned(item, ending) for item in items]
            whole = [item for item in kept if item is not None]
            return seq(*whole) if len(whole) == len(items) else None
        case Alt(options):
            left = [part for part in (_pruned(option, ending) for option in options) if part is not None]
            return alt(*left) if left else None
        case Repeat(item, least, most):
            inner = _pruned(item, ending)
            return repeat(inner, least, most) if inner is not None else NOTHING if least == 0 else None
        case Ref(rule):
            return node if rule in ending else None
        case Text():
            return node


def _firsts(node: Node) -> Iterator[str]:
    """The rules that `node` may begin with."""
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, Ref):
            yield part.rule
        elif isinstance(part, Alt):
            left.extend(part.options)
        elif isinstance(part, Repeat):
            left.append(part.item)
        elif isinstance(part, Seq):
            for item in part.items:
                left.append(item)
                if not item.empty:
                    break


def _written(node: Node, names: Mapping[str, str]) -> str:
    match node:
        case Text(text):
            return '"' + "".join(_written_character(ord(character)) for character in text) + '"'
        case Chars(ranges):
            return "[" + "".join(_written_range(low, high) for low, high in ranges) + "]"
        case Seq(items):
            return " ".join(_written(item, names) for item in items) or '""'
        case Alt(options):
            return "(" + " | ".join(_written(option, names) for option in options) + ")"
        case Repeat(item, least, most):
            short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
            times = short or ("{%d,}" % least if most is None else "{%d,%d}" % (least, most))  # noqa: UP031
            return f"({_written(item, names)}){times}"
        case Ref(rule):
            return names[rule]


def _written_range(low: int, high: int) -> str:
    return _written_character(low) + (f"-{_written_character(high)}" if high > low else "")


def _written_character(code: int) -> str:
    """A character so that it means itself, in a text and in a set."""
    if code < 0x80:
        return chr(code) if chr(code).isalnum() or chr(code) in " _:,.=" else f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
