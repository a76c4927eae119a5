"""`phloem models`: the models that there are, fetched, removed, measured, and the keys of those elsewhere.

Each of its commands is a module of that name with a `main`, imported when it is used. Results go to stdout,
what happens meanwhile to stderr. Exit codes are those of `phloem`: 1 when a model cannot be had or asked, 2
when the command line is wrong.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Final

from phloem.nodes.commands.models.arguments import add_arguments

__all__ = ["add_arguments", "help", "main"]

help: Final = "list, fetch, remove and measure models, and keep the keys of those elsewhere"


def main(given: argparse.Namespace) -> int:
    """Run the command that was given; `list` where none was."""
    from phloem.runtime.cli import complain
    from phloem.runtime.errors import InputError

    try:
        code: int = import_module(f"phloem.nodes.commands.models.{given.action or 'list'}").main(given)
    except InputError as error:
        # Elsewhere a node was given what it cannot use; here it was the person who typed.
        complain(error)
        return 2
    sys.stdout.flush()
    return code
