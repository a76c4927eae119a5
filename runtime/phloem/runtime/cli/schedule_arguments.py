"""The words of `phloem schedule`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["OWN", "add_arguments"]

OWN = frozenset({"help", "file", "inputs", "allow", "json", "events", "progress"})
"""What `phloem run` takes that is no option of a schedule, or is kept in a place of its own."""


def add_arguments(
    command: argparse.ArgumentParser,
    run: Callable[[argparse.ArgumentParser], None],
    parser_class: type[argparse.ArgumentParser],
) -> None:
    """`run` adds what `phloem run` takes."""
    command.description = (
        "Keep schedules in the home, and run what is due: `phloem schedule serve` does, and has to go on."
    )
    below = command.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=parser_class)
    add = below.add_parser("add", help="run a workflow at set times, with the options of `phloem run`")
    run(add)
    _without(add, ("--json", "--events", "--progress"))
    when = add.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", metavar="WHEN", help='minute, hour, day, month, weekday: "0 7 * * 1-5"; or @daily, …')
    when.add_argument("--every", metavar="TIME", help="a length of time, such as 10m or 6h")
    add.add_argument("--name", metavar="NAME", help="what to call it (default: the name of the file)")
    add.add_argument("--timezone", default="", metavar="ZONE", help="such as Europe/Berlin (default: this machine's)")
    add.add_argument(
        "--missed", choices=["run-once", "skip"], default="run-once",
        help="what to do about times at which nothing was there to run it (default: run-once)",
    )  # fmt: skip
    add.add_argument("--overlap", action="store_true", help="begin even while the run before it still goes on")
    listed = below.add_parser("list", help="list the schedules, when they are due, and how they went")
    listed.add_argument("--json", action="store_true", help="print them as JSON")
    show = below.add_parser("show", help="tell all about one schedule")
    _name(show)
    show.add_argument("--json", action="store_true", help="print it as JSON")
    _name(below.add_parser("run-now", help="run one now, and wait for it"))
    _name(below.add_parser("pause", help="let one not be due until `resume`"))
    _name(below.add_parser("resume", help="let one be due again"))
    _name(below.add_parser("remove", help="take one away, with its logs"))
    serve = below.add_parser("serve", help="run what is due, until told to stop")
    serve.add_argument(
        "--grace", default="60s", metavar="TIME", help="how long runs may go on when it is to stop (default: 60s)"
    )
    serve.add_argument(
        "--at-once", type=int, default=4, metavar="N", help="how many schedules run at the same time (default: 4)"
    )


def _name(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="the schedule")


def _without(command: argparse.ArgumentParser, options: tuple[str, ...]) -> None:
    """Take options away that mean nothing here."""
    for action in [one for one in command._actions if set(one.option_strings) & set(options)]:
        command._remove_action(action)
        for group in command._action_groups:
            if action in group._group_actions:
                group._group_actions.remove(action)
        for option in action.option_strings:
            command._option_string_actions.pop(option, None)
