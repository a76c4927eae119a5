"""Reading and writing files so that nobody ever sees half of one."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

__all__ = ["file_digest", "replace_file"]


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, make it durable, and put it in its place; OSError leaves the old file whole."""
    beside = path.with_name(f".{path.name[:60]}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system lets a folder be synced."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """A hash of a file's content; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    except OSError:
        return ""
