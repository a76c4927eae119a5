"""What a replay would have written, kept aside: it changes nothing, and the nodes that read it find it."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Literal

from phloem.runtime.opening import write_exactly

__all__ = ["HeldBack"]


class HeldBack:
    """The files that one replay has written, in a folder of its own until `close`."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._end: weakref.finalize[..., HeldBack] | None = None
        self._lock = threading.Lock()

    def find(self, real: Path) -> Path | None:
        """Where the file or folder is that would be at `real`, an absolute path; None if none was written there."""
        if self._folder is None:
            return None
        place = self._folder / real.relative_to(real.anchor)
        return place if place.exists() else None

    def write(self, real: Path, data: bytes, mode: Literal["replace", "append", "new"]) -> None:
        """As if `data` were written to `real`. FileExistsError for a new file that the replay has written already;
        OSError if there is no room."""
        with self._lock:
            if self._folder is None:
                # Links on the way there would be refused like any others.
                self._folder = Path(tempfile.mkdtemp(prefix="phloem-replay-")).resolve()
                self._end = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            place = self._folder / real.relative_to(real.anchor)
            if mode == "append" and not place.exists() and real.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(real, place)
            write_exactly(place, data, mode)

    def below(self, real: Path, pattern: str) -> list[str]:
        """The files below the folder `real` whose path in it matches the glob, as they would be called."""
        folder = self.find(real)
        found = [] if folder is None else [one for one in folder.glob(pattern) if one.is_file()]
        return [str(real / one.relative_to(folder)) for one in found if folder is not None]

    def close(self) -> None:
        """Forget it all."""
        if self._end is not None:
            self._end()
