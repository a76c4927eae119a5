"""Alternatives that begin alike, written so that they part where they differ.

llama.cpp follows every alternative that still fits, and tries each token on each of them. A thousand words
to choose from are then a thousand ways; as a tree of letters they are one. And alternatives that differ only
behind something nested would double the ways with each level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phloem.nodes.services.models.forms.tree import Alt, Node, Ref, Repeat, Seq, Text, alt, repeat, seq

__all__ = ["factored"]

DEEPEST: Final = 16
"""How many times alternatives part inside one another; after that they stay side by side."""
FARTHEST: Final = 40
"""How many rules that refer to one another are looked through for what an alternative begins with."""
LARGEST_RULE: Final = 500
MOST_ADDED: Final = 10_000
"""How large a rule may be that is written in place of its name, and all of them together, by Node.size."""

Branch = tuple[Node, ...]
"""One alternative, as what follows one another in it."""


def factored(rules: Mapping[str, Node]) -> dict[str, Node]:
    """The same rules with alternatives that part where they differ. None of them may begin with itself."""
    factoring = _Factoring(rules)
    return {name: factoring.node(node) for name, node in rules.items()}


class _Factoring:
    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self._left = MOST_ADDED

    def node(self, node: Node) -> Node:
        match node:
            case Seq(items):
                return seq(*(self.node(item) for item in items))
            case Repeat(item, least, most):
                return repeat(self.node(item), least, most)
            case Alt(options):
                return self._tree([_branch(self.node(option)) for option in options], DEEPEST)
            case _:
                return node

    def _tree(self, branches: list[Branch], deepest: int) -> Node:
        """Branches that begin alike put together, with what follows as a tree of the same kind."""
        branches = list(dict.fromkeys(branches))
        if _part_at_once(branches):
            opened, added = self._all_opened(branches)
            if _part_at_once(opened) or deepest == 0:
                return alt(*(seq(*branch) for branch in branches))
            self._left -= added
            branches = opened
        groups: dict[Node | str | None, list[Branch]] = {}
        for branch in branches:
            groups.setdefault(_key(branch), []).append(branch)
        found = []
        for group in groups.values():
            if len(group) == 1 or deepest == 0:
                found += [seq(*branch) for branch in group]
            else:
                head, rests = _common(group)
                found.append(seq(*head, self._tree(rests, deepest - 1)))
        return alt(*found)

    def _all_opened(self, branches: list[Branch]) -> tuple[list[Branch], int]:
        """The branches with rules in the place of their names, and how much larger they have become."""
        before = self._left
        found = [one for branch in branches for one in self._opened(branch, FARTHEST)]
        added, self._left = before - self._left, before
        return found, added

    def _opened(self, branch: Branch, far: int) -> list[Branch]:
        """A branch that begins with the name of a rule, with what the rule says in its place."""
        if not branch or not isinstance(branch[0], Ref) or far == 0 or branch[0].rule not in self._rules:
            return [branch]
        node = self._rules[branch[0].rule]
        options = node.options if isinstance(node, Alt) else (node,)
        added = node.size + len(options) * sum(part.size for part in branch[1:])
        if node.size > LARGEST_RULE or added > self._left:
            return [branch]
        self._left -= added
        found = [self._opened((*_branch(option), *branch[1:]), far - 1) for option in options]
        return [one for each in found for one in each]


def _branch(node: Node) -> Branch:
    return node.items if isinstance(node, Seq) else (node,)


def _key(branch: Branch) -> Node | str | None:
    """What tells whether two branches begin alike."""
    if not branch:
        return None
    return branch[0].text[0] if isinstance(branch[0], Text) else branch[0]


def _part_at_once(branches: list[Branch]) -> bool:
    """Whether all begin differently."""
    return len({_key(branch) for branch in branches}) == len(branches)


def _common(group: list[Branch]) -> tuple[list[Node], list[Branch]]:
    """What all begin with, and what each goes on with."""
    head: list[Node] = []
    while all(group) and len({_key(branch) for branch in group}) == 1:
        first = group[0][0]
        if isinstance(first, Text):
            shared = _shared([branch[0].text for branch in group if isinstance(branch[0], Text)])
            head.append(Text(shared))
            group = [_without(branch, len(shared)) for branch in group]
        else:
            head.append(first)
            group = [branch[1:] for branch in group]
    return head, group


def _shared(texts: list[str]) -> str:
    """The beginning that all have."""
    low, high = min(texts), max(texts)
    end = next((index for index, (one, two) in enumerate(zip(low, high, strict=False)) if one != two), len(low))
    return low[:end]


def _without(branch: Branch, length: int) -> Branch:
    """`branch` without the first characters of its first part, which is a text."""
    first = branch[0]
    assert isinstance(first, Text)
    return (Text(first.text[length:]), *branch[1:]) if len(first.text) > length else branch[1:]
