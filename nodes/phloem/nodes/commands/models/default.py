"""`phloem models default`: the model that is used where nothing names one."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Literal

from phloem.nodes.commands.models import places
from phloem.runtime.context import DEFAULT_EMBEDDING, DEFAULT_MODEL
from phloem.runtime.errors import ConfigError, InputError
from phloem.runtime.home import Home
from phloem.runtime.settings import Settings

__all__ = ["default_model", "main"]


def main(given: argparse.Namespace) -> int:
    """Show it on stdout, or change the settings."""
    home = Home.default()
    settings = Settings.load(home)
    setting = "embedding" if given.embedding else "default"
    if given.model and given.unset:
        raise ConfigError("a model and --unset are two wishes", hint="Give one of them.")
    if given.model:
        name = places.full_name(given.model)
        _check(home, name, "vectors" if given.embedding else "text")
        settings = settings.changed("models", setting, name)
        settings.save()
    elif given.unset:
        settings = settings.changed("models", setting, None)
        settings.save()
    name = default_model(settings, embedding=given.embedding)
    print(json.dumps({setting: name}, ensure_ascii=False) if given.json else name)
    usual = os.environ.get("PHLOEM_MODEL", "")
    if usual and not given.embedding:
        print(f"PHLOEM_MODEL goes before it: {usual}", file=sys.stderr)
    return 0


def default_model(settings: Settings, *, embedding: bool = False) -> str:
    """What the settings say, else what Phloem brings. The environment goes before both."""
    if embedding:
        return settings.text("models", "embedding") or DEFAULT_EMBEDDING
    return settings.text("models", "default") or DEFAULT_MODEL


def _check(home: Home, name: str, wanted: Literal["text", "vectors"]) -> None:
    """InputError, or what else the service says, unless there is such a model and it makes what is wanted."""
    from phloem.nodes.services.models.models import Models

    async def about() -> str:
        models = Models(home)
        try:
            return (await models.about(name)).makes
        finally:
            await models.close()

    makes = asyncio.run(about())
    if makes != wanted:
        raise InputError(
            f"{name} makes {makes}, not {wanted}",
            hint=f"`phloem models default --embedding {name}` is for models that make vectors."
            if makes == "vectors"
            else "`phloem models` says what each model makes.",
        )
