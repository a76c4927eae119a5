"""In how many ways a grammar is read at once.

llama.cpp keeps a stack for each way in which the text so far can be read, and tries every token on every
one of them. A grammar with many ways is slow; one whose ways double with each character hangs or fills
the memory within a single token. Such grammars are refused before it sees them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from phloem.nodes.services.models.forms.recogniser import Reading, Recogniser
from phloem.nodes.services.models.forms.tree import Alt, Chars, Node, Ref, Repeat, Seq, Text, may_be_empty, walk
from phloem.runtime.errors import SettingError

__all__ = ["check_ways"]

MOST_WAYS: Final = 5_000
"""More than the largest form has that can be used; what doubles passes it within a dozen characters."""
FARTHEST: Final = 64
"""How many characters are looked ahead: few vocabularies have longer tokens that a form would allow."""
MOST_STEPS: Final = 50_000
"""How much work looking ahead may make, counted as in Reading; so much takes a twentieth of a second."""
MOST_TRIED: Final = 8
"""How many of the characters that may follow are tried at each step."""
MOST_RULES: Final = 20
"""How many of the rules that come back to themselves are begun with."""

_HINT: Final = "Let alternatives differ at their beginning: put what tells them apart first."


def check_ways(rules: Mapping[str, Node], recogniser: Recogniser, order: Iterable[str], empty: set[str]) -> None:
    """SettingError if there is a place at which, or a beginning after which, a text goes on in too many ways.

    `order` has the rules so that each comes after those that it may begin with; those in `empty` may be empty.
    """
    starts: dict[str, int] = {}
    for rule in order:
        starts[rule] = _starts(rules[rule], starts, empty)
    for node in rules.values():
        for part in walk(node):
            if isinstance(part, Seq):
                _check_inside(part, starts, empty)
    left = MOST_STEPS
    for rule in itertools.chain(["root"], itertools.islice(_recursive(rules), MOST_RULES)):
        left -= _look_ahead(Reading(recogniser, recogniser.start(rule)), left)


def _starts(node: Node, rules: Mapping[str, int], empty: set[str]) -> int:
    """How many ways there are to begin with `node`; SettingError if there are too many."""
    match node:
        case Text() | Chars():
            ways = 1
        case Seq(items):
            ways = 0
            for item in items:
                ways += _starts(item, rules, empty)
                if not may_be_empty(item, empty):
                    break
        case Alt(options):
            ways = sum(_starts(option, rules, empty) for option in options)
        case Repeat(item, _, _):
            ways = _starts(item, rules, empty)
        case Ref(rule):
            ways = rules[rule]
    _check(ways)
    return ways


def _check_inside(node: Seq, rules: Mapping[str, int], empty: set[str]) -> None:
    """SettingError if there are too many ways to go on at one of its parts."""
    ways = 0
    for item in reversed(node.items):
        ways = _starts(item, rules, empty) + (ways if may_be_empty(item, empty) else 0)
        _check(ways)


def _check(ways: int) -> None:
    if ways > MOST_WAYS:
        raise SettingError("a part of the form can begin in too many ways at once", hint=_HINT)


def _recursive(rules: Mapping[str, Node]) -> Iterator[str]:
    """The rules that come back to themselves before their end: only these can pile up ways."""
    every = {name: {part.rule for part in walk(node) if isinstance(part, Ref)} for name, node in rules.items()}
    users: dict[str, list[str]] = {}
    for name, inner in every.items():
        for rule in inner:
            users.setdefault(rule, []).append(name)
    leaves = [name for name, inner in every.items() if not inner]
    while leaves:
        leaf = leaves.pop()
        del every[leaf]
        for name in users.get(leaf, ()):
            every[name].discard(leaf)
            if not every[name]:
                leaves.append(name)
    for name in every:
        seen: set[str] = set()
        waiting = [rule for rule in _not_last(rules[name]) if rule in every]
        while waiting and name not in seen:
            rule = waiting.pop()
            if rule not in seen:
                seen.add(rule)
                waiting += every[rule]
        if name in seen:
            yield name


def _not_last(node: Node) -> Iterator[str]:
    """The rules that `node` needs other than as its very end."""
    match node:
        case Seq(items):
            for item in items[:-1]:
                yield from (part.rule for part in walk(item) if isinstance(part, Ref))
            if items:
                yield from _not_last(items[-1])
        case Alt(options):
            for option in options:
                yield from _not_last(option)
        case Repeat(item, _, _):
            yield from (part.rule for part in walk(item) if isinstance(part, Ref))


def _look_ahead(reading: Reading, most: int) -> int:
    """Go where there are the most ways, one character after the other, with `most` steps; how many it took."""
    text, steps = "", 0
    for _ in range(FARTHEST):
        tried = [(reading.after(one), one) for one in sorted(reading.next())[:MOST_TRIED]]
        steps += sum(one.steps - reading.steps for one, _ in tried)
        if not tried or steps > most:
            break
        reading, character = max(tried, key=lambda one: one[0].ways())
        text += character
        if reading.ways() > MOST_WAYS:
            raise SettingError(f"what begins with {text!r:.80} can be read in too many ways at once", hint=_HINT)
    return steps
