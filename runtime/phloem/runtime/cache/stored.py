"""Values in the form in which they are kept: packed, each known by its content hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from phloem.runtime.codec import digest, pack, unpack

__all__ = ["INLINE_LIMIT", "Stored", "store", "value_file"]

INLINE_LIMIT: Final = 16_384
"""Bytes up to which a value lies in a database; a larger one lies beside it, in a file named by its hash."""


class Stored:
    """A value in its stored form, with its content hash; `load` makes the value, once.

    Without a `hash` it is taken of `data`, when somebody asks for it.
    """

    __slots__ = ("_data", "_hash", "_path", "_value")

    def __init__(self, hash: bytes | None, data: bytes | None = None, path: Path | None = None) -> None:
        self._hash = hash
        self._data = data
        self._path = path
        self._value: Any = None

    @property
    def hash(self) -> bytes:
        if self._hash is None:
            self._hash = digest(self.data)
        return self._hash

    @property
    def held(self) -> int:
        """The bytes of it that are in memory, ready to be written."""
        return 0 if self._data is None else len(self._data)

    @property
    def data(self) -> bytes:
        """The packed bytes; OSError or ValueError when the file behind them is gone or damaged."""
        if self._data is None:
            assert self._path is not None
            data = self._path.read_bytes()
            if digest(data) != self.hash:
                raise ValueError(f"{self._path.name} is damaged")
            return data
        return self._data

    def check(self) -> None:
        """OSError or ValueError if the value can no longer be loaded; then it is loaded already."""
        if self._data is None:
            self._data = self.data

    def load(self) -> Any:
        if self._value is None:
            self._value = unpack(self.data)
            self._data = self._data if self._path is None else None
        return self._value


def store(value: Any) -> Stored:
    """The stored form of a value; UnstorableValue if it has none."""
    return Stored(None, pack(value))


def value_file(folder: Path, content: bytes) -> Path:
    """Where the cache in `folder` has a large value with this hash, if it has it."""
    name = content.hex()
    return folder / "values" / name[:2] / name
