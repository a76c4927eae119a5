"""Messages between the program and the process of a model: MessagePack values, one after another on a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import msgpack

__all__ = ["arriving", "packed", "write_all"]

READ_AT_ONCE: Final = 1 << 16
LARGEST: Final = 1 << 30
"""Bytes of a message; one that is larger is a mistake."""


def packed(message: list[Any]) -> bytes:
    """The bytes of a message. Half characters, which no text should have, become question marks."""
    data: bytes = msgpack.packb(message, unicode_errors="replace")
    return data


def arriving(pipe: int) -> Iterator[list[Any]]:
    """The messages that come out of a pipe, until its other end is closed. ValueError for what is none."""
    unpacker = msgpack.Unpacker(max_buffer_size=LARGEST, strict_map_key=False)
    while True:
        try:
            data = os.read(pipe, READ_AT_ONCE)
        except OSError:
            return
        if not data:
            return
        try:
            unpacker.feed(data)
            for message in unpacker:
                if not isinstance(message, list) or not message:
                    raise ValueError("a message is a list")
                yield message
        except msgpack.UnpackException as error:
            raise ValueError("what came is no message") from error


def write_all(pipe: int, data: bytes) -> None:
    """Write `data` to a pipe, however little it takes at once. OSError when nobody reads it any more."""
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
