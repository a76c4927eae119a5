"""Connections that ask before they carry anything: the network under the http service.

A name is looked up here, the gate is asked about each address found, and exactly that address is connected
to, so nothing can change between the question and the connection. Connections are kept and used
again by other requests, whose runs may have other grants: so every write asks the gate of the request that
is writing, whoever opened the connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

import httpcore
from phloem.runtime.errors import ServiceError
from phloem.runtime.services import Gate

__all__ = ["GatedBackend", "current_gate"]

current_gate: ContextVar[Gate] = ContextVar("current_gate")
"""The gate of the request that this task is making."""

_ENOUGH_ADDRESSES: Final = 8
_SHORTEST_ATTEMPT: Final = 3.0


class GatedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore, each to an address that the current gate has let through."""

    def __init__(self) -> None:
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of `host` that answers; ServiceError when none does."""
        addresses = await _addresses(host, port)
        gate = current_gate.get()
        for address in addresses:
            gate.connect(host, port, address)
        failure: Exception | None = None
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            wait = _SHORTEST_ATTEMPT if left > 1 else None
            try:
                stream = await self._plain.connect_tcp(address, port, wait, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _GatedStream(stream, host, port, address)
        raise ServiceError(f"cannot connect to {host} on port {port}: {_reason(failure)}", retryable=True) from failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: the web is not reached through files."""
        raise ServiceError("web addresses do not lead to sockets in the file system")

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await asyncio.sleep(seconds)


class _GatedStream(httpcore.AsyncNetworkStream):
    """A connection to an address, which asks before every write."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, host: str, port: int, address: str) -> None:
        self._inner = inner
        self._host = host
        self._port = port
        self._address = address

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        current_gate.get().connect(self._host, self._port, self._address)
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _GatedStream(stream, self._host, self._port, self._address)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


async def _addresses(host: str, port: int) -> list[str]:
    """The addresses that `host` has now, in the order the system prefers."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        raise ServiceError(
            f"there is no host called {host}",
            hint="Check the address, and that this machine is connected to the network.",
            retryable=again,
        ) from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))[:_ENOUGH_ADDRESSES]


def _reason(error: BaseException | None) -> str:
    """What the system says of a failed connection."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno).lower()
        error = error.__cause__ or error.__context__
    return "no answer"
