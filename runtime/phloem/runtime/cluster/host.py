"""What a worker process has for every run: kinds, services, threads, and a loop of its own for the nodes.

The functions here are what Dask calls on a worker: `facts` says what it is, `work` is a task.
"""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from phloem.runtime.catalogue import installed_catalogue, installed_services
from phloem.runtime.cluster.session import Session
from phloem.runtime.cluster.values import Seen
from phloem.runtime.codec import pack
from phloem.runtime.home import Home
from phloem.runtime.resources import Resources
from phloem.runtime.threads import Threads

__all__ = ["Host", "close_host", "facts", "own_facts", "work"]

PROTOCOL: Final = 1
LINGER: Final = 60.0
"""Seconds after which a worker leaves a run that has nothing for it to do."""
ENDS_WITHIN: Final = 3.0
LOOK_EVERY: Final = 0.1
"""Seconds between two looks at whether a task is still wanted."""

_UNWANTED: Final = frozenset({"cancelled", "released", "forgotten", "error"})


def own_facts() -> dict[str, Any]:
    """What has to agree between the machine of a run and its workers."""
    from importlib.metadata import version

    return {
        "phloem": version("phloem"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "protocol": PROTOCOL,
    }


def facts() -> dict[str, Any]:
    """`own_facts` of the worker that this runs on."""
    return own_facts()


async def work(run: str, load: int, key: str) -> None:
    """A task of Dask: begin a load, and return when all that it had is done and told."""
    from distributed import get_worker

    worker = get_worker()
    if worker.address not in _hosts:
        _hosts[worker.address] = Host(worker)
    await _hosts[worker.address].work(run, load, key)


async def close_host(worker: Any) -> None:
    """Let go of what the runs left on this worker: models, connections, threads."""
    host = _hosts.pop(worker.address, None)
    if host is not None:
        await host.close()


_hosts: dict[str, Host] = {}


class Host:
    """One worker process, as the runs that it works for share it. Made, used and closed on the loop of Dask's worker.

    The nodes have a loop in a thread of its own: one that computes keeps no heartbeat from Dask.
    """

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self.home = Home.default()
        self.catalogue = installed_catalogue(self.home)
        self.services = installed_services(self.home)
        self.resources = Resources()
        self.threads = Threads()
        self.seen = Seen()
        self.closed = False
        self.inboxes: set[str] = set()
        self.loop = asyncio.new_event_loop()
        self._joined: dict[str, _Joined] = {}
        self._thread = threading.Thread(target=self._run_loop, name="phloem-worker", daemon=True)
        self._thread.start()

    async def work(self, run: str, load: int, key: str) -> None:
        while (joined := self._joined.get(run)) is not None and joined.ending:
            await joined.ended.wait()
        if joined is None:
            joined = self._joined[run] = _Joined(self, run)
            try:
                await joined.open()
            except BaseException:
                joined.give_up()
                raise
        joined.loads += 1
        doing = asyncio.run_coroutine_threadsafe(joined.session.work(load), self.loop)
        waiting = asyncio.wrap_future(doing)
        try:
            while not (waiting.done() or self.closed):
                await asyncio.wait([waiting], timeout=LOOK_EVERY)
                task = self.worker.state.tasks.get(key)
                # Dask lets a task go on that it has given up, also when whoever wanted it is gone.
                if task is None or task.state in _UNWANTED:
                    doing.cancel()
                    break
            await waiting
        finally:
            if not self.closed:
                doing.cancel()
            joined.leave()

    def left(self, run: str) -> None:
        self._joined.pop(run, None)

    async def close(self) -> None:
        """Break off what is under way, and let go of everything."""
        self.closed = True
        for joined in list(self._joined.values()):
            joined.close()
        closing = asyncio.run_coroutine_threadsafe(self._close(), self.loop)
        try:
            await asyncio.wait_for(asyncio.wrap_future(closing), ENDS_WITHIN)
        finally:
            self.threads.shutdown()
            self.loop.call_soon_threadsafe(self.loop.stop)

    async def _close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=ENDS_WITHIN / 2)
        await self.services.close()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()


class _Joined:
    """The queues between a worker and one run. On the loop of Dask's worker."""

    def __init__(self, host: Host, run: str) -> None:
        self.host = host
        self.run = run
        self.inbox = f"{run}/{host.worker.address}"
        self.session = Session(host, host.worker.address, self._send)
        self.loads = 0
        self.ending = False
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._linger: asyncio.TimerHandle | None = None
        self._ends: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        if self.inbox not in self.host.inboxes:
            # A worker cannot let go of a queue; the run does it for both.
            self.host.inboxes.add(self.inbox)
            await self.host.worker.scheduler.queue_create(name=self.inbox, client=None)
        self._task = self._loop.create_task(self._receive())

    def leave(self) -> None:
        """A load has ended. A run that needs nothing more of this worker for a while, or is gone, is left."""
        self.loads -= 1
        if self._linger is not None:
            self._linger.cancel()
        self._linger = self._loop.call_later(LINGER, self._maybe_end)

    def close(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        if self._task is not None:
            self._task.cancel()

    def _maybe_end(self) -> None:
        if not self.loads and not self.ending:
            self.ending = True
            # Its own word ends the waiting for the next one: nothing that the run sends is lost on the way.
            put = self.host.worker.scheduler.queue_put(name=self.inbox, data=pack([["end"]]), timeout=None)
            self._ends = self._loop.create_task(_quietly(put))

    async def _receive(self) -> None:
        worker, going = self.host.worker, True
        try:
            while going:
                record = await worker.scheduler.queue_get(name=self.inbox, timeout=None, batch=False)
                taken = asyncio.run_coroutine_threadsafe(
                    _on_loop(self.session.receive, record["value"]), self.host.loop
                )
                going = await asyncio.wrap_future(taken)
        except (OSError, KeyError):
            # The scheduler is gone, or has let go of the run.
            pass
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Nothing more is received: whatever is still done for the run is of no use."""
        self.ending = True
        self.host.left(self.run)
        self.ended.set()
        with suppress(RuntimeError):
            self.host.loop.call_soon_threadsafe(self.session.lost)

    async def _send(self, data: bytes) -> None:
        """Called on the host's loop; Dask is spoken to on its own."""
        send = partial(self.host.worker.scheduler.queue_put, name=self.run, data=data, timeout=None)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(send(), self._loop))


async def _quietly(put: Awaitable[Any]) -> None:
    # A scheduler that is gone ends the waiting too.
    with suppress(OSError, KeyError):
        await put


async def _on_loop(receive: Any, data: bytes) -> bool:
    return bool(receive(data))
