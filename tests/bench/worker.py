"""One engine on one case, in a process of its own: `python worker.py PEER CASE`.

It builds, says so, and then does one round for each line that comes in, with one line of JSON out each
time. What is printed by an engine goes to stderr.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

from cases import CASES, Lap, NotOffered, WrongResult


def main(peer: str, case: str) -> None:
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        began = time.perf_counter()
        module = importlib.import_module(f"peers.{peer}")
        imported = time.perf_counter()
        laps = CASES[case].prepare(module)
        built = time.perf_counter()
        answer(answers, {"import": imported - began, "build": built - imported})
        for _ in sys.stdin:
            answer(answers, {"laps": [measured(lap) for lap in laps()]})
    except NotOffered:
        answer(answers, {"absent": "left out"})
    except WrongResult as error:
        answer(answers, {"wrong": str(error)})


def measured(lap: Lap) -> dict[str, Any]:
    """Seconds of wall and of process CPU time of one lap, and by how many bytes the process grew at most."""
    gc.collect()
    held = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    value = lap.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    most = memory("VmHWM")
    grown = None if most is None or held is None else most - held
    return {"lap": lap.name, "wall": wall, "cpu": cpu, "grown": grown, "executed": lap.check(value)}


def memory(field: str) -> int | None:
    """Bytes that Linux tells of this process (VmRSS: now, VmHWM: at most so far); None elsewhere."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field))


def answer(answers: TextIO, data: dict[str, Any]) -> None:
    answers.write(json.dumps(data) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:3])
