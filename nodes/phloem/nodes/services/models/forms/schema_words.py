"""The keywords of JSON Schema that are checked by our own code, and how much work one check may be.

jsonschema's own would hang: its patterns have no clock, and its search for repetitions compares everything
with everything. It also divides floats, to which 0.29 is no multiple of 0.01.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.schema_merge import same
from phloem.runtime.errors import SettingError

__all__ = ["OWN_CHECKS", "Check", "TooMuch", "allow", "counted"]

SECONDS: Final = 3.0
"""Of computing, for all patterns together on one value."""
COMPARED: Final = 20
"""How many comparisons with listed values count as one step."""

Check = Callable[[Any, Any, Any, Any], Iterator[Exception] | None]
"""What jsonschema calls for a keyword: with the validator, the keyword's value, the value to check, and the schema."""


class TooMuch(Exception):
    """Raised when a check takes too much: alternatives inside alternatives can take exponentially many steps."""


class _Left(threading.local):
    """What the check that goes on in this thread may still take."""

    steps = 0.0
    seconds = 0.0


_left = _Left()


def allow(steps: float) -> None:
    """Let the next check in this thread look at so many keywords."""
    _left.steps, _left.seconds = steps, SECONDS


def counted(check: Check) -> Check:
    """The same check, which raises TooMuch when it is one more than was allowed."""

    @functools.wraps(check)
    def one_more(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Exception]:
        _spend(1)
        yield from check(validator, value, instance, schema) or ()

    return one_more


def _spend(steps: float) -> None:
    _left.steps -= steps
    if _left.steps < 0:
        raise TooMuch


def _found(pattern: str, text: str) -> bool:
    began = time.thread_time()
    try:
        found = regex.matches(pattern, text, whole=False)
    except SettingError:
        raise TooMuch from None
    _left.seconds -= time.thread_time() - began
    if _left.seconds < 0:
        raise TooMuch
    return found


def _wrong(message: str) -> Exception:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message)


def _check_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Exception]:
    if isinstance(value, str) and not _found(pattern, value):
        yield _wrong(f"{value!r:.100} does not match {pattern!r:.100}")


def _check_pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[Exception]:
    if isinstance(value, Mapping):
        for pattern, part in patterns.items():
            for name, inner in value.items():
                if _found(pattern, name):
                    yield from validator.descend(inner, part, path=name, schema_path=pattern)


def _check_other_properties(validator: Any, part: Any, value: Any, schema: Any) -> Iterator[Exception]:
    if isinstance(value, Mapping):
        patterns = schema.get("patternProperties", {})
        for name, inner in value.items():
            listed = name in schema.get("properties", {})
            if not listed and not any(_found(pattern, name) for pattern in patterns):
                if part is False:
                    yield _wrong(f"the property {name!r:.100} is not allowed")
                else:
                    yield from validator.descend(inner, part, path=name)


def _check_listed(validator: Any, values: Any, value: Any, schema: Any) -> Iterator[Exception]:
    _spend(len(values) / COMPARED)
    if not any(same(value, one) for one in values):
        yield _wrong(f"{value!r:.100} is not one of {values!r:.200}")


def _check_unique(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Exception]:
    if wanted and isinstance(value, list):
        seen: set[Hashable] = set()
        for item in value:
            key = _key(item)
            if key in seen:
                yield _wrong(f"{value!r:.100} has non-unique elements: {item!r:.100} is in it twice")
                return
            seen.add(key)


def _key(value: Any) -> Hashable:
    """The same for two values exactly if they are the same JSON."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("list", *map(_key, value))
    if isinstance(value, Mapping):
        return frozenset((name, _key(inner)) for name, inner in value.items())
    return value  # type: ignore[no-any-return]


def _check_multiple(validator: Any, step: Any, value: Any, schema: Any) -> Iterator[Exception]:
    """By the digits that were written, as the grammar reads them."""
    if validator.is_type(value, "number") and Fraction(repr(value)) % Fraction(repr(step)):
        yield _wrong(f"{value!r:.100} is not a multiple of {step}")


OWN_CHECKS: Final[dict[str, Check]] = {
    "pattern": _check_pattern,
    "patternProperties": _check_pattern_properties,
    "additionalProperties": _check_other_properties,
    "enum": _check_listed,
    "uniqueItems": _check_unique,
    "multipleOf": _check_multiple,
}
"""By keyword. `counted` is for all of them, and for those of jsonschema."""
