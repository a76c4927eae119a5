"""`phloem runs`: what was run, what came of it, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from phloem.runtime.home import Home
from phloem.runtime.journal import Journal
from phloem.runtime.journal.database import damaged_databases
from phloem.runtime.words import printable

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Do what was asked for; the exit code."""
    home = Home.default()
    journal = Journal(home.journal, cache=home.cache)
    action = import_module(f"phloem.runtime.cli.runs.{given.action}")
    try:
        code: int = action.main(given, journal)
    finally:
        for notice in journal.notices:
            print(f"warning: {printable(notice)}", file=sys.stderr)
    if given.action == "list" and not journal.notices:
        for path in damaged_databases(journal.folder):
            print(f"warning: the record was damaged once; the runs before that are in {path}", file=sys.stderr)
    return code
