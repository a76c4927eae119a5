"""The models that are in memory, each in its process: idle ones make room for others, and leave after a while."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Final

from phloem.nodes.services.models.local.process import ModelProcess, Receiver
from phloem.runtime.errors import NodeError

__all__ = ["Shelf"]

IDLE: Final = 600.0
"""Seconds after which a model that nobody asked is unloaded."""
LOOK: Final = 1.0
"""Seconds between two looks at how the processes do."""
OVERHEAD: Final = 80_000_000
"""Bytes that a process takes besides the model: Python, the library and what it computes with."""


class Shelf:
    """Processes by a key that stands for one model, started when first needed. Any thread may use it.

    `memory` gives the bytes that all of them may take together. One that is loaded waits until idle ones have
    been unloaded, the one that was used longest ago first, and until busy ones become idle if that is not enough.
    """

    def __init__(self, memory: Callable[[], int]) -> None:
        self._memory = memory
        self._processes: dict[Hashable, ModelProcess] = {}
        self._changed = threading.Condition()
        self._watcher: threading.Thread | None = None
        _shelves.add(self)

    def ask(
        self, key: Hashable, name: str, load: list[Any], kind: str, content: list[Any], receiver: Receiver
    ) -> tuple[ModelProcess, int]:
        """Send a request to the process of that key; the process, and the number under which it can be cancelled.

        If there is none, the message `load` tells a new one what to load. ServiceError if that has ended at once.
        """
        # An idle process is only unloaded under the same lock, and with a request it is not idle.
        with self._changed:
            process = self._processes.get(key)
            if process is not None:
                try:
                    return process, process.ask(kind, content, receiver)
                except NodeError:
                    if not process.ended:
                        raise
            process = self._processes[key] = ModelProcess(name, load, self._make_room, self._look)
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(target=self._watch, name="phloem models", daemon=True)
                self._watcher.start()
            return process, process.ask(kind, content, receiver)

    def find(self, key: Hashable) -> ModelProcess | None:
        """The process of that key, if it is there."""
        with self._changed:
            process = self._processes.get(key)
        return process if process is not None and not process.ended else None

    def close(self) -> None:
        """Stop and end every process."""
        with self._changed:
            processes, self._processes = list(self._processes.values()), {}
        for process in processes:
            process.kill()
        self._look()
        for process in processes:
            process.close()

    def kill(self) -> None:
        """End every process at once."""
        for process in list(self._processes.values()):
            process.kill()

    def _make_room(self, process: ModelProcess, need: int) -> None:
        """Wait until there is memory for that process; unload idle ones for it."""
        need += OVERHEAD
        while True:
            with self._changed:
                others = [one for one in self._processes.values() if one is not process and not one.ended]
                missing = sum(one.need for one in others) + need - max(self._memory(), need)
                idle = sorted((one for one in others if one.need and one.idle), key=lambda one: one.used)
                if missing <= 0 or process.ended:
                    process.need = need
                    return
                if not idle:
                    self._changed.wait(LOOK)
                    continue
                self._drop(idle[0])
            idle[0].close()

    def _drop(self, process: ModelProcess) -> None:
        self._processes = {key: one for key, one in self._processes.items() if one is not process}

    def _look(self) -> None:
        """A process has become idle, or has ended."""
        with self._changed:
            self._changed.notify_all()

    def _watch(self) -> None:
        """Until nothing is left: end what hangs, and what nobody used for long."""
        while True:
            time.sleep(LOOK)
            with self._changed:
                for ended in [one for one in self._processes.values() if one.ended]:
                    self._drop(ended)
                if not self._processes:
                    self._watcher = None
                    return
                processes = list(self._processes.values())
                now = time.monotonic()
                old = [one for one in processes if one.idle and now - one.used > IDLE]
                for one in old:
                    self._drop(one)
            for one in processes:
                one.watch()
            for one in old:
                one.close()


_shelves: weakref.WeakSet[Shelf] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    # The processes belong to the program that was forked, whatever its copy does.
    os.register_at_fork(after_in_child=_shelves.clear)


@atexit.register
def _leave() -> None:
    """No process outlives the program."""
    for shelf in list(_shelves):
        shelf.kill()
