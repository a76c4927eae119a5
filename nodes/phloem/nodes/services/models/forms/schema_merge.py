"""JSON Schemas that are made of others: references followed, and several that all hold turned into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from phloem.runtime.errors import SettingError

__all__ = ["Contradiction", "Schema", "flattened", "merged"]

Schema = Mapping[str, Any] | bool

MOST_STEPS: Final = 200
MOST_OPTIONS: Final = 500
_SAYS_NOTHING: Final = frozenset(
    {"$defs", "definitions", "$schema", "$id", "$anchor", "$comment", "title", "description", "default", "examples"}
)
"""Keywords that make no value fit less."""


class Contradiction(SettingError):
    """Two schemas that both hold leave nothing that fits."""


def flattened(schema: Schema, root: Schema) -> Schema:
    """`schema` with its references and `allOf` put into it, so that it says everything at its own level."""
    for _ in range(MOST_STEPS):
        if isinstance(schema, bool) or not ("$ref" in schema or "allOf" in schema):
            break
        parts = [_target(schema["$ref"], root)] if "$ref" in schema else []
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


def _target(reference: str, root: Schema) -> Schema:
    """What `#/$defs/name` points to. SettingError for what is not there, or not in this schema."""
    outside, _, pointer = reference.partition("#")
    own = "" if isinstance(root, bool) else str(root.get("$id", "")).partition("#")[0]
    if outside not in ("", own) or (pointer and not pointer.startswith("/")):
        raise SettingError(
            f"the schema refers to {reference!r:.200}", hint="It can refer to its own parts, such as #/$defs/name."
        )
    found: Any = root
    for step in pointer.split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key[:9]) < len(found):
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
    whole = dict(one)
    for key, value in two.items():
        if key not in whole or whole[key] == value:
            whole[key] = value
        elif key == "$ref":
            whole["allOf"] = [*whole.get("allOf", []), {"$ref": value}]
        elif key in _RULES:
            whole[key] = _RULES[key](whole[key], value)
    return whole


def _types(one: Any, two: Any) -> list[str]:
    """The types in both; a whole number is a number."""
    sets = [{kind} if isinstance(kind, str) else set(kind) for kind in (one, two)]
    both = sets[0] & sets[1]
    if "integer" in sets[0] | sets[1] and all(kinds & {"integer", "number"} for kinds in sets):
        both.add("integer")
    if not both:
        raise Contradiction(f"the schema asks for both {one!r:.80} and {two!r:.80}")
    return sorted(both)


def _same(one: Any, two: Any) -> Any:
    raise Contradiction(f"the schema asks for both {one!r:.80} and {two!r:.80}")


def _choices(one: list[Any], two: list[Any]) -> list[Any]:
    both = [value for value in one if value in two]
    if not both:
        raise Contradiction("the schema has two lists of values with none in common")
    return both


def _properties(one: Mapping[str, Schema], two: Mapping[str, Schema]) -> dict[str, Schema]:
    return {
        name: _both(one[name], two[name]) if name in one and name in two else one[name] if name in one else two[name]
        for name in [*one, *(name for name in two if name not in one)]
    }


def _both(one: Schema, two: Schema) -> Schema:
    if one is True or one == two:
        return two
    if two is True:
        return one
    return False if False in (one, two) else {"allOf": [one, two]}


def _options(one: list[Schema], two: list[Schema]) -> list[Schema]:
    if len(one) * len(two) > MOST_OPTIONS:
        raise SettingError("the schema combines too many alternatives")
    return [_both(first, second) for first in one for second in two]


_RULES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "type": _types, "const": _same, "enum": _choices,
    "properties": _properties, "items": _both, "additionalProperties": _both,
    "required": lambda one, two: [*one, *(name for name in two if name not in one)],
    "allOf": lambda one, two: [*one, *two], "anyOf": _options, "oneOf": _options,
    **dict.fromkeys(["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"], max),
    **dict.fromkeys(["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"], min),
}  # fmt: skip
"""How two values of a keyword become one. Of any other keyword the first is kept; the final check knows both."""
