"""`phloem models list`: the models of this machine, and whom else can be asked."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any, Final

from phloem.nodes.commands.models import places
from phloem.nodes.commands.models.facts import as_json, millions, size, tokens
from phloem.nodes.commands.models.providers import Provider, ask, providers
from phloem.nodes.commands.models.tables import table
from phloem.nodes.services.models.local.gguf import read_header
from phloem.nodes.services.models.models import SENTENCE, Models
from phloem.nodes.services.models.pull.disk import amount
from phloem.nodes.services.models.pull.part import Part, parts_in
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.errors import NodeError
from phloem.runtime.home import Home
from phloem.runtime.services import ModelInfo
from phloem.runtime.settings import Settings
from phloem.runtime.words import printable

__all__ = ["main"]

HEADER: Final = ("model", "makes", "size", "context", "parameters", "quantisation", "")
RIGHT: Final = (2, 3, 4)


def main(given: argparse.Namespace) -> int:
    """Print the list. Nobody who is down makes it fail."""
    home = Home.default()
    settings = Settings.load(home)
    local = asyncio.run(_local(home))
    known = providers(settings)
    asked = [one for one in known if given.all and not one.trouble]
    remote = asyncio.run(ask(home, asked)) if asked else {}
    parts = parts_in(places.folder())
    chosen = DefaultModels.choose("", "", settings)
    defaults = {chosen.text: "default", chosen.embedding: "default for vectors"}
    if given.json:
        print(json.dumps(_json(local, known, remote, parts, defaults, all=given.all), ensure_ascii=False, indent=2))
        return 0
    print(table([_row(one, defaults) for one in local], header=HEADER, right=RIGHT))
    for provider in known:
        _tell(provider, remote.get(provider.name), defaults)
    for part in parts:
        note = part.note()
        of = f" of {amount(note.size)}" if note and note.size else ""
        source = f", to go on: phloem models pull {printable(note.source)}" if note else ""
        print(f"paused: {printable(part.name)}, {amount(part.size)}{of}{source}", file=sys.stderr)
    for trouble in _unusable(local):
        print(f"warning: {printable(trouble)}", file=sys.stderr)
    for name, role in defaults.items():
        if name.startswith("local:") and name not in {one.name for one in local} and "/" not in name:
            print(f"warning: the {role} model {printable(name)} is not there", file=sys.stderr)
    return 0


async def _local(home: Home) -> list[ModelInfo]:
    models = Models(home)
    try:
        return [*await models.list(), *await models.backend(SENTENCE).list()]
    finally:
        await models.close()


def _unusable(local: list[ModelInfo]) -> list[str]:
    """What is wrong with the files of the user's folder that are no models."""
    listed, found = {one.name for one in local}, []
    catalogue = places.catalogue()
    for name in catalogue.names():
        if f"local:{name}" not in listed:
            try:
                read_header(catalogue.find(name).path)
            except NodeError as error:
                found.append(error.message)
    return found


def _row(info: ModelInfo, defaults: dict[str, str]) -> tuple[str, ...]:
    notes = [word for word in (defaults.get(info.name, ""), "loaded" if info.loaded else "") if word]
    return (
        info.name, info.makes, size(info.size), tokens(info.context), millions(info.parameters),
        str(info.details.get("quantisation", "")), ", ".join(notes),
    )  # fmt: skip


def _tell(provider: Provider, found: list[ModelInfo] | None, defaults: dict[str, str]) -> None:
    """A provider, and if it was asked its models."""
    if not provider.chosen and not found:
        return
    key = f"key: {provider.key}" if provider.key else "no key"
    print(f"\n{printable(provider.name)}  {printable(provider.trouble or provider.host)}  {key}")
    if found:
        print(table([_row(one, defaults) for one in found], right=RIGHT, indent="  "))
    elif found is not None:
        print("  tells of no models, or does not answer", file=sys.stderr)


def _json(
    local: list[ModelInfo], known: list[Provider], remote: dict[str, list[ModelInfo]], parts: list[Part],
    defaults: dict[str, str], *, all: bool,
) -> dict[str, Any]:  # fmt: skip
    listed = [*local, *(one for found in remote.values() for one in found)]
    return {
        "models": [{**as_json(one), "default": one.name in defaults} for one in listed],
        "default": next(iter(defaults)),
        "embedding": list(defaults)[-1],
        "providers": [
            {**asdict(one), "answers": bool(remote.get(one.name)) if all else None} for one in known
        ],
        "paused": [
            {"name": part.name, "bytes": part.size, "source": note.source if note else None,
             "size": note.size if note else None}
            for part in parts for note in [part.note()]
        ],
    }  # fmt: skip
