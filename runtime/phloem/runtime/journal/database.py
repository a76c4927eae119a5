"""The journal's tables, and how they are opened: private to the user, shared by every process of one home.

A database that turns out to be damaged is set aside under another name, so that the next run has a journal; what it
held is not touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from phloem.runtime.errors import JournalError

__all__ = [
    "connect",
    "damaged_databases",
    "failure",
    "inode_of",
    "is_damage",
    "is_full",
    "is_there",
    "read_only",
    "set_aside",
    "transaction",
]

NAME: Final = "journal.db"
VERSION: Final = 1
PATIENCE: Final = 60.0
"""Seconds to wait for another process that writes."""

_making: Final = threading.Lock()

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS runs(
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, file TEXT NOT NULL,
    status TEXT NOT NULL, began REAL NOT NULL, ended REAL, seconds REAL NOT NULL DEFAULT 0,
    tokens_in INTEGER NOT NULL DEFAULT 0, tokens_out INTEGER NOT NULL DEFAULT 0, money REAL NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '', owner TEXT NOT NULL, cancel INTEGER NOT NULL DEFAULT 0, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS pieces(number INTEGER PRIMARY KEY, run INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS pieces_of_run ON pieces(run);
CREATE TABLE IF NOT EXISTS files(
    run INTEGER NOT NULL, hash BLOB NOT NULL, size INTEGER NOT NULL, PRIMARY KEY(run, hash)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_of_file ON files(hash);
CREATE TABLE IF NOT EXISTS questions(
    run INTEGER NOT NULL, node TEXT NOT NULL, question BLOB NOT NULL, answer BLOB, answered REAL,
    PRIMARY KEY(run, node)) WITHOUT ROWID;
"""


def connect(folder: Path, notices: list[str]) -> sqlite3.Connection:
    """The journal in a folder, made if there is none yet; JournalError if that cannot be. What happened to a
    damaged one is told in `notices`."""
    inode = 0
    for last_try in (False, True):
        try:
            return _connect(folder)
        except (sqlite3.Error, OSError) as error:
            if last_try or not is_damage(error):
                raise failure(error, folder) from error
            inode = inode_of(folder)
            with contextlib.suppress(OSError):
                notices.extend(set_aside(folder, inode))
    raise AssertionError


def _connect(folder: Path) -> sqlite3.Connection:
    path = folder / NAME
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # To close a file gives up every lock that this process has on it, SQLite's too: so one that is there is not opened,
    # and one that is not is made before anybody here can have a lock on it.
    with _making, contextlib.suppress(FileExistsError):
        # SQLite gives what it puts beside it the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False, isolation_level=None)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise JournalError(
            "the record of runs was written by a newer version of Phloem",
            hint="Use that version, or let PHLOEM_HOME name another folder.",
        )
    if version < VERSION:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    _patiently(connection, "PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    if version < VERSION:
        with transaction(connection):
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")


def read_only(folder: Path) -> sqlite3.Connection | None:
    """The journal for one who only looks, None if there is none; JournalError if it cannot be opened."""
    if not is_there(folder):
        return None
    address = (folder / NAME).absolute().as_uri()
    # On a file system that may not be written SQLite reads only what is sure not to change.
    for mode in ("mode=rw", "mode=ro", "mode=ro&immutable=1"):
        connection = None
        try:
            connection = sqlite3.connect(
                f"{address}?{mode}", uri=True, timeout=PATIENCE, check_same_thread=False, isolation_level=None
            )
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                connection.close()
                return None
            connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone()
            if version > VERSION:
                _prepare(connection)
            return connection
        except (sqlite3.Error, JournalError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, JournalError):
                raise
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or "immutable" in mode:
                raise failure(error, folder) from error
    raise AssertionError


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written within, or nothing. It has the right to write from the start, so it never fails halfway
    for want of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def is_damage(error: BaseException | None) -> bool:
    """True if the database itself is broken, as opposed to busy, full or not to be written."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: BaseException) -> bool:
    """True if the disk has no room for what was to be written."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))


def is_there(folder: Path) -> bool:
    """True if there is a journal in the folder; JournalError if that cannot be told."""
    try:
        return (folder / NAME).stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise failure(error, folder) from error


def inode_of(folder: Path) -> int:
    """Which file the journal is now; 0 if there is none."""
    try:
        return (folder / NAME).stat().st_ino
    except OSError:
        return 0


def set_aside(folder: Path, inode: int) -> list[str]:
    """Give a damaged database another name, with what belongs to it, unless another process has done so: `inode` says
    which file it was. What there is to tell about it; OSError if it cannot be renamed."""
    path = folder / NAME
    if not inode or inode_of(folder) != inode:
        return []
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside, number = folder / f"journal-{stamp}.damaged.db", 1
    while aside.exists():
        number += 1
        aside = folder / f"journal-{stamp}-{number}.damaged.db"
    # The log first: one that is left would be taken for that of the next database.
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return [f"the record of runs was damaged, and a new one was begun; what it held before is kept in {aside}"]


def damaged_databases(folder: Path) -> list[Path]:
    """Those that were set aside, the oldest first."""
    return sorted(folder.glob("journal-*.damaged.db"))


def failure(error: Exception, folder: Path) -> JournalError:
    """What kept the journal from being written or read, in words, with what to do."""
    if isinstance(error, JournalError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    number = error.errno if isinstance(error, OSError) else None
    if is_full(error):
        return JournalError(
            f"the record of the run cannot be written: the disk of {folder} is full",
            hint="Make room: `phloem runs gc --older 7d` drops old runs; the folder `cache` beside it may go too.",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or number in (
        errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
    ):  # fmt: skip
        return JournalError(
            f"the record of runs in {folder} cannot be opened: {_reason(error)}",
            hint="Let PHLOEM_HOME name a folder that you may write to.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalError(
            f"the record of runs in {folder} is held by another process for more than {PATIENCE:g} s",
            hint="Find the phloem that hangs, and end it.",
        )
    if is_damage(error):
        return JournalError(
            f"the record of runs in {folder} is damaged",
            hint="`phloem runs gc` sets it aside under another name, and the next run begins a new one.",
        )
    return JournalError(
        f"the record of runs in {folder} cannot be used: {_reason(error)}",
        hint="Is the disk full, or a limit on the size of files too low?",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Run a statement for which SQLite does not wait, whatever the timeout, while another connection does the same."""
    for attempts_left in range(500, -1, -1):
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not attempts_left or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(0.01)
