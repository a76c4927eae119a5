"""Grammars that hold a model to a form, checked before llama.cpp sees them.

A grammar that llama.cpp cannot use ends the process, so its text comes only from a Grammar that passed
`check`. Notation: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from phloem.nodes.services.models.forms.tree import (
    NOTHING,
    Alt,
    Chars,
    Node,
    Ref,
    Repeat,
    Seq,
    Text,
    alt,
    repeat,
    seq,
    walk,
)
from phloem.runtime.errors import SettingError

__all__ = ["MOST_TIMES", "Grammar"]

MOST_TIMES: Final = 1_000
"""How often a grammar may repeat something; llama.cpp refuses more than 2,000."""
MOST_PARTS: Final = 50_000
"""How large a grammar may be, by Node.size."""


@dataclass(frozen=True)
class Grammar:
    """Rules by name; an answer is what `root` says."""

    rules: Mapping[str, Node]

    def pruned(self) -> Grammar:
        """The same without the ways that no text fits, and rules that nothing needs. SettingError if none is left."""
        self._check_size()
        ending = self._that(_can_end)
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
            waiting += _refs(node) - kept.keys()
        return Grammar(kept)

    def check(self) -> None:
        """SettingError unless llama.cpp can use this: all there, not too large, able to end, in no circle."""
        self._check_size()
        wanted = {"root"}.union(*(_refs(node) for node in self.rules.values()))
        if wanted - self.rules.keys():
            raise SettingError(f"the form needs {min(wanted - self.rules.keys())!r}, which is not defined")
        if self.pruned() != self:
            raise SettingError("a part of the form can never be filled, or nothing needs it")
        self._check_left()

    @functools.cached_property
    def gbnf(self) -> str:
        """The grammar in the notation of llama.cpp; SettingError as `check`."""
        self.check()
        return _Writer(self.rules).text()

    def _check_size(self) -> None:
        """Before anything walks the trees: parts of them may be shared many times over."""
        if sum(node.size for node in self.rules.values()) > MOST_PARTS:
            raise SettingError("the form is too large", hint="Allow fewer repetitions, choices or properties.")

    def _that(self, holds: Callable[[Node, set[str]], bool]) -> set[str]:
        """The rules of which `holds` is true, given those of which it is true already."""
        users: dict[str, set[str]] = {}
        for name, node in self.rules.items():
            for rule in _refs(node):
                users.setdefault(rule, set()).add(name)
        found: set[str] = set()
        waiting = list(self.rules)
        while waiting:
            name = waiting.pop()
            if name not in found and holds(self.rules[name], found):
                found.add(name)
                waiting += users.get(name, ())
        return found

    def _check_left(self) -> None:
        """SettingError if llama.cpp can come back to a rule before it has read a character."""
        empty = self._that(_may_be_empty)
        done: set[str] = set()
        for name in self.rules:
            path = {name: iter(_firsts(self.rules[name], empty))} if name not in done else {}
            while path:
                last = next(reversed(path))
                step = next(path[last], None)
                if step is None:
                    del path[last]
                    done.add(last)
                elif step in path:
                    raise SettingError("the form goes in a circle: a part of it begins with itself")
                elif step not in done:
                    path[step] = iter(_firsts(self.rules[step], empty))


def _refs(node: Node) -> set[str]:
    return {part.rule for part in walk(node) if isinstance(part, Ref)}


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
        case Repeat(item, least, _):
            return least == 0 or _can_end(item, ending)
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


def _may_be_empty(node: Node, empty: set[str]) -> bool:
    """Whether the empty text fits `node`, given that it fits each rule in `empty`."""
    match node:
        case Text() | Chars():
            return False
        case Seq(items):
            return all(_may_be_empty(item, empty) for item in items)
        case Alt(options):
            return any(_may_be_empty(option, empty) for option in options)
        case Repeat(item, least, _):
            return least == 0 or _may_be_empty(item, empty)
        case Ref(rule):
            return rule in empty


def _firsts(node: Node, empty: set[str]) -> Iterator[str]:
    """The rules that `node` may begin with. SettingError if it repeats what may be empty, which goes in a circle."""
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, Ref):
            yield part.rule
        elif isinstance(part, Alt):
            left.extend(part.options)
        elif isinstance(part, Repeat):
            if _may_be_empty(part.item, empty):
                raise SettingError("the form repeats a part of it that may be empty")
            left.append(part.item)
        elif isinstance(part, Seq):
            for item in part.items:
                left.append(item)
                if not _may_be_empty(item, empty):
                    break


class _Writer:
    """Writes rules down, each part that repeats as a rule of its own.

    llama.cpp counts the rules that a repeated group makes, and refuses it from 2,000 times their number on.
    """

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._names = {rule: "root" if rule == "root" else f"r{index}" for index, rule in enumerate(rules)}
        self._rules = rules
        self._repeated: dict[Node, str] = {}
        self._waiting: list[Node] = []

    def text(self) -> str:
        lines = [f"{self._names[rule]} ::= {self._written(node)}\n" for rule, node in self._rules.items()]
        while self._waiting:
            node = self._waiting.pop()
            lines.append(f"{self._repeated[node]} ::= {self._written(node)}\n")
        return "".join(lines)

    def _written(self, node: Node) -> str:
        match node:
            case Text(text):
                return '"' + "".join(_character(ord(character)) for character in text) + '"'
            case Chars(ranges):
                return "[" + "".join(_range(low, high) for low, high in ranges) + "]"
            case Seq(items):
                return " ".join(self._written(item) for item in items) or '""'
            case Alt(options):
                return "(" + " | ".join(self._written(option) for option in options) + ")"
            case Repeat(item, least, most):
                short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
                times = short or ("{%d,}" % least if most is None else "{%d,%d}" % (least, most))  # noqa: UP031
                return self._named(item) + times
            case Ref(rule):
                return self._names[rule]

    def _named(self, node: Node) -> str:
        """Something that can be repeated as it stands."""
        if isinstance(node, Text | Chars | Ref):
            return self._written(node)
        if node not in self._repeated:
            self._repeated[node] = f"s{len(self._repeated)}"
            self._waiting.append(node)
        return self._repeated[node]


def _range(low: int, high: int) -> str:
    return _character(low) + (f"-{_character(high)}" if high > low else "")


def _character(code: int) -> str:
    """A character so that it means itself, in a text and in a set."""
    if code < 0x80:
        return chr(code) if chr(code).isalnum() or chr(code) in " _:,.=" else f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
