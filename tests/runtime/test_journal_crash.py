"""A journal whose writer is killed, whose disk is full, whose file is damaged, which others use at the same time."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from phloem.runtime.errors import JournalError
from phloem.runtime.journal import Journal, database
from support.journal_child import value_of
from support.journals import a_run, begun, ended, finish

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])}


def child(*words: str, **more) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "support.journal_child", *words],
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=ENVIRONMENT, **more,
    )  # fmt: skip


def is_sound(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# ---- Killed


@pytest.mark.slow
def test_what_was_settled_outlives_a_kill_at_any_moment(tmp_path):
    folder, chance = tmp_path / "journal", random.Random(4)
    settled: dict[str, int] = {}
    for round in range(8):
        with child("write", str(folder), f"run{round}", "1000", "40") as process:
            told = [process.stdout.readline()]
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
            told += process.stdout.readlines()
        for line in told:
            match line.split():
                case ["settled", run, number]:
                    settled[run] = int(number)
                case ["ended", run]:
                    settled[run] = 40
        assert is_sound(folder)
        journal = Journal(folder)
        summaries = {one.id: one for one in journal.runs()}
        for run, number in settled.items():
            if not run.startswith(f"run{round}-"):
                continue
            kept = journal.run(run)
            assert kept.damaged == 0 and kept.record.text
            assert len(kept.finished) >= number
            for name, node in kept.finished.items():
                # Nothing is there by half, whether it was waited for or not.
                assert node.whole and node.outputs["text"].load() == value_of(run, int(name[1:]))
            assert [one.seq for one in kept.events] == list(range(len(kept.events)))
            assert summaries[run].status in ("interrupted", "done")
    assert len(settled) >= 8
    journal = Journal(folder)
    journal.collect()
    for run in settled:
        assert all(one.whole for one in journal.run(run).finished.values())


@pytest.mark.slow
def test_processes_that_use_one_journal_at_once_lose_nothing(tmp_path):
    folder = tmp_path / "journal"
    sweeper = child("sweep", str(folder))
    writers = [child("write", str(folder), f"p{number}", "4", "30") for number in range(3)]
    assert [one.wait(120) for one in writers] == [0, 0, 0]
    assert sweeper.poll() is None
    sweeper.kill()
    for one in [*writers, sweeper]:
        one.communicate()
    journal = Journal(folder)
    runs = journal.runs()
    assert {one.id: one.status for one in runs} == {f"p{a}-{b}": "done" for a in range(3) for b in range(4)}
    for one in runs:
        found = journal.run(one.id).finished
        assert {name: node.outputs["text"].load() for name, node in found.items()} == {
            f"n{number}": value_of(one.id, number) for number in range(30)
        }
    assert is_sound(folder)


# ---- Full, or not to be written


def check_full(process: subprocess.Popen[str], make_room) -> None:
    """The child has told that it met the limit; when there is room, it goes on, and what had been there is there."""
    assert process.stdout.readline() == "full\n"
    make_room()
    out, _ = process.communicate("\n", timeout=60)
    seen = json.loads(out)
    assert seen["settled"] > 3 and seen["kept"] == seen["settled"] and seen["whole"] and seen["told"]
    assert seen["runs"] == {"first": "interrupted", "second": "done"}
    assert "the record of the run" in seen["error"] or "the record of runs" in seen["error"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 20_000])
def test_a_full_disk_stops_the_run_and_leaves_the_journal_whole(tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {disk} && dd if=/dev/zero of={disk}/ballast bs=1k count=300 status=none"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    script = f'{mount} && exec "{sys.executable}" -m support.journal_child fill {disk}/journal {size}'
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script],
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    with process:
        inside = Path(f"/proc/{process.pid}/root{disk}/ballast")
        check_full(process, inside.unlink)


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 20_000])
def test_on_a_disk_without_a_byte_runs_are_dropped_or_it_is_said_what_to_do(tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=2m none {disk}"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    script = f'{mount} && exec "{sys.executable}" -m support.journal_child brim {disk}/journal {size}'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    seen = json.loads(done.stdout)
    if "error" in seen:
        assert size == 200 and seen["after"] > 0, "values in files make the room to drop what refers to them"
        assert "full to the last byte" in seen["error"] and "`cache`" in seen["error"]
    else:
        assert seen["dropped"] == seen["before"] > 10 and seen["after"] == 0


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_stops_the_run_and_leaves_the_journal_whole(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    with child("fill", str(tmp_path / "journal"), "8000", preexec_fn=limit) as process:

        def make_room():
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        check_full(process, make_room)


def test_a_full_disk_is_said_with_what_to_free(tmp_path):
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    error = database.failure(full, tmp_path)
    assert "is full" in error.message and "phloem runs gc" in error.hint
    assert "is full" in database.failure(OSError(28, "No space left on device"), tmp_path).message


def test_where_nothing_can_be_made_the_run_cannot_begin(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "journal"):
        with pytest.raises(JournalError, match="cannot be opened") as told:
            begun(Journal(folder))
        assert "PHLOEM_HOME" in told.value.hint


@pytest.mark.slow
def test_a_journal_that_may_only_be_read_can_be_read(tmp_path):
    journal = Journal(tmp_path / "journal")
    a_run(journal, "a-run", {"one": {"text": "x" * 50_000}})
    journal.close()
    disk = tmp_path / "disk"
    disk.mkdir()
    code = (
        "import sys; from pathlib import Path; from phloem.runtime.journal import Journal;"
        f"journal = Journal(Path({str(disk)!r}) / 'journal');"
        "print(journal.runs()[0].status, journal.run().finished['one'].whole);"
        "from phloem.runtime.journal import RunRecord;\n"
        "try: journal.begin(RunRecord('x', ''))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    script = (
        f"mount -t tmpfs none {disk} && cp -r {journal.folder} {disk}/journal && mount -o remount,ro {disk} && "
        f'exec "$0" -c "$1"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, code], capture_output=True, text=True, env=ENVIRONMENT
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("no file system may be mounted here")
    assert done.stdout == "done True\nJournalError\n", done.stderr


# ---- Damaged


def test_a_file_that_is_no_database_is_set_aside_and_named(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.folder.mkdir()
    (journal.folder / "journal.db").write_text("These are not the tables you are looking for. " * 100)
    with pytest.raises(JournalError, match="damaged"):
        journal.runs()
    a_run(journal, "new", {"one": {"text": "x"}})
    journal.close()
    aside = database.damaged_databases(journal.folder)
    assert len(aside) == 1 and aside[0].read_text().startswith("These are not")
    assert len(journal.notices) == 1 and str(aside[0]) in journal.notices[0]
    assert [one.id for one in journal.runs()] == ["new"]


def damage(folder: Path) -> None:
    """Overwrite the pages in the middle of the database."""
    with (folder / "journal.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom((folder / "journal.db").stat().st_size - 3 * 4096))


def test_damage_that_is_found_while_writing_stops_the_run_and_the_next_one_has_a_journal(tmp_path):
    journal = Journal(tmp_path / "journal")
    for number in range(30):
        a_run(journal, f"run-{number}", {"one": {"text": "x" * 2_000}})
    journal.close()
    damage(journal.folder)
    journal, told = Journal(journal.folder), []
    with pytest.raises(JournalError, match="damaged"):
        log = begun(journal, "unlucky", on_failure=told.append)
        finish(log, "one", {"text": "y" * 2_000})
        ended(log)
    assert "journal-" in told[0].message
    a_run(journal, "new", {"one": {"text": "x"}})
    journal.close()
    assert [one.id for one in journal.runs()] == ["new"]
    assert len(database.damaged_databases(journal.folder)) == 1 == len(journal.notices)


def test_damage_ends_every_run_of_the_process(tmp_path, monkeypatch):
    """None of them is in the new record, where their numbers are others'."""
    journal, told = Journal(tmp_path / "journal"), []
    quiet, unlucky = begun(journal, "quiet", on_failure=told.append), begun(journal, "unlucky")
    for log in (quiet, unlucky):
        log.settle()
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def fail(values):
        raise damaged

    with monkeypatch.context() as patch:
        patch.setattr(journal.files, "write", fail)
        finish(unlucky, "one", {"text": "x"})
        with pytest.raises(JournalError, match="damaged"):
            unlucky.settle()
    assert len(told) == 1 and quiet.closed
    a_run(journal, "new", {"one": {"text": "x"}})
    journal.close()
    assert {one.id: one.status for one in journal.runs()} == {"new": "done"}


