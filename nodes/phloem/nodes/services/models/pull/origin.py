"""Where a model file in the home came from: `NAME.origin.json` beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from phloem.runtime.disk import replace_file

__all__ = ["Origin"]

_LARGEST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Origin:
    """The source as a user may write it, the commit of a hub's repository, and the SHA-256 of the file.

    The last two are empty where they are not known. `size` and `changed` are those of the file that this is
    about: another file under its name has others.
    """

    source: str
    sha256: str
    size: int
    changed: int
    commit: str = ""

    @classmethod
    def of(cls, file: Path) -> Origin | None:
        """What is known about a model file; None if nothing is, or if the file has changed since."""
        try:
            found = cls(**json.loads(_beside(file).read_bytes()[:_LARGEST]))
            stat = file.stat()
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        sound = all(isinstance(one, str) for one in (found.source, found.sha256, found.commit))
        return found if sound and (found.size, found.changed) == (stat.st_size, stat.st_mtime_ns) else None

    @classmethod
    def record(cls, file: Path, source: str, sha256: str, commit: str = "") -> Origin:
        """Keep where `file` came from. OSError if that cannot be written."""
        stat = file.stat()
        made = cls(source, sha256, stat.st_size, stat.st_mtime_ns, commit)
        replace_file(_beside(file), json.dumps(asdict(made), indent=1).encode())
        return made

    @staticmethod
    def forget(file: Path) -> None:
        """Remove what was kept about a file."""
        _beside(file).unlink(missing_ok=True)


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.stem}.origin.json")
