"""Large values, each in a file named by its content hash. A file that is there is whole."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from phloem.runtime.cache import Stored, value_file
from phloem.runtime.disk import sync_folder

__all__ = ["ValueFiles"]

YOUNG: Final = 3600.0
"""Seconds after which what looks left behind is no longer being made."""

_PIECE: Final = 1 << 20
_NAME: Final = re.compile("[0-9a-f]{40}")


class ValueFiles:
    """The files in one folder. `cache` is a folder of the cache: what it has is linked instead of written again."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self.cache = cache

    def path(self, hash: bytes) -> Path:
        return self.folder / hash.hex()

    def stored(self, hash: bytes) -> Stored:
        """The value behind a hash; it is read when it is asked for."""
        return Stored(hash, path=self.path(hash))

    def has(self, hash: bytes, size: int) -> bool:
        """True if the value is there, at its full length."""
        try:
            return self.path(hash).stat().st_size == size
        except OSError:
            return False

    def write(self, values: Mapping[bytes, bytes]) -> None:
        """Have a file for each of `values`, by hash, and all of them durable; OSError if that cannot be."""
        new = {hash: data for hash, data in values.items() if not self.has(hash, len(data))}
        if not new:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside: list[tuple[Path, Path]] = []
        try:
            for hash, data in new.items():
                temporary = self.folder / f".{secrets.token_hex(8)}"
                beside.append((temporary, self.path(hash)))
                if not self._linked(hash, data, temporary):
                    _written(temporary, data)
            # All are written before the first is synced: then the disk has to be waited for once.
            for temporary, _ in beside:
                _sync(temporary)
            for temporary, path in beside:
                temporary.replace(path)
        except BaseException:
            for temporary, _ in beside:
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)

    def touch(self, hash: bytes) -> bool:
        """True if the file is there; it then has the time of its last use."""
        try:
            os.utime(self.path(hash))
        except FileNotFoundError:
            return False
        return True

    def leftovers(self, kept: set[bytes]) -> list[tuple[Path, int]]:
        """The values that are not among `kept`, with their sizes in bytes, and what was left half written long ago."""
        names, found = {one.hex() for one in kept}, []
        try:
            entries = list(os.scandir(self.folder))
        except OSError:
            return []
        for entry in entries:
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            half = entry.name.startswith(".")
            if (half and time.time() - about.st_mtime < YOUNG) or (not half and not _NAME.fullmatch(entry.name)):
                continue
            if entry.name not in names and entry.is_file(follow_symlinks=False):
                found.append((Path(entry.path), about.st_size))
        return found

    def _linked(self, hash: bytes, data: bytes, path: Path) -> bool:
        """Make `path` a second name of the cache's file, if that has exactly this content."""
        if self.cache is None:
            return False
        theirs = value_file(self.cache, hash)
        try:
            os.link(theirs, path)
            if _holds(path, data):
                # The link has the age of the file, and what is half written and old is swept.
                os.utime(path)
                return True
            path.unlink()
        except OSError:
            # Another disk, a file system without links, or nothing there.
            path.unlink(missing_ok=True)
        return False


def _holds(path: Path, data: bytes) -> bool:
    """True if the file has exactly this content: the cache does not sync what it writes, so it may not."""
    if path.stat().st_size != len(data):
        return False
    with path.open("rb", buffering=0) as file:
        return all(file.read(_PIECE) == data[at : at + _PIECE] for at in range(0, len(data), _PIECE))


def _written(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
