"""Arrays of a JSON Schema as grammars: items at their places, between two lengths, and without repetitions."""

from __future__ import annotations

from collections.abc import Sequence

from phloem.nodes.services.models.forms.json_text import COMMA
from phloem.nodes.services.models.forms.tree import NOTHING, Node, Ref, Text, alt, repeat, seq

__all__ = ["array_rules", "distinct_rules"]


def array_rules(first: Sequence[Node], more: Node | None, least: int, most: int | None, name: str) -> dict[str, Node]:
    """Rules for an array that begins with `first` and goes on with `more`, with `least` to `most` of them in all.

    The first is called `name`; there is one for each place from which on nothing is needed.
    """
    rules: dict[str, Node] = {}
    fixed = first[:most]
    rest_least = max(0, least - len(fixed))
    rest_most = None if most is None else most - len(fixed)
    if more is None or rest_most == 0:
        rest: Node = NOTHING
    elif fixed:
        rest = repeat(seq(COMMA, more), rest_least, rest_most)
    else:
        rest = seq(more, repeat(seq(COMMA, more), max(0, rest_least - 1), None if rest_most is None else rest_most - 1))
        rest = rest if rest_least else repeat(rest, 0, 1)
    for index in range(len(fixed) - 1, -1, -1):
        rest = seq(COMMA, fixed[index], rest) if index else seq(fixed[index], rest)
        if index >= least:
            rules[f"{name} from {index}"] = repeat(rest, 0, 1)
            rest = Ref(f"{name} from {index}")
    return {name: seq(Text("["), rest, Text("]")), **rules}


def distinct_rules(values: Sequence[Node], least: int, most: int | None, name: str) -> dict[str, Node]:
    """Rules for an array of some of `values`, each at most once, in any order; the first is called `name`.

    There is a rule for each set of values that were used already.
    """
    values = list(dict.fromkeys(values))
    most = len(values) if most is None else min(most, len(values))
    start: frozenset[int] = frozenset()
    names = {start: f"{name} after 0"}
    waiting = [start]
    rules: dict[str, Node] = {name: seq(Text("["), Ref(names[start]))}
    while waiting:
        used = waiting.pop()
        options: list[Node] = [Text("]")] if len(used) >= least else []
        for index, value in enumerate(values):
            if index not in used and len(used) < most:
                target = used | {index}
                if target not in names:
                    names[target] = f"{name} after {len(names)}"
                    waiting.append(target)
                options.append(seq(*([COMMA] if used else []), value, Ref(names[target])))
        rules[names[used]] = alt(*options)
    return rules
