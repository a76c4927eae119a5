"""Opening exactly the file that was allowed, whatever has become of the links on the way to it since.

Permissions follow every link of a path and then decide. What they allow is a path without a link in it, and here it
is opened so that none is followed: where one stands now, somebody put it there in between, and the file is refused.
Linux goes down from the root folder by folder, macOS refuses any link itself (O_NOFOLLOW_ANY). Elsewhere what was
opened is compared with what stands at the path, so that nothing is read or written elsewhere; but whoever exchanges a
folder in just that moment can have an empty file made in another.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BufferedReader
from pathlib import Path
from typing import Final, Literal

__all__ = ["digest_exactly", "open_exactly", "write_exactly"]

_BY_PARTS: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
_NO_LINK_AT_ALL: Final = getattr(os, "O_NOFOLLOW_ANY", 0)
_TO_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY)
"""A folder on the way needs to let us through, not to be read, where the system knows the difference."""
_PLAIN: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
"""A pipe without a writer would keep us waiting before we could see that it is none."""


def open_exactly(path: Path) -> BufferedReader:
    """A regular file, to read. `path` is absolute and has no links. OSError as the system gives it; ELOOP if there is a
    link in it after all, EINVAL if it is no regular file."""
    with _folder_of(path) as (folder, name):
        # Some devices do something when they are opened, so they are not.
        _check_kind(os.stat(path if folder is None else name, dir_fd=folder, follow_symlinks=False))
        handle = _open(folder, name, os.O_RDONLY | _NO_WAIT, path)
    try:
        _check_kind(os.fstat(handle))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_kind(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a file")


def digest_exactly(path: Path) -> str:
    """A hash of the file's content, the same as `disk.file_digest`; empty if it cannot be read."""
    try:
        with open_exactly(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    except OSError:
        return ""


def write_exactly(path: Path, data: bytes, mode: Literal["replace", "append", "new"]) -> None:
    """Write a file, making its folders. `path` is absolute and has no links; a link in it now is an OSError (ELOOP).

    One that is replaced is never seen half written, and keeps who may read it. FileExistsError for `new` where one is.
    """
    with _folder_of(path, make=True) as (folder, name):
        if mode == "replace":
            _replace(folder, name, data, path)
            return
        flags = os.O_WRONLY | os.O_CREAT | _NO_WAIT | (os.O_APPEND if mode == "append" else os.O_EXCL)
        handle = _open(folder, name, flags, path)
        try:
            with os.fdopen(handle, "ab" if mode == "append" else "wb") as file:
                _check_kind(os.fstat(handle))
                file.write(data)
        except BaseException:
            if mode == "new":
                # Another attempt would find the half of it, and take it for somebody else's file.
                _remove(folder, name if folder is not None else str(path))
            raise


def _replace(folder: int | None, name: str, data: bytes, path: Path) -> None:
    """Write beside the file, make it durable, and put it in its place."""
    # 40 characters have at most 160 bytes, and a name 255.
    beside = f".{name[:40]}.{secrets.token_hex(8)}"
    handle = _open(folder, beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path.with_name(beside))
    place, made = (name, beside) if folder is not None else (str(path), str(path.with_name(beside)))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
            with suppress(FileNotFoundError):
                before = os.stat(place, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISDIR(before.st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if stat.S_ISREG(before.st_mode):
                    # Windows changes modes by name only.
                    os.chmod(handle if os.chmod in os.supports_fd else made, stat.S_IMODE(before.st_mode))  # noqa: PTH101
        os.replace(made, place, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(folder, made)
        raise
    if folder is not None:
        _make_durable(folder)


def _remove(folder: int | None, name: str) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _make_durable(folder: int) -> None:
    """Let the new name survive a power cut, where the system syncs folders."""
    with suppress(OSError):
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        try:
            os.fsync(readable)
        finally:
            os.close(readable)


@contextmanager
def _folder_of(path: Path, *, make: bool = False) -> Iterator[tuple[int | None, str]]:
    """The folder of `path`, open, and the name in it; None for the folder where the system has no such thing."""
    if not path.is_absolute() or not path.name:
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not _BY_PARTS:
        if os.path.realpath(path.parent) != str(path.parent):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield None, path.name
        return
    handle = _descend(path.parent, make=make)
    try:
        yield handle, path.name
    finally:
        os.close(handle)


def _descend(folder: Path, *, make: bool) -> int:
    """An open folder, reached through no link."""
    if _NO_LINK_AT_ALL:
        with suppress(FileNotFoundError) if make else nullcontext():
            return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | _NO_LINK_AT_ALL)
    handle = os.open(folder.anchor, _TO_PASS | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folder.parts[1:]:
            inner = _step(part, handle, make=make)
            os.close(handle)
            handle = inner
    except BaseException:
        os.close(handle)
        raise
    return handle


def _step(part: str, folder: int, *, make: bool) -> int:
    """The folder `part` of an open folder, open."""
    flags = _TO_PASS | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(part, flags, dir_fd=folder)
    except NotADirectoryError:
        _complain_of_link(part, folder)
        raise
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(part, dir_fd=folder)
    return os.open(part, flags, dir_fd=folder)


def _complain_of_link(name: str, folder: int) -> None:
    """ELOOP if it is a link that is no folder: Linux says only that it is none."""
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _open(folder: int | None, name: str, flags: int, path: Path) -> int:
    if folder is not None:
        return os.open(name, flags | _PLAIN, 0o666, dir_fd=folder)
    handle = os.open(path, flags | _PLAIN, 0o666)
    # What stands at the path, with all links followed, has to be what the path says and what was opened.
    if os.path.realpath(path) != str(path) or not os.path.samestat(os.fstat(handle), path.stat()):
        os.close(handle)
        raise OSError(errno.ELOOP, "a link stands where there was none")
    return handle
