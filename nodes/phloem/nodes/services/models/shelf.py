"""The models that are in memory, each with its owner: the one used longest ago makes room for a new one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from phloem.nodes.services.models.owner import Engine, Job, Owner

__all__ = ["Shelf"]

Result = TypeVar("Result")

MOST: Final = 4
"""Models in memory at once, unless more are at work."""


class Shelf:
    """Owners by a key that stands for one model, made when first needed. Any thread may use it."""

    def __init__(self) -> None:
        self._owners: dict[Hashable, Owner[Any]] = {}
        self._lock = threading.Lock()

    def submit(
        self, key: Hashable, name: str, load: Callable[[], Engine], work: Callable[[Any], Result]
    ) -> Job[Result]:
        """Have `work` called with the model of that key, which `load` makes if it is not in memory."""
        with self._lock:
            owner = self._owners.pop(key, None) or Owner(name, load)
            self._owners[key] = owner
            job = owner.submit(work)
            self._make_room()
        return job

    def close(self, seconds: float | None = None) -> None:
        """Stop and free every model, waiting at most `seconds` for each."""
        with self._lock:
            owners, self._owners = list(self._owners.values()), {}
        for owner in owners:
            owner.close(seconds)

    def _make_room(self) -> None:
        for key in [key for key, owner in self._owners.items() if owner.idle]:
            if len(self._owners) <= MOST:
                return
            self._owners.pop(key).close(0)
