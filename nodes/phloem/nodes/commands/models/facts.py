"""What is known of models, in words and as JSON."""

from __future__ import annotations

from typing import Any

from phloem.nodes.services.models.pull.disk import amount
from phloem.runtime.services import ModelInfo

__all__ = ["as_json", "millions", "size", "tokens"]


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
