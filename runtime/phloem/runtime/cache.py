"""Results of earlier runs, by what they depend on: shared by every process that has the same home.

A record is a row in SQLite; an output of more than 16 KB lies beside it in a file named by its hash.
One thread writes, in grouped transactions. The cache only saves time, so a full disk or a damaged
file costs a miss and never a run.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgpack
from phloem.runtime.codec import digest, pack, unpack
from phloem.runtime.events import Preview

__all__ = ["INLINE_LIMIT", "Cache", "Entry", "Stored", "store", "value_file"]

INLINE_LIMIT: Final = 16_384
SIZE_LIMIT: Final = 4_000_000_000
"""Bytes above which the results used longest ago are dropped, down to three quarters of it."""

PENDING_LIMIT: Final = 256_000_000
"""Bytes that may wait in memory to be written."""

USED_EVERY: Final = 3600.0
"""Seconds after which another use of a result is worth writing down."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS results(
    key BLOB PRIMARY KEY, record BLOB NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files(hash BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY(hash, key)) WITHOUT ROWID;
"""


class Stored:
    """A value in its stored form, with its content hash; `load` makes the value, once.

    Without a `hash` it is taken of `data`, when somebody asks for it.
    """

    __slots__ = ("_data", "_hash", "_path", "_value")

    def __init__(self, hash: bytes | None, data: bytes | None = None, path: Path | None = None) -> None:
        self._hash = hash
        self._data = data
        self._path = path
        self._value: Any = None

    @property
    def hash(self) -> bytes:
        if self._hash is None:
            self._hash = digest(self.data)
        return self._hash

    @property
    def held(self) -> int:
        """The bytes of it that are in memory, ready to be written."""
        return 0 if self._data is None else len(self._data)

    @property
    def data(self) -> bytes:
        """The packed bytes; OSError or ValueError when the file behind them is gone or damaged."""
        if self._data is None:
            assert self._path is not None
            data = self._path.read_bytes()
            if digest(data) != self.hash:
                raise ValueError(f"{self._path.name} is damaged")
            return data
        return self._data

    def check(self) -> None:
        """OSError or ValueError if the value can no longer be loaded; then it is loaded already."""
        if self._data is None:
            self._data = self.data

    def load(self) -> Any:
        if self._value is None:
            self._value = unpack(self.data)
            self._data = self._data if self._path is None else None
        return self._value


def store(value: Any) -> Stored:
    """The stored form of a value; UnstorableValue if it has none."""
    return Stored(None, pack(value))


def value_file(folder: Path, content: bytes) -> Path:
    """Where the cache in `folder` has a large value with this hash, if it has it."""
    name = content.hex()
    return folder / "values" / name[:2] / name


@dataclass(slots=True)
class Entry:
    """What one execution gave: its outputs in order with their previews, what it cost, what it wrote."""

    outputs: list[Stored]
    previews: list[Preview]
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    written: list[tuple[str, str, str]] = field(default_factory=list)
    money: float = 0.0


class Cache:
    """The results kept in one folder. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path, *, size_limit: int = SIZE_LIMIT) -> None:
        self.folder = folder
        self.size_limit = size_limit
        self._lock = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._absent = False
        self._closed = False
        self._pending: dict[bytes, Entry] = {}
        self._pending_size = 0
        self._queue: queue.SimpleQueue[tuple[bytes, Entry | None] | threading.Event | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    def get(self, key: bytes) -> Entry | None:
        """What was kept under `key`, if it is still whole."""
        with self._lock:
            found = self._pending.get(key)
            if found is not None:
                return found
            row = None if self._closed else self._read(key)
        if row is None:
            return None
        record, used = row
        try:
            entry = self._decoded(record)
        except (OSError, ValueError, TypeError, AttributeError, msgpack.UnpackException):
            return None
        if time.time() - used > USED_EVERY:
            self._send((key, None))
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep `entry` under `key`. It can be got at once; it is on disk a little later, or after `flush`.

        When more is waiting for the disk than memory should hold, it is not kept.
        """
        with self._lock:
            size = _size(entry)
            if self._closed or self._pending_size + size > PENDING_LIMIT:
                return
            self._forget_one(key)
            self._pending[key] = entry
            self._pending_size += size
        self._send((key, entry))

    def flush(self) -> None:
        """Return when everything put so far is on disk."""
        if self._writer is not None and self._writer.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait(30)

    def close(self) -> None:
        """Write what is left and let go of the files; nothing is kept from now on."""
        with self._lock:
            self._closed = True
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join(30)
            self._writer = None
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _send(self, item: tuple[bytes, Entry | None]) -> None:
        if self._writer is None:
            with self._lock:
                if self._writer is None and not self._closed:
                    self._writer = threading.Thread(target=self._write_all, name="phloem-cache", daemon=True)
                    self._writer.start()
        self._queue.put(item)

    def _read(self, key: bytes) -> tuple[bytes, float] | None:
        try:
            if self._reader is None:
                if self._absent or not (self.folder / "results.db").exists():
                    # Asking the disk again for every node costs more than all the rest; see _forget.
                    self._absent = True
                    return None
                self._reader = self._connect()
            row: tuple[bytes, float] | None = self._reader.execute(
                "SELECT record, used FROM results WHERE key = ?", (key,)
            ).fetchone()
        except (sqlite3.Error, OSError):
            return None
        return row

    def _connect(self) -> sqlite3.Connection:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "results.db"
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
                _set_aside(path)
        raise AssertionError

    def _decoded(self, record: bytes) -> Entry:
        mark, packed = record[:20], record[20:]
        if digest(packed) != mark:
            raise ValueError("a damaged record")
        # A record of an earlier version ends before the money.
        outputs, previews, seconds, tokens_in, tokens_out, written, *money = msgpack.unpackb(
            packed, unicode_errors="surrogatepass"
        )
        stored = []
        for content, data in outputs:
            one = Stored(content, data)
            if data is None:
                one = Stored(content, path=self._file(content))
                try:
                    one.check()
                except ValueError:
                    # A file that is there is not written again, so a damaged one has to go.
                    self._file(content).unlink(missing_ok=True)
                    raise
            stored.append(one)
        return Entry(
            stored, [Preview(*shown) for shown in previews], seconds, tokens_in, tokens_out,
            [(word, where, left) for word, where, left in written], float(money[0]) if money else 0.0,
        )  # fmt: skip

    def _file(self, content: bytes) -> Path:
        return value_file(self.folder, content)

    def _write_all(self) -> None:
        """The writer's life: take what has gathered, write it in one transaction, wait for more."""
        connection: sqlite3.Connection | None = None
        stop = False
        while not stop:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < 1000:
                    batch.append(self._queue.get_nowait())
            stop = None in batch
            items = [item for item in batch if isinstance(item, tuple)]
            for last_try in (False, True):
                try:
                    connection = connection or self._connect()
                    self._write(connection, items)
                    if stop:
                        self._prune(connection)
                    break
                except (sqlite3.Error, OSError) as error:
                    # Nothing is lost but time: the results are made again in another run.
                    self._close(connection)
                    connection = None
                    if type(error) is not sqlite3.DatabaseError or last_try:
                        break
                    self._start_anew()
            self._forget(items)
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()
        self._close(connection)

    def _start_anew(self) -> None:
        """Leave a database that turned out to be damaged, so that the next to connect makes another."""
        with self._lock:
            self._close(self._reader)
            self._reader = None
        with contextlib.suppress(OSError):
            _set_aside(self.folder / "results.db")

    def _close(self, connection: sqlite3.Connection | None) -> None:
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _forget(self, items: Iterable[tuple[bytes, Entry | None]]) -> None:
        with self._lock:
            self._absent = False
            for key, entry in items:
                if entry is not None and self._pending.get(key) is entry:
                    self._forget_one(key)

    def _forget_one(self, key: bytes) -> None:
        waiting = self._pending.pop(key, None)
        self._pending_size -= _size(waiting) if waiting is not None else 0

    def _write(self, connection: sqlite3.Connection, items: list[tuple[bytes, Entry | None]]) -> None:
        now = time.time()
        rows, files = [], []
        for key, entry in items:
            if entry is None:
                continue
            outputs, size = [], 0
            for one in entry.outputs:
                data = one.data
                size += len(data)
                if len(data) > INLINE_LIMIT:
                    self._write_file(one.hash, data)
                    files.append((one.hash, key))
                outputs.append((one.hash, None if len(data) > INLINE_LIMIT else data))
            previews = [(shown.type, shown.text, shown.size) for shown in entry.previews]
            record = msgpack.packb(
                (
                    outputs, previews, entry.seconds, entry.tokens_in, entry.tokens_out, entry.written, entry.money,
                ),
                unicode_errors="surrogatepass",
            )  # fmt: skip
            rows.append((key, digest(record) + record, size + 200, now))
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", rows)
            connection.executemany("INSERT OR IGNORE INTO files VALUES (?, ?)", files)
            used = [(now, key) for key, entry in items if entry is None]
            connection.executemany("UPDATE results SET used = ? WHERE key = ?", used)
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _write_file(self, content: bytes, data: bytes) -> None:
        path = self._file(content)
        if path.exists():
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Drop what was used longest ago, and the files that no result refers to any more."""
        total = connection.execute("SELECT coalesce(sum(size), 0) FROM results").fetchone()[0]
        if total <= self.size_limit:
            return
        surplus = total - self.size_limit * 3 // 4
        doomed = []
        for key, size in connection.execute("SELECT key, size FROM results ORDER BY used"):
            doomed.append((key,))
            surplus -= size
            if surplus <= 0:
                break
        connection.executemany("DELETE FROM results WHERE key = ?", doomed)
        connection.executemany("DELETE FROM files WHERE key = ?", doomed)
        kept = {bytes(row[0]).hex() for row in connection.execute("SELECT hash FROM files")}
        # Another process may have written a file whose row is not committed yet: leave the young ones.
        old = time.time() - 3600
        for path in (self.folder / "values").rglob("*"):
            if path.is_file() and path.name not in kept and path.stat().st_mtime < old:
                path.unlink(missing_ok=True)


def _size(entry: Entry) -> int:
    """The bytes of an entry that has just been made."""
    return sum(len(one.data) for one in entry.outputs)


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


def _set_aside(path: Path) -> None:
    """Move a damaged database out of the way, with what belongs to it."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(part.with_name(f"{part.name}.damaged"))
