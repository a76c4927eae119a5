"""Recording and replaying on the command line: `--record`, `--replay`, `--ask-new`, `--pace`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from phloem.runtime.events import Status

__all__ = ["add_recording", "recording_options", "tell_partial"]

_WORKFLOWS = (".yaml", ".yml", ".json")
_RECORDINGS = (".phloem-recording", ".recording", ".partial")


def add_recording(command: argparse.ArgumentParser) -> None:
    """Add the words to a command that runs a workflow."""
    command.add_argument(
        "--record", nargs="?", const="", type=_file, metavar="RECORDING",
        help="keep every answer from outside with the run, or in the file RECORDING, to replay it",
    )  # fmt: skip
    command.add_argument(
        "--replay", metavar="RUN",
        help="take every answer from a recorded run (its id, or last) or from a file, and ask nothing outside",
    )  # fmt: skip
    command.add_argument(
        "--ask-new", action="store_true", help="with --replay: ask outside what is not recorded, and keep the answers"
    )
    command.add_argument("--pace", action="store_true", help="with --replay: take as long as it took")


def recording_options(given: argparse.Namespace) -> dict[str, Any]:
    """The fields of Options that the words mean."""
    record = given.record is not None if not given.record else Path(given.record).expanduser().absolute()
    replay = None if given.replay is None else _run_or_file(given.replay)
    return {"record": record, "replay": replay, "ask_new": given.ask_new, "pace": given.pace}


def tell_partial(given: argparse.Namespace, status: Status) -> None:
    """Say where the answers are that a run which did not come to its end had recorded."""
    words = recording_options(given)
    file = words["record"] if words["record"] or not words["ask_new"] else words["replay"]
    if status in ("cancelled", "waiting") and isinstance(file, Path):
        print(f"what was recorded until then is in {file}.partial", file=sys.stderr)


def _file(text: str) -> str:
    if text.lower().endswith(_WORKFLOWS):
        raise argparse.ArgumentTypeError(
            f"{text} looks like a workflow. Write `phloem run {text} --record`; a recording is called "
            "NAME.phloem-recording."
        )
    return text


def _run_or_file(text: str) -> str | Path:
    """A run is called by its id; whatever looks like a path, or is one, is a file."""
    path = Path(text).expanduser()
    is_file = os.sep in text or "/" in text or text.lower().endswith(_RECORDINGS) or path.is_file()
    return path.absolute() if is_file else text
