"""The schedules of a home: one file each, `NAME.yaml`, in the folder `schedules`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from phloem.runtime.disk import replace_file
from phloem.runtime.document.comments import Comments
from phloem.runtime.document.words import allowed_id
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.triggers.schedule import Schedule
from phloem.runtime.triggers.schedule_file import data_of, parsed, text_of
from phloem.runtime.words import nearest

__all__ = ["Schedules", "private_folder"]


class Schedules:
    """The folder of schedules in a home."""

    def __init__(self, home: Home) -> None:
        self.folder = home.schedules

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def names(self) -> list[str]:
        """The names of all schedules, the damaged ones too, sorted."""
        try:
            return sorted(one.stem for one in self.folder.glob("*.yaml") if allowed_id(one.stem))
        except OSError:
            return []

    def read(self, name: str) -> Schedule:
        """One schedule. ConfigError if there is none of that name, DocumentError, with the lines, if it is damaged."""
        try:
            data = self.path(name).read_bytes() if allowed_id(name) else None
        except (FileNotFoundError, NotADirectoryError):
            data = None
        except OSError as error:
            raise ConfigError(f"cannot read {self.path(name)}: {(error.strerror or str(error)).lower()}") from error
        if data is None:
            near, known = nearest(name, self.names()), self.names()
            hint = f"Did you mean {near}?" if near else f"There is {', '.join(known)}." if known else None
            raise ConfigError(f"there is no schedule called {name}", hint=hint or "phloem schedule add makes one.")
        return parsed(name, data, self.path(name))[0]

    def must_be_free(self, name: str) -> None:
        """ConfigError for what cannot be the name of a new schedule, because it is none, or is taken."""
        if not allowed_id(name):
            hint = "It begins with a letter or _, and goes on with letters, digits, _ and -, 100 in all."
            raise ConfigError(f"{name!r} cannot be the name of a schedule", hint=hint)
        if self.path(name).exists():
            hint = "Give this one another with --name, or remove that one first."
            raise ConfigError(f"there is a schedule called {name} already", hint=hint)

    def add(self, schedule: Schedule) -> None:
        """Keep a new one. ConfigError if its name is none, or taken, or if it cannot be written."""
        self.must_be_free(schedule.name)
        self._write(self.path(schedule.name), text_of(data_of(schedule), Comments()))

    def pause(self, name: str, paused: bool) -> Schedule:
        """Stop it from being due, or let it be due again; the schedule as it is then."""
        schedule = replace(self.read(name), paused=paused)
        path = self.path(name)
        _, data, comments = parsed(name, path.read_bytes(), path)
        data.pop("paused", None)
        self._write(path, text_of({**data, "paused": True} if paused else data, comments))
        return schedule

    def remove(self, name: str) -> None:
        """Take a schedule away, a damaged one too. ConfigError if there is none, or if it cannot be taken away."""
        if name not in self.names():
            self.read(name)
        try:
            self.path(name).unlink()
        except OSError as error:
            raise ConfigError(f"cannot remove {self.path(name)}: {(error.strerror or str(error)).lower()}") from error

    def _write(self, path: Path, text: str) -> None:
        try:
            private_folder(self.folder)
            replace_file(path, text.encode())
            path.chmod(0o600)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def private_folder(folder: Path) -> None:
    """Make a folder, if it is not there, that only its owner can look into."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
