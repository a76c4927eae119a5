"""How long a piece of work may take: a clock that stands still while something in it waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from phloem.runtime.errors import NodeError

__all__ = ["Clock"]


class Clock:
    """The time of one attempt, of a node or of a body; `around` is that of what it is part of.

    It stands while anything in it waits for a time, a person or a grant, and so do those around it; that of another
    item goes on. Used on the loop of the run.
    """

    __slots__ = ("_counts", "_left", "_timeout", "_waits", "around")

    def __init__(self, around: Clock | None = None) -> None:
        self.around = around
        self._timeout: asyncio.Timeout | None = None
        self._left: float | None = None
        self._waits = 0
        self._counts = False

    @asynccontextmanager
    async def bounds(self, seconds: float | None, error: Callable[[], NodeError]) -> AsyncIterator[None]:
        """Interrupt what is inside when the time is up, and raise `error()` for it. None begins with `start`."""
        try:
            async with asyncio.timeout(None) as self._timeout:
                self._counts = True
                if seconds is not None:
                    self.start(seconds)
                try:
                    yield
                finally:
                    self._counts = False
        except TimeoutError:
            if self.expired:
                raise error() from None
            raise

    def start(self, seconds: float) -> None:
        """Begin to count."""
        self._left = seconds
        if not self._waits:
            self._run()

    @property
    def expired(self) -> bool:
        """True once the time is up."""
        return self._timeout is not None and self._timeout.expired()

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Have this clock and those around it stand meanwhile."""
        clocks = [self]
        while (around := clocks[-1].around) is not None:
            clocks.append(around)
        for one in clocks:
            one._stand()
        try:
            yield
        finally:
            for one in clocks:
                one._go_on()

    def _stand(self) -> None:
        self._waits += 1
        live = self._live
        when = None if live is None else live.when()
        if live is not None and when is not None:
            self._left = when - asyncio.get_running_loop().time()
            live.reschedule(None)

    def _go_on(self) -> None:
        self._waits -= 1
        if not self._waits:
            self._run()

    def _run(self) -> None:
        live = self._live
        if live is not None and self._left is not None:
            live.reschedule(asyncio.get_running_loop().time() + self._left)

    @property
    def _live(self) -> asyncio.Timeout | None:
        """What can still run out: whoever waits for a grant in a thread may outlive what the clock was for."""
        return self._timeout if self._counts and not self.expired else None
