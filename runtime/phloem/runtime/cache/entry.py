"""What one execution gave, and the record of it in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgpack
from phloem.runtime.cache.stored import INLINE_LIMIT, Stored
from phloem.runtime.codec import digest
from phloem.runtime.events import Preview

__all__ = ["Entry", "packed", "record_packer", "unpacked"]

_MARK: Final = 20
"""Bytes at the beginning of a record that tell whether the rest is whole."""


@dataclass(slots=True)
class Entry:
    """What one execution gave: its outputs in order with their previews, what it cost, what it wrote."""

    outputs: list[Stored]
    previews: list[Preview]
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    written: Sequence[tuple[str, str, str]] = ()
    money: float = 0.0

    @property
    def size(self) -> int:
        """The bytes of its outputs."""
        size = 0
        for one in self.outputs:
            size += len(one.data)
        return size


def record_packer() -> msgpack.Packer:
    """What `packed` needs, for any number of entries one after the other: to make it costs as much as a record."""
    return msgpack.Packer(unicode_errors="surrogatepass")


def packed(entry: Entry, packer: msgpack.Packer) -> bytes:
    """The record of an entry. Outputs larger than INLINE_LIMIT are only named in it."""
    outputs = []
    for one in entry.outputs:
        data = one.data
        outputs.append((one.hash, None if len(data) > INLINE_LIMIT else data))
    previews = [(shown.type, shown.text, shown.size) for shown in entry.previews]
    record: bytes = packer.pack(
        (outputs, previews, entry.seconds, entry.tokens_in, entry.tokens_out, entry.written, entry.money)
    )
    return digest(record) + record


def unpacked(data: bytes, large: Callable[[bytes], Stored]) -> Entry:
    """The entry of a record; `large` gives an output that is only named in it, by its hash. ValueError, TypeError,
    AttributeError or UnpackException if it is damaged."""
    mark, record = data[:_MARK], data[_MARK:]
    if digest(record) != mark:
        raise ValueError("a damaged record")
    # A record of an earlier version ends before the money.
    outputs, previews, seconds, tokens_in, tokens_out, written, *money = msgpack.unpackb(
        record, unicode_errors="surrogatepass"
    )
    return Entry(
        [large(content) if inline is None else Stored(content, inline) for content, inline in outputs],
        [Preview(*shown) for shown in previews],
        seconds,
        tokens_in,
        tokens_out,
        [(word, where, left) for word, where, left in written],
        float(money[0]) if money else 0.0,
    )
