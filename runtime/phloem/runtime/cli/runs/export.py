"""`phloem runs export`: a run, or what was recorded with it, in one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from phloem.runtime.errors import ConfigError
from phloem.runtime.journal import Journal
from phloem.runtime.journal.export import export
from phloem.runtime.recording import recording_of, write_recording
from phloem.runtime.recording.file import ENDING

__all__ = ["main"]


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Write the file, and print its name."""
    run = journal.run(given.run)
    # Nobody calls a .zip so.
    is_recording = given.recording or (given.output or "").lower().endswith(ENDING)
    path = Path(given.output or f"{run.id}{ENDING if is_recording else '.zip'}").expanduser()
    if is_recording:
        write_recording(recording_of(run), path)
    else:
        try:
            export(run, path)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    print(path)
    return 0
