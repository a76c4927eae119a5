"""`phloem runs cancel`: stops a run, wherever it is."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from phloem.runtime.journal import Journal

__all__ = ["main"]

PATIENCE: Final = 15.0
"""Seconds to wait for the run's process to stop it: a node may take a moment to clean up."""


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Stop the run, and return when it has ended; 1 if its process does not listen."""
    id = journal.run(given.run).id
    if journal.cancel(id) == "cancelled":
        print(f"{id} is cancelled")
        return 0
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        status = journal.run(id).summary.status
        if status == "interrupted" and journal.cancel(id) == "cancelled":
            # Its process died before it could do it.
            status = "cancelled"
        if status not in ("running", "waiting", "interrupted"):
            print(f"{id} is {status}")
            return 0
        time.sleep(0.1)
    print(
        f"error: {id} was asked to stop, and has not yet\n  It may be in a node that cannot be interrupted.",
        file=sys.stderr,
    )
    return 1
