"""Named resources that bound what runs together: the network, a model, a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["Resources"]

CAPACITIES: Final = {"net": 16, "model": 8, "browser": 2}
_UNLIMITED: Final = 64


class Resources:
    """Places in named resources. The capacity of `model:NAME` is that of `model` unless it has its own.

    The runs of one event loop share the places.
    """

    def __init__(self, capacities: Mapping[str, int] | None = None) -> None:
        self._capacities = {**CAPACITIES, **(capacities or {})}
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = WeakKeyDictionary()

    @asynccontextmanager
    async def hold(self, names: Sequence[str]) -> AsyncIterator[None]:
        """Wait for a place in each of `names` (sorted, so that two holders never wait for each other)."""
        held: list[asyncio.Semaphore] = []
        try:
            for name in names:
                place = self._place(name)
                await place.acquire()
                held.append(place)
            yield
        finally:
            for place in reversed(held):
                place.release()

    def _place(self, name: str) -> asyncio.Semaphore:
        places = self._places.setdefault(asyncio.get_running_loop(), {})
        if name not in places:
            capacity = self._capacities.get(name) or self._capacities.get(name.partition(":")[0], _UNLIMITED)
            places[name] = asyncio.Semaphore(capacity)
        return places[name]
