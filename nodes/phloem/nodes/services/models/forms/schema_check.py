"""JSON Schemas from outside: whether one can be used at all, and whether a value fits it."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.schema_merge import Schema, target
from phloem.nodes.services.models.forms.schema_words import OWN_CHECKS, TooMuch, allow, counted
from phloem.runtime.errors import SettingError

__all__ = ["SchemaCheck"]

LONGEST: Final = 200_000
DEEPEST: Final = 40
MOST_PARTS: Final = 2_000
MOST_STEPS: Final = 50_000
"""How many keywords are looked at to check one answer; as many take about a second."""
MOST_SCHEMA_STEPS: Final = 500_000
"""As many to check a schema; the largest takes a fifth of them."""
MOST_ERRORS: Final = 20
"""Of how many mistakes of an answer the most telling is named."""

_ONE: Final = (
    "items", "additionalItems", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_LISTED: Final = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
"""The keywords whose value is a schema, a list of them, or schemas by name."""

_REFUSED: Final = ("$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor")
_DIALECTS: Final = {
    "http://json-schema.org/draft-06/schema": "Draft6Validator",
    "http://json-schema.org/draft-07/schema": "Draft7Validator",
    "https://json-schema.org/draft/2019-09/schema": "Draft201909Validator",
}
_NEWEST: Final = "Draft202012Validator"
_LATER: Final = ("prefixItems", "dependentRequired")
"""Keywords that are compiled whatever the dialect, and that older ones do not check."""


class SchemaCheck:
    """A schema, given as JSON text, that can be used. SettingError says why one cannot be."""

    def __init__(self, text: str) -> None:
        from referencing import Registry

        if len(text) > LONGEST:
            raise SettingError(f"the schema has {len(text):,} characters; at most {LONGEST:,} can be used")
        self.schema: Schema = json.loads(text)
        if not isinstance(self.schema, Mapping | bool):
            raise SettingError("the schema must be a JSON object", hint='Such as {"type": "object", "properties": {}}.')
        dialect = "" if isinstance(self.schema, bool) else str(self.schema.get("$schema", "")).rstrip("#")
        known = _classes()[_DIALECTS.get(dialect, _NEWEST)]
        _check_all(self.schema, known)
        # An empty registry: nothing is ever fetched.
        self._validator = known(self.schema, registry=Registry())

    def fits(self, value: Any, part: Schema) -> bool:
        """Whether `value` fits `part`, a schema that refers to parts of this one."""
        allow(MOST_STEPS)
        try:
            fits: bool = self._validator.evolve(schema=part).is_valid(value)
        except TooMuch:
            raise SettingError("the schema lists a value of which it cannot be told whether it fits the rest") from None
        return fits

    def problem(self, value: Any) -> str | None:
        """What about `value` does not fit the schema, and where in it; None when it fits."""
        from jsonschema.exceptions import best_match

        allow(MOST_STEPS)
        try:
            error = best_match(itertools.islice(self._validator.iter_errors(value), MOST_ERRORS))
        except TooMuch:
            return "it cannot be told in reasonable time whether it fits"
        if error is None:
            return None
        return f"{error.json_path}: {error.message[:300]}"


def _check_all(schema: Schema, known: Any) -> None:
    """SettingError for what is wrong with `schema`, any part of it, or anything that it refers to."""
    allow(MOST_SCHEMA_STEPS)
    checked: set[int] = set()
    waiting: list[tuple[Schema, str]] = [(schema, "$")]
    while waiting:
        one, name = waiting.pop()
        if isinstance(one, bool) or id(one) in checked:
            continue
        checked.add(id(one))
        parts = list(_parts(one))
        for part in parts:
            _check_part(part, is_root=part is schema)
        _check_right(one, known, name)
        for part in parts:
            later = {word: part[word] for word in _LATER if word in part}
            if later and known is not _classes()[_NEWEST]:
                _check_right(later, _classes()[_NEWEST], name)
            # Where the dialect knows no schemas, this one is checked once it is what something refers to.
            if isinstance(part.get("$ref"), str):
                waiting.append((target(part["$ref"], schema), part["$ref"]))


def _parts(schema: Schema) -> Iterator[Mapping[str, Any]]:
    """Every schema in `schema`, itself first. SettingError if there are too many."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    count = 0
    while waiting:
        part, depth = waiting.pop()
        if not isinstance(part, Mapping):
            continue
        count += 1
        if depth > DEEPEST or count > MOST_PARTS:
            raise SettingError("the schema is nested too deeply" if depth > DEEPEST else "the schema is too large")
        yield part
        inner = [part[key] for key in _ONE if key in part]
        for key in _LISTED:
            if isinstance(part.get(key), list):
                inner += part[key]
        for key in _NAMED:
            if isinstance(part.get(key), Mapping):
                inner += part[key].values()
        waiting += [(one, depth + 1) for one in inner]


def _check_part(part: Mapping[str, Any], *, is_root: bool) -> None:
    refused = next((key for key in _REFUSED if key in part), None)
    if refused is not None:
        raise SettingError(f"the schema uses {refused}, which a model cannot be held to")
    if "$id" in part and not is_root:
        raise SettingError("the schema has an $id inside it", hint="Put the part under $defs, and use #/$defs/name.")
    if isinstance(part.get("pattern"), str):
        regex.check(part["pattern"])
    for pattern in part.get("patternProperties", {}) if isinstance(part.get("patternProperties"), Mapping) else ():
        regex.check(pattern)
    if "patternProperties" in part and "unevaluatedProperties" in part:
        raise SettingError("the schema has patternProperties beside unevaluatedProperties, which cannot be checked")


def _check_right(schema: Schema, known: Any, name: str = "$") -> None:
    """SettingError unless `schema`, whose place is `name`, is one by the rules of its dialect."""
    try:
        error = next(known(known.META_SCHEMA, format_checker=known.FORMAT_CHECKER).iter_errors(schema), None)
    except TooMuch:
        raise SettingError("the schema is too large") from None
    if error is not None:
        place = error.json_path.replace("$", name, 1)
        raise SettingError(f"the schema is not right at {place}: {error.message[:300]}")


@functools.cache
def _classes() -> dict[str, Any]:
    """jsonschema's validators with our own checks in place of some of theirs, and with every step counted."""
    import jsonschema

    extend: Any = jsonschema.validators.extend
    classes = {}
    for name in [*_DIALECTS.values(), _NEWEST]:
        known = getattr(jsonschema, name)
        checks = {**known.VALIDATORS, **OWN_CHECKS}
        classes[name] = extend(known, {word: counted(check) for word, check in checks.items()})
        classes[name].evolve = _staying(classes[name].evolve)
    return classes


def _staying(evolve: Callable[..., Any]) -> Callable[..., Any]:
    """`evolve` of a validator, which would go over to jsonschema's own checks for a part that has a $schema."""

    def stay(validator: Any, **changes: Any) -> Any:
        part = changes.get("schema")
        if isinstance(part, Mapping) and "$schema" in part:
            changes["schema"] = {word: value for word, value in part.items() if word != "$schema"}
        return evolve(validator, **changes)

    return stay
