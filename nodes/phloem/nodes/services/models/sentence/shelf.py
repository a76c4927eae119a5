"""The models that are in memory, each with its owner: the one used longest ago makes room for a new one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from phloem.nodes.services.models.sentence.folders import ModelFolder
from phloem.nodes.services.models.sentence.loaded import load
from phloem.nodes.services.models.sentence.owner import Job, Owner

__all__ = ["Shelf"]

Result = TypeVar("Result")

MOST: Final = 4
"""Models in memory at once, unless more are at work."""


class Shelf:
    """Owners of models, made when first needed. Any thread may use it."""

    def __init__(self) -> None:
        self._owners: dict[ModelFolder, Owner[Any]] = {}
        self._lock = threading.Lock()

    def __contains__(self, folder: ModelFolder) -> bool:
        with self._lock:
            return folder in self._owners

    def submit(self, folder: ModelFolder, work: Callable[[Any], Result]) -> Job[Result]:
        """Have `work` called with the model of that folder, which is loaded if it is not in memory."""
        with self._lock:
            owner = self._owners.pop(folder, None) or Owner(folder.name, partial(load, folder))
            self._owners[folder] = owner
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
        for folder in [folder for folder, owner in self._owners.items() if owner.idle]:
            if len(self._owners) <= MOST:
                return
            self._owners.pop(folder).close(0)
