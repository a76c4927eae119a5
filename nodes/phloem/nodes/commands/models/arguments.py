"""The words of `phloem models`."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_arguments"]

NO_DEFAULT = argparse.SUPPRESS
"""The default of an option that may also stand before the command, whose value it would otherwise take away."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the parser the commands of `phloem models` and their options."""
    _list_options(parser, default=False)
    commands = parser.add_subparsers(dest="action", metavar="COMMAND")
    _list(commands)
    _info(commands)
    _pull(commands)
    _add(commands)
    _rm(commands)
    _default(commands)
    _bench(commands)
    _key(commands)


def _new(commands: Any, name: str, help: str, more: str = "") -> argparse.ArgumentParser:
    """The parser of a command. `more` is told by its own --help, in the lines as they stand."""
    description = help[:1].upper() + help[1:] + "." + (f"\n\n{more}" if more else "")
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return made


def _list_options(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--all", action="store_true", default=default,
        help="also ask the providers, and servers on this machine, which models they have",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", default=default, help="print JSON")


def _list(commands: Any) -> None:
    command = _new(commands, "list", "list the models of this machine, and the providers that can be asked")
    _list_options(command, NO_DEFAULT)


def _info(commands: Any) -> None:
    command = _new(commands, "info", "tell all that is known of one model")
    command.add_argument("model", metavar="MODEL", help="its name (local:demo, openai:gpt-5) or a GGUF file")
    command.add_argument("--json", action="store_true", default=NO_DEFAULT, help="print JSON")


def _pull(commands: Any) -> None:
    command = _new(
        commands, "pull", "fetch a model, or go on fetching it",
        "SOURCE is one of\n\n"
        "  hf:OWNER/REPO               a repository of the Hugging Face hub: its recommended file\n"
        "  hf:OWNER/REPO:Q4_K_M        its file of that quantisation\n"
        "  hf:OWNER/REPO/FILE.gguf     that file; @REVISION behind any of these\n"
        "  https://…/FILE.gguf         any file on the web\n\n"
        "Ctrl-C pauses; the same command goes on. HF_TOKEN, or the key for huggingface, opens private\n"
        "repositories; HF_ENDPOINT names another hub; HTTPS_PROXY and NO_PROXY are heeded.",
    )  # fmt: skip
    command.add_argument("source", metavar="SOURCE", help="where it comes from, see above")
    command.add_argument("--name", default="", metavar="NAME", help="what to call it here (default: as its file)")
    command.add_argument("--sha256", default="", metavar="HASH", help="the checksum that the file must have")
    command.add_argument(
        "--progress", choices=["auto", "bar", "lines", "off"], default="auto",
        help="how to show it on stderr: a bar on a terminal, lines for a log; auto is the one that fits",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", default=NO_DEFAULT, help="print what came as JSON")


def _add(commands: Any) -> None:
    command = _new(
        commands, "add", "give a model file on this machine a name",
        "The file stays where it is and takes no further room: on the same disk it gets a second name (a hard\n"
        "link), which stays when the first is removed; from another disk it is linked to.",
    )  # fmt: skip
    command.add_argument("file", metavar="FILE", help="a GGUF file")
    command.add_argument("--name", default="", metavar="NAME", help="what to call it (default: as the file)")
    ways = command.add_mutually_exclusive_group()
    ways.add_argument("--copy", action="store_true", help="copy it")
    ways.add_argument("--link", action="store_true", help="link to its path, whatever file that will be")
    command.add_argument("--json", action="store_true", default=NO_DEFAULT, help="print what was added as JSON")


def _rm(commands: Any) -> None:
    command = _new(commands, "rm", "remove a model that was fetched or added, or what came of one so far")
    command.add_argument("model", metavar="NAME", help="its name, as local:mine or mine")
    command.add_argument("--yes", action="store_true", help="do not ask")


def _default(commands: Any) -> None:
    command = _new(commands, "default", "show or set the model that is used where nothing names one")
    command.add_argument("model", metavar="NAME", nargs="?", default="", help="the model to use from now on")
    command.add_argument("--embedding", action="store_true", help="the one that makes vectors")
    command.add_argument("--unset", action="store_true", help="go back to the one that comes with Phloem")
    command.add_argument("--json", action="store_true", default=NO_DEFAULT, help="print JSON")


def _bench(commands: Any) -> None:
    command = _new(
        commands, "bench", "measure how fast models read and write here",
        "Reading a prompt and writing are measured apart, for one request and for several at once, and the time\n"
        "to load and to the first token. Without a name it is the default model.",
    )  # fmt: skip
    command.add_argument("models", metavar="NAME", nargs="*", help="the models to measure")
    command.add_argument("--prompt", type=_count, default=512, metavar="N", help="tokens to read (default: 512)")
    command.add_argument("--write", type=_count, default=128, metavar="N", help="tokens to write (default: 128)")
    command.add_argument(
        "--parallel", type=_counts, default=(1, 8), metavar="N,…", help="how many requests at once (default: 1,8)"
    )
    command.add_argument("--threads", type=_counts, default=(), metavar="N,…", help="threads to compare")
    command.add_argument("--rounds", type=_count, default=3, metavar="N", help="times to measure (default: 3)")
    command.add_argument("--json", action="store_true", default=NO_DEFAULT, help="print JSON")


def _key(commands: Any) -> None:
    command = _new(
        commands, "key", "keep the keys of providers in the system's keyring",
        "A key in the environment (OPENAI_API_KEY and the like) goes before one in the keyring.",
    )  # fmt: skip
    actions = command.add_subparsers(dest="what", metavar="COMMAND")
    added = _new(
        actions, "set", "store a key", "It is asked for, and not shown; with - it is read from standard input."
    )
    added.add_argument("provider", metavar="PROVIDER", help="whose key it is: openai, anthropic, huggingface, …")
    added.add_argument("dash", metavar="-", nargs="*", help="read the key from standard input")
    listed = _new(actions, "list", "say which providers have a key, and where; never the key")
    for one in (command, listed):
        one.add_argument("--json", action="store_true", default=NO_DEFAULT, help="print JSON")
    removed = _new(actions, "remove", "take a key out of the keyring")
    removed.add_argument("provider", metavar="PROVIDER", help="whose key it is")


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= 7 else 0
    if not 0 < count <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a count from 1 to 1,000,000")
    return count


def _counts(text: str) -> tuple[int, ...]:
    found = tuple(dict.fromkeys(_count(one.strip()) for one in text.split(",")))
    if max(found) > 256:
        raise argparse.ArgumentTypeError(f"{max(found)} is more than 256")
    return found
