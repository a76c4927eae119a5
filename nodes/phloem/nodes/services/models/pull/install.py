"""A model from its source to its place in the models folder."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from phloem.nodes.services.models.local.gguf import read_header
from phloem.nodes.services.models.pull.disk import disk_error
from phloem.nodes.services.models.pull.folder import Installed, check_free, digest_of, locked
from phloem.nodes.services.models.pull.hub import Target, find_target
from phloem.nodes.services.models.pull.names import checked_name, name_for
from phloem.nodes.services.models.pull.origin import Origin
from phloem.nodes.services.models.pull.part import Part
from phloem.nodes.services.models.pull.progress import Progress
from phloem.nodes.services.models.pull.source import HubSource, WebSource, read_source
from phloem.nodes.services.models.pull.transfer import Patience, Transfer
from phloem.nodes.services.models.pull.web import Cut, Web
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["pull"]

Result = TypeVar("Result")

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def pull(
    source: str, folder: Path, *, taken: frozenset[str], progress: Progress, name: str = "", sha256: str = "",
    token: str = "", patience: Patience | None = None,
) -> Installed:  # fmt: skip
    """Fetch a model into `folder`, or go on with what an earlier call began; it is there whole and checked, or not.

    `source` is as `read_source` takes it. `name` and `sha256` are the user's word, `taken` the names that
    no model of theirs may have, `token` is for the hub alone. InputError if what the user says cannot be
    meant, ServiceError if the file cannot be had or is not what it should be. KeyboardInterrupt, and
    whatever else breaks off, leaves what came for the next call.
    """
    wanted = read_source(source)
    sha256 = _checked_digest(sha256)
    patience = patience or Patience()
    try:
        with Web() as web:
            target = _target(wanted, web, token, patience, progress)
            _check_digests(target, sha256)
            called = checked_name(name) if name else name_for(target.file)
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder, called):
                there = _already_there(folder, called, target, sha256)
                if there:
                    return there
                check_free(folder, called, taken)
                part = Part(folder, called)
                _check_same(part, target)
                told = Transfer(target, part, web, progress, patience).run()
                return _install(part, target, sha256 or target.sha256 or told, progress)
    except BrokenPipeError:
        # Whoever looked at the progress has gone; it is no error of the disk.
        raise
    except OSError as error:
        raise disk_error(folder, error) from error


def _target(wanted: HubSource | WebSource, web: Web, token: str, patience: Patience, progress: Progress) -> Target:
    if isinstance(wanted, WebSource):
        return Target(str(wanted), wanted.url, unquote(urlsplit(wanted.url).path).rpartition("/")[2])
    return _patiently(lambda: find_target(wanted, web, token), patience, progress)


def _patiently(work: Callable[[], Result], patience: Patience, progress: Progress) -> Result:
    """What `work` gives, tried again after every Cut as often as patience allows."""
    for attempt in range(1, patience.tries + 1):
        try:
            return work()
        except Cut as cut:
            if attempt == patience.tries:
                raise ServiceError(f"{cut}; {attempt} tries were in vain", retryable=True) from cut
            progress.say(f"{cut}; trying again")
            time.sleep(max(patience.before(attempt), cut.wait))
    raise AssertionError("patience allows no try")


def _install(part: Part, target: Target, sha256: str, progress: Progress) -> Installed:
    """Check the whole file and put it in its place; a wrong one is removed."""
    digest = digest_of(part.path, progress)
    if sha256 and digest != sha256:
        part.discard()
        raise ServiceError(
            f"what came from {target.source} is not the file that was meant: its SHA-256 is {digest}, not {sha256}",
            hint="It was removed. Fetch it again; if the same happens, do not trust that source.",
            retryable=True,
        )
    try:
        read_header(part.path)
    except ServiceError as error:
        if isinstance(error.__cause__, OSError):
            # The disk failed, or memory did, which says nothing about what came.
            raise
        part.discard()
        raise ServiceError(
            error.message.replace(str(part.path), target.source), hint="It was removed. Choose another file."
        ) from error
    path = part.path.with_name(f"{part.name}.gguf")
    part.settle()
    part.path.replace(path)
    Origin.record(path, target.source, digest, target.commit)
    part.forget_note()
    return Installed(part.name, path, path.stat().st_size, digest, target.source)


def _already_there(folder: Path, name: str, target: Target, sha256: str) -> Installed | None:
    """The model, if it is this very file already."""
    path = folder / f"{name}.gguf"
    origin, expected = Origin.of(path), sha256 or target.sha256
    if origin is None or not expected or origin.sha256 != expected:
        return None
    return Installed(name, path, origin.size, origin.sha256, target.source, new=False)


def _check_same(part: Part, target: Target) -> None:
    """InputError if what waits under the name is of another source: it may be worth hours."""
    note = part.note()
    if note and part.size and note.source != target.source:
        raise InputError(
            f"a part of {note.source} waits under the name {part.name}",
            hint=f"Give another name with --name, or remove that part: `phloem models rm {part.name}`.",
        )
    if note and part.size and note.sha256 and target.sha256 and note.sha256 != target.sha256:
        # The same place has another file now.
        part.discard()


def _checked_digest(sha256: str) -> str:
    sha256 = sha256.strip().lower().removeprefix("sha256:")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise InputError(f"{sha256[:80]!r} is no SHA-256", hint="It has 64 digits from 0 to 9 and a to f.")
    return sha256


def _check_digests(target: Target, sha256: str) -> None:
    """InputError if the user and the hub do not mean the same file."""
    if sha256 and target.sha256 and sha256 != target.sha256:
        raise InputError(
            f"{target.source} has another checksum than the one given",
            hint=f"The hub says {target.sha256}. Is it the right file, and the right revision?",
        )
