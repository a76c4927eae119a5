"""How values travel: small ones in the message, large ones by their content hash, so that none goes twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from phloem.runtime.cache import Stored, store
from phloem.runtime.codec import digest, unpack

__all__ = ["Ref", "Seen", "as_ref", "hashes_of"]

INLINE_LIMIT: Final = 16_384
"""Bytes of a value up to which it stands in the message."""

SEEN_LIMIT: Final = 1_000_000_000
"""Bytes of large values that a worker keeps."""

Ref = list[Any]
"""A value in a message: `[bytes]`, or `[None, hash]`."""


def as_ref(value: Any, large: Callable[[Stored], None]) -> Ref:
    """The value as it stands in a message; `large` is called with one that has to be sent apart. UnstorableValue for
    one that has no byte form."""
    stored = store(value)
    if stored.held <= INLINE_LIMIT:
        return [stored.data]
    large(stored)
    return [None, stored.hash]


def hashes_of(refs: Iterable[Ref]) -> list[bytes]:
    """The content hashes of those that are sent apart."""
    return [ref[1] for ref in refs if ref[0] is None]


class Seen:
    """The large values that a worker has received or made, those used longest ago dropped when there are too many."""

    def __init__(self, limit: int = SEEN_LIMIT) -> None:
        self.limit = limit
        self._size = 0
        self._data: OrderedDict[bytes, bytes] = OrderedDict()

    def __contains__(self, content: bytes) -> bool:
        return content in self._data

    def keep(self, content: bytes, data: bytes) -> None:
        """Have the bytes of a value; ValueError if they are not what the hash says."""
        if content in self._data:
            return
        if digest(data) != content:
            raise ValueError("a value was damaged on its way")
        self._data[content] = data
        self._size += len(data)
        while self._size > self.limit and len(self._data) > 1:
            _, dropped = self._data.popitem(last=False)
            self._size -= len(dropped)

    def value(self, ref: Ref) -> Any:
        """The value of a reference; KeyError if it is not here."""
        return unpack(ref[0] if ref[0] is not None else self.data(ref[1]))

    def data(self, content: bytes) -> bytes:
        """The bytes of a value; KeyError if it is not here."""
        self._data.move_to_end(content)
        return self._data[content]
