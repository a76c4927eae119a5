"""One byte form for every value: what the cache stores, and what a content digest is taken of."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import threading
from typing import Any, Final

import msgpack
from phloem.runtime.errors import PhloemError
from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message, ToolCall

__all__ = ["UnstorableValue", "digest", "json_form", "pack", "unpack"]

_CODES: Final[dict[type, int]] = {Document: 1, Hit: 2, Message: 3, Blob: 4, Collection: 5, ToolCall: 9}
_TYPES: Final = {code: cls for cls, code in _CODES.items()}
_UNLIT_CODE: Final = 6
_BIG_CODE: Final = 7
_TUPLE_CODE: Final = 8

DEEPEST: Final = 200
_LONG_INTEGER: Final = 14_000
"""Bits of an integer that Python still writes out in decimal (it refuses beyond 4,300 digits)."""


class UnstorableValue(PhloemError):
    """A value that is none of the port types, so it can neither be stored nor compared by content."""


def pack(value: Any) -> bytes:
    """The bytes of `value`: equal for equal values with equal key order; UnstorableValue if it has none."""
    try:
        # Without a call in between, for every output of every node comes by here.
        data: bytes = _plain.packer.pack(value)
        if len(data) > _MOST_KEPT:
            _plain.renew()
        return data
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _pack_special(value)


def _pack_special(value: Any) -> bytes:
    try:
        try:
            return _packed(value)
        except OverflowError:
            return _packed(_boxed(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnstorableValue(f"a {type(value).__name__} cannot be stored: {error}") from error


def unpack(data: bytes) -> Any:
    """The value whose `pack` gave `data`."""
    return msgpack.unpackb(data, ext_hook=_restore, unicode_errors="surrogatepass", strict_map_key=False)


def digest(data: bytes) -> bytes:
    """A 20-byte content hash (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=20).digest()


def json_form(value: Any, *, whole: bool = False) -> Any:
    """`value` as JSON data: values with fields become objects, bytes a note of their length, NaN null.

    An integer of more than 4,300 digits becomes its hexadecimal text. What lies more than 200 levels deep,
    or inside itself, is cut off with `…`. With `whole`, what would lose something (that, and bytes) is an
    UnstorableValue.
    """
    return _json_form(value, (), whole)


def _json_form(value: Any, above: tuple[int, ...], whole: bool) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return _json_number(value)
    if not isinstance(value, dict | list | tuple) and (isinstance(value, type) or not dataclasses.is_dataclass(value)):
        return _json_leaf(value, whole)
    if len(above) == DEEPEST or id(value) in above:
        if whole:
            raise UnstorableValue(f"it is nested more than {DEEPEST} levels deep, or contains itself")
        return "…"
    above = (*above, id(value))
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else _text(key): _json_form(item, above, whole) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_json_form(item, above, whole) for item in value]
    fields = ((one, getattr(value, one.name)) for one in dataclasses.fields(value))
    return {one.name: _json_form(item, above, whole) for one, item in fields if item or not one.metadata.get("quiet")}


def _json_number(value: float) -> float | str | None:
    if isinstance(value, int):
        return hex(value) if value.bit_length() > _LONG_INTEGER else value
    return value if math.isfinite(value) else None


def _json_leaf(value: Any, whole: bool) -> Any:
    if isinstance(value, bytes | bytearray):
        if whole:
            raise UnstorableValue("bytes have no JSON form")
        return {"bytes": len(value)}
    return None if value is UNLIT else _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _packed(value: Any) -> bytes:
    data: bytes = msgpack.packb(value, default=_extend, strict_types=True, unicode_errors="surrogatepass")
    return data


class _PlainPacker(threading.local):
    """Packs what is plain through and through, with a TypeError for all else. To make a packer costs more than to
    pack a small value; and one that called back could be called again in the middle of its work."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.packer = msgpack.Packer(strict_types=True, unicode_errors="surrogatepass")


_plain = _PlainPacker()
_MOST_KEPT: Final = 1_000_000


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
        return msgpack.ExtType(_BIG_CODE, value.number.to_bytes(value.number.bit_length() // 8 + 1, signed=True))
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
        return int.from_bytes(data, signed=True)
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
        return {_boxed(key): _boxed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_boxed(item) for item in value]
    if type(value) is tuple:
        return tuple(_boxed(item) for item in value)
    return value
