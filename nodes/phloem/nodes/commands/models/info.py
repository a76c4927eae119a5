"""`phloem models info`: all that is known of one model."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from phloem.nodes.commands.models import places
from phloem.nodes.commands.models.facts import about, as_json, millions, size, tokens
from phloem.nodes.commands.models.key import where
from phloem.nodes.commands.models.progress import shown
from phloem.nodes.commands.models.tables import table
from phloem.nodes.services.models.local.gguf import Header, read_header
from phloem.nodes.services.models.models import LOCAL, SENTENCE
from phloem.nodes.services.models.pull.folder import digest_of
from phloem.nodes.services.models.pull.origin import Origin
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.home import Home
from phloem.runtime.services import ModelInfo
from phloem.runtime.settings import Settings

__all__ = ["main"]

_TOLD: Final = {
    "general.name": "title",
    "general.author": "author",
    "general.organization": "organisation",
    "general.url": "home",
    "general.source.url": "made from",
    "tokenizer.ggml.model": "tokenizer",
}
"""What a header says in words, and what to call it. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""
_LONGEST: Final = 300


def main(given: argparse.Namespace) -> int:
    """Print what is known of the model."""
    home = Home.default()
    settings = Settings.load(home)
    name = places.full_name(given.model)
    info = about(home, name)
    chosen = DefaultModels.choose("", "", settings)
    roles = [role for role, one in (("default", chosen.text), ("default for vectors", chosen.embedding)) if one == name]
    facts = _of_file(info) if info.provider == LOCAL else _elsewhere(info, settings)
    if given.json:
        told = {**as_json(info), "default": bool(roles)}
        print(json.dumps({**told, "details": {**told["details"], **facts}}, ensure_ascii=False, indent=2))
        return 0
    print(table(_rows(info, roles, facts)))
    return 0


def _rows(info: ModelInfo, roles: list[str], facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known, a line each, for a person."""
    details = {key: value for key, value in {**info.details, **facts}.items() if key not in ("memory", "memory_each")}
    if details.pop("priced", None) is False:
        details["price"] = "not known"
    memory = f"about {size(facts['memory'])}" if "memory" in facts else ""
    if facts.get("memory_each"):
        memory += f", and {size(facts['memory_each'])} more for each further answer at once"
    rows: dict[str, str] = {
        "name": info.name, "makes": info.makes, "used as": ", ".join(roles), "parameters": millions(info.parameters),
        "size": size(info.size), "context": f"{tokens(info.context)} tokens" if info.context else "", "memory": memory,
        **{key.replace("_", " "): _said(key, value) for key, value in details.items()}, "path": info.path,
    }  # fmt: skip
    return [(name, words) for name, words in rows.items() if words]


def _of_file(info: ModelInfo) -> dict[str, Any]:
    """What the header of the model's file tells, where it came from, and its checksum."""
    path = Path(info.path)
    header = read_header(path)
    facts: dict[str, Any] = {
        **_in_words(header),
        "vocabulary": header.lists.get("tokenizer.ggml.tokens"),
        "layers": header.of_architecture("block_count"),
        "width": header.of_architecture("embedding_length"),
    }
    each = header.memory_per_token * (info.context or 0)
    facts["memory"], facts["memory_each"] = (info.size or 0) + each, each or None
    origin = Origin.of(path)
    facts["source"] = origin.source if origin else None
    facts["commit"] = origin.commit or None if origin else None
    facts["sha256"] = origin.sha256 if origin and origin.sha256 else _digest(path, origin)
    return facts


def _in_words(header: Header) -> dict[str, str]:
    found = {name: header.values.get(key) for key, name in _TOLD.items()}
    return {name.replace(" ", "_"): value[:_LONGEST] for name, value in found.items() if isinstance(value, str)}


def _digest(path: Path, origin: Origin | None) -> str:
    """The checksum of the file, which is kept for the next time if the file is one of the home's."""
    with shown("auto" if sys.stderr.isatty() else "off") as progress:
        digest = digest_of(path, progress)
    if path.parent == places.folder():
        with contextlib.suppress(OSError):
            Origin.record(path, origin.source if origin else "", digest, origin.commit if origin else "")
    return digest


def _elsewhere(info: ModelInfo, settings: Settings) -> dict[str, Any]:
    return {} if info.provider == SENTENCE else {"key": where(info.provider, settings)}


def _said(key: str, value: Any) -> str:
    """A fact for a person."""
    if value is None:
        return "none" if key == "key" else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(
            f"{name} {one:g}" if isinstance(one, float | int) else f"{name} {one}" for name, one in value.items()
        )
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
