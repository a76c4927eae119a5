"""The workers that a run has beside its own process, and the calls that they make for it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.calling import called
from phloem.runtime.cluster.calls import Call, result_of
from phloem.runtime.cluster.choosing import goes_away, identities, models_of, tags_of
from phloem.runtime.cluster.dask import Client, Inbox
from phloem.runtime.cluster.failures import packed_error, unpacked_error
from phloem.runtime.cluster.local import LocalWorkers
from phloem.runtime.cluster.members import Members
from phloem.runtime.cluster.messages import Outbox
from phloem.runtime.cluster.place import Place
from phloem.runtime.cluster.values import Ref, Seen, as_ref, hashes_of
from phloem.runtime.codec import UnstorableValue, unpack
from phloem.runtime.errors import NodeCrashed, PhloemError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.resources import CAPACITIES, Resources
from phloem.runtime.work import as_failure

if TYPE_CHECKING:
    from phloem.runtime.cache import Stored
    from phloem.runtime.context import Context, Scope
    from phloem.runtime.plan import Step

__all__ = ["Cluster"]

ARRIVES_WITHIN: Final = 5.0
"""Seconds in which what a load told last has to be here when it has ended."""
LOOK_EVERY: Final = 2.0
NONE_FOR: Final = 60.0
"""Seconds after which a cluster that has lost its last worker is given up."""
HELD: Final = 256_000_000
"""Bytes of large values that the run's side keeps beside those that are in use."""
NEAR: Final = 65_536
"""Bytes that a worker has to have already for a call to be rather sent there."""
MOST_IN_LOAD: Final = 64
GATHER: Final = 0.003
"""Seconds for which calls wait for others: what becomes ready together is sent together."""


@dataclass(slots=True)
class _Load:
    """Calls that are handed to one worker together: one task of Dask."""

    number: int
    calls: dict[int, Call]
    tagged: bool
    task: Any = None
    give_up: Callable[[], Any] = lambda: None
    worker: str = ""
    watcher: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Desk:
    """The way to one worker, and the large values that it has."""

    inbox: Inbox
    outbox: Outbox
    known: set[bytes] = field(default_factory=set)


