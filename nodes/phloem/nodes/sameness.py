"""When two values count as the same, and which of two comes first.

One rule for every kind that compares. Documents, hits and messages are their text. A number and a text
that reads as a number compare as numbers, `true` and a text that says true as booleans; two texts
always compare as texts. Null is the same only as null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any, Final

from phloem.nodes.shown import LARGEST_TEXT, as_text, weigh
from phloem.runtime.codec import json_form
from phloem.runtime.errors import InputError
from phloem.runtime.ports import type_of_value
from phloem.runtime.values import Document, Hit, Message

__all__ = ["before", "identity", "same"]

_NUMBER: Final = r"\s*[+-]?\d{1,300}(?:\.\d{0,300})?(?:[eE][+-]?\d{1,3})?\s*\Z"
_BOOLEANS: Final = {"true": True, "false": False}


def same(a: object, b: object) -> bool:
    """True if `a` and `b` count as the same value."""
    left, right = _alike(a, b)
    if isinstance(left, list | dict) and isinstance(right, list | dict):
        return identity(left) == identity(right)
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def before(a: object, b: object) -> bool:
    """True if `a` comes before `b`: the smaller number, the text that a dictionary of code points has first.

    InputError for values of which neither comes first.
    """
    left, right = _alike(a, b)
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    if _is_number(left) and _is_number(right):
        return bool(left < right)
    raise InputError(f"{_words(a)} and {_words(b)} have no order", hint="Compare two numbers, or two texts.")


def identity(value: object) -> Hashable:
    """Something that is equal for equal values: 1 and 1.0 are, 1 and true are not, the order of keys is no matter."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, str | int | float):
        return value
    if weigh(value, LARGEST_TEXT) > LARGEST_TEXT:
        raise InputError("the value is too large to compare")
    return ("json", json.dumps(_evened(json_form(value)), sort_keys=True))


def _alike(a: object, b: object) -> tuple[Any, Any]:
    """The two as values of one type, where one of them can be read as the other's."""
    left, right = _plain(a), _plain(b)
    if isinstance(left, str) and not isinstance(right, str):
        left = _read_as(left, right)
    elif isinstance(right, str) and not isinstance(left, str):
        right = _read_as(right, left)
    return left, right


def _plain(value: object) -> Any:
    return as_text(value) if isinstance(value, Document | Hit | Message) else value


def _read_as(text: str, other: object) -> Any:
    """A text as the number or boolean that it says, if the other is one."""
    if isinstance(other, bool):
        return _BOOLEANS.get(text.strip().lower(), text)
    if isinstance(other, int | float) and re.match(_NUMBER, text):
        return float(text) if re.search(r"[.eE]", text) else int(text)
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _evened(value: Any) -> Any:
    """JSON data with whole numbers as integers, so that 1.0 is written like 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_evened(one) for one in value]
    if isinstance(value, dict):
        return {key: _evened(one) for key, one in value.items()}
    return value


def _words(value: object) -> str:
    text = as_text(value) if isinstance(value, str | int | float) else ""
    name = str(type_of_value(value)) if value is not None else "null"
    return f"a {name} ({text[:40]!r})" if text else f"a {name}" if value is not None else name
