"""A model file of this machine given a place in the models folder, without its bytes being moved if that can be."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Final, Literal

from phloem.nodes.services.models.local.gguf import read_header
from phloem.nodes.services.models.pull.disk import KEPT_FREE, amount, disk_error
from phloem.nodes.services.models.pull.folder import Installed, check_free, locked
from phloem.nodes.services.models.pull.names import checked_name, name_for
from phloem.nodes.services.models.pull.origin import Origin
from phloem.nodes.services.models.pull.progress import Progress
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["How", "add"]

How = Literal["hard link", "link", "copy"]

_CHUNK: Final = 1 << 22


def add(
    file: Path, folder: Path, *, taken: frozenset[str], progress: Progress, how: How | None = None, name: str = ""
) -> tuple[Installed, How]:
    """Give the model in `file` a place in `folder`; what was done, and how.

    Without `how` it gets a hard link, a second name of the same bytes: it takes no room, and stays when the
    user tidies up where the file was. Where that cannot be, as between two disks, it gets a symbolic link.
    InputError for a name that cannot be, ServiceError if the file is no model or cannot be put there.
    """
    file = file.expanduser().absolute()
    if not file.is_file():
        raise InputError(f"there is no file {file}", hint="`phloem models pull` fetches from the web.")
    read_header(file)
    called = checked_name(name) if name else name_for(file.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, called):
            check_free(folder, called, taken)
            path = folder / f"{called}.gguf"
            if how == "copy":
                digest = _copy(file, path, progress)
            else:
                digest, how = "", _link(file, path, how)
            Origin.record(path, str(file), digest)
    except OSError as error:
        raise disk_error(folder, error) from error
    return Installed(called, path, path.stat().st_size, digest, str(file)), how


def _link(file: Path, path: Path, how: How | None) -> How:
    if how is None:
        try:
            # A link to a link would lose its file with the link: some programs keep models behind one.
            os.link(file.resolve(), path)
        except OSError:
            # Another disk, a system without hard links, a file of somebody else's.
            how = "link"
        else:
            return "hard link"
    path.symlink_to(file)
    return how


def _copy(file: Path, path: Path, progress: Progress) -> str:
    """Copy the file, whole or not at all; its SHA-256."""
    size, free = file.stat().st_size, shutil.disk_usage(path.parent).free
    if free < size + KEPT_FREE:
        raise ServiceError(
            f"{path.parent} has no room for a copy of {amount(size)}: {amount(free)} are free",
            hint="Leave out --copy: a link takes no room.",
        )
    beside = path.with_name(f".{path.stem}.{secrets.token_hex(8)}")
    hashed = hashlib.sha256()
    progress.begin("copying", 0, size)
    try:
        with file.open("rb") as source, beside.open("xb") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                hashed.update(chunk)
                progress.reach(target.tell())
            target.flush()
            os.fsync(target.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return hashed.hexdigest()
