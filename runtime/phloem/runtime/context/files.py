"""How a node reaches the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from phloem.runtime.disk import file_digest, replace_file
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.grants import is_url

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context


@dataclass(slots=True)
class Files:
    """The disk. Paths are relative to the workflow's folder; these calls block, so they belong in a thread."""

    context: Context

    def read(self, path: str, *, limit: int = 200_000_000) -> bytes:
        """The bytes of a file of at most `limit` bytes. InputError if there is none, or a larger one."""
        real = self._readable(path)
        try:
            if real.exists() and not real.is_file():
                raise InputError(f"{path} is not a file")
            with real.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise InputError(f"cannot read {path}: {_reason(error)}") from error
        if len(data) > limit:
            raise InputError(f"{path} is larger than {limit:,} bytes", hint="Split it, or raise the limit.")
        return data

    def list(self, folder: str, pattern: str = "*") -> list[str]:
        """The files below `folder` whose path in it matches the glob `pattern`, sorted, as absolute paths."""
        real = self._readable(folder)
        if not real.is_dir():
            raise InputError(f"{folder} is not a folder")
        if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise InputError(
                f"{pattern[:200]!r} is not a pattern for the files in a folder", hint="Write *.txt or **/*.md"
            )
        found = []
        for one in real.glob(pattern):
            inside = one.is_file() and one.resolve().is_relative_to(real)
            if inside:
                found.append(str(one))
        return sorted(found)

    def write(self, path: str, data: bytes, *, mode: Literal["replace", "append", "new"] = "replace") -> str:
        """Write a file, making its folders; the absolute path. A reader never sees half of a replaced file."""
        real = self.context.scope.permissions.write(path)
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
            if mode == "replace":
                replace_file(real, data)
            else:
                with real.open("ab" if mode == "append" else "xb") as file:
                    file.write(data)
        except OSError as error:
            if isinstance(error, FileExistsError) and real.exists():
                raise InputError(f"{path} is already there", hint="Choose mode replace or append.") from error
            raise ServiceError(f"cannot write {path}: {_reason(error)}") from error
        self.context.written.append(("file", str(real), file_digest(real)))
        return str(real)

    def digest(self, path: str) -> str:
        """A hash of the file's content; empty if it cannot be read."""
        return file_digest(self._readable(path))

    def _readable(self, path: str) -> Path:
        if is_url(path):
            raise InputError(f"{path[:200]!r} is a web address, not a file")
        if "\0" in path:
            raise InputError("a path cannot hold the character NUL")
        return self.context.scope.permissions.read(path)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
