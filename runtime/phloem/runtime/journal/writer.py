"""The thread that writes the journal: it takes what has gathered and makes it durable in one transaction.

It also looks, a few times a second and without opening anything, whether another process has left a word for one of
the runs: a wish to cancel it, or an answer.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from phloem.runtime.cache import Stored
from phloem.runtime.errors import JournalError
from phloem.runtime.journal.batch import Batch
from phloem.runtime.journal.database import connect, failure, inode_of, is_damage, set_aside, transaction
from phloem.runtime.journal.log import RunLog
from phloem.runtime.journal.values import ValueFiles

__all__ = ["NEWS", "Writer"]

NEWS: Final = "news"
"""The file that grows when a process leaves a word for another's run."""
GATHER: Final = 0.005
"""Seconds for which entries gather before they are written, unless somebody waits for them."""
LOOK_EVERY: Final = 0.25
"""Seconds between two looks for words from elsewhere."""


class Writer:
    """Writes what the logs of one process hold. The thread begins with the first log.

    `idle` is true while the thread may be asleep, and has to be woken.
    """

    def __init__(self, folder: Path, files: ValueFiles, notices: list[str]) -> None:
        self.folder = folder
        self.files = files
        self.notices = notices
        self.idle = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._logs: list[RunLog] = []
        self._broken: list[RunLog] = []
        self._waiting: list[tuple[RunLog, Future[None]]] = []
        self._something = threading.Event()
        self._hurry = threading.Event()
        self._written = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._news: tuple[int, int] | None = None
        self._looked = 0.0

    def add(self, log: RunLog) -> None:
        """Write what this log holds from now on; JournalError after `close`."""
        with self._lock:
            if self._closed:
                raise JournalError("the journal is closed")
            self._logs.append(log)
            if self._thread is None:
                self._news = _mark(self.folder)
                self._thread = threading.Thread(target=self._live, name="phloem-journal", daemon=True)
                self._thread.start()
        self.wake()

    def wake(self) -> None:
        """There is something to write."""
        self.idle = False
        self._something.set()

    def hurry(self) -> None:
        """Somebody waits for what there is to be written."""
        self._hurry.set()
        self.wake()

    def look(self) -> None:
        """There is a word from elsewhere."""
        self._looked = 0.0
        self.hurry()

    def settled(self, log: RunLog) -> Future[None]:
        """Done when all that `log` holds now is on disk; JournalError if it cannot be."""
        future: Future[None] = Future()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                future.set_exception(JournalError("the journal is closed"))
                return future
            self._waiting.append((log, future))
        self.hurry()
        return future

    def wait_for_room(self, log: RunLog) -> None:
        """Hold up the caller until the disk has taken what `log` holds, or has refused it."""
        while log.failure is None and (log.rows or log.writing) and self._thread is not None:
            self._written.clear()
            self.hurry()
            self._written.wait(0.05)

    def close(self) -> None:
        """Write what is left, and end. Runs that have not ended stay as they are."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self.hurry()
            thread.join(60)

    def _live(self) -> None:
        closing = False
        while not closing:
            # Said before the look, so that who puts something in after the look finds it said.
            self.idle = True
            if not (self._closed or self._waiting or any(log.waits_for_disk for log in self._logs)):
                self._something.wait(LOOK_EVERY if self._logs else None)
            self.idle = False
            closing = self._closed
            if not closing:
                self._hurry.wait(GATHER)
            self._hurry.clear()
            self._something.clear()
            self._write_all(closing)
            if time.monotonic() - self._looked > LOOK_EVERY:
                self._looked = time.monotonic()
                self._look()
        self._disconnect()
        with self._lock:
            left, self._waiting = self._waiting, []
        for log, future in left:
            _tell(future, log.failure or JournalError("the journal is closed"))

    def _write_all(self, closing: bool) -> None:
        """One transaction with what every log holds now."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            logs = [log for log in self._logs if log.waits_for_disk]
        if logs or (closing and self._broken):
            try:
                self._write(Batch(logs))
            except Exception as error:
                # Whatever it was: these runs must hear of it, and the thread must go on for others.
                self._fail(logs, error)
            for log in logs:
                log.writing = False
            with self._lock:
                # Asked in this order: what is closed gets nothing more, and its last word may have come just now.
                self._logs = [
                    log for log in self._logs if log.failure is None and (not log.closed or log.waits_for_disk)
                ]
        self._written.set()
        for log, future in waiting:
            _tell(future, log.failure)

    def _write(self, batch: Batch) -> None:
        batch.encode()
        connection = self._connected()
        self.files.write(batch.values)
        with transaction(connection):
            for hash, data in batch.values.items():
                # A sweep in another process may have taken it; now none can, for it needs the same right to write.
                if not self.files.touch(hash):
                    self.files.write({hash: data})
            numbers = [share.write(connection) for share in batch.shares]
            for log in self._broken:
                connection.execute(
                    "UPDATE runs SET status = 'interrupted', message = ? WHERE number = ? AND id = ? AND ended IS NULL",
                    (log.failure.message if log.failure else "", log.number, log.run),
                )
        self._broken.clear()
        for share, number in zip(batch.shares, numbers, strict=True):
            log = share.log
            if number is None:
                self._tell_failure(log, _taken(log.run) if log.number is None else _gone(log.run))
            log.number, log.record = number, None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.folder, self.notices)
            self._inode = inode_of(self.folder)
        return self._connection

    def _fail(self, logs: list[RunLog], error: Exception) -> None:
        """Tell the runs that nothing more of them can be kept: what is there now is whole, and stays."""
        self._disconnect()
        told = failure(error, self.folder)
        if is_damage(error):
            # It is gone, and with it every run in it: the numbers that they have are others' in the next.
            logs = [log for log in self._logs if log.number is not None or log in logs]
            try:
                for notice in set_aside(self.folder, self._inode):
                    self.notices.append(notice)
                    told = JournalError(notice, hint="Run it again.")
            except OSError:
                pass
        for log in logs:
            self._tell_failure(log, told)
            if log.number is not None:
                self._broken.append(log)

    def _tell_failure(self, log: RunLog, error: JournalError) -> None:
        log.failure, log.record, log.closed = error, None, True
        log.rows.clear()
        log.statements.clear()
        if log.on_failure is not None:
            with contextlib.suppress(Exception):
                log.on_failure(error)

    def _look(self) -> None:
        """Pass on what other processes have left for the runs here."""
        mark = _mark(self.folder)
        logs = [log for log in self._logs if log.number is not None and log.failure is None]
        if mark == self._news or not logs:
            return
        self._news = mark
        try:
            connection = self._connected()
            for log in logs:
                self._pass_on(connection, log)
        except (sqlite3.Error, JournalError):
            # It is there at the next look.
            self._news = None

    def _pass_on(self, connection: sqlite3.Connection, log: RunLog) -> None:
        if log.on_cancel is not None and not log.cancel_told:
            row = connection.execute("SELECT cancel FROM runs WHERE number = ?", (log.number,)).fetchone()
            if row is not None and row[0]:
                log.cancel_told = True
                with contextlib.suppress(Exception):
                    log.on_cancel()
        if log.on_answer is None:
            return
        rows = connection.execute(
            "SELECT node, answer FROM questions WHERE run = ? AND answer IS NOT NULL", (log.number,)
        )
        for node, answer in rows.fetchall():
            if node not in log.answers_told:
                log.answers_told.add(node)
                with contextlib.suppress(Exception):
                    log.on_answer(node, Stored(None, answer))

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _taken(run: str) -> JournalError:
    return JournalError(f"another run is called {run} already", hint="Begin it again.")


def _gone(run: str) -> JournalError:
    return JournalError(f"the run {run} is no longer in the record of runs", hint="Begin it again.")


def _tell(future: Future[None], error: JournalError | None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _mark(folder: Path) -> tuple[int, int] | None:
    """Changes whenever somebody leaves a word: the file grows, for its time may stand still between two."""
    try:
        about = (folder / NEWS).stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns
