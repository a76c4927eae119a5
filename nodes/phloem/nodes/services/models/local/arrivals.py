"""What comes for one request, on its way from the thread that reads it to the event loop that waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from phloem.runtime.errors import NodeError

__all__ = ["Arrivals"]


class Arrivals:
    """A receiver of messages for the event loop that made it. What has piled up arrives together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._messages: deque[list[Any]] = deque()
        self._ready = asyncio.Event()
        self._told = False
        self._error: NodeError | None = None

    def put(self, message: list[Any]) -> None:
        """Add a message; from any thread."""
        self._messages.append(message)
        self._tell()

    def fail(self, error: NodeError) -> None:
        """Nothing more comes, because of this; from any thread."""
        self._error = error
        self._tell()

    async def take(self) -> list[list[Any]]:
        """Wait until there is something, and take all of it. The error, if there was one, after the last message."""
        while not self._messages:
            if self._error is not None:
                raise self._error
            await self._ready.wait()
            self._ready.clear()
            # Before the messages are taken: what is added from now on tells again.
            self._told = False
        taken = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            return  # The loop has ended, and with it whoever waited.
