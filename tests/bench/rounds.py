"""Measuring several engines on one case: a process for each, and rounds in which they take turns.

What else the machine does then hits all of them alike. The first round of a process is told apart from
the later ones: many engines do work once that they need not do again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cases import Case
from peers import Peer

__all__ = ["Series", "measure"]

LIMIT: Final = 120.0
"""Seconds after which a worker that has not answered is ended."""

_QUIET: Final = {"LANGSMITH_TRACING": "false", "HAMILTON_TELEMETRY_ENABLED": "false", "PYTHONHASHSEED": "0"}


@dataclass(slots=True)
class Series:
    """What was measured of one peer on one case. `note` says why there is nothing, `wrong` what came out wrong."""

    peer: Peer
    builds: list[float] = field(default_factory=list)
    first: list[dict[str, Any]] = field(default_factory=list)
    later: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""
    wrong: str = ""

    def values(self, what: str, lap: str = "run", *, first: bool = False) -> list[float]:
        """All figures of one sort (`wall`, `cpu`, `grown`, `executed`), from the first rounds or the later ones."""
        figures = self.first if first else self.later
        return [one[what] for one in figures if one["lap"] == lap and one[what] is not None]


def measure(case: Case, peers: list[Peer], *, processes: int, rounds: int) -> list[Series]:
    """A series for each peer: `processes` times a fresh process with a first round and `rounds` later ones."""
    series = [Series(peer, note="" if peer.version is not None else "not installed") for peer in peers]
    for _ in range(processes):
        workers = [_Worker(one, case) for one in series if not one.note and not one.wrong]
        try:
            for turn in range(rounds + 1):
                shift = turn % len(workers) if workers else 0
                for worker in [*workers[shift:], *workers[:shift]]:
                    worker.go(first=turn == 0)
        finally:
            for worker in workers:
                worker.end()
    return series


class _Worker:
    """The process of one peer, built and waiting for its turn."""

    def __init__(self, series: Series, case: Case) -> None:
        self.series = series
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), series.peer.module, case.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **_QUIET},
        )
        self.errors: list[str] = []
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        ready = self._answer()
        if "build" in ready:
            series.builds.append(ready["build"])

    def go(self, *, first: bool) -> None:
        """One round, unless something went wrong before."""
        if self.series.note or self.series.wrong:
            return
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        laps = self._answer().get("laps", [])
        (self.series.first if first else self.series.later).extend(laps)

    def end(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.listener.join(10)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        clock = threading.Timer(LIMIT, self.process.kill)
        clock.start()
        line = self.process.stdout.readline()
        clock.cancel()
        if not line:
            self.process.wait()
            self.listener.join(10)
            last = self.errors[-1].strip() if self.errors else "it ended without a word"
            self.series.wrong = last if self.process.returncode >= 0 else f"no answer within {LIMIT:g} s"
            return {}
        answer: dict[str, Any] = json.loads(line)
        self.series.note = answer.get("absent", "")
        self.series.wrong = answer.get("wrong", "")
        return answer

    def _listen(self) -> None:
        """Take what comes on stderr, so that the process never waits for a reader; keep the end of it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors = [*self.errors[-20:], line]
