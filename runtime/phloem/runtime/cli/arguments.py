"""The words of the command line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

__all__ = ["parser"]


class _Parser(argparse.ArgumentParser):
    """argparse, with the nearest right word for a command that there is not."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        if "unrecognized arguments" in message:
            word = message.partition(": ")[2].split()[0]
            near = _nearest_option(self, word.partition("=")[0]) if word.startswith("-") else None
            message = f"there is no {word}." + (f" Did you mean {near}?" if near else "")
        if "invalid choice" in message:
            from phloem.runtime.words import nearest, or_list

            word = message.partition("invalid choice: '")[2].partition("'")[0]
            commands = next((list(action.choices) for action in self._actions if action.choices), [])
            near = nearest(word, commands)
            message = f"there is no {word!r}. " + (
                f"Did you mean {near}?" if near else f"There is {or_list(commands)}."
            )
        self.exit(2, f"error: {message}\n  {self.prog} --help says what there is.\n")


def _nearest_option(parser: argparse.ArgumentParser, word: str) -> str | None:
    """The option of any command that `word` was most likely meant to be."""
    from phloem.runtime.words import nearest

    parsers = [parser]
    for action in parser._actions:
        if isinstance(action.choices, dict):
            parsers += action.choices.values()
    return nearest(word, [option for one in parsers for action in one._actions for option in action.option_strings])


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"phloem {version('phloem')}")
        parser.exit(0)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; what it returns has the command's name in `command`."""
    whole = _Parser(prog="phloem", description="Run, check and look at language-model workflows.")
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _run(commands.add_parser("run", help="run a workflow and print its outputs"))
    _check(commands.add_parser("check", help="say what is wrong with workflows, and what they would touch"))
    _show(commands.add_parser("show", help="draw a workflow as text, Mermaid or SVG"))
    _fmt(commands.add_parser("fmt", help="write workflow files in their canonical form"))
    _diff(commands.add_parser("diff", help="say how two workflows differ, node by node"))
    _nodes(commands.add_parser("nodes", help="list the kinds of nodes there are, or explain one"))
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


def _run(command: argparse.ArgumentParser) -> None:
    _file(command)
    command.add_argument(
        "-i", "--input", action="append", default=[], metavar="NAME=VALUE", dest="inputs",
        help="give an input its value; NAME=@FILE takes it from a file, NAME=@- from standard input",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="print one JSON object with all that came out")
    command.add_argument("--events", action="store_true", help="print each event as a line of JSON while it happens")
    command.add_argument("--to", metavar="NODE", help="run only this node and what it depends on; print its outputs")
    command.add_argument(
        "--model", default="", metavar="MODEL", help="the model where a node names none: local:FILE.gguf, …"
    )
    _allow(command)
    command.add_argument("--no-cache", action="store_true", help="use no earlier result and keep none")
    command.add_argument(
        "--seed", type=int, metavar="N", help="make the same choices where chance decides as another run with this seed"
    )
    command.add_argument(
        "--progress", choices=["auto", "live", "lines", "off"], default="auto",
        help="how to show the run on stderr: live on a terminal, lines for a log; auto is live or off",
    )  # fmt: skip


def _check(command: argparse.ArgumentParser) -> None:
    _file(command, many=True)
    _allow(command)
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
