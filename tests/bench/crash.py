"""A run that is killed at random moments and resumed until it ends, and many runs in a row: `python tests/bench/crash.py`.

It prints what came of it; it exits with 1 if anything was lost, or done twice.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from phloem.runtime.engine import Engine
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal
from support import crashing


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a run, and resume it, again and again.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--runs", type=int, default=1000, help="runs in a row")
    given = parser.parse_args()
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        fine = killed(Path(folder), given.kills, given.seed) and fine
    with tempfile.TemporaryDirectory() as folder:
        fine = asyncio.run(in_a_row(Path(folder), given.runs)) and fine
    with tempfile.TemporaryDirectory() as folder:
        fine = at_once(Path(folder), 200) and fine
    return 0 if fine else 1


def killed(folder: Path, kills: int, seed: int) -> bool:
    began = time.monotonic()
    found = crashing.crash(folder, kills, seed)
    fine = found.value == found.expected and not found.twice and not found.keys
    print(f"one run of {crashing.NODES} nodes, killed {found.kills} times, {time.monotonic() - began:.0f} s")
    print(f"  its value {found.value:g}, as it should be: {found.value == found.expected}")
    print(f"  finished at each kill: {' '.join(map(str, found.kept))}")
    print(f"  executions {found.executions}, of these again, as they were under way at a kill: {found.again}")
    print(f"  ran again though they had finished: {len(found.twice)}")
    print(f"  calls {found.calls}, nodes with more than one key: {len(found.keys)}, files written {found.files}")
    return fine


async def in_a_row(folder: Path, count: int) -> bool:
    engine = Engine(Home(folder), catalogue=crashing.catalogue())
    began = time.monotonic()
    try:
        seen = await crashing.many(engine, count, tell=False)
    finally:
        await engine.close()
    print(f"{count} runs in a row, {time.monotonic() - began:.0f} s")
    print("  after each hundred: " + ", ".join(f"{one[0] / 1e6:.1f} MB" for one in seen))
    print(f"  open files {seen[0][1]} → {seen[-1][1]}, threads {seen[0][2]} → {seen[-1][2]}")
    return seen[0][1:] == seen[-1][1:]


def at_once(folder: Path, count: int) -> bool:
    words = ["many", str(count)]
    both = [crashing.child(folder, *words) for _ in range(2)]
    told = {line.split()[1] for process in both for line in process.communicate()[0].splitlines()}
    runs = {one.id: one.status for one in Journal(folder / "home" / "journal").runs()}
    print(f"two processes with {count} runs each on one home: {len(runs)} recorded, {set(runs.values())}")
    return len(told) == 2 * count and runs == dict.fromkeys(told, "done")


if __name__ == "__main__":
    sys.exit(main())
