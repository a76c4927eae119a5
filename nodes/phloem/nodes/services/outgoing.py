"""One exchange with a server on its way out: who is asked about it before, and what is told of it after."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from phloem.runtime.egress import Egress, bare_url
from phloem.runtime.errors import PermissionNeeded, PhloemError
from phloem.runtime.grants import host_of
from phloem.runtime.services import Gate

__all__ = ["ENOUGH_ADDRESSES", "SHORTEST_ATTEMPT", "Outgoing"]

ENOUGH_ADDRESSES: Final = 8
SHORTEST_ATTEMPT: Final = 3.0
"""Seconds for a connection to an address when there are others to try."""


class Outgoing:
    """One exchange. `gate` is None when it is the user's own act, which nobody is asked about.

    `clock` is the timeout that runs over it, which stands still while a person is asked. `address`, `sent`,
    `received` and `status` are filled in by whoever carries the exchange.
    """

    def __init__(
        self, gate: Gate | None, method: str, url: str, clock: asyncio.Timeout | None = None, *, through: str = ""
    ) -> None:
        self.address = ""
        self.sent = 0
        self.received = 0
        self.status: int | None = None
        self._gate = gate
        self._method = method
        self._url = url
        self._clock = clock
        self._through = through
        self._at = time.time()
        self._began = time.perf_counter()
        self._told = False

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses that `host` has now, in the order the system prefers, each of them allowed.

        OSError or UnicodeError if it has none. What leads to this machine by its name is asked of nobody.
        """
        await self.lookup(host, port)
        found = _literal(host) or _loopback(host) or await _resolved(host, port)
        for address in found:
            await self.connect(host, port, address)
        return found

    async def lookup(self, host: str, port: int) -> None:
        """PermissionNeeded unless the host may be asked for."""
        gate = self._gate
        if gate is not None:
            await self._allowed(gate, lambda: gate.lookup(host, port))

    async def connect(self, host: str, port: int, address: str) -> None:
        """PermissionNeeded unless the address may be reached."""
        gate = self._gate
        if gate is not None:
            await self._allowed(gate, lambda: gate.connect(host, port, address))

    async def _allowed(self, gate: Gate, check: Callable[[], None]) -> None:
        try:
            check()
            return
        except PermissionNeeded:
            left = self._stop_clock()
        try:
            await gate.allowed(check)
        finally:
            self._go_on(left)

    def _stop_clock(self) -> float | None:
        when = self._clock.when() if self._clock is not None else None
        if self._clock is None or when is None or self._clock.expired():
            return None
        self._clock.reschedule(None)
        return when - asyncio.get_running_loop().time()

    def _go_on(self, left: float | None) -> None:
        if self._clock is not None and left is not None:
            self._clock.reschedule(asyncio.get_running_loop().time() + left)

    def over(self, error: BaseException | None = None) -> None:
        """Tell of it, once."""
        if self._gate is None or self._told:
            return
        self._told = True
        host, port = _place(self._url)
        self._gate.told(
            Egress(
                "", host, port, self.address, self._method, bare_url(self._url), self.sent, self.received, self.status,
                self._at, time.perf_counter() - self._began, _reason(error), self._through,
            )
        )  # fmt: skip


def _place(url: str) -> tuple[str, int]:
    """The host of a URL, and the port that is meant."""
    host = host_of(url)
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return name, int(port)
    return host, 443 if url.startswith("https:") else 80


def _reason(error: BaseException | None) -> str:
    """Why there was no answer, in a line; nothing of an error that is not ours, which may repeat a secret."""
    if error is None:
        return ""
    if isinstance(error, PhloemError):
        return error.message
    if isinstance(error, asyncio.CancelledError | TimeoutError):
        return "it was broken off"
    return type(error).__name__


def _literal(host: str) -> list[str]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.strip("[]"))
        except (OSError, ValueError):
            continue
        return [host.strip("[]")]
    return []


def _loopback(host: str) -> list[str]:
    """This machine, by the names that RFC 6761 keeps for it: no name server has a say in them."""
    name = host.lower().removesuffix(".")
    return ["127.0.0.1", "::1"] if name == "localhost" or name.endswith(".localhost") else []


async def _resolved(host: str, port: int) -> list[str]:
    looked_up: Future[list[Any]] = Future()

    def look_up() -> None:
        looked_up.set_running_or_notify_cancel()
        try:
            looked_up.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:
            looked_up.set_exception(error)

    # Not the loop's own threads, which are few: a name server that does not answer would hold up the others, and the
    # end of the program.
    threading.Thread(target=look_up, name="phloem look-up", daemon=True).start()
    found = await asyncio.wrap_future(looked_up)
    return list(dict.fromkeys(str(one[4][0]) for one in found))[:ENOUGH_ADDRESSES]
