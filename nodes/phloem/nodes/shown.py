"""A value as a person would read it: what a template prints, what is compared, what stands in a table cell."""

from __future__ import annotations

import json
from typing import Final

from phloem.runtime.codec import json_form
from phloem.runtime.errors import InputError
from phloem.runtime.ports import number_to_text
from phloem.runtime.values import Blob, Collection, Document, Hit, Message

__all__ = ["LARGEST_TEXT", "as_json", "as_text", "weigh"]

LARGEST_TEXT: Final = 10_000_000
"""Characters that a node may make of values that were smaller."""


def as_text(value: object) -> str:
    """Text as it is, documents, hits and messages as their text, nothing for null, JSON for lists and objects."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Document | Hit):
        return value.text
    if isinstance(value, Message):
        return value.content
    if isinstance(value, Collection):
        return value.name
    if isinstance(value, Blob):
        return f"[{value.name or value.media_type}, {len(value.data):,} bytes]"
    if isinstance(value, list | tuple | dict):
        return as_json(value)
    return str(value)


def as_json(value: object, indent: int | None = None, *, sort_keys: bool = False, most: int = LARGEST_TEXT) -> str:
    """The JSON text of `value`; InputError if that has more than about `most` characters, or is nested too deeply."""
    if weigh(value, most) > most:
        raise InputError(f"the value is too large to write as text (more than {most:,} characters)")
    try:
        return json.dumps(json_form(value), ensure_ascii=False, indent=indent, sort_keys=sort_keys)
    except RecursionError:
        raise InputError("the value is nested too deeply to write as text") from None


def weigh(value: object, most: int) -> int:
    """How many items and characters `value` holds, counting what it holds twice twice; stops beyond `most`.

    A list that holds another list forty times over is small in memory and endless on paper, so this
    is asked before anything walks a value that a template or a query built.
    """
    total = 0
    left: list[object] = [value]
    while left and total <= most:
        one = left.pop()
        if isinstance(one, str):
            total += len(one) + 1
        elif isinstance(one, list | tuple):
            total += len(one) + 1
            left.extend(one)
        elif isinstance(one, dict):
            total += sum(len(key) + 1 if isinstance(key, str) else 1 for key in one) + 1
            left.extend(one.values())
        elif isinstance(one, Document | Hit):
            left += (one.text, one.source, one.metadata)
        else:
            total += 1 if one is None or isinstance(one, int | float | Blob) else len(str(one))
    return total


def _number(value: float) -> str:
    try:
        return number_to_text(value)
    except ValueError:
        raise InputError("the number has too many digits to write") from None
