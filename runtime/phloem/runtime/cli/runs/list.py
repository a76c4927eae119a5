"""`phloem runs list`: the runs there were, the newest first."""

from __future__ import annotations

import argparse
import dataclasses
import json

from phloem.runtime.cli.runs.words import cost, duration, shown, table
from phloem.runtime.journal import Journal, Summary

__all__ = ["main"]


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Print a line a run, or JSON."""
    most = None if given.all else given.most
    # One more than is shown tells whether there are more.
    runs = journal.runs(limit=None if most is None else most + 1)
    more = most is not None and len(runs) > most
    runs = runs[:most]
    if given.json:
        print(json.dumps([dataclasses.asdict(one) for one in runs], ensure_ascii=False, indent=2))
        return 0
    if not runs:
        print("There is no run yet. `phloem run FILE` makes one.")
        return 0
    print(table([_row(one) for one in runs], head=("RUN", "STATUS", "TIME", "COST", "WORKFLOW")))
    if more:
        print("… and earlier ones: --all lists them")
    return 0


def _row(run: Summary) -> tuple[str, ...]:
    name = run.title or run.file.replace("\\", "/").rpartition("/")[2]
    return run.id, run.status, duration(run.seconds), cost(run.tokens_in + run.tokens_out, run.money), shown(name)
