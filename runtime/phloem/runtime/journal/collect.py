"""Dropping old runs, and the values that no run refers to any more, while other processes go on writing."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from phloem.runtime.errors import JournalError
from phloem.runtime.journal import database
from phloem.runtime.journal.locks import is_held
from phloem.runtime.journal.record import Summary
from phloem.runtime.journal.summaries import OWNERS, SUMMARY, Owners, summary_of
from phloem.runtime.journal.values import YOUNG, ValueFiles

__all__ = ["Collected", "collect", "keep_within"]

_DAY: Final = 86_400.0
_TABLES: Final = ("pieces", "files", "questions")


@dataclass(slots=True)
class Collected:
    """What was dropped, or would be: the runs, the number of files of values, and the bytes they had together."""

    runs: list[Summary] = field(default_factory=list)
    files: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Kept:
    """A run with the bytes that are its own, and its values in files, by hash."""

    number: int
    summary: Summary
    size: int
    files: dict[bytes, int]

    @property
    def last(self) -> float:
        return self.summary.ended or self.summary.began


def collect(
    folder: Path,
    files: ValueFiles,
    notices: list[str],
    *,
    older: float | None = None,
    keep_size: int | None = None,
    dry_run: bool = False,
) -> Collected:
    """See Journal.collect. A journal that is found damaged is set aside, and `notices` says so."""
    if not database.is_there(folder):
        return Collected()
    connection = database.connect(folder, notices)
    try:
        if not dry_run and not _is_sound(connection):
            inode = database.inode_of(folder)
            connection.close()
            notices.extend(database.set_aside(folder, inode))
            return Collected()
        doomed = _doomed(connection, folder, older, keep_size)
        leftovers = files.leftovers(_referred_to(connection, doomed))
        if not dry_run:
            # Where the disk is full each run has to make the room that is needed to drop the next.
            connection.execute("PRAGMA wal_autocheckpoint=20")
            doomed = [run for run in doomed if _dropped(connection, folder, files, run)]
        result = Collected([run.summary for run in doomed], 0, sum(run.size for run in doomed))
        for path, size in leftovers:
            if dry_run or _unlinked(connection, path):
                result.files, result.bytes = result.files + 1, result.bytes + size
        if not dry_run:
            _forget_the_dead(folder)
            # What is free in the file is used again, if it cannot be given back.
            with contextlib.suppress(sqlite3.OperationalError):
                _give_back(connection)
        return result
    except (sqlite3.Error, OSError) as error:
        if database.is_full(error):
            raise JournalError(
                f"no run can be dropped: the disk of {folder} is full to the last byte",
                hint="Free some space elsewhere first: the folder `cache` beside it only saves time, so it may go.",
            ) from error
        raise database.failure(error, folder) from error
    finally:
        connection.close()


def keep_within(folder: Path, files: ValueFiles, notices: list[str], size: int) -> None:
    """Drop the oldest runs until what is left has at most `size` bytes; looked at once a day. JournalError or OSError
    if that cannot be."""
    marker = folder / "collected"
    with contextlib.suppress(FileNotFoundError):
        # A clock that was put back must not keep it from looking for longer than that.
        if abs(time.time() - marker.stat().st_mtime) < _DAY:
            return
    marker.touch(mode=0o600)
    connection = database.connect(folder, notices)
    try:
        is_too_much = _size(_all(connection, folder)) > size
    except sqlite3.Error as error:
        raise database.failure(error, folder) from error
    finally:
        connection.close()
    if is_too_much:
        collect(folder, files, notices, keep_size=size)


def _is_sound(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if database.is_damage(error):
            return False
        raise


def _all(connection: sqlite3.Connection, folder: Path) -> list[_Kept]:
    """Every run, the oldest first."""
    pieces = dict(connection.execute("SELECT run, sum(length(data)) FROM pieces GROUP BY run"))
    files: dict[int, dict[bytes, int]] = {}
    for run, hash, size in connection.execute("SELECT run, hash, size FROM files"):
        files.setdefault(run, {})[hash] = size
    owners = Owners(folder)
    rows = connection.execute(f"SELECT {SUMMARY}, length(record) FROM runs ORDER BY coalesce(ended, began)")
    return [
        _Kept(row[0], summary_of(row[:-1], owners), row[-1] + pieces.get(row[0], 0), files.get(row[0], {}))
        for row in rows
    ]


def _size(runs: list[_Kept]) -> int:
    """The bytes of all of them, values that they share counted once."""
    shared: dict[bytes, int] = {}
    for run in runs:
        shared.update(run.files)
    return sum(run.size for run in runs) + sum(shared.values())


def _doomed(connection: sqlite3.Connection, folder: Path, older: float | None, keep_size: int | None) -> list[_Kept]:
    runs = _all(connection, folder)
    free = [run for run in runs if run.summary.status not in ("running", "waiting")]
    old = -1.0 if older is None else time.time() - older
    doomed = [run for run in free if run.last < old]
    if keep_size is None:
        return doomed
    gone = {run.number for run in doomed}
    left = [run for run in runs if run.number not in gone]
    total = _size(left)
    users = Counter(hash for run in left for hash in run.files)
    for run in free:
        if total <= keep_size:
            break
        if run.number in gone:
            continue
        doomed.append(run)
        total -= run.size
        for hash, size in run.files.items():
            users[hash] -= 1
            total -= 0 if users[hash] else size
    return doomed


def _dropped(connection: sqlite3.Connection, folder: Path, files: ValueFiles, run: _Kept) -> bool:
    """Drop a run, unless somebody has resumed it meanwhile. That takes some room, and where there is none the values
    that only it has make it."""
    try:
        return _rows_dropped(connection, folder, run.number)
    except sqlite3.Error as error:
        if not database.is_full(error):
            raise
    with database.transaction(connection):
        for hash in run.files if _is_free(connection, folder, run.number) else ():
            others = connection.execute("SELECT 1 FROM files WHERE hash = ? AND run <> ?", (hash, run.number))
            if others.fetchone() is None:
                files.path(hash).unlink(missing_ok=True)
    return _rows_dropped(connection, folder, run.number)


def _rows_dropped(connection: sqlite3.Connection, folder: Path, number: int) -> bool:
    """Drop what the database has of a run. One transaction each, so that no writer waits long."""
    with database.transaction(connection):
        if not _is_free(connection, folder, number):
            return False
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
        connection.execute("DELETE FROM runs WHERE number = ?", (number,))
    return True


def _is_free(connection: sqlite3.Connection, folder: Path, number: int) -> bool:
    """True if the run is there still, and nobody has resumed it."""
    row = connection.execute(f"SELECT {SUMMARY} FROM runs WHERE number = ?", (number,)).fetchone()
    return row is not None and summary_of(row, Owners(folder)).status not in ("running", "waiting")


def _referred_to(connection: sqlite3.Connection, doomed: list[_Kept]) -> set[bytes]:
    gone = {run.number for run in doomed}
    return {hash for run, hash in connection.execute("SELECT run, hash FROM files") if run not in gone}


def _unlinked(connection: sqlite3.Connection, path: Path) -> bool:
    """Have a file gone, if no run has its name. Whoever is about to refer to it looks, with the same right to
    write, whether it is still there."""
    with database.transaction(connection):
        if not path.name.startswith("."):
            hash = bytes.fromhex(path.name)
            if connection.execute("SELECT 1 FROM files WHERE hash = ?", (hash,)).fetchone() is not None:
                return False
        path.unlink(missing_ok=True)
    return True


def _give_back(connection: sqlite3.Connection) -> None:
    """Return what became free to the file system, a little at a time, so that no writer waits long."""
    free = _free_pages(connection)
    while free:
        # Not `execute`, which takes the first step of this statement only.
        connection.executescript("PRAGMA incremental_vacuum(2000)")
        # Others may free as much meanwhile, or this file be one that does not shrink.
        free, before = _free_pages(connection), free
        if free >= before:
            break
    # It waits for who reads, while nobody may write: rather not. Whoever closes the database last does it too.
    connection.execute("PRAGMA busy_timeout=100")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _free_pages(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return count


def _forget_the_dead(folder: Path) -> None:
    """Remove what processes left that ended without a word. A young file may not be locked yet."""
    for path in (folder / OWNERS).glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > YOUNG and not is_held(path):
                path.unlink()
