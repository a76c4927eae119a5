"""The words of the command line.

Packages add commands through the entry-point group `phloem.commands`: the entry's name is the command's word,
its value a module (or an object in one) that has

    help: str                                            # one line, for `phloem --help`
    def add_arguments(parser: argparse.ArgumentParser) -> None
    def main(given: argparse.Namespace) -> int           # the exit code

It is imported for `--help`, so importing it must cost next to nothing. Phloem's own commands are known
without looking at what is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

__all__ = ["add_following", "parser"]


class _Parser(argparse.ArgumentParser):
    """argparse, with the nearest right word for a command that there is not."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        if "unrecognized arguments" in message:
            word, near = message.partition(": ")[2].split()[0], None
            if word.startswith("-"):
                # Without its value, which may be a key.
                word = word.partition("=")[0]
                near = _nearest_option(self, word)
            message = f"there is no {word}." + (f" Did you mean {near}?" if near else "")
        if "invalid choice" in message:
            from phloem.runtime.words import nearest, or_list

            word = message.partition("invalid choice: '")[2].partition("'")[0]
            choices = _choices(self, message.removeprefix("argument ").partition(":")[0])
            near = nearest(word, choices)
            message = f"there is no {word!r}. " + (f"Did you mean {near}?" if near else f"There is {or_list(choices)}.")
        self.exit(2, f"error: {message}\n  {self.prog} --help says what there is.\n")


def _choices(parser: argparse.ArgumentParser, argument: str) -> list[str]:
    """What can be said for an argument, which is named as argparse names it in its errors."""
    for action in parser._actions:
        if action.choices and argument in ("/".join(action.option_strings), action.metavar, action.dest):
            return [str(one) for one in action.choices]
    return []


def _nearest_option(parser: argparse.ArgumentParser, word: str) -> str | None:
    """The option of any command that `word` was most likely meant to be."""
    from phloem.runtime.words import nearest

    return nearest(word, [option for one in _actions(parser) for option in one.option_strings])


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Everything that a parser and those of the commands below it take."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _actions(one)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"phloem {version('phloem')}")
        parser.exit(0)


def parser(arguments: Sequence[str] = ("--help",)) -> argparse.ArgumentParser:
    """The parser for `arguments`, or of the whole command line.

    What it returns has the command's name in `command`, and for a command that a package adds its function
    in `run_command`. ConfigError if that command cannot be loaded.
    """
    whole = _Parser(prog="phloem", description="Run, check and look at language-model workflows.")
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _run(commands.add_parser("run", help="run a workflow and print its outputs"), resumes=True)
    _watch(commands.add_parser("watch", help="run a workflow again whenever it, or a file it reads, changes"))
    _schedule(commands.add_parser("schedule", help="run workflows at set times"))
    _check(commands.add_parser("check", help="say what is wrong with workflows, what they would touch and may spend"))
    _show(commands.add_parser("show", help="draw a workflow as text, Mermaid or SVG"))
    _fmt(commands.add_parser("fmt", help="write workflow files in their canonical form"))
    _diff(commands.add_parser("diff", help="say how two workflows differ, node by node"))
    _nodes(commands.add_parser("nodes", help="list the kinds of nodes there are, or explain one"))
    _grants(commands.add_parser("grants", help="list what was allowed always, or take it back"))
    runs = commands.add_parser("runs", help="list, show, compare, answer, resume and stop the runs there were")
    word = next((one for one in arguments if not one.startswith("-")), "")
    if word in ("", "runs"):
        from phloem.runtime.cli.runs_arguments import add_runs

        add_runs(runs, _Parser)
    if word not in commands.choices and (word or {"-h", "--help"} & set(arguments)):
        from phloem.runtime.cli.added import add_commands

        add_commands(commands, word)
    return whole


def _file(command: argparse.ArgumentParser, *, many: bool = False) -> None:
    if many:
        command.add_argument("files", nargs="+", metavar="FILE", help="a workflow file (.flow.yaml or .json)")
    else:
        command.add_argument("file", metavar="FILE", help="a workflow file (.flow.yaml or .json)")


def _allow(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allow", action="append", default=[], metavar="WORD=SCOPE",
        help="let the workflow touch something: net=HOST, read=PATH, write=PATH, spend=PROVIDER, … (may be repeated)",
    )  # fmt: skip


def _offline(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--offline", action="store_true", help="make no connection: a node that needs one fails, and says so"
    )


