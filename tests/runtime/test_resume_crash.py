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
