"""Runs that are killed at any moment, many in a row, and many at once on one home."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from phloem.runtime.engine import Engine
from phloem.runtime.journal import Journal
from support import crashing


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_comes_to_its_end(tmp_path):
    found = crashing.crash(tmp_path, kills=8, seed=4)
    assert found.value == found.expected
    assert found.twice == [], "what the record says has finished does not run again"
    assert found.keys == [], "every call of a node has the same key"
    assert found.kills >= 4 and found.kept == sorted(found.kept)
    assert found.kept[-1] > 100, "the kills are spread over the work"


@pytest.mark.slow
def test_many_runs_in_a_row_leave_nothing_behind(home):
    async def whole() -> list[tuple[int, int, int]]:
        engine = Engine(home, catalogue=crashing.catalogue())
        try:
            return await crashing.many(engine, 400)
        finally:
            await engine.close()

    (first, files, threads), *_, (last, files_after, threads_after) = asyncio.run(whole())
    assert last - first < 6_000_000, f"{first:,} → {last:,} bytes"
    assert (files_after, threads_after) == (files, threads)


@pytest.mark.slow
def test_two_processes_with_many_runs_on_one_home_lose_none(home):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RAN": os.devnull, "FILES": ""}
    words = [sys.executable, "-m", "support.crashing", "many", "60"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    told = {line.split()[1] for process in both for line in process.communicate(timeout=100)[0].splitlines()}
    assert [process.returncode for process in both] == [0, 0]
    assert len(told) == 120
    assert {one.id: one.status for one in Journal(home.journal).runs()} == dict.fromkeys(told, "done")


@pytest.mark.slow
def test_a_disk_that_gets_full_stops_the_run_which_goes_on_when_there_is_room(tmp_path):
    """A limit on the size of every file stands for the full disk."""
    (tmp_path / "files").mkdir()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "RAN": str(tmp_path / "ran"), "FILES": str(tmp_path / "files"),
    }  # fmt: skip
    full = (
        "import asyncio, resource, signal, sys; from support import crashing; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000));"
        "asyncio.run(crashing.main(['begin', sys.argv[1]]))"
    )
    server = crashing.Counting()
    words = [sys.executable, "-c", full, str(server.port)]
    stopped = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)
    assert stopped.returncode == 1 and "JournalError" in stopped.stderr, stopped
    run = stopped.stdout.split()[1]
    again = subprocess.run(
        [sys.executable, "-m", "support.crashing", "resume", run], capture_output=True, text=True, env=environment, timeout=60
    )  # fmt: skip
    server.shutdown()
    server.server_close()
    assert float(again.stdout.split()[-1]) == crashing.shape_of(0)[1], again.stderr
