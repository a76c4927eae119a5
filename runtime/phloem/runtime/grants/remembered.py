"""What was allowed always: kept in the home by what a workflow is, so that another content asks again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.disk import replace_file
from phloem.runtime.document.data import body_data
from phloem.runtime.errors import ConfigError
from phloem.runtime.grants.grant import WORDS, Grant
from phloem.runtime.workflow import Workflow

if TYPE_CHECKING:
    from phloem.runtime.checked import CheckedWorkflow

__all__ = ["Memory", "Remembered", "content_digest"]

VERSION: Final = 1
LARGEST: Final = 10_000_000
MOST: Final = 2_000
"""Workflows that are remembered; beyond it those go whose grants were given longest ago."""

_DIGEST: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Memory:
    """What one workflow may always. `digest` stands for its content; `title` and `file` are those that it had when it
    was last asked about, and `at` is when (seconds since 1970): they are for people to read, and decide nothing."""

    digest: str
    title: str
    file: str
    at: float
    grants: tuple[Grant, ...] = field(default=())


class Remembered:
    """The file `grants.json` of a home, which only its owner may read or change.

    One that is damaged is put aside and told to the log, and nothing is remembered any more; one of a newer version,
    or that others may write to, is told, left as it is and not believed.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / "grants.json"

    def grants(self, digest: str) -> tuple[Grant, ...]:
        """What the workflow of that content may always."""
        found = self._read().get(digest)
        return found.grants if found else ()

    def all(self) -> list[Memory]:
        """Everything that is remembered, what was given last first."""
        return sorted(self._read().values(), key=lambda one: -one.at)

    def add(self, digest: str, grants: Iterable[Grant], *, title: str = "", file: str = "") -> None:
        """Remember more of a workflow. ConfigError if that cannot be written."""

        def added(known: dict[str, Memory]) -> dict[str, Memory]:
            old = known[digest].grants if digest in known else ()
            known[digest] = Memory(digest, title, file, time.time(), tuple(dict.fromkeys([*old, *grants])))
            newest = sorted(known, key=lambda one: -known[one].at)[:MOST]
            return {one: known[one] for one in newest}

        self._change(added)

    def forget(self, digests: Sequence[str]) -> int:
        """Forget these workflows; how many were known. ConfigError if that cannot be written."""
        count = 0

        def without(known: dict[str, Memory]) -> dict[str, Memory]:
            nonlocal count
            kept = {digest: one for digest, one in known.items() if digest not in digests}
            count = len(known) - len(kept)
            return kept

        self._change(without)
        return count

    def _change(self, change: Callable[[dict[str, Memory]], dict[str, Memory]]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path.with_suffix(".lock")):
                known = self._read(strictly=True)
                replace_file(self.path, _written(change(known)), private=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(f"cannot remember in {self.path}: {reason}") from error

    def _read(self, *, strictly: bool = False) -> dict[str, Memory]:
        """What the file has. `strictly`: ConfigError for one that must not be written over."""
        try:
            with self.path.open("rb") as file:
                about = os.fstat(file.fileno())
                data = file.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            if strictly:
                raise
            _tell(f"cannot read {self.path}: {(error.strerror or str(error)).lower()}; nothing in it counts")
            return {}
        if _is_of_others(about):
            problem = (
                f"{self.path} does not count, since others may write to it; look at it, make it yours, and then: "
                f"chmod 600 {self.path}"
            )
            if strictly:
                raise ConfigError(problem)
            _tell(problem)
            return {}
        try:
            return _parsed(data)
        except _Newer:
            problem = f"{self.path} was written by a newer Phloem; it does not count here"
            if strictly:
                raise ConfigError(problem, hint="Install that version, or move the file away.") from None
            _tell(problem)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._put_aside(error)
        return {}

    def _put_aside(self, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.replace(aside)
        _tell(
            f"{self.path} is damaged ({str(error)[:100]}): it is now {aside.name}, and what it allowed is asked again"
        )


def _is_of_others(about: os.stat_result) -> bool:
    """True for a file that another user may have written, where the system tells."""
    if sys.platform == "win32":
        return False
    return bool(about.st_mode & 0o022) or about.st_uid not in (os.geteuid(), 0)


class _Newer(Exception):
    """The file says that it is of a version that is not known here."""


def _parsed(data: bytes) -> dict[str, Memory]:
    if len(data) > LARGEST:
        raise ValueError(f"larger than {LARGEST:,} bytes")
    found = json.loads(data)
    if found["version"] != VERSION:
        if isinstance(found["version"], int) and found["version"] > VERSION:
            raise _Newer
        raise ValueError("an unknown version")
    return {digest: _memory(digest, one) for digest, one in found["workflows"].items()}


def _memory(digest: str, one: Mapping[str, Any]) -> Memory:
    if not _DIGEST.fullmatch(digest) or not isinstance(one["grants"], list):
        raise ValueError("not what was written")
    return Memory(digest, str(one["title"]), str(one["file"]), float(one["at"]), tuple(map(_grant, one["grants"])))


def _grant(text: object) -> Grant:
    """A grant as it was given: the links of its path were followed then, and are not again."""
    word, _, scope = str(text).partition("=")
    if word not in WORDS or not isinstance(text, str):
        raise ValueError(f"{str(text)[:40]!r} is no grant")
    return Grant(word, scope)


def _written(known: Mapping[str, Memory]) -> bytes:
    workflows = {
        one.digest: {"title": one.title, "file": one.file, "at": one.at, "grants": [str(each) for each in one.grants]}
        for one in known.values()
    }
    return (json.dumps({"version": VERSION, "workflows": workflows}, indent=1) + "\n").encode()


def _tell(problem: str) -> None:
    logging.getLogger("phloem").warning("warning: %s", problem)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among the processes that change the file, for the moment that it takes."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# What a workflow is


def content_digest(checked: CheckedWorkflow | Workflow) -> str:
    """A hash of what a workflow does, with the bodies of its nodes and the files that it calls; of a Workflow, which
    is not checked yet, without those files, and another hash for that.

    Titles, notes, `about`, the layout and the order in which nodes, inputs and outputs are written do not count; all
    else does.
    """
    return _digest(checked, {})


def _digest(checked: CheckedWorkflow | Workflow, known: dict[int, str]) -> str:
    if id(checked) not in known:
        said: list[Any] = []
        workflow = checked if isinstance(checked, Workflow) else checked.workflow
        if not isinstance(checked, Workflow):
            bodies = {id_: one.body for id_, one in checked.nodes.items() if one.body is not None}
            said = [{id_: _digest(body.checked, known) for id_, body in sorted(bodies.items())}]
        text = json.dumps([_bare(body_data(workflow)), *said], default=repr)
        known[id(checked)] = hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
    return known[id(checked)]


def _bare(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a workflow without what is said for people and for the screen."""
    kept = {key: value for key, value in data.items() if key not in ("title", "about", "layout")}
    for part, drop in (("inputs", ("about",)), ("nodes", ("title", "note")), ("outputs", ())):
        entries = kept.get(part)
        if isinstance(entries, Mapping):
            kept[part] = [(name, _without(entry, drop)) for name, entry in sorted(entries.items())]
    return {key: kept[key] for key in sorted(kept)}


def _without(entry: Any, drop: Sequence[str]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    kept = {key: value for key, value in entry.items() if key not in drop}
    if isinstance(kept.get("do"), Mapping):
        kept["do"] = _bare(kept["do"])
    return kept
