"""What the name of a model tells about where the model is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["LOCAL_PROVIDERS", "names_path", "names_server", "provider_of"]

LOCAL_PROVIDERS: Final = frozenset({"local", "sentence-transformers"})
"""Providers whose models run on this machine."""


def provider_of(model: str) -> str:
    """What stands before the colon of a model's name; `local` where nothing does."""
    provider, colon, _ = model.partition(":")
    # A single letter is a drive of Windows.
    return provider if colon and len(provider) > 1 else "local"


def names_server(model: str) -> bool:
    """True for the name of a model that has the address of its server in it: `http://HOST:PORT/v1#NAME`."""
    return model.startswith(("http://", "https://"))


def names_path(provider: str, rest: str) -> bool:
    """True for a model here that is named by where it lies. `PUBLISHER/NAME` is no path of sentence-transformers."""
    if provider == "local":
        return rest.endswith(".gguf") or "/" in rest or os.sep in rest
    return rest.startswith(("/", "./", "../", "~")) or Path(rest).is_absolute()
