"""`phloem runs resume`: goes on with a run that was left, from where it was."""

from __future__ import annotations

import argparse

from phloem.runtime.journal import Journal

__all__ = ["main"]


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Go on with the run, as `phloem run` does; its exit code."""
    from phloem.runtime.cli.resuming import resume

    return resume(given, given.run)
