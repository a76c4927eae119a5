"""`phloem runs gc`: drops old runs, and what no run needs any more."""

from __future__ import annotations

import argparse

from phloem.runtime.cli.runs.words import size
from phloem.runtime.document.fields import seconds_of
from phloem.runtime.errors import ConfigError
from phloem.runtime.journal import Journal
from phloem.runtime.settings import byte_count

__all__ = ["main"]


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Drop what is asked for, and say what that was."""
    older = keep_size = None
    if given.older is not None:
        older = seconds_of(given.older)
        if older is None:
            raise ConfigError(f"--older {given.older}: not a length of time", hint="Write --older 30d, or 12h.")
    if given.keep_size is not None:
        keep_size = 0 if given.keep_size.strip() == "0" else byte_count(given.keep_size)
        if keep_size is None:
            raise ConfigError(f"--keep-size {given.keep_size}: not a size", hint="Write --keep-size 2GB, or 500MB.")
    found = journal.collect(older=older, keep_size=keep_size, dry_run=given.dry_run)
    for run in found.runs:
        print(f"{run.id}  {run.status}")
    verb = "would drop" if given.dry_run else "dropped"
    runs = f"{len(found.runs):,} run{'' if len(found.runs) == 1 else 's'}"
    print(f"{verb} {runs} and {found.files:,} file{'' if found.files == 1 else 's'} of values, {size(found.bytes)}")
    return 0
