"""The workers that a cluster has, and whether they can be used."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from phloem.runtime.cluster.dask import Client, WorkerFacts
from phloem.runtime.cluster.host import own_facts
from phloem.runtime.cluster.local import LocalWorkers
from phloem.runtime.cluster.place import Place
from phloem.runtime.errors import ConfigError

__all__ = ["Members"]

_LACKS: Final = re.compile(r"\b(ImportError|ModuleNotFoundError|AttributeError)\b")
STARTS_WITHIN: Final = 60.0
"""Seconds in which workers of our own have to be there."""
FIRST_WITHIN: Final = 5.0
"""Seconds in which a scheduler has to have a worker."""


class Members:
    """The workers at one place that have the versions that are here, as of the last look."""

    def __init__(self, place: Place, client: Client) -> None:
        self.place = place
        self._client = client
        self._fit: dict[str, WorkerFacts] = {}
        self._unfit: set[str] = set()
        self._without_since: float | None = None

    def __iter__(self) -> Iterator[WorkerFacts]:
        return iter(list(self._fit.values()))

    def __len__(self) -> int:
        return len(self._fit)

    @property
    def places(self) -> int:
        """How many tasks all of them have at once."""
        return sum(one.places for one in self)

    @property
    def declared(self) -> frozenset[str]:
        """The names that any of them declares as resources."""
        return frozenset(name for one in self for name in one.resources)

    @property
    def only(self) -> list[str] | None:
        """The addresses of those to choose from, if there are others."""
        return list(self._fit) if self._unfit else None

    def knows(self, worker: str) -> bool:
        """True for one that was there at the last look."""
        return worker in self._fit or worker in self._unfit

    def may_use(self, worker: str) -> bool:
        """False for one that is there and has other versions."""
        return worker not in self._unfit

    def none_for(self) -> float:
        """The seconds for which there has been none."""
        return 0.0 if self._without_since is None else time.monotonic() - self._without_since

    async def gather(self, local: LocalWorkers | None) -> None:
        """Wait for the first of them, or all that were started here. ConfigError if there are none, or one has other
        versions."""
        wanted, within = (self.place.workers, STARTS_WITHIN) if local is not None else (1, FIRST_WITHIN)
        deadline = time.monotonic() + within
        while True:
            self._fit = {one.address: one for one in await self._client.workers()}
            gone = local is not None and not local.alive
            if len(self._fit) >= wanted or time.monotonic() > deadline or gone:
                break
            await asyncio.sleep(0.05)
        if len(self._fit) < wanted and local is not None:
            raise ConfigError(f"--on {self.place}: only {len(self._fit)} of {wanted} workers started")
        if not self._fit:
            raise ConfigError(
                f"the Dask scheduler at {self.place} has no worker",
                hint=f"Start one with `dask worker {self.place}`, on a machine that has phloem[dask] installed.",
            )
        wrong = await self._wrong(list(self._fit))
        if wrong:
            raise ConfigError(
                "; ".join(f"the worker {address} {why}" for address, why in wrong.items()),
                hint="Install the same versions on all machines, and start the workers anew.",
            )

    async def look(self) -> None:
        """See who is there now. One that came and cannot be used is told to the log."""
        found = {one.address: one for one in await self._client.workers()}
        new = [address for address in found if address not in self._fit and address not in self._unfit]
        for address, why in (await self._wrong(new) if new else {}).items():
            self._unfit.add(address)
            logging.getLogger("phloem").warning("warning: the worker %s is not used: it %s", address, why)
        self._unfit &= found.keys()
        self._fit = {address: one for address, one in found.items() if address not in self._unfit}
        self._without_since = None if self._fit else self._without_since or time.monotonic()

    async def _wrong(self, workers: Sequence[str]) -> dict[str, str]:
        """What is wrong with each of these that cannot be used."""
        answers = await self._client.facts(workers)
        found = {address: _difference(theirs) for address, theirs in answers.items()}
        return {address: why for address, why in found.items() if why}


def _difference(theirs: Any) -> str:
    """What keeps a worker that says this of itself from being used; empty if nothing does."""
    # Dask hands on what it cannot load as the text of the error.
    if isinstance(theirs, Exception) and _LACKS.search(f"{type(theirs).__name__}: {theirs}"):
        return f"has no phloem, or one that knows nothing of clusters ({theirs})"
    if not isinstance(theirs, dict):
        return f"does not answer: {type(theirs).__name__}: {str(theirs)[:200]}"
    differ = [
        f"{name} {theirs.get(name)}, and here it is {own}"
        for name, own in own_facts().items()
        if theirs.get(name) != own
    ]
    return f"has {', '.join(differ)}" if differ else ""
