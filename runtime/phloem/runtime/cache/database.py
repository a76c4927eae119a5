"""The cache's table: how it is opened, written and kept small. One that is damaged is moved out of the way."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["NAME", "Row", "connect", "insert", "prune", "set_aside", "transaction"]

NAME: Final = "results.db"
Row = tuple[bytes, bytes, int, float]
"""Key, record, size in bytes, and when it was used last, in seconds since 1970."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS results(
    key BLOB NOT NULL UNIQUE, record BLOB NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS files(hash BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY(hash, key)) WITHOUT ROWID;
"""


def connect(folder: Path) -> sqlite3.Connection:
    """The database in a folder, made if there is none, and made anew if it is damaged; sqlite3.Error or OSError if
    that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    for last_try in (False, True):
        connection = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        try:
            _use_wal(connection)
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            return connection
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError:
            connection.close()
            if last_try:
                raise
            set_aside(path)
    raise AssertionError


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. While another connection does the same SQLite says `locked` at once, whatever
    the timeout, so it is tried again for a while."""
    for attempts_left in range(100, -1, -1):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not attempts_left or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(0.01)


def set_aside(path: Path) -> None:
    """Move a damaged database out of the way, with what belongs to it."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(part.with_name(f"{part.name}.damaged"))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is done in it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Put rows in, or in the place of others with their keys, by few statements.

    After each statement a thread has to get the interpreter back. One for each row, as `executemany` does it, made
    a run that looked for results meanwhile take half as much processor time again (measured).
    """
    at, size = 0, 128
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        statement = "INSERT OR REPLACE INTO results VALUES " + ", ".join(["(?, ?, ?, ?)"] * size)
        connection.execute(statement, [value for row in rows[at : at + size] for value in row])
        at += size


def prune(connection: sqlite3.Connection, limit: int) -> set[str] | None:
    """If the results take more than `limit` bytes, drop those used longest ago, down to three quarters of it.

    The names of the files that are still wanted then; None if nothing had to be dropped.
    """
    total = connection.execute("SELECT coalesce(sum(size), 0) FROM results").fetchone()[0]
    if total <= limit:
        return None
    surplus = total - limit * 3 // 4
    doomed = []
    for key, size in connection.execute("SELECT key, size FROM results ORDER BY used"):
        doomed.append((key,))
        surplus -= size
        if surplus <= 0:
            break
    connection.executemany("DELETE FROM results WHERE key = ?", doomed)
    connection.executemany("DELETE FROM files WHERE key = ?", doomed)
    return {bytes(row[0]).hex() for row in connection.execute("SELECT hash FROM files")}
