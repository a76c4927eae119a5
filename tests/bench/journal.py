"""What it costs to keep a run: `python tests/bench/journal.py [--rounds N] [--folder FOLDER]`.

CPU time of the whole process, the thread that writes included. A node begins and finishes with one small text; making
its events is not counted, packing its output is. `settled` is how long a node that is about to change something
outside has to wait, which is the disk's doing.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from phloem.runtime import events as e
from phloem.runtime.cache import store
from phloem.runtime.events import preview
from phloem.runtime.journal import Journal, RunLog, RunRecord
from tables import Aim, Table, heading, shown, span

NODE_AIM: Final = Aim(8, "µs")
TEXT: Final = "phloem: 1\nnodes: {}\n" * 20


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what it costs to keep a run.")
    parser.add_argument("--rounds", type=int, default=7, help="how often each case is measured")
    parser.add_argument("--folder", help="where to write (default: the system's folder for such things)")
    given = parser.parse_args()
    heading("Journal")
    folder = Path(tempfile.mkdtemp(prefix="phloem-journal-", dir=given.folder))
    try:
        return _measure(folder, given.rounds)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, rounds: int) -> int:
    table = Table("CPU time", ["what", "unit", "CPU µs", "low–high", "wall µs", "aim", "verdict"])
    journal = Journal(folder / "journal")
    wrong = 0
    cases: list[tuple[str, str, int, Aim | None, Callable[[Journal, str, int], tuple[float, float]]]] = [
        ("a run of 1,000 nodes, text of 40 characters", "node", 1_000, NODE_AIM, _nodes),
        ("a run of 10,000 nodes", "node", 10_000, NODE_AIM, _nodes),
        ("100 runs of one node, each waited for", "run", 100, None, _runs),
        ("100 outputs of 1 MB", "output", 100, None, _large),
        ("settled before an effect", "time", 50, None, _settled),
    ]
    for title, unit, count, aim, case in cases:
        cpu, wall = [], []
        for number in range(rounds):
            measured = case(journal, f"{title[:6]}-{count}-{number}", count)
            cpu.append(measured[0] / count)
            wall.append(measured[1] / count)
        verdict = [str(aim), aim.verdict(sorted(cpu)[len(cpu) // 2] * 1e6)] if aim else []
        table.row(title, unit, shown(cpu, 1e6), span(cpu, 1e6), shown(wall, 1e6), *verdict)
    journal.close()
    kept = Journal(folder / "journal")
    if len(kept.run(f"a run -1000-{rounds - 1}").finished) != 1_000:
        print("WRONG: a run came out with fewer nodes than it had", file=sys.stderr)
        wrong = 1
    table.show()
    return wrong


def _begun(journal: Journal, id: str) -> RunLog:
    return journal.begin(RunRecord(id, TEXT, began=time.time()))


def _ended(log: RunLog) -> None:
    log.end(e.RunFinished(log.run, 10**6, time.time(), "done"), {})
    log.settle()


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """The CPU and wall seconds of `work`."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _nodes(journal: Journal, id: str, count: int) -> tuple[float, float]:
    log = _begun(journal, id)
    log.settle()
    told = []
    for number in range(count):
        text = f"what the node number {number:6} of the run gives"
        began = e.NodeStarted(id, 2 * number, time.time(), f"n{number}")
        shown = {"text": preview(text)}
        told.append((began, e.NodeFinished(id, 2 * number + 1, time.time(), f"n{number}", shown, 0.001), text))

    def work() -> None:
        for began, finished, text in told:
            log.take(began)
            log.finished(finished, (store(text),))
        _ended(log)

    return _timed(work)


def _runs(journal: Journal, id: str, count: int) -> tuple[float, float]:
    def work() -> None:
        for number in range(count):
            log = _begun(journal, f"{id}-{number}")
            log.take(e.NodeStarted(id, 0, time.time(), "only"))
            log.finished(e.NodeFinished(id, 1, time.time(), "only", {"v": preview(1)}, 0.001), (store(1),))
            _ended(log)

    return _timed(work)


def _large(journal: Journal, id: str, count: int) -> tuple[float, float]:
    log = _begun(journal, id)
    texts = [f"{id} {number} ".ljust(1_000_000, "x") for number in range(count)]

    def work() -> None:
        for number, text in enumerate(texts):
            log.finished(
                e.NodeFinished(id, number, time.time(), f"n{number}", {"t": preview(text)}, 0.1), (store(text),)
            )
        _ended(log)

    return _timed(work)


def _settled(journal: Journal, id: str, count: int) -> tuple[float, float]:
    log = _begun(journal, id)

    async def each() -> None:
        for number in range(count):
            await log.before_effect(f"n{number}")

    measured = _timed(lambda: asyncio.run(each()))
    _ended(log)
    return measured


if __name__ == "__main__":
    raise SystemExit(main())
