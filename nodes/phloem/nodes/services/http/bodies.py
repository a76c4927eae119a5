"""Bodies of answers: read as they come, unpacked as they come, never more than was allowed."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Iterator
from typing import Final

from phloem.runtime.errors import ServiceError

__all__ = ["read_body"]


async def read_body(chunks: AsyncIterable[bytes], encoding: str, limit: int, host: str) -> bytes:
    """The bytes of a body after undoing its Content-Encoding; ServiceError if they are more than `limit`.

    `host` is named in errors. Packed data is unpacked no further than the limit, however small it came.
    """
    unpack = _Unpacker(encoding, host)
    body = bytearray()
    async for chunk in chunks:
        for piece in unpack.pieces(chunk, limit + 1 - len(body)):
            body += piece
            if len(body) > limit:
                raise too_large(host, limit)
    return bytes(body)


def too_large(host: str, limit: int) -> ServiceError:
    """The error for a body of more than `limit` bytes."""
    return ServiceError(f"{host} answered with more than {limit:,} bytes", hint="Raise the limit if that is expected.")


_ANY_HEADER: Final = 32 + zlib.MAX_WBITS
_NO_HEADER: Final = -zlib.MAX_WBITS


class _Unpacker:
    """Undoes one Content-Encoding: gzip, deflate (with or without the header it should have), or none."""

    def __init__(self, encoding: str, host: str) -> None:
        self._host = host
        self._packed = encoding.strip().lower() in ("gzip", "x-gzip", "deflate")
        if not self._packed and encoding.strip().lower() not in ("", "identity"):
            raise ServiceError(f"{host} answered packed as {encoding[:40]}, which was not asked for")
        self._inflate = zlib.decompressobj(_ANY_HEADER)
        self._begun = False

    def pieces(self, chunk: bytes, most: int) -> Iterator[bytes]:
        """What `chunk` unpacks to, at most `most` bytes of it."""
        if not self._packed:
            yield chunk
        elif chunk and not self._inflate.eof:
            try:
                yield self._inflated(chunk, most)
            except zlib.error as error:
                raise ServiceError(f"{self._host} answered with packed data that is damaged") from error

    def _inflated(self, chunk: bytes, most: int) -> bytes:
        if self._begun:
            return self._inflate.decompress(chunk, most)
        self._begun = True
        try:
            return self._inflate.decompress(chunk, most)
        except zlib.error:
            self._inflate = zlib.decompressobj(_NO_HEADER)
            return self._inflate.decompress(chunk, most)
