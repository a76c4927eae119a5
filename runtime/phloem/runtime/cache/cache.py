"""The cache of one home: it gives results of earlier runs and keeps new ones. Every process of the home shares it.

A record is a row in SQLite; an output of more than 16 KB lies beside it in a file named by its hash.
One thread writes, in grouped transactions. The cache only saves time, so a full disk or a damaged
file costs a miss and never a run.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgpack
from phloem.runtime.cache import database
from phloem.runtime.cache.entry import Entry, packed, record_packer, unpacked
from phloem.runtime.cache.known import KnownKeys
from phloem.runtime.cache.stored import INLINE_LIMIT, Stored, value_file

__all__ = ["Cache"]

SIZE_LIMIT: Final = 4_000_000_000
"""Bytes above which the results used longest ago are dropped, down to three quarters of it."""
PENDING_LIMIT: Final = 256_000_000
"""Bytes that may wait in memory to be written."""
GATHER: Final = 0.05
"""Seconds for which results gather before they are written: thousands at once cost a third of them one by one."""
USED_EVERY: Final = 3600.0
"""Seconds after which another use of a result is worth writing down."""
YOUNG: Final = 3600.0
"""Seconds for which a file stays that no result names: another process may be about to write the row that does."""


class Cache:
    """The results kept in one folder. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path, *, size_limit: int = SIZE_LIMIT) -> None:
        self.folder = folder
        self.size_limit = size_limit
        self._lock = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._known = KnownKeys()
        self._absent = False
        self._held = False
        self._closed = False
        self._pending: dict[bytes, Entry] = {}
        self._writing: dict[bytes, Entry] = {}
        self._pending_size = self._writing_size = 0
        self._used: list[bytes] = []
        self._waiting: list[threading.Event] = []
        self._writer: threading.Thread | None = None
        self._idle = False
        self._something = threading.Event()
        self._hurry = threading.Event()

    def get(self, key: bytes, *, hold: bool = False) -> Entry | None:
        """What was kept under `key`, if it is still whole.

        With `hold` the next one costs half: the database is not let go of in between, until `release`.
        """
        # Without the lock: what is written is among the known keys before it is no longer here.
        found = self._pending.get(key) or self._writing.get(key)
        if found is not None or self._known.lacks(key):
            return found
        with self._lock:
            row = None if self._closed else self._read(key, hold)
        if row is None:
            return None
        record, used = row
        try:
            entry = unpacked(record, self._large)
        except (OSError, ValueError, TypeError, AttributeError, msgpack.UnpackException):
            return None
        if time.time() - used > USED_EVERY:
            with self._lock:
                self._used.append(key)
                self._wake()
        return entry

    def release(self) -> None:
        """No `get` follows for a while."""
        if self._held:
            with self._lock:
                self._release()

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep `entry` under `key`. It can be got at once; it is on disk a little later, or after `flush`.

        When more is waiting for the disk than memory should hold, it is not kept.
        """
        size = entry.size
        with self._lock:
            if self._closed or self._pending_size + self._writing_size + size > PENDING_LIMIT:
                return
            if key in self._pending:
                self._pending_size -= self._pending[key].size
            self._pending[key] = entry
            self._pending_size += size
            if self._pending_size > PENDING_LIMIT // 4:
                self._hurry.set()
            if self._idle or self._writer is None:
                self._wake()

    def flush(self) -> None:
        """Return when everything put so far is on disk."""
        done = threading.Event()
        with self._lock:
            if self._writer is None or not self._writer.is_alive():
                return
            self._waiting.append(done)
            self._hurry.set()
            self._wake()
        done.wait(30)

    def close(self) -> None:
        """Write what is left and let go of the files; nothing is kept from now on."""
        with self._lock:
            self._closed = True
            writer, self._writer = self._writer, None
            self._hurry.set()
            self._something.set()
        if writer is not None:
            writer.join(30)
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _wake(self) -> None:
        """There is something to write. To be called with the lock."""
        if self._closed:
            return
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, name="phloem-cache", daemon=True)
            self._writer.start()
        self._idle = False
        self._something.set()

    def _read(self, key: bytes, hold: bool) -> tuple[bytes, float] | None:
        try:
            if self._reader is None:
                if self._absent or not (self.folder / database.NAME).exists():
                    # Asking the disk again for every node costs more than all the rest; see _forget_written.
                    self._absent = True
                    return None
                self._reader = database.connect(self.folder)
            self._known.read_on(self._reader)
            if hold:
                if self._held and not self._reader.in_transaction:
                    self._reader.execute("BEGIN")
                self._held = True
            row: tuple[bytes, float] | None = self._reader.execute(
                "SELECT record, used FROM results WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                self._known.looked_in_vain(self._reader)
        except (sqlite3.Error, OSError):
            return None
        return row

    def _release(self) -> None:
        self._held = False
        if self._reader is not None and self._reader.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._reader.execute("COMMIT")

    def _large(self, content: bytes) -> Stored:
        """An output that lies in a file of its own, loaded; OSError or ValueError if it is gone or damaged."""
        path = self._file(content)
        found = Stored(content, path=path)
        try:
            found.check()
        except ValueError:
            # A file that is there is not written again, so a damaged one has to go.
            path.unlink(missing_ok=True)
            raise
        return found

    def _file(self, content: bytes) -> Path:
        return value_file(self.folder, content)

    def _write_all(self) -> None:
        """The writer's life: take what has gathered, write it in one transaction, wait for more."""
        connection: sqlite3.Connection | None = None
        closed = False
        while not closed:
            self._something.wait()
            self._hurry.wait(GATHER)
            with self._lock:
                self._hurry.clear()
                closed = self._closed
                self._writing, self._pending = self._pending, {}
                self._writing_size, self._pending_size = self._pending_size, 0
                used, self._used = self._used, []
                waiting, self._waiting = self._waiting, []
            for last_try in (False, True):
                try:
                    connection = connection or database.connect(self.folder)
                    self._write(connection, self._writing, used)
                    if closed:
                        self._prune(connection)
                    break
                except (sqlite3.Error, OSError) as error:
                    # Nothing is lost but time: the results are made again in another run.
                    self._close(connection)
                    connection = None
                    if type(error) is not sqlite3.DatabaseError or last_try:
                        break
                    self._start_anew()
            with self._lock:
                self._forget_written()
                if not (self._pending or self._used or self._waiting or self._closed):
                    self._idle = True
                    self._something.clear()
            for one in waiting:
                one.set()
        self._close(connection)

    def _start_anew(self) -> None:
        """Leave a database that turned out to be damaged, so that the next to connect makes another."""
        with self._lock:
            self._close(self._reader)
            self._reader = None
            self._known = KnownKeys()
        with contextlib.suppress(OSError):
            database.set_aside(self.folder / database.NAME)

    def _close(self, connection: sqlite3.Connection | None) -> None:
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _forget_written(self) -> None:
        """What was written is in the database from now on. To be called with the lock."""
        self._absent = False
        # It can be read only by one who looks anew.
        self._release()
        self._known.add(self._writing)
        self._writing, self._writing_size = {}, 0

    def _write(self, connection: sqlite3.Connection, entries: Mapping[bytes, Entry], used: Sequence[bytes]) -> None:
        now, packer = time.time(), record_packer()
        rows, files = [], []
        for key, entry in entries.items():
            size = entry.size
            if size > INLINE_LIMIT:
                for one in entry.outputs:
                    if len(one.data) > INLINE_LIMIT:
                        self._write_file(one.hash, one.data)
                        files.append((one.hash, key))
            rows.append((key, packed(entry, packer), size + 200, now))
        with database.transaction(connection):
            database.insert(connection, rows)
            connection.executemany("INSERT OR IGNORE INTO files VALUES (?, ?)", files)
            connection.executemany("UPDATE results SET used = ? WHERE key = ?", [(now, key) for key in used])

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
        kept = database.prune(connection, self.size_limit)
        if kept is None:
            return
        for path in (self.folder / "values").rglob("*"):
            if path.is_file() and path.name not in kept and path.stat().st_mtime < time.time() - YOUNG:
                path.unlink(missing_ok=True)
