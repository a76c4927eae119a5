"""Tasks that go on beside what began them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

__all__ = ["Tasks"]

ENDS_WITHIN: Final = 2.0
"""Seconds that a task has to end in once it is cancelled."""


class Tasks:
    """Tasks of one loop; `failed` is called with what one of them raised."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._seen_to(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _seen_to(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._failed(error)

    async def close(self) -> None:
        """Cancel them all."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ENDS_WITHIN)
