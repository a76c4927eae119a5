"""One byte form for every value: what the cache stores, and what a content digest is taken of."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any, Final

import msgpack
from phloem.runtime.errors import PhloemError
from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message

__all__ = ["UnstorableValue", "digest", "json_form", "pack", "unpack"]

_CODES: Final[dict[type, int]] = {Document: 1, Hit: 2, Message: 3, Blob: 4, Collection: 5}
_TYPES: Final = {code: cls for cls, code in _CODES.items()}
_UNLIT_CODE: Final = 6
_BIG_CODE: Final = 7
_TUPLE_CODE: Final = 8


class UnstorableValue(PhloemError):
    """A value that is none of the port types, so it can neither be stored nor compared by content."""


def pack(value: Any) -> bytes:
    """The bytes of `value`: equal for equal values with equal key order; UnstorableValue if it has none."""
    try:
        packed: bytes = msgpack.packb(value, default=_extend, strict_types=True, unicode_errors="surrogatepass")
    except OverflowError:
        return pack(_boxed(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableValue(f"a {type(value).__name__} cannot be stored: {error}") from error
    return packed


def unpack(data: bytes) -> Any:
    """The value whose `pack` gave `data`."""
    return msgpack.unpackb(data, ext_hook=_restore, unicode_errors="surrogatepass", strict_map_key=False)


def digest(data: bytes) -> bytes:
    """A 20-byte content hash (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=20).digest()


def json_form(value: Any) -> Any:
    """`value` as JSON data: values with fields become objects, bytes a note of their length, NaN null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): json_form(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_form(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return {"bytes": len(value)}
    if value is UNLIT:
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: json_form(getattr(value, one.name)) for one in dataclasses.fields(value)}
    return str(value)


def _extend(value: Any) -> Any:
    code = _CODES.get(type(value))
    if code is not None:
        return msgpack.ExtType(code, pack([getattr(value, one.name) for one in dataclasses.fields(value)]))
    if type(value) is tuple:
        return msgpack.ExtType(_TUPLE_CODE, pack(list(value)))
    if isinstance(value, bytearray):
        return bytes(value)
    if value is UNLIT:
        return msgpack.ExtType(_UNLIT_CODE, b"")
    if type(value) is _Big:
        return msgpack.ExtType(_BIG_CODE, str(value.number).encode())
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not a type that a link can carry")


def _restore(code: int, data: bytes) -> Any:
    if code == _UNLIT_CODE:
        return UNLIT
    if code == _BIG_CODE:
        return int(data)
    if code == _TUPLE_CODE:
        return tuple(unpack(data))
    return _TYPES[code](*unpack(data))


class _Big:
    """An integer beyond 64 bits, which the byte form has no room for."""

    def __init__(self, number: int) -> None:
        self.number = number


def _boxed(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return _Big(value)
    if isinstance(value, dict):
        return {key: _boxed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_boxed(item) for item in value)
    return value
