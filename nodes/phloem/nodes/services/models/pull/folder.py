"""The folder of the user's models: what may be put there, by whom, and what it then is."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phloem.nodes.services.models.pull.progress import Progress
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["Installed", "check_free", "digest_of", "locked"]

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Installed:
    """A model file in its place. `new` is False if it was there before."""

    name: str
    path: Path
    size: int
    sha256: str
    source: str
    new: bool = True


def check_free(folder: Path, name: str, taken: frozenset[str]) -> None:
    """InputError if there is a model of that name."""
    if name in taken:
        raise InputError(f"{name} is a model that comes with Phloem", hint="Give another name with --name.")
    path = folder / f"{name}.gguf"
    if path.exists() or path.is_symlink():
        raise InputError(
            f"there is already a model {name}",
            hint=f"Give another name with --name, or remove that one first: `phloem models rm {name}`.",
        )


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Nobody else installs a model of that name while the block runs; InputError if somebody does."""
    from filelock import FileLock, Timeout

    locks = folder / ".locks"
    lock = FileLock(locks / name, blocking=False)
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{name} is being fetched by another process", hint="Wait for it, or give another name with --name."
        ) from None
    try:
        yield
    finally:
        lock.release()


def digest_of(path: Path, progress: Progress) -> str:
    """The SHA-256 of a file. ServiceError if it cannot be read."""
    hashed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            progress.begin("checking", 0, path.stat().st_size)
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
                progress.reach(file.tell())
    except OSError as error:
        raise ServiceError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return hashed.hexdigest()
