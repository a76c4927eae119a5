"""JSON Schemas from outside: whether one can be used at all, and whether a value fits it."""

from __future__ import annotations

import functools
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.schema_merge import Schema
from phloem.runtime.errors import SettingError

__all__ = ["SchemaCheck"]

LONGEST: Final = 200_000
DEEPEST: Final = 40
MOST_PARTS: Final = 2_000
MOST_STEPS: Final = 50_000
"""How many keywords are looked at to check one answer; as many take about a second."""
MOST_ERRORS: Final = 20
"""Of how many mistakes of an answer the most telling is named."""

Check = Callable[[Any, Any, Any, Any], Iterator[Exception] | None]

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


class SchemaCheck:
    """A schema, given as JSON text, that can be used. SettingError says why one cannot be."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise SettingError(f"the schema has {len(text):,} characters; at most {LONGEST:,} can be used")
        self.schema: Schema = json.loads(text)
        if not isinstance(self.schema, Mapping | bool):
            raise SettingError("the schema must be a JSON object", hint='Such as {"type": "object", "properties": {}}.')
        for part, depth in _parts(self.schema):
            _check_part(part, is_root=depth == 0)
        self._validator = _validator(self.schema)

    def fits(self, value: Any, part: Schema) -> bool:
        """Whether `value` fits `part`, a schema that refers to parts of this one."""
        _spent.steps = 0
        try:
            fits: bool = self._validator.evolve(schema=part).is_valid(value)
        except _TooMuch:
            raise SettingError("the schema lists a value of which it cannot be told whether it fits the rest") from None
        return fits

    def problem(self, value: Any) -> str | None:
        """What about `value` does not fit the schema, and where in it; None when it fits."""
        from jsonschema.exceptions import best_match

        _spent.steps = 0
        try:
            error = best_match(itertools.islice(self._validator.iter_errors(value), MOST_ERRORS))
        except _TooMuch:
            return "it cannot be told in reasonable time whether it fits"
        if error is None:
            return None
        return f"{error.json_path}: {error.message[:300]}"


def _parts(schema: Schema) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Every schema in `schema`, itself first, with its depth. SettingError if there are too many."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    count = 0
    while waiting:
        part, depth = waiting.pop()
        if not isinstance(part, Mapping):
            continue
        count += 1
        if depth > DEEPEST or count > MOST_PARTS:
            raise SettingError("the schema is nested too deeply" if depth > DEEPEST else "the schema is too large")
        yield part, depth
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
        regex.branches(part["pattern"])
    for pattern in part.get("patternProperties", {}) if isinstance(part.get("patternProperties"), Mapping) else ():
        regex.branches(pattern)
    if "patternProperties" in part and not part.keys().isdisjoint({"unevaluatedProperties"}):
        raise SettingError("the schema has patternProperties beside unevaluatedProperties, which cannot be checked")


def _validator(schema: Schema) -> Any:
    """A jsonschema validator that never looks anything up, and whose patterns cannot take for ever."""
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    dialect = "" if isinstance(schema, bool) else str(schema.get("$schema", "")).rstrip("#")
    known = _classes()[_DIALECTS.get(dialect, "Draft202012Validator")]
    try:
        known.check_schema(schema)
    except SchemaError as error:
        raise SettingError(f"the schema is not right at {error.json_path}: {error.message[:300]}") from None
    return known(schema, registry=Registry())


@functools.cache
def _classes() -> dict[str, Any]:
    """jsonschema's validators with patterns that have a clock, and with every step counted."""
    import jsonschema

    extend: Any = jsonschema.validators.extend
    classes = {}
    for name in [*_DIALECTS.values(), "Draft202012Validator"]:
        known = getattr(jsonschema, name)
        checks = {**known.VALIDATORS, **_PATTERN_CHECKS}
        classes[name] = extend(known, {word: _counted(check) for word, check in checks.items()})
    return classes


class _TooMuch(Exception):
    """Raised when a check takes too many steps: alternatives inside alternatives can take exponentially many."""


_spent = threading.local()


def _counted(check: Check) -> Check:
    @functools.wraps(check)
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Exception]:
        _spent.steps += 1
        if _spent.steps > MOST_STEPS:
            raise _TooMuch
        yield from check(validator, value, instance, schema) or ()

    return counted


def _check_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Exception]:
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str) and not regex.matches(pattern, value, whole=False):
        yield ValidationError(f"{value!r:.100} does not match {pattern!r:.100}")


def _check_pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[Exception]:
    if isinstance(value, Mapping):
        for pattern, part in patterns.items():
            for name, inner in value.items():
                if regex.matches(pattern, name, whole=False):
                    yield from validator.descend(inner, part, path=name, schema_path=pattern)


def _check_other_properties(validator: Any, part: Any, value: Any, schema: Any) -> Iterator[Exception]:
    from jsonschema.exceptions import ValidationError

    if isinstance(value, Mapping):
        patterns = schema.get("patternProperties", {})
        for name, inner in value.items():
            listed = name in schema.get("properties", {})
            if not listed and not any(regex.matches(pattern, name, whole=False) for pattern in patterns):
                if part is False:
                    yield ValidationError(f"the property {name!r:.100} is not allowed")
                else:
                    yield from validator.descend(inner, part, path=name)


_PATTERN_CHECKS: Final[dict[str, Check]] = {
    "pattern": _check_pattern,
    "patternProperties": _check_pattern_properties,
    "additionalProperties": _check_other_properties,
}
