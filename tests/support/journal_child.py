"""Processes that write a journal, to be killed, or to meet a full disk: `python -m support.journal_child WHAT FOLDER …`.

`write` prints `settled RUN N` when N nodes of a run are on disk, until it is killed or has done COUNT runs.
"""

from __future__ import annotations

import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from phloem.runtime.errors import JournalError
from phloem.runtime.journal import Journal
from support.journals import a_run, begun, ended, finish, start

__all__ = ["value_of"]


def value_of(run: str, number: int) -> str:
    """What the node `number` of a run gives: some small, some large, some the same in every run."""
    if number % 5 == 0:
        return f"shared {number} " * 3_000
    return f"{run} {number} " * (2_000 if number % 7 == 0 else 3)


def write(folder: str, name: str, count: str, nodes: str) -> None:
    """`count` runs of `nodes` nodes each; most nodes are not waited for."""
    journal = Journal(Path(folder))
    chance = random.Random(name)
    for index in range(int(count)):
        run = f"{name}-{index}"
        log = begun(journal, run, (f"n{number}" for number in range(int(nodes))))
        for number in range(int(nodes)):
            start(log, f"n{number}", 2 * number + 1)
            finish(log, f"n{number}", {"text": value_of(run, number)}, 2 * number + 2)
            if chance.random() < 0.2:
                log.settle()
                print(f"settled {run} {number + 1}", flush=True)
        ended(log, seq=2 * int(nodes) + 1)
        print(f"ended {run}", flush=True)
    journal.close()


def sweep(folder: str) -> None:
    """Collect what nobody refers to, over and over, until it is killed."""
    journal = Journal(Path(folder))
    while True:
        journal.collect()
        print("swept", flush=True)


def fill(folder: str, size: str) -> None:
    """Write values until nothing more fits; then make room, and begin again. Tells what it saw as JSON."""
    journal = Journal(Path(folder))
    told: list[JournalError] = []
    log = begun(journal, "first", on_failure=told.append)
    seen = {"settled": 0}
    try:
        for number in range(100_000):
            start(log, f"n{number}", 2 * number + 1)
            finish(log, f"n{number}", {"text": os.urandom(int(size)).hex()}, 2 * number + 2)
            log.settle()
            seen["settled"] += 1
    except JournalError as error:
        seen["error"], seen["hint"], seen["told"] = error.message, error.hint, told == [error]
    start(log, "later", 1_000_000)
    seen["kept"] = len(journal.run("first").finished)
    seen["whole"] = all(one.whole and one.outputs["text"].load() for one in journal.run("first").finished.values())
    print("full", flush=True)
    sys.stdin.readline()
    again = begun(journal, "second")
    finish(again, "one", {"text": "there is room"})
    ended(again)
    journal.close()
    seen["runs"] = {one.id: one.status for one in Journal(Path(folder)).runs()}
    print(json.dumps(seen), flush=True)


def brim(folder: str, size: str) -> None:
    """Fill a disk to the last byte, and collect on it. Tells what came of that as JSON."""
    journal = Journal(Path(folder))
    with suppress(JournalError):
        for number in range(100_000):
            a_run(journal, f"run-{number}", {"one": {"text": os.urandom(int(size)).hex()}})
    journal.close()
    with suppress(OSError), Path(folder, "..", "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(b"x" * 1024)
    seen: dict[str, Any] = {"before": len(journal.runs())}
    try:
        seen["dropped"] = len(journal.collect(keep_size=0).runs)
    except JournalError as error:
        seen["error"] = str(error)
    print(json.dumps(seen | {"after": len(journal.runs())}), flush=True)


if __name__ == "__main__":
    {"write": write, "sweep": sweep, "fill": fill, "brim": brim}[sys.argv[1]](*sys.argv[2:])
