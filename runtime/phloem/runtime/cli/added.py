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
            commands.add_parser(name, help=f"(broken: {error.message})".replace("%", "%%"))
            continue
        parser = commands.add_parser(name, help=command.help, description=command.help[:1].upper() + command.help[1:])
        command.add_arguments(parser)
        parser.set_defaults(run_command=command.main)


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
    raise ConfigError(
        f"the command {name} of {values[0]} cannot be loaded: {problem}",
        hint="Install its package again, or uninstall it.",
    )
