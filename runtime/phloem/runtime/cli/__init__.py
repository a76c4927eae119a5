"""The command line: `phloem run`, `check`, `show`, `fmt`, `diff`, `nodes`, `runs`, and what installed packages add.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 a node, or what else was asked for,
failed, 2 the workflow, its input, a grant or the command line is wrong, 3 a bug of ours, 4 it waits for a person,
130 interrupted. Each command's own module is imported only when it is used.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType

from phloem.runtime.errors import JournalError, NodeError, PhloemError, WorkflowError

__all__ = ["main"]

WAITING = 4
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `arguments` default to the process's own."""
    from phloem.runtime.cli.arguments import parser

    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, TextIOWrapper) and "PYTHONIOENCODING" not in os.environ:
        # A value may hold half of a character, from a page or a file name, which no terminal and no file takes.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        given = parser(arguments).parse_args(arguments)
        run = getattr(given, "run_command", None) or _command(given.command).main
        code: int = run(given)
        sys.stdout.flush()
        return code
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 2
    except KeyboardInterrupt:
        print("cancelled", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PhloemError as error:
        complain(error)
        return 1 if isinstance(error, NodeError | JournalError) else 2
    except Exception as error:
        return _bug(error)


def _command(name: str) -> ModuleType:
    """The module of a command. What importing makes is no garbage, and looking for some takes a tenth of the time."""
    gc.disable()
    try:
        return import_module(f"phloem.runtime.cli.{name}")
    finally:
        gc.freeze()
        gc.enable()


def complain(error: PhloemError) -> None:
    """Print an error the way a person can act on it."""
    from phloem.runtime.words import printable

    if isinstance(error, WorkflowError):
        for problem in error.problems:
            print(f"error: {printable(str(problem))}", file=sys.stderr)
    else:
        print(f"error: {printable(str(error))}", file=sys.stderr)


def _bug(error: Exception) -> int:
    """Say that it is our fault, with what we need to find it; the whole story with PHLOEM_DEBUG=1."""
    import traceback

    if os.environ.get("PHLOEM_DEBUG"):
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    spot = f"{Path(last.filename).name}:{last.lineno}"
    print(
        f"error: this is a bug in Phloem: {type(error).__name__}: {error} ({spot})\n"
        "  Please report it with what PHLOEM_DEBUG=1 adds. Nothing of yours was changed.",
        file=sys.stderr,
    )
    return 3


if __name__ == "__main__":
    sys.exit(main())
