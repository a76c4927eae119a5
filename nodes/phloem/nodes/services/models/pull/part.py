"""What has come of a model file so far: `NAME.part`, and beside it `NAME.part.json`, which says of what."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from phloem.runtime.disk import replace_file

__all__ = ["Note", "Part", "parts_in"]

_LARGEST_NOTE: Final = 100_000


@dataclass(frozen=True, slots=True)
class Note:
    """Of which file a part is: where it comes from, and what the server called this content.

    `etag` and `modified` are the server's own words; `size` in bytes and `sha256` are empty where unknown.
    """

    source: str
    etag: str = ""
    modified: str = ""
    size: int | None = None
    sha256: str = ""

    @property
    def validator(self) -> str:
        """What If-Range may carry: a strong ETag, or else the time of the last change; empty if there is neither."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class Part:
    """The part of the model `name` in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = folder / f"{name}.part"
        self._notes = folder / f"{name}.part.json"

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def note(self) -> Note | None:
        """What the part is of; None if there is none, or if nobody can tell any more."""
        try:
            data = json.loads(self._notes.read_bytes()[:_LARGEST_NOTE])
            note = Note(**data)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts = (note.source, note.etag, note.modified, note.sha256)
        return note if all(isinstance(one, str) for one in texts) and isinstance(note.size, int | None) else None

    def begin(self, note: Note) -> None:
        """Forget what is there and begin a part of something else. OSError if the folder cannot be written."""
        # In this order: what a crash leaves is never content under a note that is not its own.
        with self.path.open("wb"):
            pass
        replace_file(self._notes, json.dumps(asdict(note), indent=1).encode())

    def open(self) -> FileIO:
        """The file, to add to its end. Nothing waits in memory: what was written stays, whatever ends the program."""
        return self.path.open("ab", buffering=0)

    def settle(self) -> None:
        """Make what has come survive a loss of power."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def forget_note(self) -> None:
        """Remove the note of a part that has become a whole file."""
        self._notes.unlink(missing_ok=True)


def parts_in(folder: Path) -> list[Part]:
    """The parts that wait in a folder to be gone on with, by name."""
    if not folder.is_dir():
        return []
    return [Part(folder, path.stem) for path in sorted(folder.glob("*.part")) if path.is_file()]
