"""How a node reaches the disk."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.grants import is_url
from phloem.runtime.opening import digest_exactly, open_exactly, write_exactly

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context
    from phloem.runtime.recording.files import RecordedFiles

Found = list[str]


@dataclass(slots=True)
class Files:
    """The disk. Paths are relative to the workflow's folder; these calls block, so they belong in a thread."""

    context: Context

    def read(self, path: str, *, limit: int = 200_000_000) -> bytes:
        """The bytes of a file of at most `limit` bytes. InputError if there is none, or a larger one."""
        recorded = self._recorded
        if recorded is None:
            return self._read(path, limit)
        return recorded.read(path, limit, lambda: self._read(path, limit))

    def _read(self, path: str, limit: int) -> bytes:
        real = self._readable(path)
        try:
            with open_exactly(real) as file:
                data = file.read(limit + 1)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EISDIR):
                raise InputError(f"{path} is not a file") from error
            raise InputError(f"cannot read {path}: {_reason(error)}") from error
        if len(data) > limit:
            raise InputError(f"{path} is larger than {limit:,} bytes", hint="Split it, or raise the limit.")
        return data

    def list(self, folder: str, pattern: str = "*") -> list[str]:
        """The files below `folder` whose path in it matches the glob `pattern`, sorted, as absolute paths.

        What may not be read is not among them. InputError if there is no such folder, or `pattern` leads out of it;
        ValueError for one that is none.
        """
        if not pattern or Path(pattern).anchor or ".." in Path(pattern).parts:
            raise InputError(
                f"{pattern[:200]!r} is not a pattern for the files in a folder", hint="Write *.txt or **/*.md"
            )
        recorded = self._recorded
        if recorded is None:
            return self._list(folder, pattern)
        return recorded.list(folder, pattern, lambda: self._list(folder, pattern))

    def _list(self, folder: str, pattern: str) -> Found:
        real = self._readable(folder)
        may_read = self.context.scope.permissions.may_read
        try:
            if not real.is_dir():
                raise InputError(f"{folder} is not a folder")
            found = []
            for one in real.glob(pattern):
                place = Path(os.path.realpath(one))
                if place.is_relative_to(real) and may_read(place) and place.is_file():
                    found.append(str(one))
        except OSError as error:
            raise InputError(f"cannot list {folder}: {_reason(error)}") from error
        return sorted(found)

    def write(self, path: str, data: bytes, *, mode: Literal["replace", "append", "new"] = "replace") -> str:
        """Write a file, making its folders; the absolute path. A reader never sees half of a replaced file."""
        recorded = self._recorded
        if recorded is None:
            return self._write(path, data, mode)
        return recorded.write(path, data, mode, lambda: self._write(path, data, mode))

    def _write(self, path: str, data: bytes, mode: Literal["replace", "append", "new"]) -> str:
        permissions = self.context.scope.permissions
        real = self.context.permitted_here(lambda: permissions.write(path))
        try:
            write_exactly(real, data, mode)
        except OSError as error:
            if isinstance(error, FileExistsError) and mode == "new":
                raise InputError(f"{path} is already there", hint="Choose mode replace or append.") from error
            raise ServiceError(f"cannot write {path}: {_reason(error)}") from error
        self.context.written.append(("file", str(real), digest_exactly(real)))
        if self.context.scope.on_written is not None:
            self.context.scope.on_written(real)
        return str(real)

    def digest(self, path: str) -> str:
        """A hash of the file's content; empty if it cannot be read."""
        recorded = self._recorded
        return self._digest(path) if recorded is None else recorded.digest(path, lambda: self._digest(path))

    def _digest(self, path: str) -> str:
        return digest_exactly(self._readable(path))

    @property
    def _recorded(self) -> RecordedFiles | None:
        """The disk of a run that is recorded or replayed; None in any other."""
        answers = self.context.scope.answers
        if answers is None:
            return None
        from phloem.runtime.recording.files import RecordedFiles

        return RecordedFiles(answers, self.context)

    def _readable(self, path: str) -> Path:
        if is_url(path):
            raise InputError(f"{path[:200]!r} is a web address, not a file")
        if "\0" in path:
            raise InputError("a path cannot hold the character NUL")
        return self.context.permitted_here(lambda: self.context.scope.permissions.read(path))


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a link was put in its way after it was allowed"
    return (error.strerror or str(error)).lower()
