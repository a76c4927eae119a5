"""What `phloem runs` takes. In a module of its own, since every other command can do without it."""

from __future__ import annotations

import argparse
from typing import Any

from phloem.runtime.cli.arguments import add_following

__all__ = ["add_runs"]

_RUN = "its id, the beginning of it or of its last part, or `last`"


def add_runs(command: argparse.ArgumentParser, parser_class: type[Any]) -> None:
    """Add the commands of `phloem runs`."""
    actions = command.add_subparsers(dest="action", required=True, metavar="COMMAND", parser_class=parser_class)

    one = actions.add_parser("list", help="list the runs there were, the newest first")
    one.add_argument(
        "-n", "--most", type=_at_least_one, default=20, metavar="N", help="list at most N runs (default: 20)"
    )
    one.add_argument("--all", action="store_true", help="list every run")
    one.add_argument("--json", action="store_true", help="print a JSON list")

    one = actions.add_parser("show", help="tell what happened in a run")
    _run(one)
    one.add_argument("node", nargs="?", metavar="NODE", help="print all that this node gave")
    one.add_argument("--all", action="store_true", help="tell of the nodes inside of other nodes too")
    one.add_argument("--json", action="store_true", help="print one JSON object")

    one = actions.add_parser("diff", help="say how two runs differ, node by node")
    one.add_argument("before", metavar="A", help=f"a run: {_RUN}")
    one.add_argument("after", metavar="B", help="the run to compare it with")
    one.add_argument("--json", action="store_true", help="print one JSON object")

    one = actions.add_parser("export", help="write a run, or what was recorded with it, into one file")
    _run(one)
    one.add_argument(
        "-o", "--output", metavar="FILE", help="the file (default: the run's id with .zip, or .phloem-recording, here)"
    )
    one.add_argument(
        "--recording", action="store_true",
        help="write only the answers from outside, as `phloem run FILE --record RECORDING` would have: for --replay",
    )  # fmt: skip

    one = actions.add_parser("gc", help="drop old runs, and what no run needs any more")
    one.add_argument("--older", metavar="TIME", help="drop what ended longer ago than this, such as 30d or 12h")
    one.add_argument("--keep-size", metavar="SIZE", help="drop the oldest until the rest fits into this, such as 2GB")
    one.add_argument("--dry-run", action="store_true", help="drop nothing, only say what would be")

    one = actions.add_parser("resume", help="go on with a run that was left, from where it was")
    _run(one)
    add_following(one)

    one = actions.add_parser("answer", help="answer what a node of a run asks")
    _run(one)
    one.add_argument("node", metavar="NODE", help="the node that asks")
    one.add_argument("value", metavar="VALUE", help="the answer: a text, yes or no, a choice, a number or JSON")
    one.add_argument("--resume", action="store_true", help="go on with the run, if no process is at work on it")
    add_following(one)

    one = actions.add_parser("cancel", help="stop a run, wherever it is")
    _run(one)


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help=f"a run: {_RUN}")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or len(text) > 15 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)
