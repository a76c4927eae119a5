"""Which results a database does not have, known without asking it.

To look for a result that is not there costs as much as a node of the engine, and each look lets other threads have
the interpreter. So the keys are read at once, when it has been asked in vain so often that this pays.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable
from typing import Final

__all__ = ["KnownKeys"]

LEAST: Final = 32
"""Looks in vain before the keys are read at all."""
ROWS_PER_LOOK: Final = 16
"""Keys that are read in the time that one look in vain takes."""
MOST: Final = 200_000
"""Keys beyond which they are never read: they would take more than 20 MB."""
BELIEVED: Final = 1.0
"""Seconds after which it is seen what other processes have added."""
_BEGINNING: Final = 8
"""Bytes of a key that are remembered. Two that begin alike cost a look, and no more."""


class KnownKeys:
    """The keys of one database, as its reader sees them. All but `lacks` not for several threads at once."""

    def __init__(self) -> None:
        self._keys: set[bytes] | None = None
        self._last = 0
        self._until = 0.0
        self._vain = 0
        self._next: float = LEAST

    def lacks(self, key: bytes) -> bool:
        """True if the database has nothing under `key`, but for what another process has put there within the last
        second. False if that is not known. From any thread."""
        keys = self._keys
        return keys is not None and key[:_BEGINNING] not in keys and time.monotonic() < self._until

    def read_on(self, connection: sqlite3.Connection) -> None:
        """Take in what other processes have added, if a second has passed: rows are numbered in the order in which
        they come. sqlite3.Error as a look would raise it."""
        if self._keys is None or time.monotonic() < self._until:
            return
        for number, key in connection.execute("SELECT rowid, key FROM results WHERE rowid > ?", (self._last,)):
            self._keys.add(key[:_BEGINNING])
            self._last = max(self._last, number)
        self._until = time.monotonic() + BELIEVED

    def looked_in_vain(self, connection: sqlite3.Connection) -> None:
        """There was nothing under a key. sqlite3.Error as a look would raise it."""
        self._vain += 1
        if self._keys is not None or self._vain < self._next:
            return
        # Unless there is a reason to ask again.
        self._next = math.inf
        rows = connection.execute("SELECT max(rowid) FROM results").fetchone()[0] or 0
        if rows > MOST:
            return
        if rows > self._vain * ROWS_PER_LOOK:
            self._next = rows / ROWS_PER_LOOK
        else:
            self._keys = {key[:_BEGINNING] for (key,) in connection.execute("SELECT key FROM results")}
            self._last = rows
            self._until = time.monotonic() + BELIEVED

    def add(self, keys: Iterable[bytes]) -> None:
        """This process has put something under these keys."""
        if self._keys is not None:
            self._keys.update([key[:_BEGINNING] for key in keys])
