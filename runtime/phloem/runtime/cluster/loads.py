"""Which calls are handed out to which workers, and what becomes of those that a worker leaves undone."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from phloem.runtime.cluster import exchange
from phloem.runtime.cluster.calls import Call
from phloem.runtime.cluster.dask import Client
from phloem.runtime.cluster.desks import Desk
from phloem.runtime.cluster.members import Members
from phloem.runtime.cluster.tasks import Tasks
from phloem.runtime.cluster.values import Ref
from phloem.runtime.errors import NodeCrashed, PhloemError, ServiceError

__all__ = ["Loads"]

ARRIVES_WITHIN: Final = 30.0
"""Seconds in which what a load told last has to be here when it has ended."""
NONE_FOR: Final = 60.0
"""Seconds after which calls that no worker can make are given up."""
MOST_ENDED: Final = 3
"""Workers that may end under a load."""
MOST_ANEW: Final = 3
"""How often a call is begun anew whose worker is there, and did not say how it ended."""
NEAR: Final = 65_536
"""Bytes that a worker has to have already for a call to be rather sent there."""
MOST_IN_LOAD: Final = 64
GATHER: Final = 0.003
"""Seconds for which calls wait for others: what becomes ready together is sent together."""


@dataclass(slots=True)
class Load:
    """Calls that are handed to one worker together: one task of Dask. `worker` is the one that has begun it, `ended`
    how many have ended under it."""

    number: int
    calls: dict[int, Call]
    tags: tuple[str, ...]
    near: tuple[str, ...]
    task: Any = None
    give_up: Callable[[], Any] = lambda: None
    worker: str = ""
    ended: int = 0
    unwanted_since: float | None = None


class Loads:
    """The calls of the runs of one cluster. `run` is the name under which workers reach this side, `desks` are the
    ways to them, and `tasks` what goes on beside."""

    def __init__(self, run: str, client: Client, members: Members, desks: Mapping[str, Desk], tasks: Tasks) -> None:
        self._run = run
        self._client = client
        self._members = members
        self._desks = desks
        self._tasks = tasks
        self._numbers = count(1)
        self._waiting: deque[Call] = deque()
        self._calls: dict[int, tuple[Call, Load]] = {}
        self._loads: dict[int, Load] = {}
        self._due = False

    def queue(self, call: Call) -> None:
        """Have a call made, as soon as there is a place for it."""
        self._waiting.append(call)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(GATHER, self.hand_out)

    def drop(self, call: Call) -> None:
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
            self._desks[load.worker].put("cancel", call.id)
        if not load.calls:
            self._tasks.begin(_quietly(load.give_up))

    def fail(self, error: PhloemError) -> None:
        """End every call with an error."""
        for call in self._all():
            call.fail(error)

    async def close(self) -> None:
        """Give up what is under way."""
        for call in self._all():
            call.future.cancel()
        for load in list(self._loads.values()):
            await _quietly(load.give_up)

    def _all(self) -> list[Call]:
        return [*self._waiting, *(one for one, _ in self._calls.values())]

    # Handing out

    def hand_out(self) -> None:
        """Hand out what waits, as long as there are places for it."""
        self._due = False
        if not self._members:
            return
        free = self._members.places - sum(not one.tags for one in self._loads.values())
        kept = deque[Call]()
        while self._waiting:
            call = self._waiting.popleft()
            if call.tags:
                self._send([call])
            elif free > 0:
                self._send([call, *self._more_like(call)])
                free -= 1
            else:
                kept.append(call)
        self._waiting.extend(kept)

    def _more_like(self, first: Call) -> Iterable[Call]:
        """Calls that go with this one: large shares first, small ones at the end, so that all workers end at about the
        same time."""
        most = min(-(-(len(self._waiting) + 1) // (2 * len(self._members))), MOST_IN_LOAD)
        for _ in range(most - 1):
            following = self._waiting[0] if self._waiting else None
            if following is None or following.tags or following.step.kind is not first.step.kind:
                return
            yield self._waiting.popleft()

    def _send(self, calls: list[Call]) -> None:
        number = next(self._numbers)
        load = Load(number, {one.id: one for one in calls}, calls[0].tags, self._near(calls))
        self._loads[number] = load
        for one in calls:
            self._calls[one.id] = (one, load)
        load.task, load.give_up = self._client.submit(
            self._run, number, tags=load.tags, near=load.near, among=self._members.only
        )
        self._tasks.begin(self._watch(load))

    def _near(self, calls: list[Call]) -> tuple[str, ...]:
        """The workers that have the most of what these calls need, if that is much, and a place for them."""
        wanted = {content: len(stored.data) for one in calls for content, stored in one.values.items()}
        if not wanted or calls[0].tags:
            return ()
        busy: dict[str, int] = {}
        for load in self._loads.values():
            place = load.worker or (load.near[0] if len(load.near) == 1 else "")
            busy[place] = busy.get(place, 0) + 1
        has = {
            one.address: sum(size for content, size in wanted.items() if content in self._desks[one.address].known)
            for one in self._members
            if one.address in self._desks and busy.get(one.address, 0) < one.places
        }
        most = max(has.values(), default=0)
        return tuple(address for address, size in has.items() if size == most) if most >= NEAR else ()

    # What becomes of them

    async def _watch(self, load: Load) -> None:
        """See a load to its end, and what it leaves undone to another one."""
        try:
            error = await self._client.ended(load.task)
            # What it told last may still be on its way.
            deadline = time.monotonic() + ARRIVES_WITHIN
            while error is None and load.calls and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
        except Exception as lost:
            error = lost
        finally:
            self._loads.pop(load.number, None)
        if error is not None and self._client.killed_its_workers(error):
            self._killed(load)
        for call in self._taken_from(load):
            if error is None:
                self.begin_anew(call, f"the worker {load.worker} did not say how it ended")
            else:
                call.fail(self._failure(error))
        self.hand_out()

    def _taken_from(self, load: Load) -> list[Call]:
        """The calls that are left of a load, which has them no more, without those that nobody waits for."""
        calls = list(load.calls.values())
        load.calls.clear()
        for call in calls:
            self._calls.pop(call.id, None)
        return [call for call in calls if not call.future.done()]

    def _killed(self, load: Load) -> None:
        """One worker after the other has ended under a load: one of its calls may be the cause, and each for itself
        shows which."""
        alone = len(load.calls) == 1
        for call in self._taken_from(load):
            if alone:
                call.fail(
                    NodeCrashed(
                        "the workers that ran it ended, one after the other",
                        hint="The node may need more memory than they have, or crash in native code.",
                    )
                )
            else:
                call.begin_anew(f"the worker {load.worker} is gone")
                self._send([call])

    def begin_anew(self, call: Call, why: str) -> None:
        """Have a call made again that came to no end."""
        if call.future.done():
            return
        if call.begun_anew == MOST_ANEW:
            call.fail(ServiceError(f"it came to no end, {MOST_ANEW + 1} times: {why}"))
            return
        call.begun_anew += 1
        call.begin_anew(why)
        self.queue(call)

    def _failure(self, error: BaseException) -> PhloemError:
        if isinstance(error, ImportError | AttributeError):
            return ServiceError(
                f"a worker has no Phloem that can do it: {error}", hint="Install the same version there."
            )
        return ServiceError(
            f"the cluster {self._members.place} could not do it: {type(error).__name__}: {str(error)[:200]}"
        )

    def give_up_stranded(self) -> None:
        """Fail what waits for a worker that has something, once none has had it for a while."""
        now = time.monotonic()
        for load in list(self._loads.values()):
            if not load.tags or any(one.resources.issuperset(load.tags) for one in self._members):
                load.unwanted_since = None
                continue
            load.unwanted_since = load.unwanted_since or now
            if now - load.unwanted_since > NONE_FOR:
                for call in list(load.calls.values()):
                    call.fail(
                        ServiceError(
                            f"no worker of {self._members.place} has {' and '.join(load.tags)} any more",
                            hint="Start one that declares it with --resources.",
                        )
                    )

    # What workers say

    def hear(self, desk: Desk, word: str, rest: list[Any]) -> None:
        """Take in a message about a load or a call."""
        if word == "begin":
            self._begin(rest[0], desk)
            return
        call, load = self._calls.get(rest[0], (None, None))
        # One that was taken for gone may still be at work; it is not heard.
        if call is None or load is None or load.worker != desk.worker:
            return
        if word == "tell":
            exchange.hear(call, *rest[1:])
        elif word == "lacks":
            if rest[1] in call.values:
                desk.give_again(call.values[rest[1]])
        elif word == "ask":
            question, method, ref = rest[1:]
            held = exchange.held(desk, [ref])
            task = self._tasks.begin(exchange.answer(call, desk, question, method, ref, held))
            call.asking.add(task)
            task.add_done_callback(call.asking.discard)
        else:
            self._calls.pop(call.id)
            load.calls.pop(call.id, None)
            if word == "failed":
                exchange.fail(call, desk, rest[1])
            else:
                shape, refs = rest[1:]
                self._tasks.begin(self._give(call, desk, shape, refs, exchange.held(desk, refs)))

    async def _give(self, call: Call, desk: Desk, shape: list[Any], refs: list[Ref], held: exchange.Held) -> None:
        try:
            await exchange.give(call, desk, shape, refs, held)
        except exchange.ValueLost:
            self.begin_anew(call, "what it gave was lost with its worker")

    def _begin(self, number: int, desk: Desk) -> None:
        """Tell a worker what is still to be done of a load."""
        load = self._loads.get(number)
        if load is None or self._is_lost(load, desk):
            desk.put("calls", number, [])
            return
        load.worker = desk.worker
        for call in load.calls.values():
            for stored in call.values.values():
                desk.give(stored)
        desk.put("calls", number, [call.spec() for call in load.calls.values()])

    def _is_lost(self, load: Load, desk: Desk) -> bool:
        """True for a load that this worker is not to do."""
        if not self._members.may_use(desk.worker):
            for call in self._taken_from(load):
                self.queue(call)
        elif load.worker:
            load.ended += 1
            if load.ended == MOST_ENDED:
                self._killed(load)
            else:
                for call in load.calls.values():
                    call.begin_anew(f"the worker {load.worker} is gone")
        return not load.calls


async def _quietly(give_up: Callable[[], Any]) -> None:
    with suppress(Exception):
        await give_up()
