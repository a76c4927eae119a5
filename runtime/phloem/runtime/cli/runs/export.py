"""`phloem runs export`: a run in one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from phloem.runtime.errors import ConfigError
from phloem.runtime.journal import Journal
from phloem.runtime.journal.export import export

__all__ = ["main"]


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Write the file, and print its name."""
    run = journal.run(given.run)
    path = Path(given.output or f"{run.id}.zip").expanduser()
    try:
        export(run, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    print(path)
    return 0
