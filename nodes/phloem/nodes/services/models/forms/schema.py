"""JSON Schemas as grammars: a model can only write JSON of the right shape.

A grammar holds types, properties, lists, lengths, choices, references, patterns and bounds. What it
cannot hold (`uniqueItems`, `multipleOf`, `not`, `if`, …) is left to the check of the finished answer
(schema_check). As with most makers of structured output, an object has only the properties that are
listed unless `additionalProperties` says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from phloem.nodes.services.models.forms import json_text as spelled
from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.automaton import deterministic
from phloem.nodes.services.models.forms.classes import VISIBLE
from phloem.nodes.services.models.forms.grammar import MOST_TIMES, Grammar
from phloem.nodes.services.models.forms.schema_merge import Contradiction, Schema, flattened, merged
from phloem.nodes.services.models.forms.tree import Node, Ref, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["schema_grammar"]

Fits = Callable[[Any, Schema], bool]

MOST_RULES: Final = 3_000
MOST_PLACES: Final = 12
FEWEST_PLACES: Final = 2
"""Digits behind the point of a number that has bounds, unless the bounds themselves have more."""
FARTHEST: Final = Decimal(10) ** 15
"""How far from 0 a number goes on the side on which its schema has no bound."""

_DATE: Final = r"\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
_TIME: Final = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
FORMATS: Final = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "email": r"[A-Za-z0-9][A-Za-z0-9._+-]{0,60}@[A-Za-z0-9-]{1,60}(\.[A-Za-z0-9-]{1,60})+",
    "ipv4": r"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)",
}
"""How the formats are written that are more than a hint; a date in February has 28 days at most."""


def schema_grammar(schema: Schema, fits: Fits) -> Grammar:
    """The grammar of the JSON that `schema` describes.

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
        self._names: dict[str, str] = {}
        self._waiting: list[tuple[str, Schema]] = []
        self._contradictions: list[Contradiction] = []

    def grammar(self) -> Grammar:
        self._names[json.dumps(self._root)] = "root"
        self._waiting.append(("root", self._root))
        while self._waiting:
            name, schema = self._waiting.pop()
            try:
                self._rules[name] = self._node(schema)
            except Contradiction as error:
                self._contradictions.append(error)
                self._rules[name] = alt()
        try:
            return Grammar(self._rules).pruned()
        except SettingError as error:
            raise self._contradictions[0] if self._contradictions else error from None

    def _rule(self, schema: Schema) -> Node:
        """A reference to the rule for `schema`, which is written when its turn comes."""
        if schema is True or schema == {}:
            return spelled.ANYTHING
        key = json.dumps(schema)
        if key not in self._names:
            if len(self._names) >= MOST_RULES:
                raise SettingError("the schema is too large", hint="Ask for less at once, in several nodes.")
            self._names[key] = f"value {len(self._names)}"
            self._waiting.append((self._names[key], schema))
        return Ref(self._names[key])

    def _node(self, schema: Schema) -> Node:
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
            return self._one_of(whole)
        kinds = _kinds(whole)
        return alt(*(self._of_kind(kind, whole) for kind in kinds)) if kinds else spelled.ANYTHING

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

    def _one_of(self, schema: Mapping[str, Any]) -> Node:
        listed = [schema["const"]] if "const" in schema else schema["enum"]
        values = [spelled.literal(value) for value in listed if self._fits(value, schema)]
        if not values:
            raise Contradiction("the schema lists values of which none fits the rest of it")
        return alt(*dict.fromkeys(values))

    def _of_kind(self, kind: str, schema: Mapping[str, Any]) -> Node:
        match kind:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return self._string(schema)
            case "integer":
                return _number(schema, whole=True)
            case "number":
                return _number(schema, whole=False)
            case "boolean":
                return spelled.BOOLEAN
            case _:
                return spelled.NULL

    def _object(self, schema: Mapping[str, Any]) -> Node:
        properties: dict[str, Schema] = dict(schema.get("properties", {}))
        required = list(schema.get("required", []))
        extra = schema.get("additionalProperties", not properties and not required)
        for name in required:
            properties.setdefault(name, schema.get("additionalProperties", True))
        members = []
        for name, part in properties.items():
            if part is not False:
                members.append((seq(spelled.literal(name), spelled.COLON, self._rule(part)), name in required))
            elif name in required:
                raise Contradiction(f"the schema both requires and forbids the property {name!r:.80}")
        more = None
        if extra is not False:
            more = seq(spelled.key_but(properties), spelled.COLON, self._rule(extra))
        if not members:
            return _only_extra(more, schema)
        return seq(Text("{"), self._members(members, more))

    def _members(self, members: list[tuple[Node, bool]], more: Node | None) -> Node:
        """The members in order, the optional ones there or not, then any number of `more`, and the closing brace."""
        first_required = next((index for index, (_, required) in enumerate(members) if required), len(members))
        tail = seq(repeat(seq(spelled.COMMA, more), 0, None), Text("}")) if more else Text("}")
        starts = []
        if first_required == len(members):
            starts.append(seq(more, tail) if more else tail)
            if more:
                starts.append(Text("}"))
        for index, (member, required) in reversed(list(enumerate(members))):
            if index <= first_required:
                tail = self._shared(tail)
                starts.append(seq(member, tail))
            after_comma = seq(spelled.COMMA, member)
            tail = seq(after_comma if required else repeat(after_comma, 0, 1), tail)
        return alt(*reversed(starts))

    def _shared(self, node: Node) -> Node:
        """`node` as a rule of its own, if it is long enough to be worth it."""
        if node.size < 4:
            return node
        name = f"tail {len(self._rules)}"
        self._rules[name] = node
        return Ref(name)

    def _string(self, schema: Mapping[str, Any]) -> Node:
        if "pattern" in schema:
            return self._matching(_found_in(schema["pattern"]))
        if schema.get("format") in FORMATS:
            return self._matching(regex.full_match(FORMATS[schema["format"]]))
        least, most = _at_least(schema, "minLength"), _at_most(schema, "maxLength")
        if most is not None and most < least:
            raise Contradiction(f"the schema asks for a text of at least {least} characters, and allows {most}")
        return spelled.string(least, most)

    def _matching(self, pattern: Node) -> Node:
        """A string whose characters fit `pattern`."""
        name = f"text {len(self._rules)}"
        self._rules |= deterministic(pattern, name, spelled.character)
        return seq(Text('"'), Ref(name), Text('"'))

    def _array(self, schema: Mapping[str, Any]) -> Node:
        items = schema.get("items", True)
        first = schema.get("prefixItems", items if isinstance(items, list) else [])
        if isinstance(items, list):
            items = schema.get("additionalItems", False)
        elif first and "items" not in schema:
            items = False
        most = _at_most(schema, "maxItems")
        more = None if items is False else self._rule(items)
        least = _at_least(schema, "minItems")
        if (more is None and least > len(first)) or (most is not None and most < least):
            raise Contradiction(f"the schema asks for a list of at least {least} items, and allows fewer")
        return spelled.listed([self._rule(part) for part in first], more, least, most)


