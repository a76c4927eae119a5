"""Grammars that hold a model to a form, checked before llama.cpp sees them.

A grammar that llama.cpp cannot use ends the process, so its text comes only from a Grammar that passed
`check`. The same Grammar tells by itself whether a text fits, and closes one that was cut off.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from phloem.nodes.services.models.forms.factoring import factored
from phloem.nodes.services.models.forms.gbnf_writer import written
from phloem.nodes.services.models.forms.recogniser import Reading, Recogniser
from phloem.nodes.services.models.forms.shortest import ENDLESS, Shortest
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
    may_be_empty,
    repeat,
    seq,
    walk,
)
from phloem.nodes.services.models.forms.ways import check_ways
from phloem.runtime.errors import SettingError

__all__ = ["MOST_PARTS", "MOST_TIMES", "Circle", "EmptyLoop", "Grammar", "too_large"]

MOST_TIMES: Final = 1_000
"""How often a grammar may repeat something; llama.cpp refuses more than 2,000."""
MOST_PARTS: Final = 50_000
"""How large a grammar may be, by Node.size."""
LONGEST_SHORTEST: Final = 100_000
"""How many characters the shortest text that fits may have."""


class Circle(SettingError):
    """The rule `rule` can come back to itself before a character is read."""

    rule: str


class EmptyLoop(SettingError):
    """The rule `rule` repeats something that may be empty."""

    rule: str


@dataclass(frozen=True)
class Grammar:
    """Rules by name; an answer is what `root` says."""

    rules: Mapping[str, Node]

    def pruned(self) -> Grammar:
        """The same without the ways that no text fits, and rules that nothing needs. SettingError if none is left."""
        self._check_size()
        ending = {name for name, length in Shortest(self.rules).rules.items() if length < ENDLESS}
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

    def ready(self) -> Grammar:
        """The same, checked, with alternatives that part where they differ. SettingError as `pruned` and `check`."""
        self._check_size()
        self._check_left()
        found = Grammar(factored(self.rules)).pruned()
        found.check()
        return found

    def check(self) -> None:
        """SettingError unless llama.cpp can use this: all there, not too large, able to end, in no circle."""
        return self._checked

    @functools.cached_property
    def _checked(self) -> None:
        self._check_size()
        wanted = {"root"}.union(*(_refs(node) for node in self.rules.values()))
        if wanted - self.rules.keys():
            raise SettingError(f"the form needs {min(wanted - self.rules.keys())!r}, which is not defined")
        shortest = self._recogniser.shortest
        endless = any(shortest.length(part) >= ENDLESS for node in self.rules.values() for part in walk(node))
        if endless or self._needed() != self.rules.keys():
            raise SettingError("a part of the form can never be filled, or nothing needs it")
        self._check_left()
        if shortest.rules["root"] > LONGEST_SHORTEST:
            raise SettingError(f"even the shortest answer has more than {LONGEST_SHORTEST:,} characters")
        empty = self._recogniser.shortest.empty
        check_ways(self.rules, self._recogniser, self._left_order(empty), empty)

    def fits(self, text: str) -> bool:
        """Whether all of `text` is what this checked grammar says. ServiceError if that takes too long to tell."""
        return self._recogniser.fits(text)

    def closing(self, text: str) -> str | None:
        """The fewest characters after which `text` fits this checked grammar; None if none make it fit.

        ServiceError if that takes too long to tell.
        """
        reading = Reading(self._recogniser)
        return reading.completion() if reading.read(text) == len(text) else None

    @functools.cached_property
    def _recogniser(self) -> Recogniser:
        return Recogniser(self.rules, Shortest(self.rules))

    @functools.cached_property
    def gbnf(self) -> str:
        """The grammar in the notation of llama.cpp; SettingError as `check`."""
        self.check()
        return written(self.rules)

    def _check_size(self) -> None:
        """Before anything walks the trees: parts of them may be shared many times over."""
        if sum(node.size for node in self.rules.values()) > MOST_PARTS:
            raise too_large()

    def _needed(self) -> set[str]:
        """The rules that `root` comes to."""
        found = {"root"}
        waiting = ["root"]
        while waiting:
            more = _refs(self.rules[waiting.pop()]) - found
            found |= more
            waiting += more
        return found

    def _check_left(self) -> None:
        """Circle or EmptyLoop if llama.cpp can go round without reading a character."""
        empty = Shortest(self.rules).empty
        for name, node in self.rules.items():
            repeats = (part.item for part in walk(node) if isinstance(part, Repeat) and part.most != 1)
            if any(may_be_empty(item, empty) for item in repeats):
                loop = EmptyLoop("the form repeats a part of it that may be empty")
                loop.rule = name
                raise loop
        self._left_order(empty)

    def _left_order(self, empty: set[str]) -> list[str]:
        """The rules so that each comes after those that it may begin with. Circle if it may begin with itself."""
        done: dict[str, None] = {}
        for name in self.rules:
            path = {name: _firsts(self.rules[name], empty)} if name not in done else {}
            while path:
                last = next(reversed(path))
                step = next(path[last], None)
                if step is None:
                    del path[last]
                    done[last] = None
                elif step in path:
                    circle = Circle("the form goes in a circle: a part of it begins with itself")
                    circle.rule = step
                    raise circle
                elif step not in done:
                    path[step] = _firsts(self.rules[step], empty)
        return list(done)


def too_large() -> SettingError:
    """The error of a form that would make a grammar of more than MOST_PARTS."""
    return SettingError("the form is too large", hint="Allow fewer repetitions, choices or properties.")


def _refs(node: Node) -> set[str]:
    return {part.rule for part in walk(node) if isinstance(part, Ref)}


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


def _firsts(node: Node, empty: set[str]) -> Iterator[str]:
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
                if not may_be_empty(item, empty):
                    break
