"""Names of models, and what the names of model files tell."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from phloem.runtime.errors import InputError

__all__ = ["checked_name", "is_variant", "name_for", "piece_of"]

LONGEST: Final = 100
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", re.ASCII)
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows after a dot."""
_PIECE: Final = re.compile(r"-(\d{5})-of-(\d{5})$")


def checked_name(name: str) -> str:
    """`name`, without `.gguf` at its end, if a model may be called so on every system; else InputError."""
    name = name.removesuffix(".gguf")
    if not _NAME.fullmatch(name) or len(name) > LONGEST or name.endswith(".") or _DEVICES.fullmatch(name):
        raise InputError(
            f"a model cannot be called {name[:LONGEST]!r}",
            hint=f"A name has letters, digits, dots, hyphens and underscores, at most {LONGEST}: --name my-model.",
        )
    return name


def name_for(file: str) -> str:
    """A name for the model in a file that somebody else named: what it cannot keep becomes a hyphen."""
    stem = PurePosixPath(file.replace("\\", "/")).name
    stem = stem[: -len(".gguf")] if stem.lower().endswith(".gguf") else stem
    stem = _ended(re.sub(r"[^A-Za-z0-9._+-]+", "-", stem, flags=re.ASCII)).lstrip(".-+")
    return _ended(f"model-{stem}") if not stem or _DEVICES.fullmatch(stem) else stem


def _ended(stem: str) -> str:
    """As much of it as a name may have, with nothing at its end that a name may not have there."""
    return re.sub(r"(\.gguf|[.+-])*$", "", stem[:LONGEST], flags=re.IGNORECASE)


def piece_of(file: str) -> tuple[int, int] | None:
    """For one of several files that make a model (`…-00001-of-00003.gguf`): which of how many; None for a whole one."""
    found = _PIECE.search(PurePosixPath(file).stem)
    return (int(found[1]), int(found[2])) if found and int(found[2]) > 1 else None


def is_variant(file: str, variant: str) -> bool:
    """Whether the file's path names that variant, such as the quantisation `Q4_K_M`, as a word of its own."""
    return bool(re.search(rf"(?:^|[-._/]){re.escape(variant)}(?=[-._/]|$)", file, re.IGNORECASE))