_KINDS: Final = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema allows: those it names, else those that its other words are about, else none."""
    named = schema.get("type")
    if named is None:
        return [kind for kind, words in _KINDS.items() if any(word in schema for word in words)]
    kinds = [named] if isinstance(named, str) else list(dict.fromkeys(named))
    return [kind for kind in kinds if not (kind == "integer" and "number" in kinds)]


def _only_extra(more: Node | None, schema: Mapping[str, Any]) -> Node:
    """An object without listed properties."""
    least, most = _at_least(schema, "minProperties"), _at_most(schema, "maxProperties")
    if more is None or most == 0:
        return Text("{}")
    rest = repeat(seq(spelled.COMMA, more), max(0, least - 1), None if most is None else most - 1)
    return seq(Text("{"), seq(more, rest) if least else repeat(seq(more, rest), 0, 1), Text("}"))


def _found_in(pattern: str) -> Node:
    """A text in which `pattern` is found: anything may stand around it where it is not tied to the ends."""
    around = repeat(VISIBLE, 0, None)
    options = []
    for branch in regex.branches(pattern):
        before = [] if branch.at_start else [around]
        after = [] if branch.at_end else [around]
        options.append(seq(*before, branch.node, *after))
    return alt(*options)


def _number(schema: Mapping[str, Any], *, whole: bool) -> Node:
    bounds = {word: Decimal(repr(schema[word])) for word in _KINDS["number"][:4] if word in schema}
    places = 0 if whole else max([FEWEST_PLACES, *(_places(bound) for bound in bounds.values())])
    if not bounds or places > MOST_PLACES or any(abs(bound) > FARTHEST for bound in bounds.values()):
        return spelled.INTEGER if whole else spelled.NUMBER
    scale = Decimal(10) ** places
    lows = [(bounds["minimum"] * scale).to_integral_value("ROUND_CEILING")] if "minimum" in bounds else []
    if "exclusiveMinimum" in bounds:
        lows.append((bounds["exclusiveMinimum"] * scale).to_integral_value("ROUND_FLOOR") + 1)
    highs = [(bounds["maximum"] * scale).to_integral_value("ROUND_FLOOR")] if "maximum" in bounds else []
    if "exclusiveMaximum" in bounds:
        highs.append((bounds["exclusiveMaximum"] * scale).to_integral_value("ROUND_CEILING") - 1)
    low, high = int(max(lows, default=-FARTHEST * scale)), int(min(highs, default=FARTHEST * scale))
    if low > high:
        raise Contradiction("the schema asks for a number between bounds that have none between them")
    return spelled.bounded_number(low, high, places)


def _places(number: Decimal) -> int:
    """Digits behind the point."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _at_least(schema: Mapping[str, Any], word: str) -> int:
    value = int(schema.get(word, 0))
    if value > MOST_TIMES:
        raise SettingError(f"{word} is {value:,}; a schema may ask for at most {MOST_TIMES:,}")
    return value


def _at_most(schema: Mapping[str, Any], word: str) -> int | None:
    """A bound that a grammar can count to; beyond that the final check counts."""
    value = schema.get(word)
    return int(value) if value is not None and value <= MOST_TIMES else None
