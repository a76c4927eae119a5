"""`phloem models default`: the model that is used where nothing names one."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Literal

from phloem.nodes.commands.models import places
from phloem.runtime.context import DEFAULT_EMBEDDING, DEFAULT_MODEL
from phloem.runtime.errors import ConfigError, InputError
from phloem.runtime.home import Home
from phloem.runtime.settings import Settings

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Show it on stdout, or change the settings."""
    home = Home.default()
    setting = "embedding" if given.embedding else "default"
    if given.model and given.unset:
        raise ConfigError("a model and --unset are two wishes", hint="Give one of them.")
    chosen = places.full_name(given.model) if given.model else None
    if chosen:
        _check(home, chosen, "vectors" if given.embedding else "text")
    settings = Settings.load(home)
    if chosen or given.unset:
        settings = settings.changed("models", setting, chosen)
        settings.save()
    name = settings.text("models", setting) or (DEFAULT_EMBEDDING if given.embedding else DEFAULT_MODEL)
    print(json.dumps({setting: name}, ensure_ascii=False) if given.json else name)
    usual = os.environ.get("PHLOEM_MODEL", "")
    if usual and not given.embedding:
        print(f"PHLOEM_MODEL goes before it: {usual}", file=sys.stderr)
    return 0


def _check(home: Home, name: str, wanted: Literal["text", "vectors"]) -> None:
    """InputError, or what else the service says, unless there is such a model and it makes what is wanted."""
    from phloem.nodes.commands.models.facts import about

    makes = about(home, name).makes
    if makes != wanted:
        raise InputError(
            f"{name} makes {makes}, not {wanted}",
            hint=f"`phloem models default --embedding {name}` is for models that make vectors."
            if makes == "vectors"
            else "`phloem models` says what each model makes.",
        )
