"""Where Phloem keeps what is its own, and what the environment says about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from phloem.runtime.errors import ConfigError

__all__ = ["Home"]


@dataclass(frozen=True, slots=True)
class Home:
    """The one folder under which everything of Phloem's lives: `PHLOEM_HOME`, else the platform's data folder."""

    path: Path

    @classmethod
    def default(cls) -> Home:
        """The home that the environment names; ConfigError if it is that of a user who does not exist."""
        given = os.environ.get("PHLOEM_HOME")
        if given:
            try:
                return cls(Path(given).expanduser().absolute())
            except RuntimeError:
                raise ConfigError(f"PHLOEM_HOME is {given}, and there is no such user", hint="Give a path.") from None
        from platformdirs import user_data_path

        return cls(user_data_path("phloem", appauthor=False))

    @property
    def cache(self) -> Path:
        """The results of earlier runs."""
        return self.path / "cache"

    @property
    def journal(self) -> Path:
        """The record of runs."""
        return self.path / "journal"

    @property
    def plans(self) -> Path:
        """Compiled workflows, by the hash of their shape."""
        return self.path / "plans"

    @property
    def collections(self) -> Path:
        """The vector stores."""
        return self.path / "collections"

    @property
    def models(self) -> Path:
        """Model files that were made or fetched for the user."""
        return self.path / "models"

    @property
    def schedules(self) -> Path:
        """What is to be run when, and what became of it."""
        return self.path / "schedules"
