"""Which model a name means: a bundled one, one in the models folder of the home, or a file."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phloem.runtime.disk import file_digest, replace_file
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.words import nearest, or_list

__all__ = ["BUNDLED", "Catalogue", "ModelFile"]

BUNDLED: Final = ("demo", "minilm")
DATA: Final = Path(__file__).parents[1] / "data"
MOST_REMEMBERED: Final = 500


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file as it was found: a change of its size or time means that it is another one."""

    name: str
    path: Path
    size: int
    changed: int


class Catalogue:
    """The local models: those in `folder`, and those that come with Phloem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests = _Digests(folder / "digests.json")

    def names(self) -> list[str]:
        """What can follow `local:`, besides the path of a file."""
        try:
            own = {path.stem for path in self._folder.iterdir() if path.suffix == ".gguf"}
        except OSError:
            own = set()  # A home that cannot be looked into holds nothing.
        return sorted({*BUNDLED, *(name for name in own if not name.startswith("."))})

    def find(self, name: str) -> ModelFile:
        """The file of `local:NAME`, where NAME may be an absolute path. InputError if there is none."""
        path = self._path(name)
        try:
            found = None if path is None else path.stat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except (OSError, ValueError) as error:
            raise ServiceError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
        if path is None or found is None or not path.is_file():
            raise self._missing(name)
        return ModelFile(f"local:{name}", path, found.st_size, found.st_mtime_ns)

    def digest(self, file: ModelFile) -> str:
        """A hash of the file's content. It reads the file unless it was seen before, so it belongs in a thread."""
        return self._digests.of(file)

    def _path(self, name: str) -> Path | None:
        if name in BUNDLED:
            return DATA / f"{name}.gguf"
        if Path(name).is_absolute():
            return Path(name)
        plain = name and Path(name).name == name and "\\" not in name and not name.startswith(".")
        return self._folder / f"{name.removesuffix('.gguf')}.gguf" if plain else None

    def _missing(self, name: str) -> InputError:
        if Path(name).is_absolute():
            return InputError(f"there is no model file {name}", hint="Give the path of a .gguf file, or a name.")
        known = self.names()
        close = nearest(name, known)
        return InputError(
            f"there is no model local:{name:.100}" + (f"; did you mean local:{close}?" if close else ""),
            hint=f"There are {or_list([f'local:{one}' for one in known], 'and')}. Others are named by their file, as "
            f"local:models/mine.gguf, or put into {self._folder}.",
        )


class _Digests:
    """Hashes of files by path, size and time, remembered in the file `kept` from one process to the next."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._known: dict[str, list[object]] | None = None
        self._lock = threading.Lock()

    def of(self, file: ModelFile) -> str:
        stamp: list[object] = [file.size, file.changed]
        with self._lock:
            known = self._read().get(str(file.path))
            if known is not None and known[:2] == stamp:
                return str(known[2])
            digest = file_digest(file.path)
            if not digest:
                raise ServiceError(f"cannot read {file.path}")
            self._remember(str(file.path), [*stamp, digest])
        return digest

    def _read(self) -> dict[str, list[object]]:
        if self._known is None:
            try:
                found = json.loads(self._kept.read_bytes())
                self._known = {path: entry for path, entry in found.items() if len(entry) == 3}
            except (OSError, ValueError, AttributeError, TypeError):
                self._known = {}
        return self._known

    def _remember(self, path: str, entry: list[object]) -> None:
        known = self._read()
        known.pop(path, None)
        known[path] = entry
        while len(known) > MOST_REMEMBERED:
            del known[next(iter(known))]
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._kept, json.dumps(known).encode())
        except OSError:
            return  # A home that cannot be written costs time, not answers.
