"""The run's side of the way to one worker: what is sent there, and the large values that go to and fro."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from phloem.runtime.cluster.dask import Inbox
from phloem.runtime.cluster.messages import Outbox
from phloem.runtime.cluster.values import Seen

if TYPE_CHECKING:
    from phloem.runtime.cache import Stored

__all__ = ["Desk"]


class Desk:
    """The way to one worker. `known` are the large values that it has, `held` those that this side has got from
    workers; `failed` is called when nothing can be sent there any more."""

    def __init__(self, worker: str, inbox: Inbox, held: Seen, failed: Callable[[Exception], None]) -> None:
        self.worker = worker
        self.held = held
        self.known: set[bytes] = set()
        self._inbox = inbox
        self._outbox = Outbox(inbox.put, failed)
        self._wanted: dict[bytes, asyncio.Future[bytes | None]] = {}

    def put(self, *message: Any) -> None:
        """Have a message sent."""
        self._outbox.put(*message)

    def give(self, stored: Stored) -> None:
        """Send a large value, unless the worker has it."""
        if stored.hash not in self.known:
            self.known.add(stored.hash)
            self.put("value", stored.hash, stored.data)

    def give_again(self, stored: Stored) -> None:
        """Send a large value that the worker had, and lacks."""
        self.known.discard(stored.hash)
        self.give(stored)

    def take(self, content: bytes, data: bytes) -> None:
        """A large value has come from there; ValueError for one that is damaged."""
        self.held.keep(content, data)
        self.known.add(content)
        self._settle(content, data)

    def gone(self, content: bytes) -> None:
        """A large value is not there any more."""
        self.known.discard(content)
        self._settle(content, None)

    def left(self) -> None:
        """The worker is gone: nothing more comes from there."""
        for content in list(self._wanted):
            self.gone(content)

    async def fetch(self, content: bytes) -> bytes | None:
        """The bytes of a large value that came from there before, and is not held here any more; None if it is lost."""
        if content not in self._wanted:
            self._wanted[content] = asyncio.get_running_loop().create_future()
            self.put("lacks", content)
        return await asyncio.shield(self._wanted[content])

    def _settle(self, content: bytes, data: bytes | None) -> None:
        waiting = self._wanted.pop(content, None)
        if waiting is not None:
            waiting.set_result(data)

    async def sent(self) -> None:
        """Return when all that was put has arrived, or nothing more can."""
        await self._outbox.sent()

    def close(self) -> None:
        """Let go of the queue, for the worker too."""
        self._inbox.close(of_worker=True)
