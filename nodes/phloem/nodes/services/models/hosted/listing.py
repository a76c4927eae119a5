"""The models that a provider has, as its server tells, and what it tells of each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, Literal

from phloem.nodes.services.models.hosted.clients import Connection
from phloem.nodes.services.models.hosted.endpoints import QUICK, Endpoint
from phloem.nodes.services.models.hosted.exchange import fetch
from phloem.nodes.services.models.hosted.heard import count, items, mapping, text
from phloem.runtime.services import ModelInfo

__all__ = ["models_of", "nearest"]

MOST: Final = 5_000
LONGEST_NAME: Final = 300
_CONTEXTS: Final = (
    "context_length", "max_model_len", "context_window", "max_context_length", "loaded_context_length",
    "max_input_tokens",
)  # fmt: skip
"""What OpenRouter, vLLM, Groq, Mistral, LM Studio and Anthropic call a model's context."""


async def models_of(connection: Connection) -> list[ModelInfo]:
    """What the server lists, if it does so at once. Errors as those of `exchange`; an odd entry is left out."""
    endpoint = connection.endpoint
    path = "/v1/models?limit=1000" if endpoint.preset.protocol == "anthropic" else "/models"
    answer = await fetch(connection, path, seconds=QUICK.total)
    listed = items(mapping(answer).get("data")) or items(answer)
    found = []
    for entry in listed[:MOST]:
        name = text(mapping(entry).get("id")).removeprefix("models/")
        if name and len(name) <= LONGEST_NAME and name.isprintable():
            found.append(_info(endpoint, name, mapping(entry)))
    return sorted(found, key=lambda info: info.name)


def _info(endpoint: Endpoint, name: str, entry: Mapping[str, Any]) -> ModelInfo:
    meta = mapping(entry.get("meta"))
    context = next((found for key in _CONTEXTS if (found := count(entry.get(key)))), None)
    by_address = endpoint.full.startswith(("http://", "https://"))
    return ModelInfo(
        name=f"{endpoint.url}#{name}" if by_address else f"{endpoint.provider}:{name}",
        provider=endpoint.provider,
        makes=_makes(name, entry),
        context=context or count(meta.get("n_ctx")) or count(meta.get("n_ctx_train")),
        size=count(meta.get("size")),
        parameters=count(meta.get("n_params")),
        details={"server": endpoint.host},
    )


def _makes(name: str, entry: Mapping[str, Any]) -> Literal["text", "vectors", "scores"]:
    kind = f"{name} {entry.get('type', '')}".lower()
    return "scores" if "rerank" in kind else "vectors" if "embed" in kind else "text"


def nearest(name: str, found: list[ModelInfo]) -> str | None:
    """The full name of the listed model whose name is most like `name`; None if none is alike."""
    names = {info.name.rpartition("#")[2].removeprefix(f"{info.provider}:"): info.name for info in found}
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return names[close[0]] if close else None