def _grants(command: argparse.ArgumentParser) -> None:
    what = command.add_subparsers(dest="what", required=True, metavar="WHAT", parser_class=_Parser)
    listed = what.add_parser("list", help="show what each workflow may always")
    listed.add_argument("--json", action="store_true", help="print it as JSON")
    forget = what.add_parser("forget", help="ask about these workflows again")
    forget.add_argument("ids", nargs="*", metavar="ID", help="the id that list shows, or a workflow file")
    forget.add_argument("--all", action="store_true", help="forget everything")


def _model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", default="", metavar="MODEL", help="the model where a node names none: local:FILE.gguf, …"
    )


def _limit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--limit", action="append", default=[], metavar="WORD=AMOUNT",
        help="stop at what a run may spend: tokens=5000, money=0.50 (US dollars), seconds=60 (may be repeated)",
    )  # fmt: skip


def _run(command: argparse.ArgumentParser, *, resumes: bool = False) -> None:
    if resumes:
        command.add_argument("file", nargs="?", metavar="FILE", help="a workflow file (.flow.yaml or .json)")
        command.add_argument("--resume", metavar="RUN", help="go on with a run that was left, instead of a new one")
    else:
        _file(command)
    command.add_argument(
        "-i", "--input", action="append", default=[], metavar="NAME=VALUE", dest="inputs",
        help="give an input its value; NAME=@FILE takes it from a file, NAME=@- from standard input",
    )  # fmt: skip
    command.add_argument("--to", metavar="NODE", help="run only this node and what it depends on; print its outputs")
    _model(command)
    command.add_argument(
        "--seed", type=int, metavar="N", help="make the same choices where chance decides as another run with this seed"
    )
    add_following(command)
    from phloem.runtime.cli.recording import add_recording

    add_recording(command)


def add_following(command: argparse.ArgumentParser) -> None:
    """Add what says how a run goes on, and how it is shown, whether it is begun or resumed."""
    command.add_argument("--json", action="store_true", help="print one JSON object with all that came out")
    command.add_argument("--events", action="store_true", help="print each event as a line of JSON while it happens")
    _allow(command)
    command.add_argument(
        "--no-ask", action="store_true", help="ask nobody anything, also on a terminal: what lacks a grant fails"
    )
    command.add_argument(
        "--stay",
        action="store_true",
        help="wait for people's answers from elsewhere, also with nothing else left to do",
    )
    _offline(command)
    command.add_argument("--egress", action="store_true", help="tell at the end every connection that was made")
    _limit(command)
    command.add_argument("--no-cache", action="store_true", help="use no earlier result and keep none")
    command.add_argument(
        "--prompts", action="store_true", help="show the exact text of everything that is sent to a model"
    )
    command.add_argument(
        "--progress", choices=["auto", "live", "lines", "off"], default="auto",
        help="how to show the run on stderr: live on a terminal, lines for a log; auto is live or off",
    )  # fmt: skip
    command.add_argument(
        "--trace", default="", metavar="WHERE",
        help="trace the run with OpenTelemetry: console, otlp or file:PATH (default: what PHLOEM_TRACE says)",
    )  # fmt: skip
    command.add_argument(
        "--on", default="", metavar="WHERE",
        help="have workers do what takes long: those of a Dask scheduler at tcp://HOST:PORT, or N of its own, local:N",
    )  # fmt: skip


def _watch(command: argparse.ArgumentParser) -> None:
    _run(command)
    command.add_argument(
        "--restart", action="store_true", help="break a run off when something changes while it goes on"
    )


def _schedule(command: argparse.ArgumentParser) -> None:
    from phloem.runtime.cli.schedule_arguments import add_arguments

    add_arguments(command, _run, _Parser)


def _check(command: argparse.ArgumentParser) -> None:
    _file(command, many=True)
    _allow(command)
    _offline(command)
    _model(command)
    _limit(command)
    command.add_argument("--json", action="store_true", help="print the findings as JSON")


def _show(command: argparse.ArgumentParser) -> None:
    _file(command)
    command.add_argument(
        "--as", dest="form", choices=["text", "mermaid", "svg"], help="the form (default: text, or by OUT's name)"
    )
    command.add_argument("-o", "--output", metavar="OUT", help="write to this file instead of stdout")
    command.add_argument(
        "--arrange", action="store_true", help="place the nodes anew instead of where the file has them"
    )


def _fmt(command: argparse.ArgumentParser) -> None:
    _file(command, many=True)
    command.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a file is not canonical")


def _diff(command: argparse.ArgumentParser) -> None:
    command.add_argument("before", metavar="A", help="a workflow file")
    command.add_argument("after", metavar="B", help="the workflow file to compare it with")


def _nodes(command: argparse.ArgumentParser) -> None:
    command.add_argument("word", nargs="?", metavar="WORD", help="a kind to explain, or a word to look for")
    command.add_argument("--json", action="store_true", help="print the catalogue as a JSON list")
