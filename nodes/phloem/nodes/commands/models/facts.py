"""What is known of models, in words and as JSON."""

from __future__ import annotations

import asyncio
from typing import Any

from phloem.nodes.services.models.models import Models
from phloem.nodes.services.models.pull.disk import amount
from phloem.runtime.home import Home
from phloem.runtime.services import ModelInfo

__all__ = ["about", "as_json", "millions", "size", "tokens"]


def about(home: Home, name: str) -> ModelInfo:
    """What is known of the model of that full name, without loading it; the service's error if there is none."""

    async def ask() -> ModelInfo:
        models = Models(home)
        try:
            return await models.about(name)
        finally:
            await models.close()

    return asyncio.run(ask())


def as_json(info: ModelInfo) -> dict[str, Any]:
    """All that is known of a model, with None for what is not."""
    return {
        "name": info.name, "provider": info.provider, "makes": info.makes, "context": info.context,
        "size": info.size, "parameters": info.parameters, "path": info.path or None, "loaded": info.loaded,
        "details": dict(info.details),
    }  # fmt: skip


def tokens(count: int | None) -> str:
    """A number of tokens; empty for None."""
    return "" if count is None else f"{count:,}"


def millions(count: int | None) -> str:
    """A number of parameters as people say it: `7.6 B`, `135 M`; empty for None."""
    if count is None:
        return ""
    value, unit = (count / 1e9, "B") if count >= 999_500_000 else (count / 1e6, "M")
    return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.1f} {unit}"


def size(count: int | None) -> str:
    """Bytes; empty for None."""
    return "" if count is None else amount(count)
