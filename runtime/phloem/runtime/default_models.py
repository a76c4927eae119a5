"""Which models stand in where a node names none."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from phloem.runtime.context import DEFAULT_EMBEDDING, DEFAULT_MODEL
from phloem.runtime.settings import Settings

__all__ = ["DefaultModels"]


@dataclass(frozen=True, slots=True)
class DefaultModels:
    """The language model and the embedding model of a run, by name; `trusted` are names that the user gave.

    With `asked` the language model was asked for with this run, and holds for nested workflows too.
    """

    text: str = DEFAULT_MODEL
    embedding: str = DEFAULT_EMBEDDING
    trusted: frozenset[str] = frozenset()
    asked: bool = False

    @classmethod
    def choose(cls, asked: str, written: str, settings: Settings) -> DefaultModels:
        """Of what was asked for with this run, written in the file, set in PHLOEM_MODEL and in the settings the
        first that names a model. A path that was not written in the file is relative to the current folder."""
        named, usual = _from_here(asked), _from_here(os.environ.get("PHLOEM_MODEL", ""))
        default, embedding = settings.text("models", "default"), settings.text("models", "embedding")
        return cls(
            text=named or written or usual or default or DEFAULT_MODEL,
            embedding=embedding or DEFAULT_EMBEDDING,
            trusted=frozenset({named, usual, default, embedding} - {""}),
            asked=bool(named),
        )

    def inside(self, written: str) -> DefaultModels:
        """Those of a nested workflow that names the model `written`, or none."""
        return replace(self, text=written) if written and not self.asked else self


def _from_here(model: str) -> str:
    """The name of a model, a path in it made absolute against the current folder."""
    provider, colon, path = model.partition(":")
    if provider == "local" and colon and path.endswith(".gguf"):
        return f"local:{Path(path).expanduser().absolute()}"
    return str(Path(model).expanduser().absolute()) if model.endswith(".gguf") and not colon else model
