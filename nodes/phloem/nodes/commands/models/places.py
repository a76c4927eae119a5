"""Where the models of this machine lie, and what their names stand for."""

from __future__ import annotations

from pathlib import Path

from phloem.nodes.services.models.local.catalogue import BUNDLED, Catalogue
from phloem.runtime.errors import InputError
from phloem.runtime.home import Home

__all__ = ["bundled", "catalogue", "folder", "full_name", "own_name"]


def folder() -> Path:
    """The folder of the user's models."""
    return Home.default().models


def bundled() -> frozenset[str]:
    """The models that come with Phloem."""
    return frozenset(BUNDLED)


def catalogue() -> Catalogue:
    """The models of this machine by name."""
    return Catalogue(folder())


def full_name(text: str) -> str:
    """The full name of the model that a user means by a name, the path of a file, or a full name already."""
    if text.startswith("local:") or ":" not in text or _is_file(text):
        name = text.removeprefix("local:")
        return f"local:{Path(name).absolute()}" if _is_path(name) else f"local:{name}"
    return text


def own_name(text: str) -> str:
    """The name, without `local:`, of a model in the user's folder. InputError for what can never be one."""
    name = text.removeprefix("local:").removesuffix(".gguf")
    if name in bundled():
        raise InputError(f"local:{name} comes with Phloem", hint="It stays as long as Phloem does.")
    if _is_path(name) or ":" in name:
        raise InputError(
            f"{text[:100]!r} is not the name of a model in {folder()}",
            hint="Give its name; `phloem models` lists them. Other files are yours to remove.",
        )
    return name


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.startswith(".") or (name.endswith(".gguf") and _is_file(name))


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:
        # Such as a name that is too long for any file.
        return False