def test_the_log_of_a_damaged_database_is_never_left_beside_a_new_one(tmp_path, monkeypatch):
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"journal.db{suffix}").write_text(suffix)
    rename = Path.rename

    def killed(path: Path, target: Path) -> None:
        rename(path, target)
        if path.name == "journal.db-wal":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", killed)
        database.set_aside(tmp_path, database.inode_of(tmp_path))
    assert (tmp_path / "journal.db").exists() and not (tmp_path / "journal.db-wal").exists()
    database.set_aside(tmp_path, database.inode_of(tmp_path))
    assert not list(tmp_path.glob("journal.db*"))


def test_collecting_finds_damage_and_sets_it_aside(tmp_path):
    journal = Journal(tmp_path / "journal")
    for number in range(30):
        a_run(journal, f"run-{number}", {"one": {"text": "x" * 2_000}})
    journal.close()
    damage(journal.folder)
    journal = Journal(journal.folder)
    journal.collect()
    assert len(journal.notices) == 1 and journal.runs() == []


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path):
    journal = Journal(tmp_path / "journal")
    a_run(journal, "a-run", {"one": {"text": "x"}})
    journal.close()
    with closing(sqlite3.connect(journal.folder / "journal.db")) as connection:
        connection.execute("PRAGMA user_version=99")
    for ask in (journal.runs, journal.collect, lambda: journal.cancel("a-run")):
        with pytest.raises(JournalError, match="newer version"):
            ask()
    log = begun(Journal(journal.folder), "another")
    with pytest.raises(JournalError, match="newer version"):
        log.settle()
    log._writer.close()
    assert database.damaged_databases(journal.folder) == []
