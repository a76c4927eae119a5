"""JSON Schemas that are made of others: references followed, and several that all hold turned into one."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final
from urllib.parse import unquote

from phloem.nodes.services.models.forms import regex
from phloem.runtime.errors import SettingError

__all__ = ["Contradiction", "Schema", "both", "every", "flattened", "merged", "same", "target"]

Schema = Mapping[str, Any] | bool

MOST_STEPS: Final = 200
MOST_OPTIONS: Final = 500
_SAYS_NOTHING: Final = frozenset(
    {"$defs", "definitions", "$schema", "$id", "$anchor", "$comment", "title", "description", "default", "examples"}
)
"""Keywords that make no value fit less."""
_TOGETHER: Final = (("if", "then", "else"), ("contains", "minContains", "maxContains"))
"""Keywords that mean nothing without the first of them, so that they come from one schema."""
_ALSO: Final = "also "
"""Stands before a keyword that holds once more; no schema from outside is looked at for it."""


class Contradiction(SettingError):
    """Two schemas that both hold leave nothing that fits."""


def flattened(schema: Schema, root: Schema) -> Schema:
    """`schema` with its references and `allOf` put into it, so that it says everything at its own level."""
    for _ in range(MOST_STEPS):
        if isinstance(schema, bool) or not ("$ref" in schema or "allOf" in schema):
            break
        parts = [target(schema["$ref"], root)] if "$ref" in schema else []
        if len(schema.get("allOf", [])) > MOST_OPTIONS:
            raise SettingError(f"the schema has more than {MOST_OPTIONS} parts in one allOf")
        own = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        whole: Schema = True
        for part in [*parts, *schema.get("allOf", []), own]:
            whole = merged(whole, part)
        schema = whole
    else:
        raise SettingError("the schema refers to itself in a circle")
    if isinstance(schema, bool):
        return schema
    return {key: value for key, value in schema.items() if key not in _SAYS_NOTHING}


def target(reference: str, root: Schema) -> Schema:
    """What `#/$defs/name` points to. SettingError for what is not there, or not in this schema."""
    outside, _, fragment = reference.partition("#")
    pointer = unquote(fragment)
    own = "" if isinstance(root, bool) else str(root.get("$id", "")).partition("#")[0]
    if outside not in ("", own) or (pointer and not pointer.startswith("/")):
        raise SettingError(
            f"the schema refers to {reference!r:.200}", hint="It can refer to its own parts, such as #/$defs/name."
        )
    found: Any = root
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and re.fullmatch("0|[1-9][0-9]{0,8}", key) and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, Mapping) and key in found:
            found = found[key]
        else:
            raise SettingError(f"the schema refers to {reference!r:.200}, which it does not have")
    if not isinstance(found, Mapping | bool):
        raise SettingError(f"the schema refers to {reference!r:.200}, which is not a schema")
    return found


def merged(one: Schema, two: Schema) -> Schema:
    """A schema for what fits both, as far as one can be written; Contradiction if nothing does."""
    if one is True or two is True:
        return two if one is True else one
    if isinstance(one, bool) or isinstance(two, bool):
        raise Contradiction("the schema allows nothing at all in one place")
    for words in _TOGETHER:
        one, two = (one, _without(two, words)) if words[0] in one else (_without(one, words), two)
    whole = dict(one)
    for key, value in two.items():
        if key not in whole or same(whole[key], value):
            whole[key] = value
        elif key == "$ref":
            whole["allOf"] = [*whole.get("allOf", []), {"$ref": value}]
        elif key in _RULES:
            whole[key] = _RULES[key](whole[key], value)
    for key in ("pattern", "format"):
        values = list(dict.fromkeys([*every(one, key), *every(two, key)]))
        whole.update(zip((key, _ALSO + key), (values[0], values[1:]), strict=True) if values else ())
    whole.update(_properties(one, two))
    whole.update(_items(one, two))
    return whole


def _without(schema: Mapping[str, Any], words: Collection[str]) -> Mapping[str, Any]:
    return {key: value for key, value in schema.items() if key not in words}


def every(schema: Mapping[str, Any], key: str) -> list[str]:
    """All patterns, or formats, that hold: several, where `merged` put schemas together."""
    return [*([schema[key]] if key in schema else []), *schema.get(_ALSO + key, [])]


def same(one: Any, two: Any) -> bool:
    """Whether two values are the same JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def _properties(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The properties of both: one that only one of them lists is an additional one to the other."""
    names = dict.fromkeys([*one.get("properties", {}), *two.get("properties", {})])
    if names:
        yield "properties", {name: both(_property(one, name), _property(two, name)) for name in names}
    for key in ("additionalProperties", "unevaluatedProperties"):
        if key in one or key in two:
            yield key, both(one.get(key, True), two.get(key, True))
    patterns = dict.fromkeys([*one.get("patternProperties", {}), *two.get("patternProperties", {})])
    if patterns:
        first, second = one.get("patternProperties", {}), two.get("patternProperties", {})
        yield "patternProperties", {name: both(first.get(name, True), second.get(name, True)) for name in patterns}


def _property(schema: Mapping[str, Any], name: str) -> Schema:
    """What `schema` asks of a property."""
    patterns = schema.get("patternProperties", {})
    parts = [part for pattern, part in patterns.items() if regex.matches(pattern, name, whole=False)]
    if name in schema.get("properties", {}):
        parts.insert(0, schema["properties"][name])
    other: Schema = schema.get("additionalProperties", True)
    return functools.reduce(both, parts) if parts else other


def _items(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The items of both, place by place."""
    if any(isinstance(schema.get("items"), list) for schema in (one, two)):
        return
    first, second = one.get("prefixItems", []), two.get("prefixItems", [])
    rest, others = one.get("items", True), two.get("items", True)
    if first or second:
        places = itertools.zip_longest(first, second)
        yield (
            "prefixItems",
            [both(rest if left is None else left, others if right is None else right) for left, right in places],
        )
    if "items" in one or "items" in two:
        yield "items", both(rest, others)


def _types(one: Any, two: Any) -> list[str]:
    """The types in both; a whole number is a number."""
    sets = [{kind} if isinstance(kind, str) else set(kind) for kind in (one, two)]
    both = sets[0] & sets[1]
    if "integer" in sets[0] | sets[1] and all(kinds & {"integer", "number"} for kinds in sets):
        both.add("integer")
    if not both:
        raise Contradiction(f"the schema asks for both {one!r:.80} and {two!r:.80}")
    return sorted(both)


def _contradiction(one: Any, two: Any) -> Any:
    raise Contradiction(f"the schema asks for both {one!r:.80} and {two!r:.80}")


def _choices(one: list[Any], two: list[Any]) -> list[Any]:
    found = [value for value in one if any(same(value, other) for other in two)]
    if not found:
        raise Contradiction("the schema has two lists of values with none in common")
    return found


def _multiple(one: float, two: float) -> float:
    """The smallest number that is a multiple of both."""
    first, second = Fraction(repr(one)), Fraction(repr(two))
    found = Fraction(math.lcm(first.numerator, second.numerator), math.gcd(first.denominator, second.denominator))
    return found.numerator if found.denominator == 1 else float(found)


def _needs(one: Mapping[str, list[str]], two: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: list(dict.fromkeys([*one.get(name, []), *two.get(name, [])])) for name in [*one, *two]}


def both(one: Schema, two: Schema) -> Schema:
    """A schema for what fits both, put together only when its turn comes."""
    if one is True or same(one, two):
        return two
    if two is True:
        return one
    return False if False in (one, two) else {"allOf": [one, two]}


def _options(one: list[Schema], two: list[Schema]) -> list[Schema]:
    if len(one) * len(two) > MOST_OPTIONS:
        raise SettingError("the schema combines too many alternatives")
    return [both(first, second) for first in one for second in two]


_RULES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "type": _types, "const": _contradiction, "enum": _choices, "propertyNames": both, "multipleOf": _multiple,
    "required": lambda one, two: [*one, *(name for name in two if name not in one)],
    "allOf": lambda one, two: [*one, *two], "anyOf": _options, "oneOf": _options,
    "not": lambda one, two: {"anyOf": [one, two]}, "uniqueItems": lambda one, two: one or two,
    "dependentRequired": _needs,
    **dict.fromkeys(["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"], max),
    **dict.fromkeys(["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"], min),
}  # fmt: skip
"""How two values of a keyword become one, beside those of objects and arrays. Of any other keyword the first
is kept; the final check knows both."""
