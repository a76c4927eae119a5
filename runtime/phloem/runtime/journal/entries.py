"""The byte form of what happens in a run: many entries in one piece, which says itself what its fields are called.

A piece is a checksum and MessagePack: the names of the classes in it with their fields, then for each entry the
number of its class, its fields, and its values if it has some. So a version that has another field can read it.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

import msgpack
from phloem.runtime import events as e
from phloem.runtime.cache import Stored
from phloem.runtime.egress import Egress
from phloem.runtime.journal.record import Deadline, Effect, Recorded

__all__ = ["Entry", "Row", "decode", "encode"]

Entry = e.Event | Effect | Deadline | Egress | Recorded
Row = Entry | tuple[Entry, Sequence[Stored | None]]
"""What is kept: an entry, of a node or run that ended with its values in the order of its outputs."""

Reference = bytes | list[Any] | None
"""A value's place: its bytes, or its hash and length where they lie in a file; None if it has no stored form."""

_OTHERS: Final[dict[str, type[Any]]] = {cls.__name__: cls for cls in (Effect, Deadline, Egress, Recorded)}
_LEFT_OUT: Final = {"run", "answer"}


def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in dataclasses.fields(cls) if one.name not in _LEFT_OUT)


_FIELDS: dict[type, tuple[str, ...]] = {}
_READ: dict[type, Callable[[Any], Any]] = {}


def encode(rows: Sequence[Row], keep: Callable[[Stored | None], Reference]) -> bytes:
    """The piece that holds `rows`. `keep` is asked where each value lies."""
    try:
        body = _body(rows, keep)
    except (OverflowError, TypeError, ValueError):
        # A stranger's node put into an error what has no form here; the run must not suffer from it.
        body = _body(rows, keep, _tame)
    return zlib.crc32(body).to_bytes(4) + body


def _body(
    rows: Sequence[Row], keep: Callable[[Stored | None], Reference], tame: Callable[[Any], Any] | None = None
) -> bytes:
    numbers: dict[type, int] = {}
    packer = msgpack.Packer(default=_plain, unicode_errors="surrogatepass", autoreset=False)
    pack = packer.pack
    for row in rows:
        values: Sequence[Stored | None] | None = None
        if row.__class__ is tuple:
            row, values = row
        cls = row.__class__
        number = numbers.get(cls)
        if number is None:
            number = numbers[cls] = len(numbers)
            if cls not in _FIELDS:
                _FIELDS[cls] = _names(cls)
                _READ[cls] = attrgetter(*_FIELDS[cls])
        fields = _READ[cls](row) if tame is None else tame(_READ[cls](row))
        # Each at once: thousands of them together would have the garbage collector look at all of them.
        pack((number, fields, None if values is None else [keep(one) for one in values]))
    heads: bytes = msgpack.packb([(cls.__name__, *_FIELDS[cls]) for cls in numbers])
    packed: bytes = packer.bytes()
    return heads + packed


def decode(
    run: str, piece: bytes, find: Callable[[Reference], Stored | None]
) -> Iterator[tuple[Entry, list[Stored | None] | None]]:
    """The entries of a piece with their values, in order; ValueError if it is damaged. What only a newer version
    knows is left out."""
    if zlib.crc32(memoryview(piece)[4:]) != int.from_bytes(piece[:4]):
        raise ValueError("a damaged piece")
    rows = msgpack.Unpacker(unicode_errors="surrogatepass", max_buffer_size=0)
    rows.feed(memoryview(piece)[4:])
    heads = rows.unpack()
    for number, fields, places in rows:
        name, *names = heads[number]
        values = None if places is None else [find(one) for one in places]
        data = dict(zip(names, fields, strict=True))
        cls = _OTHERS.get(name)
        if cls is Recorded:
            data["answer"] = values[0] if values else None
        if cls is not None:
            known = {one.name for one in dataclasses.fields(cls)}
            yield cls(**{key: value for key, value in data.items() if key in known}), None
            continue
        if name == "NodeFinished":
            keys = ("type", "text", "size")
            data["outputs"] = {port: dict(zip(keys, shown, strict=True)) for port, shown in data["outputs"].items()}
        try:
            yield e.from_json({**data, "type": name, "run": run}), values
        except ValueError:
            continue


def _plain(value: Any) -> Any:
    if value.__class__ is e.Preview:
        return value.type, value.text, value.size
    raise TypeError(f"{type(value).__name__} in an event")


def _tame(value: Any) -> Any:
    """`value`, or what can be said of it."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return hex(value)
    if isinstance(value, dict):
        return {_shown(key): _tame(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_tame(one) for one in value]
    plain = value is None or isinstance(value, str | int | float) or value.__class__ is e.Preview
    return value if plain else _shown(value)


def _shown(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
