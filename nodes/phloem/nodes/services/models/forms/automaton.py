"""Patterns made deterministic: a rule for each state, so that a text is read in one way only.

llama.cpp follows every way in which a grammar can read a text at once, and compares them all with one
another at every token; a pattern such as (a?b?)*(a?b?)* then takes minutes. With one rule per state
there is one way. Construction: Glushkov's positions, then sets of them as states (Aho, Lam, Sethi,
Ullman, Compilers, 2nd edition, section 3.9).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from phloem.nodes.services.models.forms.tree import Alt, Chars, Node, Ref, Repeat, Seq, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["deterministic"]

MOST_POSITIONS: Final = 5_000
MOST_STATES: Final = 2_000
MOST_STEPS: Final = 1_000_000
"""How much work a pattern may make, counted in positions looked at; a million take about a second."""


def deterministic(pattern: Node, name: str, write: Callable[[Chars], Node]) -> dict[str, Node]:
    """Rules for what fits `pattern`, a tree without references; the first is called `name`.

    `write` says how a set of characters is written. SettingError when there are too many states.
    """
    positions = _Positions()
    whole = positions.add(pattern)
    states: dict[frozenset[int], str] = {frozenset({_START}): name}
    positions.follow[_START] = set(whole.first)
    ends = set(whole.last) | ({_START} if whole.empty else set())
    rules: dict[str, Node] = {}
    waiting = list(states)
    steps = 0
    while waiting:
        state = waiting.pop()
        after = {position for here in state for position in positions.follow[here]}
        steps += len(after) + len(state)
        if len(states) > MOST_STATES or steps > MOST_STEPS:
            raise SettingError(
                "the pattern can be read in too many ways",
                hint="Use fewer repetitions that can stand for the same text.",
            )
        options = []
        for characters, target in _moves(after, positions.characters):
            if target not in states:
                states[target] = f"{name} {len(states)}"
                waiting.append(target)
            options.append(seq(write(characters), Ref(states[target])))
        node = alt(*options)
        rules[states[state]] = repeat(node, 0, 1) if not ends.isdisjoint(state) else node
    return rules


_START: Final = -1


@dataclass(frozen=True, slots=True)
class _Span:
    """The positions that a part of a pattern may begin and end with, and whether it may be empty."""

    first: list[int]
    last: list[int]
    empty: bool


@dataclass(slots=True)
class _Positions:
    """Every place of a pattern that reads a character, and the places that may come next."""

    characters: list[Chars] = field(default_factory=list)
    follow: dict[int, set[int]] = field(default_factory=dict)

    def add(self, node: Node) -> _Span:
        """Take in `node`, each repetition written out."""
        match node:
            case Text(text):
                return self._joined(self._one(Chars.of([(ord(one), ord(one))])) for one in text)
            case Chars():
                return self._one(node)
            case Seq(items):
                return self._joined(self.add(item) for item in items)
            case Alt(options):
                spans = [self.add(option) for option in options]
                first = [position for span in spans for position in span.first]
                last = [position for span in spans for position in span.last]
                return _Span(first, last, any(span.empty for span in spans))
            case Repeat(item, least, most):
                return self._repeated(item, least, most)
            case Ref(rule):
                raise ValueError(f"a pattern cannot refer to {rule}")

    def _one(self, characters: Chars) -> _Span:
        position = len(self.characters)
        if position >= MOST_POSITIONS:
            raise SettingError("the pattern is too large", hint="Allow fewer repetitions.")
        self.characters.append(characters)
        self.follow[position] = set()
        return _Span([position], [position], False)

    def _joined(self, spans: Iterator[_Span]) -> _Span:
        whole = _Span([], [], True)
        for span in spans:
            self._link(whole.last, span.first)
            first = whole.first + span.first if whole.empty else whole.first
            last = whole.last + span.last if span.empty else span.last
            whole = _Span(first, last, whole.empty and span.empty)
        return whole

    def _repeated(self, item: Node, least: int, most: int | None) -> _Span:
        """Copies one after the other, where the text may end after each from the `least` on."""
        copies = [self.add(item) for _ in range(max(1, least) if most is None else most)]
        for one, other in itertools.pairwise(copies):
            self._link(one.last, other.first)
        if most is None:
            self._link(copies[-1].last, copies[-1].first)
        empty = least == 0 or copies[0].empty
        last = [position for copy in copies[0 if empty else least - 1 :] for position in copy.last]
        return _Span(copies[0].first, last, empty)

    def _link(self, before: list[int], after: list[int]) -> None:
        for position in before:
            self.follow[position].update(after)


def _moves(positions: set[int], characters: list[Chars]) -> Iterator[tuple[Chars, frozenset[int]]]:
    """For each set of positions that some characters lead to, those characters."""
    ranges = [(low, high + 1, position) for position in sorted(positions) for low, high in characters[position].ranges]
    bounds = sorted({bound for low, end, _ in ranges for bound in (low, end)})
    begins: dict[int, list[int]] = {}
    finishes: dict[int, list[int]] = {}
    for low, end, position in ranges:
        begins.setdefault(low, []).append(position)
        finishes.setdefault(end, []).append(position)
    active: set[int] = set()
    found: dict[frozenset[int], list[tuple[int, int]]] = {}
    for bound, end in itertools.pairwise(bounds):
        active.difference_update(finishes.get(bound, ()))
        active.update(begins.get(bound, ()))
        if active:
            found.setdefault(frozenset(active), []).append((bound, end - 1))
    for target, parts in found.items():
        yield Chars.of(parts), target
