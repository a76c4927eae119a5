"""Connections that ask before they carry anything: the network under the http service.

The gate is asked about a name before it is looked up and about each address found, and exactly that address is
connected to, so nothing can change between the question and the connection. Connections are kept and used
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
from phloem.nodes.services.outgoing import SHORTEST_ATTEMPT, Outgoing
from phloem.runtime.errors import ServiceError

__all__ = ["GatedBackend", "current_exchange"]

current_exchange: Final[ContextVar[Outgoing]] = ContextVar("current_exchange")
"""The exchange that this task is making."""


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
        exchange = current_exchange.get()
        addresses = await _addresses(exchange, host, port)
        failure: Exception | None = None
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            wait = SHORTEST_ATTEMPT if left > 1 else None
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
        data = await self._inner.read(max_bytes, timeout)
        current_exchange.get().received += len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = current_exchange.get()
        await exchange.connect(self._host, self._port, self._address)
        exchange.address = self._address
        exchange.sent += len(buffer)
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


async def _addresses(exchange: Outgoing, host: str, port: int) -> list[str]:
    try:
        return await exchange.addresses(host, port)
    except (OSError, UnicodeError) as error:
        again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        raise ServiceError(
            f"there is no host called {host}",
            hint="Check the address, and that this machine is connected to the network.",
            retryable=again,
        ) from error


def _reason(error: BaseException | None) -> str:
    """What the system says of a failed connection."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno).lower()
        error = error.__cause__ or error.__context__
    return "no answer"
