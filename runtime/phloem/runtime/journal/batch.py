"""What several runs put into the journal in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from phloem.runtime.cache import INLINE_LIMIT, Stored
from phloem.runtime.codec import UnstorableValue, pack
from phloem.runtime.journal.entries import Reference, Row, encode
from phloem.runtime.journal.log import RunLog
from phloem.runtime.journal.rows import packed_record

__all__ = ["Batch", "Share"]


class Batch:
    """What some logs hold now, taken out of them. `values` are the large ones, by hash, which go into files."""

    def __init__(self, logs: Iterable[RunLog]) -> None:
        self.values: dict[bytes, bytes] = {}
        self.shares = [Share(log, self.values) for log in logs]

    def encode(self) -> None:
        """Make bytes of everything; after this the values that were held may go."""
        for share in self.shares:
            share.encode()


class Share:
    """One run's part of a batch."""

    def __init__(self, log: RunLog, values: dict[bytes, bytes]) -> None:
        self.log = log
        self.piece: bytes | None = None
        self._values = values
        self._files: dict[bytes, int] = {}
        self._record: bytes | None = None
        log.writing = True
        # Others go on putting in at the end meanwhile.
        count = len(log.rows)
        self._rows: list[Row] = log.rows[:count]
        del log.rows[:count]
        count = len(log.statements)
        self._statements: list[tuple[str, tuple[Any, ...]]] = log.statements[:count]
        del log.statements[:count]
        log.held = 0

    def encode(self) -> None:
        if self.log.record is not None:
            self._record = packed_record(self.log.record, self._place)
        if self._rows:
            self.piece = encode(self._rows, self._place)
            self._rows = []

    def write(self, connection: sqlite3.Connection) -> int | None:
        """Put it into the tables; the number that the run has there. None if another run has its id, or if it is no
        longer there: the database may be another one by now, in which its number is a stranger's."""
        number = self.log.number
        if number is None:
            number = self._begin(connection)
        elif not _has(connection, "number = ? AND id = ?", number, _text(self.log.run)):
            number = None
        if number is None:
            return None
        if self.piece is not None:
            connection.execute("INSERT INTO pieces(run, data) VALUES (?, ?)", (number, self.piece))
        if self._files:
            connection.executemany(
                "INSERT OR IGNORE INTO files VALUES (?, ?, ?)",
                [(number, hash, size) for hash, size in self._files.items()],
            )
        for statement, values in self._statements:
            texts = [_text(one) if isinstance(one, str) else one for one in values]
            connection.execute(statement.replace(":run", str(number)), texts)
        return number

    def _begin(self, connection: sqlite3.Connection) -> int | None:
        record = self.log.record
        assert record is not None
        if _has(connection, "id = ?", _text(record.id)):
            return None
        cursor = connection.execute(
            "INSERT INTO runs(id, title, file, status, began, owner, record) VALUES (?, ?, ?, 'running', ?, ?, ?)",
            (_text(record.id), _text(record.title), _text(record.file), record.began, self.log.owner, self._record),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _place(self, one: Stored | None, inline: int = INLINE_LIMIT) -> Reference:
        """Where a value lies: here, or in a file."""
        if one is None:
            return None
        try:
            data = one.data
        except (OSError, ValueError):
            # It came from a file of the cache, which has gone; but whoever read it has the value.
            try:
                data = pack(one.load())
            except (OSError, ValueError, UnstorableValue):
                return None
        if len(data) <= inline:
            return data
        self._values[one.hash] = data
        self._files[one.hash] = len(data)
        return [one.hash, len(data)]


def _has(connection: sqlite3.Connection, condition: str, *values: Any) -> bool:
    return connection.execute(f"SELECT 1 FROM runs WHERE {condition}", values).fetchone() is not None


def _text(text: str) -> str:
    """What SQLite can hold: a file may be called by bytes that are no text."""
    return text.encode("utf-8", "replace").decode()
