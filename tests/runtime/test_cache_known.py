"""Keys that a database surely does not have: known without asking it, and never wrongly."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from phloem.runtime.cache import database, known
from phloem.runtime.cache.known import LEAST, ROWS_PER_LOOK, KnownKeys


class Asked:
    """A reader of a database, with what was asked of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.statements: list[str] = []
        connection.set_trace_callback(self.statements.append)

    def asks(self, keys: KnownKeys, key: bytes) -> bool:
        """Look as the cache does; whether the database had to be asked."""
        if keys.lacks(key):
            return False
        keys.read_on(self.connection)
        if self.connection.execute("SELECT record FROM results WHERE key = ?", (key,)).fetchone() is None:
            keys.looked_in_vain(self.connection)
        return True


@pytest.fixture
def reader(tmp_path) -> Iterator[Asked]:
    connection = database.connect(tmp_path)
    yield Asked(connection)
    connection.close()


@pytest.fixture
def other(tmp_path, reader) -> Iterator[sqlite3.Connection]:
    """The same database in another process."""
    connection = database.connect(tmp_path)
    yield connection
    connection.close()


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(known.time, "monotonic", lambda: now[0])
    return now


def key(number: int) -> bytes:
    return number.to_bytes(8, "big") + bytes(12)


def put(connection: sqlite3.Connection, *numbers: int) -> None:
    database.insert(connection, [(key(number), b"record", 6, 0.0) for number in numbers])


def test_after_some_looks_in_vain_the_database_is_not_asked_any_more(reader, other):
    put(other, 1, 2, 3)
    keys = KnownKeys()
    asked = [reader.asks(keys, key(number)) for number in range(1000, 1000 + LEAST + 500)]
    assert asked == [True] * LEAST + [False] * 500
    assert [reader.asks(keys, key(number)) for number in (1, 2, 3)] == [True] * 3


def test_a_large_database_is_read_only_when_that_pays(reader, other):
    rows = 3 * LEAST * ROWS_PER_LOOK
    put(other, *range(rows))
    keys = KnownKeys()
    asked = sum(reader.asks(keys, key(rows + number)) for number in range(rows))
    assert asked == 3 * LEAST
    assert sum("SELECT key FROM results" in one for one in reader.statements) == 1


def test_one_that_is_too_large_is_always_asked(reader, other, monkeypatch):
    monkeypatch.setattr(known, "MOST", 10)
    put(other, *range(11))
    keys = KnownKeys()
    assert all(reader.asks(keys, key(100 + number)) for number in range(10 * LEAST))
    assert sum("max(rowid)" in one for one in reader.statements) == 1


def test_what_this_process_puts_there_is_known_at_once(reader, other):
    keys = KnownKeys()
    for number in range(LEAST):
        reader.asks(keys, key(1000 + number))
    assert not reader.asks(keys, key(7))
    keys.add([key(7)])
    assert reader.asks(keys, key(7))


def test_what_another_process_puts_there_is_known_a_second_later(reader, other, clock):
    put(other, 1)
    keys = KnownKeys()
    for number in range(LEAST):
        reader.asks(keys, key(1000 + number))
    put(other, 7, 1)
    assert not reader.asks(keys, key(7))
    clock[0] += 1.1
    assert reader.asks(keys, key(7))
    assert reader.asks(keys, key(1))
    assert not reader.asks(keys, key(8))


def test_a_table_whose_rows_have_no_numbers_is_always_asked(tmp_path):
    """As an earlier version made it."""
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    connection.execute("CREATE TABLE results(key BLOB PRIMARY KEY, record, size, used) WITHOUT ROWID")
    reader, keys = Asked(connection), KnownKeys()
    for number in range(LEAST - 1):
        reader.asks(keys, key(number))
    with pytest.raises(sqlite3.OperationalError):
        reader.asks(keys, key(LEAST))
    assert all(reader.asks(keys, key(100 + number)) for number in range(10 * LEAST))
    connection.close()


def test_rows_go_in_by_few_statements_whatever_their_number(reader):
    for count in (1, 2, 127, 128, 129, 1000):
        before = len(reader.statements)
        put(reader.connection, *range(count))
        assert reader.connection.execute("SELECT count(*) FROM results").fetchone() == (count,)
        assert len(reader.statements) - before <= count // 128 + 8 + 1
