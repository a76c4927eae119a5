"""Old runs are dropped by age and size, with what only they needed; never one that is under way."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import pytest
from phloem.runtime.cache import store
from phloem.runtime.events import RunFinished
from phloem.runtime.journal import Journal
from phloem.runtime.journal import collect as collect_module
from phloem.runtime.journal import journal as journal_module
from phloem.runtime.journal.values import YOUNG
from support.journals import a_run, begun, ended, finish

DAY = 86_400.0


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def past_run(journal: Journal, id: str, days: float, value: str = "x", status="done") -> None:
    """A run that ended so many days ago."""
    log = begun(journal, id, began=time.time() - days * DAY)
    finish(log, "one", {"text": value})
    log.end(RunFinished(id, 9, time.time() - days * DAY, status), {})
    log.settle()


def files(journal: Journal) -> set[str]:
    return {path.name for path in journal.files.folder.iterdir()}


def ids(runs) -> list[str]:
    return [one.id for one in runs]


def test_runs_are_dropped_by_age_with_the_values_that_only_they_had(journal):
    past_run(journal, "old", 40, "old" * 20_000)
    past_run(journal, "older", 50, "shared" * 20_000, status="failed")
    past_run(journal, "new", 1, "shared" * 20_000)
    would = journal.collect(older=30 * DAY, dry_run=True)
    assert len(journal.runs()) == 3 and len(files(journal)) == 2
    done = journal.collect(older=30 * DAY)
    assert ids(would.runs) == ids(done.runs) == ["older", "old"]
    assert (would.files, would.bytes) == (done.files, done.bytes) and done.files == 1 and done.bytes > 60_000
    assert ids(journal.runs()) == ["new"]
    assert files(journal) == {store("shared" * 20_000).hash.hex()}
    assert journal.run().finished["one"].outputs["text"].load() == "shared" * 20_000
    assert journal.collect(older=30 * DAY).runs == []


def test_the_oldest_go_until_the_rest_fits(journal):
    for days in range(1, 6):
        past_run(journal, f"{days}-days", days, f"{days}" * 100_000)
    assert ids(journal.collect(keep_size=250_000, dry_run=True).runs) == ["5-days", "4-days", "3-days"]
    assert ids(journal.collect(keep_size=250_000).runs) == ["5-days", "4-days", "3-days"]
    assert ids(journal.runs()) == ["1-days", "2-days"] and len(files(journal)) == 2
    assert ids(journal.collect(keep_size=0).runs) == ["2-days", "1-days"]
    assert journal.runs() == [] and files(journal) == set()


def test_a_value_that_a_kept_run_shares_frees_nothing_and_stays(journal):
    for days in range(1, 4):
        past_run(journal, f"{days}-days", days, "shared" * 20_000)
    assert journal.collect(keep_size=125_000).runs == []
    assert len(files(journal)) == 1


def test_what_is_under_way_or_waits_is_never_dropped(journal):
    running = begun(journal, "running", began=time.time() - 99 * DAY)
    finish(running, "one", {"text": "r" * 50_000})
    waiting = begun(journal, "waiting", began=time.time() - 99 * DAY)
    waiting.waits(True)
    other = Journal(journal.folder)
    left = begun(other, "left", began=time.time() - 99 * DAY)
    alone = begun(other, "alone", began=time.time() - 99 * DAY)
    alone.waits(True)
    for log in (running, waiting, left, alone):
        log.settle()
    other.close()
    assert ids(journal.collect(older=0, keep_size=0).runs) == ["left"]
    assert {one.id: one.status for one in journal.runs()} == {
        "running": "running",
        "waiting": "waiting",
        "alone": "waiting",
    }
    assert len(files(journal)) == 1


def test_what_was_left_half_written_goes_when_it_is_old(journal):
    a_run(journal, "one", {"one": {"text": "x" * 50_000}})
    for name, age in ((".young", 0), (".old", YOUNG + 60)):
        path = journal.files.folder / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))
    (journal.files.folder / "not ours").write_text("somebody's")
    assert journal.collect().files == 1
    assert {".young", "not ours"} < files(journal) and ".old" not in files(journal)


def test_a_value_that_a_sweep_took_away_is_written_again(journal):
    """A run is about to refer to a file that is there, and a sweep that does not know takes it."""
    past_run(journal, "old", 40, "v" * 50_000)
    hash = store("v" * 50_000).hash
    other = Journal(journal.folder)
    swept = []
    write = other.files.write

    def write_and_sweep(values):
        write(values)
        if not swept and hash in values:
            swept.append(journal.collect(older=DAY))
            assert not journal.files.path(hash).exists()

    other.files.write = write_and_sweep
    a_run(other, "new", {"one": {"text": "v" * 50_000}})
    other.close()
    assert swept and journal.run("new").finished["one"].outputs["text"].load() == "v" * 50_000


def test_the_space_goes_back_to_the_disk(journal):
    for number in range(50):
        past_run(journal, f"run-{number}", 40, "x" * 15_000)
    journal.collect()
    before = (journal.folder / "journal.db").stat().st_size
    journal.collect(older=DAY)
    assert (journal.folder / "journal.db").stat().st_size < before / 5


def test_a_file_that_does_not_shrink_is_left_as_it_is(journal):
    past_run(journal, "old", 40, "x" * 15_000)
    journal.close()
    with closing(sqlite3.connect(journal.folder / "journal.db")) as connection:
        connection.executescript("PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=NONE; VACUUM")
    assert ids(journal.collect(older=DAY).runs) == ["old"]


def test_dead_processes_leave_no_files_for_ever(journal):
    begun(journal).settle()
    dead = journal.folder / "owners" / "dead"
    dead.touch()
    old = time.time() - YOUNG - 60
    for path in dead.parent.iterdir():
        os.utime(path, (old, old))
    journal.collect()
    assert not dead.exists() and journal.runs()[0].here


def test_a_journal_keeps_itself_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "SIZE_LIMIT", 250_000)
    for days in range(5, 0, -1):
        journal = Journal(tmp_path / "journal")
        past_run(journal, f"{days}-days", days, f"{days}" * 100_000)
        journal.close()
    # It looked when the first process ended, and not again on the same day.
    assert len(journal.runs()) == 5
    for name, apart in (("now", -DAY - 60), ("after-the-clock-was-put-back", 2 * DAY)):
        day = time.time() + apart
        os.utime(journal.folder / "collected", (day, day))
        ended(begun(journal := Journal(tmp_path / "journal"), name))
        journal.close()
        assert time.time() - 60 < (journal.folder / "collected").stat().st_mtime < time.time() + 60
    assert ids(journal.runs()) == ["after-the-clock-was-put-back", "now", "1-days", "2-days"]


def test_a_journal_that_cannot_be_looked_through_is_let_go_of(journal, monkeypatch):
    def damaged(*words):
        raise sqlite3.DatabaseError("database disk image is malformed")

    a_run(journal, "one", {"one": {"text": "x"}})
    monkeypatch.setattr(collect_module, "_all", damaged)
    journal.close()
    assert list((journal.folder / "owners").iterdir()) == []
