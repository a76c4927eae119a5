"""A lock that the operating system lets go of when the process that holds it ends, however it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

__all__ = ["Lock"]

TRIES: Final = 40
"""How often it is tried, 5 ms apart: whoever only looks whether a lock is free holds it for a moment."""


class Lock:
    """A lock on a file, made if need be. On POSIX a process that is started with its `handle` holds it too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = -1

    def take(self, *, shared: bool = False) -> bool:
        """Take it if nobody else has it; several may have a shared one. OSError if the file cannot be made."""
        return self._take(shared, TRIES)

    def _take(self, shared: bool, tries: int) -> bool:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        for left in reversed(range(tries)):
            if _locked(handle, shared):
                self.handle = handle
                return True
            if left:
                time.sleep(0.005)
        os.close(handle)
        return False

    def release(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    @staticmethod
    def is_free(path: Path) -> bool:
        """True if nobody holds the lock on that file."""
        if not path.exists():
            return True
        lock = Lock(path)
        try:
            return lock._take(False, 3)
        except OSError:
            return True
        finally:
            lock.release()


def _locked(handle: int, shared: bool) -> bool:
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            import msvcrt

            # Windows has no shared ones: whoever asks for one does without.
            if not shared:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
