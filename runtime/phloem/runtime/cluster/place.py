"""Where a run is to be worked on, as `--on` says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from phloem.runtime.errors import ConfigError

__all__ = ["Place"]

MOST_WORKERS: Final = 64
_ADDRESS: Final = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.%]+\]|[^\s/:\[\]]+):(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Place:
    """A Dask scheduler that is there, by its `address`, or so many `workers` of this machine's own."""

    address: str = ""
    workers: int = 0

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `tcp://HOST:PORT`, `tls://HOST:PORT` or `local:N`; ConfigError says what is wrong with anything else."""
        word, colon, rest = text.partition(":")
        if word == "local" and colon:
            if rest.isascii() and rest.isdigit() and 1 <= int(rest) <= MOST_WORKERS:
                return cls(workers=int(rest))
            raise ConfigError(
                f"--on {text}: the number of workers is from 1 to {MOST_WORKERS}", hint="Write --on local:2"
            )
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found[3]) < 65536:
            raise ConfigError(
                f"--on {text}: not where workers could be",
                hint="Write the address of a Dask scheduler, such as tcp://HOST:8786, or local:2 for two workers here.",
            )
        return cls(address=text)

    def __str__(self) -> str:
        return self.address or f"local:{self.workers}"
