"""Lists put in order, and rid of repeats, by a field that a query names."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from phloem.nodes.sameness import identity
from phloem.nodes.shown import as_text
from phloem.runtime.codec import json_form
from phloem.runtime.errors import InputError
from phloem.runtime.ports import type_of_value
from phloem.runtime.values import Document, Hit, Message

__all__ = ["sorted_items", "unique_items"]


def sorted_items(items: list[Any], by: str, *, descending: bool, as_numbers: bool, ignore_case: bool) -> list[Any]:
    """The items in the order of what the query `by` finds in each (of themselves, if it is empty).

    Equal ones keep their order, those with null come last. InputError for keys that have no order among them.
    """
    keyed = list(zip(_keys(items, by), items, strict=True))
    present = [(_sort_key(key, as_numbers, ignore_case), item) for key, item in keyed if key is not None]
    kinds = {isinstance(key, str) for key, _ in present}
    if len(kinds) > 1:
        number = next(key for key, _ in present if not isinstance(key, str))
        text = next(key for key, _ in present if isinstance(key, str))
        raise InputError(
            f"numbers and texts cannot be sorted together: {number} and {text[:40]!r}",
            hint="Set as_numbers to true if the texts are numbers.",
        )
    present.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(item for _, item in present), *(item for key, item in keyed if key is None)]


def unique_items(items: list[Any], by: str, *, ignore_case: bool) -> list[Any]:
    """The first item of each group for which the query `by` finds the same (that are the same, if it is empty)."""
    found: dict[Hashable, Any] = {}
    for key, item in zip(_keys(items, by), items, strict=True):
        found.setdefault(identity(key.casefold() if ignore_case and isinstance(key, str) else key), item)
    return list(found.values())


def _keys(items: Iterable[Any], by: str) -> Iterable[Any]:
    if not by:
        return items
    from phloem.nodes.queries import compiled

    find: Callable[[Any], Any] = compiled(by).find
    return [find(json_form(item)) for item in items]


def _sort_key(key: Any, as_numbers: bool, ignore_case: bool) -> str | float:
    if isinstance(key, Document | Hit | Message):
        key = as_text(key)
    if isinstance(key, str):
        if as_numbers:
            return _number(key)
        return key.casefold() if ignore_case else key
    if isinstance(key, int | float) and not math.isnan(key):
        return key
    raise InputError(
        f"a {type_of_value(key)} cannot be sorted", hint="Name the field to sort by, such as name or address.city."
    )


def _number(text: str) -> float:
    try:
        number = float(text) if any(mark in text for mark in ".eE") else int(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is not a number, so it cannot be sorted as one") from None
    if not math.isfinite(number):
        raise InputError(f"{text[:40]!r} is not a number, so it cannot be sorted as one")
    return number
