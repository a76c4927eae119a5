"""How long a command takes from the shell: `python tests/bench/startup.py [--rounds N]`.

Whole processes, beside a bare Python that imports what any such program needs. They take turns, and each
has run before, so that files are in memory and compiled, as for anybody's second command of the day.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from tables import Aim, Table, heading, shown, span

AIM: Final = Aim(3, "×")
PHLOEM: Final = [sys.executable, "-m", "phloem.runtime.cli"]
BARE: Final = "import asyncio, json, sqlite3"

CONSTANT: Final = """\
phloem: 1
nodes:
  only:
    kind: data.constant@1
    set: {value: ready}
outputs:
  value: only.value
"""
TEMPLATE: Final = """\
phloem: 1
nodes:
  only:
    kind: text.template@1
    set: {template: "ready"}
outputs:
  text: only.text
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how fast commands start.")
    parser.add_argument("--rounds", type=int, default=21, help="how often each command is timed")
    rounds = parser.parse_args().rounds
    heading("Start-up")
    with tempfile.TemporaryDirectory() as folder:
        constant, template = Path(folder, "constant.flow.yaml"), Path(folder, "template.flow.yaml")
        constant.write_text(CONSTANT, encoding="utf-8")
        template.write_text(TEMPLATE, encoding="utf-8")
        # Each command with what it must print, and its aim if it has one.
        commands: dict[str, tuple[list[str], str, Aim | None]] = {
            f'python -c "{BARE}"': ([sys.executable, "-c", BARE], "", None),
            "phloem --help": ([*PHLOEM, "--help"], "usage", AIM),
            "phloem check FILE": ([*PHLOEM, "check", str(constant)], "ok", AIM),
            "phloem run FILE (data.constant)": ([*PHLOEM, "run", "--no-cache", str(constant)], "ready", AIM),
            "phloem run FILE (data.constant, kept)": ([*PHLOEM, "run", str(constant)], "ready", AIM),
            "phloem run FILE (text.template)": ([*PHLOEM, "run", "--no-cache", str(template)], "ready", None),
        }  # fmt: skip
        environment = {
            **os.environ,
            "PHLOEM_HOME": str(Path(folder, "home")),
            "PYTHONPYCACHEPREFIX": str(Path(folder, "compiled")),
        }
        # Set where someone tests from a checkout; an installed program has its compiled files.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        wall: dict[str, list[float]] = {name: [] for name in commands}
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(rounds + 2):
            for name, (command, said, _) in commands.items():
                seconds, busy = timed(command, said, environment)
                if turn >= 2:
                    wall[name].append(seconds * 1e3)
                    cpu[name].append(busy * 1e3)
    table = Table(
        f"Whole processes, median of {rounds}",
        ["command", "wall ms", "low–high", "CPU ms", "× bare, CPU", "× bare, wall", "aim", "verdict"],
        left=1,
    )
    bare = next(iter(commands))
    for name, (_, _, aim) in commands.items():
        ratio = median(wall[name]) / median(wall[bare])
        table.row(
            name, shown(wall[name], 1, 0), span(wall[name], 1, 0), shown(cpu[name], 1, 0),
            f"{median(cpu[name]) / median(cpu[bare]):.1f}", f"{ratio:.1f}",
            str(aim or ""), aim.verdict(ratio) if aim else "",
        )  # fmt: skip
    table.show()
    return 0


def timed(command: list[str], said: str, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of wall and of CPU time that a process took; SystemExit unless it ended well and printed `said`."""
    used, began = children_cpu(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    wall, busy = time.perf_counter() - began, children_cpu() - used
    if done.returncode or said not in done.stdout:
        raise SystemExit(f"WRONG: {' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return wall, busy


def children_cpu() -> float:
    """Seconds of CPU time of all processes that this one has started and that have ended."""
    try:
        from resource import RUSAGE_CHILDREN, getrusage
    except ImportError:
        times = os.times()
        return times.children_user + times.children_system
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
