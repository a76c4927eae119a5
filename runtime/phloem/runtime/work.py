"""One step's work when it takes more than a call: what was kept, places, attempts, clocks, and once per item."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from phloem.runtime import events as e
from phloem.runtime.budget import UNLIMITED, Budget
from phloem.runtime.cache import Entry, Stored, store
from phloem.runtime.calling import called
from phloem.runtime.clocks import Clock
from phloem.runtime.codec import UnstorableValue, digest
from phloem.runtime.context import Context
from phloem.runtime.errors import NodeTimeout
from phloem.runtime.items import go_through, side_by_side
from phloem.runtime.journal import Question
from phloem.runtime.nested import NestedBody
from phloem.runtime.outcomes import Outcome, as_failure, as_outputs, may_pass
from phloem.runtime.plan import Step
from phloem.runtime.reuse import keep, stamped_key, still_so

if TYPE_CHECKING:
    from phloem.runtime.scheduler import Scheduler

__all__ = ["Work"]


class Work:
    """One step being worked on: once, or once per item of the lists it maps over.

    `began` is when it did, None while all of it waits for its turn or comes from the cache.
    """

    def __init__(
        self, scheduler: Scheduler, step: Step, inputs: dict[str, Any], hashes: dict[str, bytes] | None
    ) -> None:
        self.scheduler = scheduler
        self.step = step
        self.inputs = inputs
        self.hashes = hashes
        self.began: float | None = None
        self.budget = Budget(step.limit, scheduler.scope.budget)
        self._clock = scheduler.clock if step.limit.seconds is None else Clock(scheduler.clock)
        self._executed = 0
        self._recalled = 0
        self._made_for = (0, 0, 0.0)
        self._bodies: set[NestedBody] = set()
        self._calls = 0
        self._asking = 0
        self._stored: Sequence[Stored] | None = None
        self._announced = False

    async def outcome(self) -> Outcome:
        """What the step gives; NodeError or PermissionNeeded when it fails."""
        began = time.perf_counter()
        work = self._mapped() if self.step.maps else self._one(self.inputs, self.hashes, None)
        outputs = await (work if self.step.limit is UNLIMITED else self._within_limit(work))
        cached = self._recalled > 0 and not self._executed
        if not cached:
            self._started()
        seconds = time.perf_counter() - (self.began or began)
        cost = self._made_for if cached else (self.budget.read, self.budget.written, self.budget.money)
        return Outcome(outputs, seconds, cached, *cost, stored=self._stored)

    def rests(self) -> bool:
        """True if every call that is under way waits for a person."""
        return 0 < self._calls == self._asking + sum(body.rests() for body in self._bodies)

    def look(self) -> None:
        """One of several calls has ended: what is left may all wait for people."""
        people = self.scheduler.scope.people
        if people is not None and people.wait:
            self.scheduler.outermost.look()

    async def _within_limit(self, work: Coroutine[Any, Any, tuple[Any, ...]]) -> tuple[Any, ...]:
        """What `work` gives; LimitReached once the step has spent too much, or has worked for too long."""
        if self.step.limit.seconds is None:
            outputs = await work
        else:
            assert self._clock is not None
            async with self._clock.bounds(None, self.budget.out_of_time):
                outputs = await work
        # A node that was told and went on all the same.
        over = self.budget.over()
        if over is not None:
            raise over
        return outputs

    async def _mapped(self) -> tuple[Any, ...]:
        if self.step.simple:
            return await self._mapped_inline()
        return await side_by_side(self.step, self.inputs, self._item, self._tell_share)

    async def _mapped_inline(self) -> tuple[Any, ...]:
        """All items of a pure function, here on the loop; the cache keeps the whole, not each item."""
        key = None
        cache = self.scheduler.cache
        if cache is not None and self.hashes is not None and self.step.key is not None:
            key = digest(b"".join((self.step.key, *self.hashes.values())))
            found = cache.get(key)
            if found is not None:
                return self._recall(found, None)
        self._started()
        outputs = await go_through(self.step, self.inputs, self._tell_share)
        self._executed += 1
        if key is not None and cache is not None:
            self._stored = keep(cache, key, outputs)
        return outputs

    def _tell_share(self, share: float) -> None:
        if self.began is not None:
            self.scheduler.emit(self.step, e.NodeProgress, share, "")

    async def _item(self, item: dict[str, Any], place: str) -> tuple[Any, ...]:
        hashes = self.hashes
        if hashes is not None:
            try:
                hashes = hashes | {name: store(item[name]).hash for name in self.step.over}
            except UnstorableValue:
                hashes = None
        return await self._one(item, hashes, place)

    async def _one(self, inputs: dict[str, Any], hashes: dict[str, bytes] | None, item: str | None) -> tuple[Any, ...]:
        """One execution, or what the cache has for it."""
        self._calls += 1
        try:
            return await self._recalled_or_executed(inputs, hashes, item)
        finally:
            self._calls -= 1
            self.look()

    async def _recalled_or_executed(
        self, inputs: dict[str, Any], hashes: dict[str, bytes] | None, item: str | None
    ) -> tuple[Any, ...]:
        step, cache = self.step, self.scheduler.cache
        context = self._context(item)
        key = None
        # What depends on the outside is asked anew when it is recorded, and in a replay comes from the recording alone.
        answers = None if step.kind.effect == "pure" else context.scope.answers
        in_replay = answers is not None and answers.replays
        if cache is not None and hashes is not None and step.key is not None and not in_replay:
            key = await stamped_key(step, context, inputs, hashes)
            found = None if key is None or answers is not None else cache.get(key)
            if found is not None and await still_so(self.scheduler.scope, found):
                return self._recall(found, item)
        began = time.perf_counter()
        outputs = await self._attempts(inputs, context)
        self._executed += 1
        if key is not None and cache is not None and context.keeps:
            stored = keep(cache, key, outputs, context, time.perf_counter() - began)
            self._stored = stored if item is None else None
        return outputs

    def _recall(self, found: Entry, item: str | None) -> tuple[Any, ...]:
        """What the cache has; what it cost when it was made is told, and not spent again."""
        self._recalled += 1
        self._stored = found.outputs if item is None else None
        read, written, money = self._made_for
        self._made_for = (read + found.tokens_in, written + found.tokens_out, money + found.money)
        return tuple(one.load() for one in found.outputs)

    def _started(self) -> None:
        if self.began is None:
            self.began = time.perf_counter()
            self.scheduler.emit(self.step, e.NodeStarted)
            if self.step.limit.seconds is not None and self._clock is not None:
                self._clock.start(self.step.limit.seconds)

    def _context(self, item: str | None) -> Context:
        id = self.scheduler.prefix + self.step.id
        path = id if item is None else f"{id}/{item}"
        emit = self.scheduler.emit
        number = int(item.rpartition("/")[2]) if item is not None else None
        loop = asyncio.get_running_loop()

        def show(cls: Callable[..., e.Event], *fields: Any) -> None:
            # A node in a thread reports too, and events have one order: that of the loop.
            if _on(loop):
                emit(self.step, cls, *fields)
            else:
                loop.call_soon_threadsafe(emit, self.step, cls, *fields)

        context = Context(
            self.scheduler.scope,
            path,
            key=f"{self.scheduler.scope.run}/{path}",
            on_progress=lambda fraction, message: show(e.NodeProgress, fraction, message),
            on_text=lambda port, piece: show(e.NodeChunk, port, piece, number),
            on_waiting=partial(self._waiting, self._clock),
            within=self.budget if item is None else Budget(parent=self.budget),
        )
        if self.scheduler.scope.prompts:
            context.on_sent = lambda model, text: show(e.NodePrompt, model, text, number)
        return context

    @contextmanager
    def _waiting(self, clock: Clock | None, waits_for: str | Question, until: float | None = None) -> Iterator[None]:
        """Tell what the step waits for, and have the clock of the call stand, with those around it, while it does."""
        asks = isinstance(waits_for, Question)
        if isinstance(waits_for, Question):
            asked = (waits_for.asks, waits_for.type, list(waits_for.choices))
            self.scheduler.emit(self.step, e.NodeWaiting, f"an answer: {waits_for.asks}", until, *asked)
        else:
            self.scheduler.emit(self.step, e.NodeWaiting, waits_for, until)
        self._asking += asks
        try:
            if clock is None:
                yield
            else:
                with clock.standing():
                    yield
        finally:
            self._asking -= asks
            if not self.scheduler.outermost.leaving:
                self.scheduler.emit(self.step, e.NodeProgress)

    async def _attempts(self, inputs: dict[str, Any], context: Context) -> tuple[Any, ...]:
        """The outputs of the first attempt that succeeds; the error of the last one allowed."""
        step, retry = self.step, self.step.retry
        wait = retry.wait
        for attempt in range(1, max(retry.times, 0) + 2):
            try:
                async with self.scheduler.resources.hold(step.resources):
                    self._started()
                    await self._before_effect(context)
                    return as_outputs(step, await self._timed(inputs, context))
            except BaseException as error:
                failure = as_failure(error)
                if attempt > retry.times or not may_pass(failure):
                    raise failure from failure.__cause__
            self.scheduler.emit(step, e.NodeRetrying, attempt, wait, failure.message)
            await context.pause(wait)
            wait *= retry.backoff
        raise AssertionError("the loop returns or raises")

    async def _before_effect(self, context: Context) -> None:
        """Have it on disk what led to this call, if it is one that changes something outside: that the node is about
        to, once for all items, and whatever has been told since, as that it is tried again."""
        log, answers = self.scheduler.log, context.scope.answers
        if log is None or not _changes_something(self.step) or (answers is not None and answers.replays):
            return
        if self._announced:
            await log.settled()
        else:
            self._announced = True
            await log.before_effect(self.scheduler.prefix + self.step.id)

    async def _timed(self, inputs: dict[str, Any], context: Context) -> Any:
        limit = self.step.timeout
        if limit is None:
            return await self._call(inputs, context, self._clock)
        clock = Clock(self._clock)
        context.on_waiting = partial(self._waiting, clock)
        context.timed_out = lambda: _too_long(limit) if clock.expired else None
        async with clock.bounds(limit, lambda: _too_long(limit)):
            return await self._call(inputs, context, clock)

    async def _call(self, inputs: dict[str, Any], context: Context, clock: Clock | None) -> Any:
        step, scope = self.step, self.scheduler.scope
        if step.nests is not None:
            first: tuple[Any, ...] = (context,) if step.kind.takes_context else ()
            body = NestedBody(self, step.nests, context, clock)
            self._bodies.add(body)
            try:
                return await step.kind.function(*first, body, **inputs)
            finally:
                self._bodies.discard(body)
        if scope.cluster is not None and scope.cluster.takes(step, inputs, scope):
            return await scope.cluster.call(step, inputs, context, self._begun_anew)
        return await called(step.kind, step.runs, context, inputs)

    def _begun_anew(self, why: str) -> None:
        """A worker that had the step is gone, and another one begins it anew."""
        self.scheduler.emit(self.step, e.NodeRetrying, 1, 0.0, why)


def _changes_something(step: Step) -> bool:
    """True for a step that may change something outside, or spend money; what only the run can tell counts as none."""
    return step.kind.effect == "writes" or any(need.word in ("net", "spend", "run") for need in step.kind.needs)


def _too_long(limit: float) -> NodeTimeout:
    return NodeTimeout(f"it took longer than {limit:g} s", hint="Raise the node's timeout, or give it less to do.")


def _on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
