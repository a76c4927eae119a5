"""The one place that imports Dask: spoken to as a client, and started here for workers of our own."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from phloem.runtime.cluster import host
from phloem.runtime.errors import ConfigError

__all__ = ["Client", "Inbox", "WorkerFacts", "imported"]

CONNECT_WITHIN: Final = 5.0
"""Seconds in which a scheduler has to answer."""

ANSWERS_WITHIN: Final = 10.0
"""Seconds in which a worker has to say what it is."""

_QUIET: Final = {
    # Whoever waits for a machine that is gone waits this long.
    "distributed.comm.timeouts.connect": "2s",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.scheduler.worker-ttl": "60s",
    # So many workers may end under one task before it is taken to be the cause.
    "distributed.scheduler.allowed-failures": 2,
}
_SILENT: Final = {"distributed": "critical", "distributed.client": "critical", "distributed.gc": "critical"}


def imported() -> ModuleType:
    """Dask's `distributed`, set up for us; ConfigError if it is not installed."""
    try:
        import dask
    except ImportError:
        raise ConfigError("--on needs Dask, which is an extra", hint='pip install "phloem[dask]"') from None
    dask.config.set(_QUIET)
    if not os.environ.get("PHLOEM_DEBUG"):
        # What matters of it is told by us, in the words of the workflow.
        dask.config.set({"logging": {**_SILENT, **(dask.config.get("logging", None) or {})}})
    try:
        import distributed
    except ImportError:
        raise ConfigError(
            "--on needs Dask's distributed, which is an extra", hint='pip install "phloem[dask]"'
        ) from None
    return distributed


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """A worker that is there: how many tasks it has at once, and the names that it declares as resources."""

    address: str
    places: int
    resources: frozenset[str] = field(default_factory=frozenset)


class Inbox:
    """A queue at the scheduler, which both sides can reach whatever stands between them."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    async def put(self, data: bytes) -> None:
        await self._queue.put(data)

    async def get(self) -> bytes:
        data: bytes = await self._queue.get()
        return data

    def close(self, *, of_worker: bool = False) -> None:
        """Have the scheduler forget it; one `of_worker` was made by a worker too."""
        self._queue.close()
        if of_worker:
            self._queue.close()


class Client:
    """A connection to a Dask scheduler. OSError from everything here once it is lost."""

    def __init__(self, distributed: ModuleType, client: Any, address: str) -> None:
        self.address = address
        self._distributed = distributed
        self._client = client

    @classmethod
    async def connect(cls, address: str, security: Any = None) -> Client:
        """ConfigError if nothing that is a scheduler answers there, or it does not trust us."""
        distributed = imported()
        if address.startswith("tls://") and security is None:
            _check_certificates(distributed, address)
        try:
            with warnings.catch_warnings():
                # Other versions of what Dask uses; what has to agree is compared by us.
                warnings.simplefilter("ignore")
                client = await distributed.Client(
                    address, asynchronous=True, security=security, timeout=CONNECT_WITHIN, set_as_default=False,
                    name="phloem", heartbeat_interval="5s",
                )  # fmt: skip
        except (OSError, ValueError, TimeoutError) as error:
            raise ConfigError(
                f"no Dask scheduler answers at {address}",
                hint="Start one with `dask scheduler`, and give the address that it prints.",
            ) from error
        return cls(distributed, client, address)

    async def workers(self) -> list[WorkerFacts]:
        """Those that are there now."""
        found = await self._client.scheduler.identity(n_workers=-1)
        return [
            WorkerFacts(address, int(one["nthreads"]), _whole(one.get("resources") or {}))
            for address, one in found["workers"].items()
        ]

    async def facts(self, workers: Sequence[str]) -> dict[str, Any]:
        """What each of these says of itself, or the exception that it had instead."""
        return dict(zip(workers, await asyncio.gather(*map(self._facts, workers)), strict=True))

    async def _facts(self, worker: str) -> Any:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                answers = await self._client.run(host.facts, workers=[worker], on_error="return")
        except TimeoutError:
            return TimeoutError(f"nothing in {ANSWERS_WITHIN:g} s")
        # One that has gone meanwhile is not among the answers.
        return answers.get(worker, ConnectionError("it is gone"))

    async def inbox(self, name: str) -> Inbox:
        """The queue of that name, made if need be."""
        return Inbox(await self._distributed.Queue(name, client=self._client))

    def submit(
        self, run: str, load: int, *, tags: Sequence[str], near: Sequence[str], among: Sequence[str] | None
    ) -> tuple[Any, Callable[[], Any]]:
        """Have a worker begin a load: one that has all the `tags`, rather one that is `near`, and one `among` these if
        some are named. What `ended` waits for, and what gives the load up."""
        key = f"phloem-{run}-{load}"
        future = self._client.submit(
            host.work, run, load, key, key=key, pure=False,
            resources=dict.fromkeys(tags, 1) or None,
            workers=list(near) if near else None if among is None else list(among),
            allow_other_workers=bool(near),
        )  # fmt: skip
        return future, future.cancel

    async def ended(self, future: Any) -> BaseException | None:
        """Return when a load has ended; the exception that it ended with. CancelledError of asyncio passes."""
        with suppress(self._distributed.client.FutureCancelledError):
            error: BaseException | None = await future.exception()
            if error is not None:
                return error
        if future.status != "finished":
            return OSError(f"the scheduler has given it up ({future.status})")
        return None

    def killed_its_workers(self, error: BaseException) -> bool:
        """True if this is the end of a load under which one worker after the other has ended."""
        return isinstance(error, self._distributed.KilledWorker)

    async def close(self) -> None:
        await asyncio.wait_for(self._client.close(), CONNECT_WITHIN)


def _whole(resources: Mapping[str, float]) -> frozenset[str]:
    """The names of what a worker has enough of for one task."""
    return frozenset(name for name, quantity in resources.items() if quantity >= 1)


def _check_certificates(distributed: ModuleType, address: str) -> None:
    """ConfigError unless Dask's settings have what TLS needs."""
    hint = "Name them in Dask's settings, distributed.comm.tls, as docs/cluster.md shows."
    try:
        context = distributed.Security().get_connection_args("client").get("ssl_context")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--on {address}: the certificates for it cannot be read: {error}", hint=hint) from error
    if context is None:
        raise ConfigError(f"--on {address}: no certificates are set up for it", hint=hint)
