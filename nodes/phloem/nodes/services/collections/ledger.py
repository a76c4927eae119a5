"""What each collection holds, in a small SQLite file beside Chroma's own: names, models, hashes of the rows.

It answers what the cache asks (has this collection changed? are these rows still there?) without starting
Chroma, lets one process write at a time, and knows after a crash that a change may be half done.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Entry", "Ledger"]

BUSY_SECONDS: Final = 60.0
"""How long a process waits for another that is writing."""
_AT_ONCE: Final = 500
"""Values in one SQL statement."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS collections (
    name TEXT PRIMARY KEY, model TEXT NOT NULL, width INTEGER NOT NULL,
    total BLOB NOT NULL, items INTEGER NOT NULL, pending TEXT, note TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    collection TEXT NOT NULL, id TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (collection, id)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A collection: the model that made its vectors, how many numbers they have, how many items there are.

    `state` is the same whenever the content is the same, however it came about.
    """

    name: str
    model: str
    width: int
    items: int
    state: str


class Ledger:
    """The open file. It belongs to one thread; other processes may have it open too. sqlite3.Error if it fails."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_TABLES)
        self._add_what_is_new()

    def close(self) -> None:
        self._connection.close()

    @property
    def version(self) -> int:
        """A number that is another whenever another process, or another ledger, has changed the file."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def entries(self) -> list[Entry]:
        """Every collection, by name."""
        rows = self._connection.execute(
            "SELECT name, model, width, items, total, pending FROM collections ORDER BY name"
        )
        return [_entry(row) for row in rows]

    def find(self, name: str) -> Entry | None:
        """The collection of that name, if there is one."""
        row = self._connection.execute(
            "SELECT name, model, width, items, total, pending FROM collections WHERE name = ?", (name,)
        ).fetchone()
        return _entry(row) if row else None

    def hashes(self, name: str, ids: Sequence[str]) -> dict[str, bytes]:
        """The hash of each of these items that the collection has."""
        found: dict[str, bytes] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            found.update(
                self._connection.execute(
                    f"SELECT id, hash FROM items WHERE collection = ? AND id IN ({marks})", (name, *some)
                )
            )
        return found

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """Around a change: nobody else writes meanwhile, and if it is not finished the state is another anyway."""
        while not self._begun(name, secrets.token_hex(16)):
            pass
        try:
            yield
            self._connection.execute("UPDATE collections SET pending = NULL WHERE name = ?", (name,))
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else writes."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            self._roll_back()

    def _begun(self, name: str, mark: str) -> bool:
        """Whether a change has begun, with its mark on the disk: not if another process, whose change came in between,
        has wiped that out."""
        self._connection.execute("UPDATE collections SET pending = ? WHERE name = ?", (mark, name))
        self._connection.execute("BEGIN IMMEDIATE")
        row = self._connection.execute("SELECT pending FROM collections WHERE name = ?", (name,)).fetchone()
        if row is None or row[0] == mark:
            return True
        self._roll_back()
        return False

    def _roll_back(self) -> None:
        """Undo the transaction, if SQLite has not done so itself, as it does on a full disk."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def create(self, name: str, model: str, width: int) -> None:
        """Note a new collection. Within `changing`."""
        self._connection.execute(
            "INSERT INTO collections (name, model, width, total, items, pending) VALUES (?, ?, ?, ?, 0, ?)",
            (name, model, width, _bytes(0), secrets.token_hex(16)),
        )

    def put(self, name: str, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> None:
        """Note items with their hashes; `old` are the hashes of those among them that were there. Within `changing`."""
        (total,) = self._connection.execute("SELECT total FROM collections WHERE name = ?", (name,)).fetchone()
        change = sum(map(_number, new.values())) - sum(_number(old[id]) for id in new if id in old)
        self._connection.executemany(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?)", [(name, id, hash) for id, hash in new.items()]
        )
        self._connection.execute(
            "UPDATE collections SET total = ?, items = items + ? WHERE name = ?",
            (_bytes(_number(total) + change), len(new.keys() - old.keys()), name),
        )

    def note(self, name: str) -> str:
        """What was noted of the collection; empty if nothing was, or there is none."""
        row = self._connection.execute("SELECT note FROM collections WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def keep_note(self, name: str, note: str) -> None:
        """Note something of the collection, which is no part of its content, in place of what was noted."""
        self._connection.execute("UPDATE collections SET note = ? WHERE name = ?", (note, name))

    def others(self, name: str, kept: Sequence[str]) -> dict[str, bytes]:
        """The hash of each item of the collection that is not among `kept`."""
        keep = set(kept)
        every = self._connection.execute("SELECT id, hash FROM items WHERE collection = ?", (name,))
        return {id: hash for id, hash in every if id not in keep}

    def drop(self, name: str, hashes: Mapping[str, bytes]) -> None:
        """Forget these items, which have these hashes. Within `changing`."""
        (total,) = self._connection.execute("SELECT total FROM collections WHERE name = ?", (name,)).fetchone()
        self._connection.executemany("DELETE FROM items WHERE collection = ? AND id = ?", [(name, id) for id in hashes])
        self._connection.execute(
            "UPDATE collections SET total = ?, items = items - ? WHERE name = ?",
            (_bytes(_number(total) - sum(map(_number, hashes.values()))), len(hashes), name),
        )

    def remove(self, name: str) -> None:
        """Forget a collection. Within `changing`."""
        self._connection.execute("DELETE FROM items WHERE collection = ?", (name,))
        self._connection.execute("DELETE FROM collections WHERE name = ?", (name,))

    def _add_what_is_new(self) -> None:
        """Give a file that an earlier version made the column that it lacks."""
        if self._has_notes():
            return
        self._connection.execute("BEGIN IMMEDIATE")
        if not self._has_notes():
            self._connection.execute("ALTER TABLE collections ADD COLUMN note TEXT NOT NULL DEFAULT ''")
        self._connection.execute("COMMIT")

    def _has_notes(self) -> bool:
        return any(row[1] == "note" for row in self._connection.execute("PRAGMA table_info(collections)"))


def _entry(row: tuple[str, str, int, int, bytes, str | None]) -> Entry:
    name, model, width, items, total, pending = row
    content = hashlib.blake2b(f"{model}\n{width}\n{items}\n".encode() + total, digest_size=16).hexdigest()
    return Entry(name, model, width, items, pending or content)


def _number(hash: bytes) -> int:
    return int.from_bytes(hash)


def _bytes(total: int) -> bytes:
    """A sum of hashes, which does not depend on their order, in the length of one."""
    return (total % 2**256).to_bytes(32)
