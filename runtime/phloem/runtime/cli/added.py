"""The commands that installed packages add."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.installed import COMMANDS, installed

__all__ = ["add_commands"]


def add_commands(commands: argparse._SubParsersAction[Any], word: str) -> None:
    """Add them all by name; load the one that `word` means, or for an empty `word` every one.

    ConfigError if the one that is meant cannot be loaded. One that has the name of a command of Phloem's
    own is left out.
    """
    offers: dict[str, list[str]] = {}
    for name, value in installed(Home.default())[COMMANDS]:
        if name not in commands.choices:
            offers.setdefault(name, []).append(value)
    for name, values in sorted(offers.items()):
        if word and name != word:
            commands.add_parser(name)
            continue
        try:
            command = _load(name, values)
        except ConfigError as error:
            if word:
                raise
            commands.add_parser(name, help=_literal(f"(broken: {error.message})"))
            continue
        about = command.help[:1].upper() + command.help[1:]
        parser = commands.add_parser(name, help=_literal(command.help), description=about)
        parser.set_defaults(run_command=command.main)
        try:
            command.add_arguments(parser)
        except Exception as error:
            # The list of all commands has its line all the same.
            if word:
                raise _broken(name, values[0], f"{type(error).__name__}: {error}") from error


def _literal(words: str) -> str:
    """A text that argparse shows as it is."""
    return words.replace("%", "%%")


def _load(name: str, values: list[str]) -> Any:
    """What stands behind the entry points of a command."""
    if len(values) > 1:
        raise ConfigError(
            f"several packages add a command {name}: {', '.join(values)}", hint="Uninstall all of them but one."
        )
    module, _, attribute = values[0].partition(":")
    try:
        command: Any = import_module(module)
        command = getattr(command, attribute) if attribute else command
        if isinstance(command.help, str) and callable(command.add_arguments) and callable(command.main):
            return command
        problem = "its help, add_arguments and main are not what they should be"
    except Exception as error:
        # Whatever a package raises while it is imported.
        problem = f"{type(error).__name__}: {error}"
    raise _broken(name, values[0], problem)


def _broken(name: str, value: str, problem: str) -> ConfigError:
    return ConfigError(
        f"the command {name} of {value} cannot be loaded: {problem}", hint="Install its package again, or uninstall it."
    )
