"""Objects of a JSON Schema as grammars: properties in the order in which they are listed.

What has to be remembered from one property to the next, how many there are and which of those that others
depend on, is a state; each state is a rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from phloem.nodes.services.models.forms.json_text import COMMA
from phloem.nodes.services.models.forms.tree import Node, Ref, Text, alt, seq

__all__ = ["Limits", "Member", "object_rules"]

MOST_STATES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Member:
    """A property that is listed, with how it is written, key and value."""

    name: str
    node: Node
    required: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How many properties there are to be, and which a property needs to have beside it."""

    least: int = 0
    most: int | None = None
    needs: Mapping[str, Collection[str]] | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """How many listed properties were passed, how many properties there are so far, and which that matter."""

    index: int
    count: int
    present: frozenset[str]


def object_rules(members: Sequence[Member], more: Sequence[Node], limits: Limits, name: str) -> dict[str, Node]:
    """Rules for an object with `members`, then any number of `more`; the first is called `name`.

    Limits that would take too many states are left to the check of the finished answer, needs first.
    """
    for tried in (limits, Limits(limits.least, limits.most), Limits()):
        rules = _Writer(members, more, tried, name).rules()
        if rules is not None:
            return rules
    raise AssertionError("without limits there are two states for each property")


class _Writer:
    def __init__(self, members: Sequence[Member], more: Sequence[Node], limits: Limits, name: str) -> None:
        self._members = members
        self._more = more
        self._least = limits.least
        self._most = limits.most
        self._needs = limits.needs or {}
        self._matter = frozenset(self._needs).union(*self._needs.values())
        self._name = name
        self._names: dict[_State, str] = {}
        self._waiting: list[_State] = []

    def rules(self) -> dict[str, Node] | None:
        """None if there are too many."""
        rules = {self._name: seq(Text("{"), self._rule(_State(0, 0, frozenset())))}
        most = max(MOST_STATES, 2 * len(self._members) + 2)
        while self._waiting:
            if len(self._names) > most:
                return None
            state = self._waiting.pop()
            rules[self._names[state]] = alt(*self._options(state))
        return rules

    def _options(self, state: _State) -> list[Node]:
        """What may come next: a property, what follows without it, or the end."""
        comma = [COMMA] if state.count else []
        room = self._most is None or state.count < self._most
        if state.index == len(self._members):
            options = [seq(*comma, one, self._rule(self._taken(state))) for one in self._more if room]
            return [*options, Text("}")] if state.count >= self._least else options
        member = self._members[state.index]
        options = []
        if room and self._may_come(member.name, state):
            options.append(seq(*comma, member.node, self._rule(self._taken(state, member.name))))
        if not member.required and not self._is_needed(member.name, state):
            options.append(self._rule(replace(state, index=state.index + 1)))
        return options

    def _taken(self, state: _State, name: str | None = None) -> _State:
        """The state after one more property."""
        count = min(state.count + 1, max(1, self._least) if self._most is None else self._most)
        if name is None:
            return replace(state, count=count)
        return _State(state.index + 1, count, state.present | ({name} & self._matter))

    def _may_come(self, name: str, state: _State) -> bool:
        """Whether all that `name` needs is there, or may still come."""
        if name not in self._needs:
            return True
        passed = {member.name for member in self._members[: state.index]}
        return all(other in state.present or other not in passed for other in self._needs[name])

    def _is_needed(self, name: str, state: _State) -> bool:
        return any(name in self._needs.get(other, ()) for other in state.present)

    def _rule(self, state: _State) -> Node:
        if state not in self._names:
            self._names[state] = f"{self._name} after {len(self._names)}"
            self._waiting.append(state)
        return Ref(self._names[state])
