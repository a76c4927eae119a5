"""The durable record of runs: begun, written, found again. One folder, which many processes use at once."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from phloem.runtime.cache import Stored
from phloem.runtime.errors import ConfigError, JournalError
from phloem.runtime.journal import database
from phloem.runtime.journal.collect import Collected, collect, keep_within
from phloem.runtime.journal.kept import KeptRun
from phloem.runtime.journal.locks import Hold
from phloem.runtime.journal.log import RunLog
from phloem.runtime.journal.record import RunRecord, Summary
from phloem.runtime.journal.summaries import SUMMARY, Owners, summary_of
from phloem.runtime.journal.values import ValueFiles
from phloem.runtime.journal.writer import NEWS, Writer
from phloem.runtime.words import nearest, or_list

__all__ = ["Journal"]

SIZE_LIMIT: Final = 4_000_000_000
"""Bytes above which the oldest runs are dropped when a process that ran something ends; at most once a day."""
LAST: Final = "last"
"""What stands for the newest run where a run is named."""


class Journal:
    """The runs recorded in one folder. It is made when the first run begins; asking for runs makes nothing.

    `cache` is the cache's folder, whose large values are linked instead of written again. `notices` gets a line
    for everything that the user should be told, such as a damaged database that was set aside.
    """

    def __init__(self, folder: Path, *, cache: Path | None = None) -> None:
        self.folder = folder
        self.notices: list[str] = []
        self.files = ValueFiles(folder / "values", cache)
        self._writer = Writer(folder, self.files, self.notices)
        self._hold: Hold | None = None

    def begin(
        self,
        record: RunRecord,
        *,
        on_cancel: Callable[[], None] | None = None,
        on_answer: Callable[[str, Stored], None] | None = None,
        on_failure: Callable[[JournalError], None] | None = None,
    ) -> RunLog:
        """The log of a new run; JournalError if the folder may not be written. See RunLog for the callbacks."""
        log = RunLog(
            record.id, self._writer, record=record, owner=self._owner(),
            on_cancel=on_cancel, on_answer=on_answer, on_failure=on_failure,
        )  # fmt: skip
        self._writer.add(log)
        return log

    def resume(
        self,
        which: str,
        *,
        on_cancel: Callable[[], None] | None = None,
        on_answer: Callable[[str, Stored], None] | None = None,
        on_failure: Callable[[JournalError], None] | None = None,
    ) -> tuple[KeptRun, RunLog]:
        """A run that was left, and the log with which this process goes on with it: from now on it is its own.

        ConfigError if there is no such run, if it is done, or if a process is at work on it.
        """
        owner = self._owner()
        with self._writing(which) as connection, database.transaction(connection):
            number, id = self._find(connection, which)
            # Read within the transaction: of two who would resume it, one comes too late.
            summary = self._summary(connection, number)
            if summary.here:
                raise ConfigError(f"the run {id} is still under way", hint=f"`phloem runs cancel {id}` stops it.")
            if summary.status == "done":
                raise ConfigError(f"the run {id} is done", hint="There is nothing left of it to be run.")
            connection.execute(
                "UPDATE runs SET owner = ?, status = 'running', ended = NULL, cancel = 0, message = '' "
                "WHERE number = ?",
                (owner, number),
            )  # fmt: skip
            kept = self._kept(connection, number, summary)
        log = RunLog(
            id, self._writer, number=number, next_seq=kept.next_seq,
            on_cancel=on_cancel, on_answer=on_answer, on_failure=on_failure,
        )  # fmt: skip
        log.answers_told.update(node for node, one in kept.questions.items() if one.answered is not None)
        log.deadlines.update(kept.deadlines)
        self._writer.add(log)
        return kept, log

    def runs(self, *, limit: int | None = None) -> list[Summary]:
        """The runs there are, the newest first; JournalError if the record cannot be read."""
        with self._reading() as connection:
            if connection is None:
                return []
            # One transaction, so that none of them goes meanwhile.
            connection.execute("BEGIN")
            rows = connection.execute(
                f"SELECT {SUMMARY} FROM runs ORDER BY began DESC, number DESC LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
            owners = Owners(self.folder)
            return [self._with_spent(connection, row[0], summary_of(row, owners)) for row in rows]

    def run(self, which: str = LAST) -> KeptRun:
        """One run: by its id, the beginning of it or of its last part, or `last`. ConfigError if there is none, or
        if several begin so."""
        with self._reading() as connection:
            if connection is None:
                raise _none(which, [])
            # One transaction, so that what is read of a run under way fits together.
            connection.execute("BEGIN")
            number, _ = self._find(connection, which)
            return self._kept(connection, number, self._summary(connection, number))

    def cancel(self, which: str) -> Literal["asked", "cancelled"]:
        """Stop a run, wherever it is: its process is `asked` to; one that no process is at work on is `cancelled` at
        once. ConfigError if there is none, or if it has ended."""
        with self._writing(which) as connection, database.transaction(connection):
            number, id = self._find(connection, which)
            summary = self._summary(connection, number)
            if summary.status not in ("running", "waiting", "interrupted"):
                raise ConfigError(f"the run {id} has ended already: {summary.status}")
            if not summary.here:
                spent = self._with_spent(connection, number, summary)
                connection.execute(
                    "UPDATE runs SET status = 'cancelled', ended = ?, seconds = ?, tokens_in = ?, tokens_out = ?, "
                    "money = ? WHERE number = ?",
                    (time.time(), spent.seconds, spent.tokens_in, spent.tokens_out, spent.money, number),
                )
                return "cancelled"
            connection.execute("UPDATE runs SET cancel = 1 WHERE number = ?", (number,))
        self._tell()
        return "asked"

    def answer(self, which: str, node: str, value: Stored) -> None:
        """Answer what a node asks; the first answer counts. ConfigError, which says what is open, if the node asks
        nothing, was answered, waits no longer, or takes other answers."""
        with self._writing(which) as connection, database.transaction(connection):
            number, id = self._find(connection, which)
            kept = self._kept(connection, number, self._summary(connection, number))
            asked = kept.questions.get(node)
            if asked is None:
                raise _asks_nothing(id, node, kept)
            if kept.summary.status not in ("running", "waiting", "interrupted"):
                raise ConfigError(f"the run {id} has ended already: {kept.summary.status}")
            if asked.answered is not None:
                raise ConfigError(
                    f"{node} of the run {id} was answered already, at {_clock(asked.answered)}",
                    hint=None if kept.summary.here else f"`phloem runs resume {id}` goes on with it.",
                )
            if asked.deadline is not None and time.time() > asked.deadline:
                raise ConfigError(f"{node} of the run {id} could be answered until {_clock(asked.deadline)}")
            if asked.choices and value.load() not in asked.choices:
                raise ConfigError(f"{node} can be answered with {or_list([str(one) for one in asked.choices])}")
            connection.execute(
                "UPDATE questions SET answer = ?, answered = ? WHERE run = ? AND node = ?",
                (value.data, time.time(), number, node),
            )
        self._tell()

    def collect(self, *, older: float | None = None, keep_size: int | None = None, dry_run: bool = False) -> Collected:
        """Drop the runs that ended more than `older` seconds ago, then the oldest until what is left has at most
        `keep_size` bytes, and the values that no run refers to. Never a run that is running or waiting."""
        return collect(self.folder, self.files, self.notices, older=older, keep_size=keep_size, dry_run=dry_run)

    def close(self) -> None:
        """Write what is left and let go. A run that has not ended counts as interrupted from now on."""
        self._writer.close()
        if self._hold is not None:
            with contextlib.suppress(JournalError, OSError):
                keep_within(self.folder, self.files, self.notices, SIZE_LIMIT)
            with contextlib.suppress(OSError):
                self._hold.release()
            self._hold = None

    def _owner(self) -> str:
        """The name under which this process holds its runs."""
        if self._hold is None:
            folder = self.folder / "owners"
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.mkdir(mode=0o700, exist_ok=True)
                self._hold = Hold(folder / secrets.token_hex(8))
            except OSError as error:
                raise database.failure(error, self.folder) from error
        return self._hold.path.name

    def _tell(self) -> None:
        """Leave word for the process that the run is in."""
        try:
            with (self.folder / NEWS).open("ab") as file:
                file.write(b".")
        except OSError as error:
            raise database.failure(error, self.folder) from error
        self._writer.look()

    @contextmanager
    def _writing(self, which: str) -> Iterator[sqlite3.Connection]:
        """A connection to change something about a run; where there is no journal there is no such run."""
        if not database.is_there(self.folder):
            raise _none(which, [])
        connection = database.connect(self.folder, self.notices)
        try:
            yield connection
        except (sqlite3.Error, OSError) as error:
            raise database.failure(error, self.folder) from error
        finally:
            connection.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        connection = database.read_only(self.folder)
        try:
            yield connection
        except (sqlite3.Error, OSError) as error:
            raise database.failure(error, self.folder) from error
        finally:
            if connection is not None:
                connection.close()

    def _find(self, connection: sqlite3.Connection, which: str) -> tuple[int, str]:
        """The number and id of the run that is meant."""
        # What was typed may be bytes that are no text, which SQLite cannot be asked for.
        which = which.encode("utf-8", "replace").decode()
        newest = "ORDER BY began DESC, number DESC LIMIT 2000"
        if which == LAST:
            found = connection.execute(f"SELECT number, id FROM runs {newest}").fetchall()[:1]
        else:
            found = connection.execute("SELECT number, id FROM runs WHERE id = ?", (which,)).fetchall()
        if not found and which:
            length = len(which)
            found = connection.execute(
                f"SELECT number, id FROM runs WHERE substr(id, 1, ?) = ? OR instr(id, ?) {newest}",
                (length, which, f"-{which}"),
            ).fetchall()
            found = [row for row in found if row[1].startswith(which) or row[1].rpartition("-")[2].startswith(which)]
        if len(found) == 1:
            number, id = found[0]
            return number, id
        if found:
            raise ConfigError(
                f"{len(found)} runs are called {which}…", hint=f"Such as {or_list([id for _, id in found[:4]], 'and')}."
            )
        raise _none(which, [id for (id,) in connection.execute(f"SELECT id FROM runs {newest}")])

    def _summary(self, connection: sqlite3.Connection, number: int) -> Summary:
        row = connection.execute(f"SELECT {SUMMARY} FROM runs WHERE number = ?", (number,)).fetchone()
        return summary_of(row, Owners(self.folder))

    def _with_spent(self, connection: sqlite3.Connection, number: int, summary: Summary) -> Summary:
        """The summary of a run that has not ended, with what it has spent so far."""
        if summary.ended is not None:
            return summary
        return self._kept(connection, number, summary).summary

    def _kept(self, connection: sqlite3.Connection, number: int, summary: Summary) -> KeptRun:
        record = connection.execute("SELECT record FROM runs WHERE number = ?", (number,)).fetchone()[0]
        pieces = connection.execute("SELECT data FROM pieces WHERE run = ? ORDER BY number", (number,))
        questions = connection.execute(
            "SELECT node, question, answer, answered FROM questions WHERE run = ? ORDER BY node", (number,)
        )
        return KeptRun(summary, record, [data for (data,) in pieces], questions.fetchall(), self.files)


def _none(which: str, ids: list[str]) -> ConfigError:
    if which == LAST or not ids:
        return ConfigError("there is no run yet", hint="`phloem run FILE` makes one.")
    near = nearest(which, ids)
    return ConfigError(
        f"there is no run called {which}",
        hint=f"Did you mean {near}?" if near else "`phloem runs list` lists them.",
    )


def _asks_nothing(id: str, node: str, kept: KeptRun) -> ConfigError:
    open_ones = [name for name, one in kept.questions.items() if one.answered is None]
    near = nearest(node, open_ones)
    hint = f"Did you mean {near}?" if near else f"It asks at {or_list(open_ones)}." if open_ones else None
    return ConfigError(f"the run {id} asks nothing at {node}", hint=hint or "It asks nothing at all.")


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
