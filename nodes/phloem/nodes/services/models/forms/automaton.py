"""Patterns made deterministic: a rule for each state, so that a text is read in one way only.

llama.cpp follows every way in which a grammar can read a text at once, and compares them all with one
another at every token; a pattern such as (a?b?)*(a?b?)* then takes minutes. With one rule per state
there is one way. Automata can also be joined, taken from one another, and counted. Construction:
Glushkov's positions, then sets of them as states (Aho, Lam, Sethi, Ullman, Compilers, 2nd edition,
section 3.9).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from phloem.nodes.services.models.forms.tree import NOTHING, Alt, Chars, Node, Ref, Repeat, Seq, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["Automaton", "TooManyStates"]

MOST_POSITIONS: Final = 5_000
MOST_STATES: Final = 2_000
MOST_REFINED: Final = 200
MOST_STEPS: Final = 1_000_000
"""How much work a pattern may make, counted in ranges of characters looked at; a million take about a second."""


class TooManyStates(SettingError):
    """What an automaton is asked for would be too large."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """States, the first of them the beginning; from each, sets of characters that are apart, and where they lead."""

    moves: tuple[tuple[tuple[Chars, int], ...], ...]
    ends: frozenset[int]

    @classmethod
    def of(cls, pattern: Node) -> Automaton:
        """What reads a text that fits `pattern`, a tree without references. TooManyStates if that takes too many."""
        positions = _Positions()
        whole = positions.add(pattern)
        positions.follow[_START] = set(whole.first)
        last = set(whole.last) | ({_START} if whole.empty else set())
        steps = 0

        def moves(state: frozenset[int]) -> Iterator[tuple[Chars, frozenset[int]]]:
            nonlocal steps
            after = {position for here in state for position in positions.follow[here]}
            steps += len(state) + sum(len(positions.characters[position].ranges) for position in after)
            if steps > MOST_STEPS:
                raise _too_many()
            return _moves(after, positions.characters)

        return _explored(frozenset({_START}), moves, lambda state: not last.isdisjoint(state))

    def __and__(self, other: Automaton) -> Automaton:
        """What reads a text that both read."""

        def moves(state: tuple[int, int]) -> Iterator[tuple[Chars, tuple[int, int]]]:
            for one, first in self.moves[state[0]]:
                for two, second in other.moves[state[1]]:
                    if (both := one & two).ranges:
                        yield both, (first, second)

        return _explored((0, 0), moves, lambda state: state[0] in self.ends and state[1] in other.ends).pruned()

    def without(self, other: Automaton) -> Automaton:
        """What reads a text that this reads, and `other` does not."""

        def moves(state: tuple[int, int]) -> Iterator[tuple[Chars, tuple[int, int]]]:
            for one, first in self.moves[state[0]]:
                rest = one
                for two, second in other.moves[state[1]] if state[1] >= 0 else ():
                    if (both := one & two).ranges:
                        yield both, (first, second)
                        rest = rest & ~both
                if rest.ranges:
                    yield rest, (first, -1)

        return _explored((0, 0), moves, lambda state: state[0] in self.ends and state[1] not in other.ends).pruned()

    def counted(self, least: int, most: int | None) -> Automaton:
        """What reads a text that this reads, of `least` to `most` characters."""

        def moves(state: tuple[int, int]) -> Iterator[tuple[Chars, tuple[int, int]]]:
            number, count = state
            if most is None or count < most:
                for characters, target in self.moves[number]:
                    yield characters, (target, count + 1 if most is not None else min(count + 1, least))

        return _explored((0, 0), moves, lambda state: state[0] in self.ends and state[1] >= least).pruned()

    @property
    def is_empty(self) -> bool:
        """Whether it reads no text at all, as long as it was made by one of the methods here."""
        return not self.ends

    def pruned(self) -> Automaton:
        """The same without states from which no end is reached."""
        before: dict[int, set[int]] = {}
        for number, moves in enumerate(self.moves):
            for _, target in moves:
                before.setdefault(target, set()).add(number)
        alive = set(self.ends)
        waiting = list(alive)
        while waiting:
            found = before.get(waiting.pop(), set()) - alive
            alive |= found
            waiting += found
        numbers = {old: new for new, old in enumerate(sorted(alive | {0}))}
        kept = tuple(
            tuple((characters, numbers[target]) for characters, target in self.moves[old] if target in alive)
            for old in numbers
        )
        return Automaton(kept, frozenset(numbers[old] for old in self.ends))

    def minimal(self) -> Automaton:
        """The same with states from which the same is read made one (E. Moore's refinement), unless they are many."""
        if len(self.moves) > MOST_REFINED:
            return self
        classes = [int(number in self.ends) for number in range(len(self.moves))]
        while True:
            numbers: dict[object, int] = {}
            finer = []
            for number, moves in enumerate(self.moves):
                joined: dict[int, Chars] = {}
                for characters, target in moves:
                    known = joined.get(classes[target])
                    joined[classes[target]] = characters if known is None else known | characters
                finer.append(numbers.setdefault((classes[number], frozenset(joined.items())), len(numbers)))
            if len(numbers) == len(set(classes)):
                break
            classes = finer
        first: dict[int, int] = {}
        for number, one in enumerate(finer):
            first.setdefault(one, number)

        def moves_of(state: int) -> Iterator[tuple[Chars, int]]:
            return ((characters, finer[target]) for characters, target in self.moves[first[state]])

        return _explored(finer[0], moves_of, lambda state: first[state] in self.ends)

    def rules(self, name: str, write: Callable[[Chars], Node]) -> dict[str, Node]:
        """A rule for each state, of which the first is called `name`; `write` says how characters are written."""
        names = [name, *(f"{name} {number}" for number in range(1, len(self.moves)))]
        rules = {}
        for number, moves in enumerate(self.moves):
            node = alt(*(seq(write(characters), Ref(names[target])) for characters, target in moves))
            if number not in self.ends:
                rules[names[number]] = node
            else:
                rules[names[number]] = repeat(node, 0, 1) if moves else NOTHING
        return rules


State = TypeVar("State", bound=Hashable)


def _explored(
    start: State, moves: Callable[[State], Iterator[tuple[Chars, State]]], ends: Callable[[State], bool]
) -> Automaton:
    """The automaton of the states that are reached from `start`. TooManyStates if there are too many."""
    numbers = {start: 0}
    waiting = [start]
    found: dict[int, tuple[tuple[Chars, int], ...]] = {}
    while waiting:
        state = waiting.pop()
        joined: dict[int, Chars] = {}
        for characters, target in moves(state):
            if target not in numbers:
                numbers[target] = len(numbers)
                waiting.append(target)
                if len(numbers) > MOST_STATES:
                    raise _too_many()
            number = numbers[target]
            joined[number] = joined[number] | characters if number in joined else characters
        found[numbers[state]] = tuple((characters, target) for target, characters in joined.items())
    last = frozenset(number for state, number in numbers.items() if ends(state))
    return Automaton(tuple(found[number] for number in range(len(found))), last)


def _too_many() -> TooManyStates:
    return TooManyStates(
        "the pattern can be read in too many ways", hint="Use fewer repetitions that can stand for the same text."
    )


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
