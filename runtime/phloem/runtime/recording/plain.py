"""Values as JSON data and back, losing nothing: what a recording is written in.

Text, numbers, true, false, null, lists and objects stand as they are. Anything else is an object with the key `$`,
which says what it is: `{"$": "bytes", "base64": "…"}`, `{"$": "hit", "text": "…", "score": 0.9}`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from phloem.runtime.codec import DEEPEST, UnstorableValue, digest, pack
from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message, ToolCall

__all__ = ["as_question", "from_plain", "key_of", "plain"]

_NAMES: Final[dict[type, str]] = {
    cls: cls.__name__.lower() for cls in (Blob, Collection, Document, Hit, Message, ToolCall)
}  # fmt: skip
_CLASSES: Final = {name: cls for cls, name in _NAMES.items()}
_MARK: Final = "$"

LONG_TEXT: Final = 20_000
"""Characters of a text in a question from which on only its beginning and its digest are kept."""
LONG_BYTES: Final = 1_000
LONG_LIST: Final = 32
"""Numbers in a vector from which on a question has only their digest."""
SHOWN: Final = 2_000


def plain(value: Any) -> Any:
    """`value` as JSON data; UnstorableValue if it has no such form."""
    return _plain(value, 0, whole=True)


def as_question(value: Any) -> Any:
    """`value` as JSON data in which what is very long stands by its beginning and its digest: enough to tell whether
    another is the same, and what differs."""
    return _plain(value, 0, whole=False)


def key_of(question: Any) -> bytes:
    """The digest of a question: of equal ones the same, whether a number is written 1 or 1.0."""
    return digest(pack(_canonical(question)))


def _plain(value: Any, depth: int, *, whole: bool) -> Any:
    if depth > DEEPEST:
        raise UnstorableValue(f"a value is nested more than {DEEPEST} levels deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value) if whole or len(value) <= LONG_TEXT else _shortened(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, bytes | bytearray):
        return _bytes(bytes(value), whole=whole)
    if isinstance(value, list):
        if not whole and len(value) > LONG_LIST and all(isinstance(one, float) for one in value):
            return {_MARK: "numbers", "size": len(value), "digest": digest(pack(value)).hex()}
        return [_plain(one, depth + 1, whole=whole) for one in value]
    if isinstance(value, tuple):
        parts = [_plain(one, depth + 1, whole=whole) for one in value]
        return {_MARK: "tuple", "is": parts} if whole else parts
    if isinstance(value, Mapping):
        return _object(value, depth, whole=whole)
    return _of_class(value, depth, whole=whole)


def _number(value: float) -> Any:
    if isinstance(value, int):
        # Python writes no longer ones in decimal.
        return int(value) if value.bit_length() < 14_000 else {_MARK: "number", "is": hex(value)}
    return float(value) if math.isfinite(value) else {_MARK: "number", "is": repr(float(value))}


def _of_class(value: Any, depth: int, *, whole: bool) -> Any:
    if value is UNLIT:
        return {_MARK: "unlit"}
    name = _NAMES.get(type(value))
    if name is None:
        raise UnstorableValue(f"a {type(value).__name__} cannot be recorded")
    told = {
        one.name: _plain(getattr(value, one.name), depth + 1, whole=whole)
        for one in dataclasses.fields(value)
        if getattr(value, one.name) != _usual(one)
    }
    return {_MARK: name, **told} if whole else told


def _usual(field: dataclasses.Field[Any]) -> Any:
    """What a field holds that is not given; nothing equals it where one has to be."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _object(value: Mapping[Any, Any], depth: int, *, whole: bool) -> Any:
    if all(isinstance(key, str) for key in value) and _MARK not in value:
        return {str(key): _plain(one, depth + 1, whole=whole) for key, one in value.items()}
    pairs = [[_plain(key, depth + 1, whole=whole), _plain(one, depth + 1, whole=whole)] for key, one in value.items()]
    return {_MARK: "object", "is": pairs}


def _bytes(data: bytes, *, whole: bool) -> dict[str, Any]:
    """As text where they are one, so that a person can read it and git compare it."""
    if not whole and len(data) > LONG_BYTES:
        return {_MARK: "bytes", "size": len(data), "digest": digest(data).hex()}
    if b"\0" not in data:
        try:
            return {_MARK: "bytes", "text": data.decode()}
        except UnicodeDecodeError:
            pass
    return {_MARK: "bytes", "base64": base64.b64encode(data).decode()}


def _shortened(text: str) -> dict[str, Any]:
    whole = digest(text.encode("utf-8", "surrogatepass")).hex()
    return {_MARK: "text", "begins": text[:SHOWN], "characters": len(text), "digest": whole}


def from_plain(data: Any) -> Any:
    """The value that `plain` wrote; ValueError if it wrote nothing like it."""
    try:
        return _value(data, 0)
    except (TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise ValueError(f"a value in it cannot be read: {error}") from None


def _value(data: Any, depth: int) -> Any:
    if depth > DEEPEST + 10:
        raise ValueError(f"a value is nested more than {DEEPEST} levels deep")
    if isinstance(data, list):
        return [_value(one, depth + 1) for one in data]
    if not isinstance(data, dict):
        return data
    if _MARK not in data:
        return {key: _value(one, depth + 1) for key, one in data.items()}
    kind = data[_MARK]
    if kind == "bytes":
        return data["text"].encode() if "text" in data else base64.b64decode(data["base64"], validate=True)
    if kind == "number":
        return float(data["is"]) if data["is"] in ("nan", "inf", "-inf") else int(data["is"], 16)
    if kind == "tuple":
        return tuple(_value(one, depth + 1) for one in data["is"])
    if kind == "object":
        return {_value(key, depth + 1): _value(one, depth + 1) for key, one in data["is"]}
    if kind == "unlit":
        return UNLIT
    return _instance(kind, {key: _value(one, depth + 1) for key, one in data.items() if key != _MARK})


_FIELDS: Final[dict[str, Any]] = {
    "text": str, "title": str, "source": str, "id": str, "name": str, "media_type": str, "content": str, "role": str,
    "call_id": str, "model": str, "score": int | float, "data": bytes, "metadata": dict, "arguments": dict,
    "images": tuple, "calls": tuple,
}  # fmt: skip


def _instance(kind: Any, fields: dict[str, Any]) -> Any:
    """A value with fields, each of which is of its type: a node relies on that."""
    cls = _CLASSES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ValueError(f"{str(kind)[:60]!r} is no kind of value")
    known = {one.name for one in dataclasses.fields(cls)}
    for name, one in fields.items():
        if name not in known or not isinstance(one, _FIELDS[name]):
            raise ValueError(f"a {kind} cannot have {name[:60]!r} like this")
    return cls(**fields)


def _canonical(data: Any) -> Any:
    if isinstance(data, float) and data.is_integer() and abs(data) < 2**53:
        return int(data)
    if isinstance(data, list):
        return [_canonical(one) for one in data]
    if isinstance(data, dict):
        return {key: _canonical(one) for key, one in data.items()}
    return data
