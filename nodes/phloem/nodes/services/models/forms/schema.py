"""JSON Schemas as grammars: a model can only write JSON that fits. What is compiled and what is not: the package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from phloem.nodes.services.models.forms import json_text as spelled
from phloem.nodes.services.models.forms.arrays import array_rules, distinct_rules
from phloem.nodes.services.models.forms.grammar import MOST_PARTS, MOST_TIMES, Grammar, too_large
from phloem.nodes.services.models.forms.keys import Keys
from phloem.nodes.services.models.forms.numbers import number_rules
from phloem.nodes.services.models.forms.objects import Limits, Member, object_rules
from phloem.nodes.services.models.forms.schema_merge import Contradiction, Schema, every, flattened, merged, same
from phloem.nodes.services.models.forms.strings import string_rules
from phloem.nodes.services.models.forms.tree import Node, Ref, alt, seq
from phloem.runtime.errors import SettingError

__all__ = ["schema_grammar"]

Fits = Callable[[Any, Schema], bool]

MOST_RULES: Final = 3_000
MOST_DISTINCT: Final = 8
"""How many values a list without repetitions may be made of; what was used is remembered for each set of them."""


def schema_grammar(schema: Schema, fits: Fits) -> Grammar:
    """The grammar of the JSON that `schema` describes, ready to be used.

    `fits(value, part)` tells whether a value fits a part of the schema, for choosing among the values
    that it lists. SettingError says what cannot be held to, or that nothing fits.
    """
    return _Compiler(schema, fits).grammar()


class _Compiler:
    """Turns one schema into rules. Parts that are the same, or refer to themselves, share a rule."""

    def __init__(self, root: Schema, fits: Fits) -> None:
        self._root = root
        self._fits = fits
        self._rules: dict[str, Node] = dict(spelled.RULES)
        self._left = MOST_PARTS
        self._names: dict[str, str] = {}
        self._waiting: list[tuple[str, Schema]] = []
        self._contradictions: list[Contradiction] = []

    def grammar(self) -> Grammar:
        self._names[json.dumps(self._root)] = "root"
        self._waiting.append(("root", self._root))
        while self._waiting:
            name, schema = self._waiting.pop()
            try:
                self._add({name: self._node(schema, name)})
            except Contradiction as error:
                self._contradictions.append(error)
                self._add({name: alt()})
        try:
            return Grammar(self._rules).pruned().ready()
        except SettingError as error:
            raise self._contradictions[0] if self._contradictions else error from None

    def _add(self, rules: Mapping[str, Node]) -> None:
        """Take in rules. SettingError as soon as they are too large together."""
        self._left -= sum(node.size for name, node in rules.items() if name not in self._rules)
        if self._left < 0:
            raise too_large()
        self._rules.update(rules)

    def _rule(self, schema: Schema) -> Node:
        """A reference to the rule for `schema`, which is written when its turn comes."""
        if schema is True or schema == {}:
            return spelled.ANYTHING
        key = json.dumps(schema)
        if key not in self._names:
            if len(self._names) >= MOST_RULES:
                raise too_large()
            self._names[key] = f"value {len(self._names)}"
            self._waiting.append((self._names[key], schema))
        return Ref(self._names[key])

    def _node(self, schema: Schema, name: str) -> Node:
        whole = flattened(schema, self._root)
        if whole is False:
            raise Contradiction("the schema allows nothing at all in one place")
        if whole is True:
            return spelled.ANYTHING
        assert not isinstance(whole, bool)
        for key in ("anyOf", "oneOf"):
            if key in whole:
                return self._any_of({name: value for name, value in whole.items() if name != key}, whole[key])
        if "const" in whole or "enum" in whole:
            return alt(*(spelled.literal(value) for value in self._values(whole)))
        kinds = _kinds(whole)
        return alt(*self._of_kinds(kinds, whole, name)) if kinds else spelled.ANYTHING

    def _any_of(self, rest: Mapping[str, Any], options: list[Schema]) -> Node:
        """One of several schemas, each with what stands beside them."""
        found: dict[Node, None] = {}
        for option in options:
            try:
                found[self._rule(merged(rest, option))] = None
            except Contradiction:
                continue
        if not found:
            raise Contradiction("the schema has alternatives of which none can be met")
        return alt(*found)

    def _values(self, schema: Mapping[str, Any]) -> list[Any]:
        """Those of the values that `schema` lists which fit the rest of it."""
        listed = [schema["const"]] if "const" in schema else schema["enum"]
        whole = {key: value for key, value in schema.items() if key not in ("const", "enum")}
        whole["allOf"] = [{"pattern": pattern} for pattern in every(schema, "pattern")]
        if "const" in schema and "enum" in schema and not any(same(schema["const"], one) for one in schema["enum"]):
            raise Contradiction("the schema asks for a value that is not in its own list of values")
        values = [value for value in listed if self._fits(value, whole)]
        if not values:
            raise Contradiction("the schema lists values of which none fits the rest of it")
        return values

    def _of_kinds(self, kinds: list[str], schema: Mapping[str, Any], name: str) -> Iterator[Node]:
        """What `schema` says of each type; of several types those that nothing fits are left out."""
        contradictions = []
        for kind in kinds:
            try:
                found = self._of_kind(kind, schema, name)
            except Contradiction as error:
                contradictions.append(error)
                continue
            yield found
        if len(contradictions) == len(kinds):
            raise contradictions[0]

    def _of_kind(self, kind: str, schema: Mapping[str, Any], name: str) -> Node:
        inner = f"{name} {kind}"
        match kind:
            case "object":
                self._add(self._object(schema, inner))
            case "array":
                self._add(self._array(schema, inner))
            case "string":
                self._add(string_rules(schema, inner))
            case "integer" | "number":
                self._add(number_rules(schema, inner, whole=kind == "integer"))
            case "boolean":
                return spelled.BOOLEAN
            case _:
                return spelled.NULL
        return Ref(inner)

    def _object(self, schema: Mapping[str, Any], name: str) -> dict[str, Node]:
        required = list(schema.get("required", []))
        needs = schema.get("dependentRequired", {})
        listed = schema.get("properties", {})
        keys = Keys(schema, self._root, self._fits, name)
        names = dict.fromkeys([*listed, *required, *needs, *(other for others in needs.values() for other in others)])
        members = []
        for one in names:
            part = keys.part(one)
            if part is not False:
                node = seq(spelled.key(one), self._rule(part))
                members.append(Member(one, node, one in required))
            elif one in required:
                raise Contradiction(f"the schema both requires and forbids the property {one!r:.80}")
        more = [seq(key, spelled.COLON, self._rule(part)) for key, part in keys.others(names) if part is not False]
        self._add(keys.rules)
        limits = Limits(_at_least(schema, "minProperties"), _at_most(schema, "maxProperties"), needs)
        return object_rules(members, more, limits, name)

    def _array(self, schema: Mapping[str, Any], name: str) -> dict[str, Node]:
        items = schema.get("items", True)
        first = schema.get("prefixItems", items if isinstance(items, list) else [])
        if isinstance(items, list):
            items = schema.get("additionalItems", False)
        elif first and "items" not in schema:
            items = False
        least = _at_least(schema, "minItems") if "minItems" in schema else len(first)
        most = _at_most(schema, "maxItems")
        if (items is False and least > len(first)) or (most is not None and most < least and "minItems" in schema):
            raise Contradiction(f"the schema asks for a list of at least {least} items, and allows fewer")
        if schema.get("uniqueItems") and not first and (values := self._few_values(items)) is not None:
            return distinct_rules([spelled.literal(value) for value in values], least, most, name)
        more = None if items is False else self._rule(items)
        return array_rules([self._rule(part) for part in first], more, least, most, name)

    def _few_values(self, schema: Schema) -> list[Any] | None:
        """The values that `schema` lists, if they are few and simple enough to be told apart."""
        try:
            whole = flattened(schema, self._root)
        except Contradiction:
            return []
        if isinstance(whole, bool) or not whole.keys().isdisjoint({"anyOf", "oneOf"}):
            return None
        if whole.get("type") == "boolean" and whole.keys().isdisjoint({"enum", "const"}):
            whole = {**whole, "enum": [True, False]}
        if whole.keys().isdisjoint({"enum", "const"}):
            return None
        try:
            values = self._values(whole)
        except Contradiction:
            return []
        simple = all(value is None or isinstance(value, str | bool | int) for value in values)
        return values if simple and len(values) <= MOST_DISTINCT else None


_KINDS: Final = {
    "object": (
        "properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties",
        "propertyNames", "dependentRequired",
    ),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema allows: those it names, else those that its other words are about, else none."""
    named = schema.get("type")
    if named is None:
        return [kind for kind, words in _KINDS.items() if any(word in schema for word in words)]
    kinds = [named] if isinstance(named, str) else list(dict.fromkeys(named))
    forbidden = schema.get("not")
    if isinstance(forbidden, Mapping) and forbidden.keys() == {"type"}:
        others = [forbidden["type"]] if isinstance(forbidden["type"], str) else forbidden["type"]
        kinds = [kind for kind in kinds if kind not in others and not (kind == "integer" and "number" in others)]
        if not kinds:
            raise Contradiction("the schema both asks for a type and forbids it")
    return [kind for kind in kinds if not (kind == "integer" and "number" in kinds)]


def _at_least(schema: Mapping[str, Any], word: str) -> int:
    value = int(schema.get(word, 0))
    if value > MOST_TIMES:
        raise SettingError(f"{word} is {value:,}; a schema may ask for at most {MOST_TIMES:,}")
    return value


def _at_most(schema: Mapping[str, Any], word: str) -> int | None:
    """A bound that a grammar can count to; beyond that the final check counts."""
    value = schema.get(word)
    return int(value) if value is not None and value <= MOST_TIMES else None
