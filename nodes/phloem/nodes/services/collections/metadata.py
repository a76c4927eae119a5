"""What Chroma can keep of a text's metadata, and filters as Chroma takes them.

Chroma keeps flat values only. So the metadata is kept twice: as JSON, from which it comes back as it
was, and flattened (`author.name`), for filters to look at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from phloem.runtime.codec import UnstorableValue, json_form
from phloem.runtime.errors import InputError

__all__ = ["filter_of", "packed", "unpacked"]

KEPT: Final = "_json"
NOT_TAKEN: Final = ("chroma:", "#", "$")
"""How names begin that Chroma refuses, measured with 1.5.9."""
MOST_FIELDS: Final = 100
LONGEST_FIELD: Final = 2_000
DEEPEST: Final = 20
MOST_PARTS: Final = 1_000


def packed(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata as Chroma keeps it. InputError if it is no JSON object."""
    try:
        plain = json_form(dict(metadata), whole=True)
        text = json.dumps(plain)
    except (TypeError, ValueError, RecursionError, UnstorableValue) as error:
        raise InputError(f"the metadata of a text cannot be kept: {error}") from None
    fields: dict[str, Any] = {KEPT: text}
    for name, value in _flattened(plain, "", 0):
        if len(fields) > MOST_FIELDS:
            break
        if name and not name.startswith(NOT_TAKEN) and len(name) <= LONGEST_FIELD and _is_text(name) and name != KEPT:
            fields[name] = value
    return fields


def unpacked(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """The metadata that `packed` made these fields of."""
    found = json.loads(str((fields or {}).get(KEPT, "{}")))
    return found if isinstance(found, dict) else {}


def _flattened(value: Mapping[str, Any], before: str, depth: int) -> Iterator[tuple[str, Any]]:
    """The values that a filter can compare, each with its path."""
    for key, item in value.items():
        name = f"{before}{key}"
        if isinstance(item, dict):
            if depth < DEEPEST:
                yield from _flattened(item, f"{name}.", depth + 1)
        elif isinstance(item, list):
            kinds = {type(one) for one in item}
            if len(kinds) == 1 and all(_comparable(one) for one in item) and len(item) <= MOST_FIELDS:
                yield name, item
        elif _comparable(item):
            yield name, item


def _comparable(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_FIELD and _is_text(value)
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, float)


def _is_text(value: str) -> bool:
    """False for a text with halves of surrogate pairs, which has no UTF-8."""
    return value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value)


def filter_of(where: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A filter as Chroma takes it: several conditions side by side all hold. InputError if it is too large or none."""
    if where is None or where == {}:
        return None
    return _condition(where, 0, [0])


def _condition(where: Any, depth: int, count: list[int]) -> dict[str, Any]:
    if not isinstance(where, Mapping) or not where:
        raise InputError(
            "a filter is an object of conditions", hint='Such as {"source": "a.html"} or {"page": {"$gte": 3}}.'
        )
    conditions: list[dict[str, Any]] = []
    for key, value in where.items():
        count[0] += 1
        if depth > DEEPEST or count[0] > MOST_PARTS:
            raise InputError("the filter is too large")
        if key in ("$and", "$or"):
            if not isinstance(value, list) or not value:
                raise InputError(f"{key} takes a list of conditions")
            inner = [_condition(one, depth + 1, count) for one in value]
            conditions.append(inner[0] if len(inner) == 1 else {str(key): inner})
        elif isinstance(value, Mapping) and len(value) > 1:
            conditions += [{str(key): {str(operator): wanted}} for operator, wanted in value.items()]
        else:
            conditions.append({str(key): value})
    return conditions[0] if len(conditions) == 1 else {"$and": conditions}
