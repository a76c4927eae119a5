"""When what was put into the record is on disk, and how several connections to it get along."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from phloem.runtime.cache import store
from phloem.runtime.errors import JournalError
from phloem.runtime.journal import Journal, Question
from phloem.runtime.journal import journal as journal_module
from support.journals import a_run, begun, elsewhere, ended, failing, finish, start, wait_for

RUN = "20261121-085300-3fa9c1"


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal", cache=tmp_path / "cache")
    yield journal
    journal.close()


# ---- Several connections


def test_another_connection_of_this_process_gives_no_lock_away(journal):
    """Whoever looks last at a database that nobody holds removes its log, and what is written there later is lost."""
    log = begun(journal)
    log.ask(Question("ask", "Which?"))
    log.settle()
    journal.answer(RUN, "ask", store("x"))
    look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT id FROM runs').fetchall())"
    path = str(journal.folder / "journal.db")
    assert RUN in subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True).stdout
    assert (journal.folder / "journal.db-wal").exists()
    finish(log, "one", {"text": "kept"})
    log.settle()
    assert "one" in elsewhere(journal).run().finished


def test_a_run_that_goes_while_the_list_is_read_is_still_in_it(journal, monkeypatch):
    first = Journal(journal.folder)
    begun(first).settle()
    first.close()
    told = journal_module.summary_of

    def gone_meanwhile(row, owners):
        monkeypatch.setattr(journal_module, "summary_of", told)
        assert [one.id for one in elsewhere(journal).collect(older=-60).runs] == [RUN]
        return told(row, owners)

    monkeypatch.setattr(journal_module, "summary_of", gone_meanwhile)
    assert [one.id for one in journal.runs()] == [RUN]
    assert journal.runs() == []


def test_a_record_that_was_put_in_the_place_of_ours_gets_nothing_of_our_run(journal, monkeypatch):
    """Numbers are counted anew in it, so ours is a stranger's."""
    told = []
    log = begun(journal, on_failure=told.append)
    log.settle()
    with monkeypatch.context() as patch, pytest.raises(JournalError):
        # The connection is given up, and made again for the next that is written.
        patch.setattr(journal.files, "write", failing(OSError(5, "Input/output error")))
        begun(journal, "other").settle()
    for path in list(journal.folder.glob("journal.db*")):
        path.rename(path.with_name(f"old-{path.name}"))
    stranger = Journal(journal.folder)
    begun(stranger, "stranger").settle()
    finish(log, "one", {"text": "ours"})
    with pytest.raises(JournalError, match="no longer in the record of runs"):
        log.settle()
    assert [one.message for one in told] == [f"the run {RUN} is no longer in the record of runs"]
    kept = journal.run("stranger")
    assert not kept.finished and kept.summary.status == "running"
    stranger.close()


# ---- Settling


def test_the_end_is_kept_whenever_the_disk_takes_what_is_before_it(journal, monkeypatch):
    """The row of the end is taken, and its state comes while that is written."""
    log = begun(journal)
    log.settle()

    class Late(list):
        def append(self, statement):
            wait_for(lambda: not log.rows)
            super().append(statement)

    write = journal.files.write

    def written_slowly(values):
        wait_for(lambda: log.closed)
        write(values)

    log.statements = Late()
    monkeypatch.setattr(journal.files, "write", written_slowly)
    journal._writer.wake()
    ended(log)
    journal.close()
    assert journal.runs()[0].status == "done"


@pytest.mark.slow
def test_settled_means_that_another_process_sees_it(journal):
    async def work():
        log = begun(journal)
        for number in range(20):
            finish(log, f"n{number}", {"text": "x"}, number)
            await log.settled()
            assert f"n{number}" in elsewhere(journal).run().finished

    asyncio.run(work())


def test_one_who_gives_up_waiting_harms_nobody(journal):
    async def work():
        log = begun(journal)
        waiting = [asyncio.create_task(log.settled()) for _ in range(10)]
        await asyncio.sleep(0)
        for one in waiting[::2]:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        finish(log, "one", {"text": "x"})
        await log.settled()

    asyncio.run(work())
    assert "one" in journal.run().finished


def test_a_run_that_is_faster_than_the_disk_waits_for_it(journal, monkeypatch):
    from phloem.runtime.journal import log as log_module

    monkeypatch.setattr(log_module, "MOST_ROWS", 50)
    monkeypatch.setattr(log_module, "MOST_HELD", 100_000)
    log = begun(journal)
    for number in range(150):
        start(log, f"n{number}", 2 * number + 1)
        finish(log, f"n{number}", {}, 2 * number + 2)
        assert len(log.rows) <= 52
    for number in range(10):
        finish(log, f"big{number}", {"text": str(number) * 60_000}, 1_000 + number)
        assert log.held <= 200_000
    log.settle()
    assert len(journal.run().events) == 311


def test_a_closed_journal_says_so(journal):
    log = begun(journal)
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        log.settle()
    with pytest.raises(JournalError, match="closed"):
        begun(journal, "another")
    assert len(journal.run().events) == 1


@pytest.mark.slow
def test_many_runs_leave_no_threads_files_or_memory_behind(tmp_path):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    journal = Journal(tmp_path / "journal")
    a_run(journal, "warm", {"one": {"text": "x"}})
    threads, files = threading.active_count(), open_files()
    for number in range(60):
        a_run(journal, f"run-{number}", {"one": {"text": "x"}})
    assert (threading.active_count(), open_files()) == (threads, files)
    assert journal._writer._logs == []
    journal.close()
    assert len(journal.runs()) == 61
