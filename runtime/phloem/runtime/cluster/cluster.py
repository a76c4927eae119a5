"""The workers that a run has beside its own process, and the calls that they make for it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.calling import called
from phloem.runtime.cluster.calls import Call
from phloem.runtime.cluster.choosing import goes_away, identities, tags_of
from phloem.runtime.cluster.dask import Client, Inbox
from phloem.runtime.cluster.desks import Desk
from phloem.runtime.cluster.loads import NONE_FOR, Loads
from phloem.runtime.cluster.local import LocalWorkers
from phloem.runtime.cluster.members import Members
from phloem.runtime.cluster.place import Place
from phloem.runtime.cluster.tasks import Tasks
from phloem.runtime.cluster.values import Seen
from phloem.runtime.codec import UnstorableValue, unpack
from phloem.runtime.errors import PhloemError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.resources import CAPACITIES, Resources

if TYPE_CHECKING:
    from phloem.runtime.context import Context, Scope
    from phloem.runtime.plan import Step

__all__ = ["Cluster"]

LOOK_EVERY: Final = 2.0
"""Seconds between two looks at which workers there are."""
HELD: Final = 256_000_000
"""Bytes of large values that the run's side keeps beside those that are in use."""


class Cluster:
    """Workers for the runs of one engine: what is slow by nature is called there.

    A run keeps all that it is in its own process: the plan, the cache, the record, the permissions, the budget, what is
    tried again. A worker is only ever given calls of node functions. Made by `open`, on the loop of the runs.
    """

    def __init__(self, place: Place, client: Client, local: LocalWorkers | None, inbox: Inbox, name: str) -> None:
        self.place = place
        self.local = local
        self.members = Members(place, client)
        self.resources = Resources()
        self._client = client
        self._inbox = inbox
        self._name = name
        self._numbers = count(1)
        self._tasks = Tasks(self._failed)
        self._desks: dict[str, Desk] = {}
        self._held = Seen(HELD)
        self._loads = Loads(name, client, self.members, self._desks, self._tasks)
        self._broken: PhloemError | None = None

    @classmethod
    async def open(cls, on: str, home: Home, *, offline: bool = False) -> Cluster:
        """The cluster at `tcp://HOST:PORT` or `tls://HOST:PORT`, or made here for `local:N`.

        ConfigError if there is none, it has no workers, or one of them does not have the versions that are here.
        """
        place = Place.parse(on)
        local = LocalWorkers(place.workers, home, offline=offline) if place.workers else None
        client: Client | None = None
        try:
            if local is not None:
                await local.open()
                client = await Client.connect(local.address, local.security)
            else:
                client = await Client.connect(place.address)
            name = f"phloem-{secrets.token_hex(8)}"
            cluster = cls(place, client, local, await client.inbox(name), name)
            await cluster.members.gather(local)
            cluster.resources = Resources(
                {name: places * len(cluster.members) for name, places in CAPACITIES.items() if name != "browser"}
            )
        except BaseException:
            if client is not None:
                with suppress(Exception):
                    await client.close()
            if local is not None:
                await local.close()
            raise
        cluster._tasks.begin(cluster._receive())
        cluster._tasks.begin(cluster._look())
        return cluster

    @property
    def workers(self) -> list[str]:
        """The addresses of the workers that are there."""
        return [one.address for one in self.members]

    # What goes there

    def takes(self, step: Step, inputs: Mapping[str, Any], scope: Scope) -> bool:
        """True for a call that is better made on a worker: of a model there, of the network, of what computes long.

        What has to do with the files, the keys and the people of this machine stays here.
        """
        return goes_away(step, inputs, scope, self.members.declared, here=self.local is not None)

    # Calls

    async def call(
        self, step: Step, inputs: Mapping[str, Any], context: Context, again: Callable[[str], None] = lambda why: None
    ) -> Any:
        """What the step's function returns for these inputs, on a worker; the error that it has there.

        `again` is called with the reason when another worker has to begin it anew.
        """
        try:
            made = self._call(step, inputs, context, again=again)
            made.models = await identities(step, inputs, context)
        except UnstorableValue:
            # What cannot travel is looked at here.
            return await called(step.kind, step.runs, context, inputs)
        return await self._outcome(made)

    async def stamp(self, step: Step, inputs: Mapping[str, Any], context: Context) -> Any:
        """What the stamp of the step's kind says there: of a model, say, that only workers have."""
        try:
            made = self._call(step, inputs, context, stamp=True)
        except UnstorableValue:
            return None
        return await self._outcome(made)

    def _call(self, step: Step, inputs: Mapping[str, Any], context: Context, **words: Any) -> Call:
        tags = tags_of(step, inputs, context.scope, self.members.declared)
        return Call(next(self._numbers), step, inputs, context, tags=tags, **words)

    async def _outcome(self, call: Call) -> Any:
        if self._broken is not None:
            raise self._broken
        self._loads.queue(call)
        try:
            return await call.future
        finally:
            self._loads.drop(call)

    # What workers say

    async def _receive(self) -> None:
        while True:
            try:
                data = await self._inbox.get()
            except (OSError, ValueError) as error:
                raise _lost(self.place, error) from error
            (_, worker), *messages = unpack(data)
            if not self.members.knows(worker):
                # It came a moment ago, or is gone.
                await self.members.look()
            desk = await self._desk(worker)
            for word, *rest in messages:
                if word == "value":
                    desk.take(*rest)
                elif word == "gone":
                    desk.gone(*rest)
                else:
                    self._loads.hear(desk, word, rest)

    async def _desk(self, worker: str) -> Desk:
        if worker not in self._desks:
            inbox = await self._client.inbox(f"{self._name}/{worker}")
            self._desks[worker] = Desk(worker, inbox, self._held, lambda error: self._break(_lost(self.place, error)))
        return self._desks[worker]

    async def _look(self) -> None:
        """See which workers there are, as long as this is open."""
        while self._broken is None:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.members.look()
            except (OSError, ValueError) as error:
                raise _lost(self.place, error) from error
            for worker, desk in self._desks.items():
                if not self.members.knows(worker):
                    desk.left()
            if self.members.none_for() > NONE_FOR or (self.local is not None and not self.local.alive):
                self._loads.fail(ServiceError(f"no worker of {self.place} is left", hint="Start the workers again."))
            self._loads.give_up_stranded()
            self._loads.hand_out()

    # The end

    def _failed(self, error: Exception) -> None:
        """Something that goes on beside has failed: what it was to do is done by nobody."""
        if isinstance(error, OSError):
            error = _lost(self.place, error)
        elif not isinstance(error, PhloemError):
            error = ServiceError(f"a worker of {self.place} says what cannot be understood: {error!r:.200}")
        self._break(error)

    def _break(self, error: PhloemError) -> None:
        """Nothing more can be had from there."""
        self._broken = self._broken or error
        self._loads.fail(self._broken)

    async def close(self) -> None:
        """Give up what is under way, and let go of the workers; those of our own end."""
        self._broken = self._broken or ServiceError("the cluster is closed")
        await self._loads.close()
        for desk in self._desks.values():
            desk.put("end")
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                for desk in self._desks.values():
                    await desk.sent()
        await self._tasks.close()
        for desk in self._desks.values():
            desk.close()
        self._inbox.close()
        with suppress(Exception):
            await self._client.close()
        if self.local is not None:
            await self.local.close()


def _lost(place: Place, error: Exception) -> ServiceError:
    return ServiceError(f"the connection to the scheduler {place} was lost: {str(error)[:200]}")
