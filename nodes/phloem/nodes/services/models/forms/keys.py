"""The keys of objects of a JSON Schema: what is asked of the values behind them, and how those that are not
listed are written."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from phloem.nodes.services.models.forms import json_text as spelled
from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.automaton import Automaton
from phloem.nodes.services.models.forms.schema_merge import Contradiction, Schema, both, flattened
from phloem.nodes.services.models.forms.strings import counted_automaton, lengths, string_automaton
from phloem.nodes.services.models.forms.tree import Node, Ref, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["Keys"]

MOST_PATTERNS: Final = 4
"""How many patterns there may be: keys are told apart by the set of those that they match."""
_OF_STRINGS: Final = frozenset({"type", "pattern", "also pattern", "format", "also format", "minLength", "maxLength"})


class Keys:
    """The keys of the objects that `schema`, a part of `root`, describes. `rules` is what its nodes refer to."""

    def __init__(self, schema: Mapping[str, Any], root: Schema, fits: Callable[[Any, Schema], bool], name: str) -> None:
        self._patterns: dict[str, Schema] = dict(schema.get("patternProperties", {}))
        self._names: Schema = flattened(schema.get("propertyNames", True), root)
        self._root = root
        self._fits = fits
        self._name = name
        self._listed = schema.get("properties", {})
        narrow = not (self._listed or schema.get("required") or self._patterns)
        self._rest: Schema = schema.get("additionalProperties", narrow)
        self._allowed: Schema = schema.get("additionalProperties", True)
        self.rules: dict[str, Node] = {}
        if len(self._patterns) > MOST_PATTERNS:
            raise SettingError(
                f"patternProperties has {len(self._patterns)} patterns", hint=f"Use at most {MOST_PATTERNS} of them."
            )

    def part(self, name: str) -> Schema:
        """What is asked of the value of a property that is named in the schema."""
        if self._names is not True and not self._fits(name, self._names):
            return False
        parts = [part for pattern, part in self._patterns.items() if regex.matches(pattern, name, whole=False)]
        if name in self._listed:
            parts.insert(0, self._listed[name])
        return functools.reduce(both, parts) if parts else self._allowed

    def others(self, names: Iterable[str]) -> Iterator[tuple[Node, Schema]]:
        """The keys that are none of `names`, each sort with what is asked of the values behind them."""
        known = list(names)
        if not self._patterns and self._names is True:
            if self._rest is not False:
                inner = f"{self._name} key"
                self.rules |= spelled.key_but(known, inner)
                yield seq(Text('"'), Ref(inner), Text('"')), self._rest
            return
        try:
            every = self._every(known)
        except Contradiction:
            return
        patterns = list(self._patterns)
        for chosen in itertools.product((True, False), repeat=len(patterns)):
            found = [pattern for pattern, is_in in zip(patterns, chosen, strict=True) if is_in]
            part = functools.reduce(both, (self._patterns[one] for one in found)) if found else self._rest
            if part is False:
                continue
            keys = functools.reduce(operator.and_, (_matching(one) for one in found), every)
            for pattern in set(patterns) - set(found):
                keys = keys.without(_matching(pattern, wide=True))
            if not keys.is_empty:
                inner = f"{self._name} key {len(self.rules)}"
                self.rules |= keys.rules(inner, lambda characters: characters)
                yield seq(Text('"'), Ref(inner), Text('"')), part

    def _every(self, known: list[str]) -> Automaton:
        """All keys but `known`, written without escapes, as far as propertyNames lets them be."""
        every = Automaton.of(repeat(spelled.PLAIN, 0, None))
        if not isinstance(self._names, bool):
            if "enum" in self._names or "const" in self._names:
                listed = [self._names["const"]] if "const" in self._names else self._names["enum"]
                fit = [one for one in listed if isinstance(one, str) and self._fits(one, self._names)]
                every = every & Automaton.of(alt(*map(_text, fit)))
            elif self._names.keys() <= _OF_STRINGS:
                of_names = string_automaton(self._names)
                every = every & of_names if of_names else counted_automaton(every, *lengths(self._names))
        elif self._names is False:
            raise Contradiction("the schema allows no property")
        return every.without(Automaton.of(alt(*map(_text, known))))


def _text(text: str) -> Node:
    return Text(text) if text else seq()


@functools.lru_cache(maxsize=64)
def _matching(pattern: str, *, wide: bool = False) -> Automaton:
    return Automaton.of(regex.found_in(pattern, wide=wide)).minimal()
