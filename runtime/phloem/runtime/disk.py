"""Reading and writing files so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from pathlib import Path

__all__ = ["file_digest", "replace_file", "sync_folder"]


def replace_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write `data` beside `path`, make it durable, and put it in its place; OSError leaves the old file whole.

    A `private` file only its owner may read; else who may read the old one may read the new one.
    """
    beside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(beside, flags, 0o600 if private else 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not private and path.exists():
            beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system lets a folder be synced: some file systems do not, and no system one
    that may be written and not read."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """A hash of a file's content; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    except OSError:
        return ""