class Cluster:
    """Workers for the runs of one engine: what is slow by nature is called there.

    A run keeps all that it is in its own process: the plan, the cache, the record, the permissions, the budget, what is
    tried again. A worker is only ever given calls of node functions. Made by `open`, on the loop of the runs.
    """

    def __init__(self, place: Place, client: Client, local: LocalWorkers | None, inbox: Inbox, name: str) -> None:
        self.place = place
        self.resources = Resources()
        self._client = client
        self._local = local
        self._inbox = inbox
        self._name = name
        self._numbers = count(1)
        self.members = Members(place, client)
        self._waiting: deque[Call] = deque()
        self._calls: dict[int, tuple[Call, _Load]] = {}
        self._loads: dict[int, _Load] = {}
        self._desks: dict[str, _Desk] = {}
        self._held = Seen(HELD)
        self._wanted: dict[bytes, asyncio.Event] = {}
        self._broken: PhloemError | None = None
        self._due = False
        self._tasks: set[asyncio.Task[Any]] = set()

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
        cluster._begin(cluster._receive())
        cluster._begin(cluster._look())
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
        return goes_away(step, inputs, scope, self.members.declared, here=self._local is not None)

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
        self._queue(call)
        try:
            return await call.future
        finally:
            self._drop(call)

    def _queue(self, call: Call) -> None:
        self._waiting.append(call)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(GATHER, self._send_off)

    def _drop(self, call: Call) -> None:
        """Nobody waits for it any more: take it back wherever it is, unless it has ended."""
        for task in call.asking:
            task.cancel()
        with suppress(ValueError):
            self._waiting.remove(call)
        found = self._calls.pop(call.id, None)
        if found is None:
            return
        load = found[1]
        load.calls.pop(call.id, None)
        if load.worker:
            self._desks[load.worker].outbox.put("cancel", call.id)
        if not load.calls:
            self._begin(_quietly(load.give_up))

    def _send_off(self) -> None:
        """Hand out what waits, as long as there are places for it."""
        self._due = False
        places = max(self.members.places, 1)
        taken = sum(not one.tagged for one in self._loads.values())
        free, kept = places - taken, deque[Call]()
        shares = 2 * max(len(self.members), 1)
        while self._waiting:
            call = self._waiting.popleft()
            if call.tags:
                self._send_load([call])
            elif free > 0:
                # Large shares first, small ones at the end, so that all workers end at about the same time.
                most = min(-(-(len(self._waiting) + 1) // shares), MOST_IN_LOAD)
                calls = [call]
                while len(calls) < most and self._waiting and self._waiting[0].step.kind is call.step.kind:
                    if self._waiting[0].tags:
                        break
                    calls.append(self._waiting.popleft())
                self._send_load(calls)
                free -= 1
            else:
                kept.append(call)
        self._waiting.extend(kept)

    def _send_load(self, calls: list[Call]) -> None:
        number = next(self._numbers)
        load = _Load(number, {one.id: one for one in calls}, bool(calls[0].tags))
        self._loads[number] = load
        for one in calls:
            self._calls[one.id] = (one, load)
        load.task, load.give_up = self._client.submit(
            self._name, number, tags=calls[0].tags, near=self._near(calls), among=self.members.only
        )
        load.watcher = self._begin(self._watch(load))

    def _near(self, calls: list[Call]) -> str:
        """The worker that has much of what these calls need, and a place for them; empty if there is none."""
        wanted = {content: len(stored.data) for one in calls for content, stored in one.values.items()}
        if not wanted or calls[0].tags:
            return ""
        busy: dict[str, int] = {}
        for load in self._loads.values():
            busy[load.worker] = busy.get(load.worker, 0) + 1
        has = {
            one.address: sum(size for content, size in wanted.items() if content in self._desks[one.address].known)
            for one in self.members
            if one.address in self._desks and busy.get(one.address, 0) < one.places
        }
        best = max(has, key=lambda address: has[address], default="")
        return best if best and has[best] >= NEAR else ""

    async def _watch(self, load: _Load) -> None:
        """See a load to its end, and what it leaves undone to another one."""
        try:
            error = await self._client.ended(load.task)
            # What it told last may still be on its way.
            deadline = time.monotonic() + ARRIVES_WITHIN
            while error is None and load.calls and time.monotonic() < deadline and self._broken is None:
                await asyncio.sleep(0.05)
        except (OSError, ValueError) as lost:
            error = lost
        finally:
            self._loads.pop(load.number, None)
        for call in list(load.calls.values()):
            self._calls.pop(call.id, None)
            if call.future.done():
                continue
            if error is None or (self._client.killed_its_workers(error) and len(load.calls) > 1):
                # One of them may have been the end of its workers; each for itself shows which.
                call.begin_anew("the worker did not say how it ended")
                self._send_load([call])
            else:
                call.fail(self._failure(error))
        self._send_off()

    def _failure(self, error: BaseException) -> PhloemError:
        if self._client.killed_its_workers(error):
            return NodeCrashed(
                "the workers that ran it ended, one after the other",
                hint="The node may need more memory than they have, or crash in native code.",
            )
        if isinstance(error, ImportError | AttributeError):
            return ServiceError(
                f"a worker has no Phloem that can do it: {error}", hint="Install the same version there."
            )
        return ServiceError(f"the cluster {self.place} could not do it: {type(error).__name__}: {str(error)[:200]}")

    # What workers say

    async def _receive(self) -> None:
        try:
            while True:
                (_, worker), *messages = unpack(await self._inbox.get())
                desk = await self._desk(worker)
                for word, *rest in messages:
                    self._take(worker, desk, word, rest)
        except (OSError, ValueError) as error:
            self._break(_lost(self.place, error))
        except Exception as error:
            self._break(ServiceError(f"a worker of {self.place} says what cannot be understood: {error!r:.200}"))

    def _take(self, worker: str, desk: _Desk, word: str, rest: list[Any]) -> None:
        if word == "begin":
            self._begin_load(rest[0], worker, desk)
        elif word == "value":
            content, data = rest
            self._held.keep(content, data)
            desk.known.add(content)
            self._arrived(content)
        elif word == "gone":
            desk.known.discard(rest[0])
            self._arrived(rest[0])
        else:
            found = self._calls.get(rest[0])
            # One that was taken for gone may still be at work; it is not heard.
            if found is not None and found[1].worker == worker:
                self._take_of_call(word, rest[1:], *found)

    def _arrived(self, content: bytes) -> None:
        waiting = self._wanted.pop(content, None)
        if waiting is not None:
            waiting.set()

    def _begin_load(self, number: int, worker: str, desk: _Desk) -> None:
        """Tell a worker what is still to be done of a load."""
        load = self._loads.get(number)
        if load is None or self._broken is not None:
            desk.outbox.put("calls", number, [])
            return
        if load.worker:
            for call in load.calls.values():
                call.begin_anew(f"the worker {load.worker} is gone")
        load.worker = worker
        for call in load.calls.values():
            for stored in call.values.values():
                self._give(desk, stored)
        desk.outbox.put("calls", number, [call.spec() for call in load.calls.values()])

    def _take_of_call(self, word: str, rest: list[Any], call: Call, load: _Load) -> None:
        desk = self._desks[load.worker]
        if word == "tell":
            try:
                call.tell(*rest)
            except Exception as error:
                # A limit that was passed, say. The worker is told to stop by `_drop`.
                call.fail(as_failure(error))
        elif word == "lacks":
            stored = call.values.get(rest[0])
            if stored is not None:
                desk.known.discard(stored.hash)
                self._give(desk, stored)
        elif word == "ask":
            task = self._begin(self._answer(call, desk, *rest))
            call.asking.add(task)
            task.add_done_callback(call.asking.discard)
        else:
            self._calls.pop(call.id, None)
            load.calls.pop(call.id, None)
            if word == "done":
                shape, refs = rest
                self._begin(self._settle(call, desk, shape, refs))
            else:
                wants = any(True for _ in models_of(call.step, {}))
                call.fail(unpacked_error(rest[0], call.budgets, load.worker, wants=wants))

    async def _settle(self, call: Call, desk: _Desk, shape: list[Any], refs: list[Ref]) -> None:
        """End a call with what it gave, all of which is here, or was once."""
        try:
            values = [await self._value(call, desk, ref) for ref in refs]
            call.give(result_of(shape, values))
        except Exception as error:
            call.fail(as_failure(error))

    async def _value(self, call: Call, desk: _Desk, ref: Ref) -> Any:
        for content in hashes_of([ref]):
            if content in call.values:
                return call.values[content].load()
            if content not in self._held:
                self._wanted.setdefault(content, asyncio.Event())
                desk.outbox.put("lacks", content)
                await self._wanted[content].wait()
            if content not in self._held:
                raise ServiceError("what it gave was more than the worker keeps", retryable=True)
        return self._held.value(ref)

    async def _answer(self, call: Call, desk: _Desk, question: int, method: str, ref: Ref) -> None:
        def large(stored: Stored) -> None:
            call.values[stored.hash] = stored
            self._give(desk, stored)

        try:
            arguments, named = await self._value(call, desk, ref)
            answer = as_ref(await call.answer(method, arguments, named), large)
        except Exception as error:
            desk.outbox.put("answer", call.id, question, packed_error(as_failure(error), call.budgets), [b""])
        else:
            desk.outbox.put("answer", call.id, question, None, answer)

    def _give(self, desk: _Desk, stored: Stored) -> None:
        """Send a large value, unless the worker has it."""
        if stored.hash not in desk.known:
            desk.known.add(stored.hash)
            desk.outbox.put("value", stored.hash, stored.data)

    async def _desk(self, worker: str) -> _Desk:
        if worker not in self._desks:
            inbox = await self._client.inbox(f"{self._name}/{worker}")
            self._desks[worker] = _Desk(inbox, Outbox(inbox.put, self._not_sent))
        return self._desks[worker]

    def _not_sent(self, error: Exception) -> None:
        self._break(_lost(self.place, error))

    async def _look(self) -> None:
        """See which workers there are, as long as this is open."""
        while self._broken is None:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.members.look()
            except (OSError, ValueError) as error:
                self._break(_lost(self.place, error))
                return
            if self.members.none_for() > NONE_FOR or (self._local is not None and not self._local.alive):
                for call in [*self._waiting, *(one for one, _ in self._calls.values())]:
                    call.fail(ServiceError(f"no worker of {self.place} is left", hint="Start the workers again."))
            self._send_off()

    def _break(self, error: PhloemError) -> None:
        """Nothing more can be had from there."""
        self._broken = self._broken or error
        for call in [*self._waiting, *(one for one, _ in self._calls.values())]:
            call.fail(self._broken)

    def _begin(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Give up what is under way, and let go of the workers; those of our own end."""
        self._broken = self._broken or ServiceError("the cluster is closed")
        for call in [*self._waiting, *(one for one, _ in self._calls.values())]:
            call.future.cancel()
        for load in list(self._loads.values()):
            await _quietly(load.give_up)
        for desk in self._desks.values():
            desk.outbox.put("end")
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                for desk in self._desks.values():
                    await desk.outbox.sent()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        for desk in self._desks.values():
            desk.inbox.close(of_worker=True)
        self._inbox.close()
        with suppress(Exception):
            await self._client.close()
        if self._local is not None:
            await self._local.close()


def _lost(place: Place, error: Exception) -> ServiceError:
    return ServiceError(f"the connection to the scheduler {place} was lost: {str(error)[:200]}")


async def _quietly(give_up: Callable[[], Any]) -> None:
    with suppress(Exception):
        await give_up()
