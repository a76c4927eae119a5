"""Locks that the operating system lets go of when a process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path

__all__ = ["Hold", "is_held"]


class Hold:
    """A file of its own, locked as long as this process lives or until `release`. OSError if it cannot be made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _lock(self._handle, shared=False)
        except OSError:
            self.release()
            raise
        _holds.add(self)

    def release(self) -> None:
        """Let go and remove the file."""
        if self._handle is not None:
            # Windows removes no file that is open.
            self._let_go()
            self.path.unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


_holds: weakref.WeakSet[Hold] = weakref.WeakSet()


def _let_all_go() -> None:
    for hold in list(_holds):
        hold._let_go()


if hasattr(os, "register_at_fork"):
    # A child that outlives us would keep our locks.
    os.register_at_fork(after_in_child=_let_all_go)


def is_held(path: Path) -> bool:
    """True while the process that made the Hold on `path` lives and has not released it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        # Not ours to look at: whoever may be there is left alone.
        return True
    try:
        # Shared, so that two who look at once do not take each other for the holder.
        _lock(handle, shared=True)
        return False
    except OSError:
        return True
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, *, shared: bool) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBRLCK if shared else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int, *, shared: bool) -> None:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
