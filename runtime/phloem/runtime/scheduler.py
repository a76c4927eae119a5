"""Runs a Plan: a queue of steps that are ready, and a count for each of what it still waits for.

There are no layers and no barriers. Pure functions run right here, for at most a few milliseconds
before everything else gets its turn; the rest run as tasks (see `work`). A value is dropped after its
last reader. The workflow nested in a node is run by a scheduler of its own (see `nested`), whose events are those
of the one run, with ids that are paths.

What happens is put into the log of the run, if it has one: events as they come, and what nodes gave. Of a run that goes
on where it was left, steps that had ended are not begun: what they gave is taken from there.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any, Final

from phloem.runtime import events as e
from phloem.runtime.budget import Budget
from phloem.runtime.cache import INLINE_LIMIT, Cache, Entry, Stored, store
from phloem.runtime.clocks import Clock
from phloem.runtime.codec import UnstorableValue, digest, json_form, pack
from phloem.runtime.context import Scope
from phloem.runtime.ended import Ended
from phloem.runtime.errors import JournalError, LimitReached, NodeError, PermissionNeeded
from phloem.runtime.journal import RunLog
from phloem.runtime.outcomes import Outcome, as_failure, as_outputs
from phloem.runtime.plan import Plan, Step
from phloem.runtime.resources import Resources
from phloem.runtime.values import UNLIT
from phloem.runtime.work import Work

__all__ = ["Scheduler"]

SLICE: Final = 0.005
"""Seconds for which inline nodes may keep everything else on the loop waiting."""

Emit = Callable[[e.Event], None]
GRACE: Final = 2.0
"""Seconds that interrupted tasks have to clean up."""

_SWITCHED_OFF: Final = "it is switched off"
_CANCELLED: Final = "the run was cancelled"
_NOTHING: Final = Ended({})
_INTERRUPTED: Final = "the node around it was interrupted"


class Scheduler:
    """One run of one plan: of a whole workflow, or, with `around`, of one nested in the step that is worked on there,
    for which `clock` counts.

    `emit` gets every event, in order, on the loop's thread. `prefix` stands before the ids of nodes. `values` and
    `hashes` are what is in the slots, and their content hashes as far as somebody asked for them. `log` is where all of
    it is kept, and `before` what had ended when the run was left, from which steps are taken as they are come to.
    """

    __slots__ = (
        "_before", "_bug", "_dark", "_ended", "_halt", "_large", "_log", "_looking", "_over", "_readers", "_ready",
        "_run", "_show", "_stopping", "_tasks", "_waiting", "_wake", "_working", "around", "cache", "clock", "depth",
        "failures", "hashes", "leaving", "limit", "log", "next_seq", "outermost", "plan", "prefix", "resources",
        "resumed", "scope", "status", "stopped_by", "values",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Any],
        *,
        scope: Scope,
        emit: Emit,
        cache: Cache | None,
        resources: Resources,
        around: Work | None = None,
        clock: Clock | None = None,
        log: RunLog | None = None,
        before: Ended | None = None,
    ) -> None:
        self.plan = plan
        self.scope = scope
        self.cache = cache
        self.resources = resources
        self.around = around
        self.clock = clock
        self.outermost: Scheduler = self if around is None else around.scheduler.outermost
        self.depth: int = 0 if around is None else around.scheduler.depth + 1
        first = 0 if log is None else log.next_seq
        self.next_seq: Callable[[], int] = count(first).__next__ if around is None else around.scheduler.next_seq
        self.log: RunLog | None = log if around is None else around.scheduler.log
        self.resumed = before is not None
        # A light body is one piece with the step around it, and is kept with that.
        whole = around is None or not plan.light
        self._log = self.log if whole else None
        self._before: Ended = (
            (before or _NOTHING) if around is None else around.scheduler._before if whole else _NOTHING
        )
        self._show = emit
        self.leaving = False
        self._looking = False
        self._run = scope.run
        self._halt = scope.halt
        self.reset("")
        for name, value in inputs.items():
            self.values[plan.inputs[name]] = value

    def reset(self, prefix: str) -> None:
        """As if nothing had run yet; the inputs are to be put into `values`."""
        plan = self.plan
        self.prefix = prefix
        self.status: e.Status = "done"
        self.failures: list[tuple[str, Exception]] = []
        self.limit: LimitReached | None = None
        self.stopped_by: tuple[Step, Exception] | None = None
        self.values: list[Any] = [None] * plan.slots
        self.hashes: list[bytes | None] = [None] * plan.slots
        self._large: dict[int, Stored] = {}
        self._dark: dict[int, str] = {}
        self._readers = plan.readers[:]
        self._waiting = plan.waits[:]
        self._ready: deque[int] = deque()
        self._ended = 0
        self._over = [False] * len(plan.steps)
        self._tasks: set[asyncio.Task[None]] = set()
        self._working: dict[int, Work] = {}
        self._wake: asyncio.Event | None = None
        self._stopping = False
        self._bug: BaseException | None = None

    async def run(self) -> dict[str, Any]:
        """The workflow's outputs, None for those that were skipped; `status` tells how the run ended, and
        `limit` is the error of one that stopped at its limit."""
        began = time.perf_counter()
        clock = self._watch_limit()
        names = [self.plan.steps[i].id for i in self.plan.order]
        self._emit(
            e.RunStarted(
                self._run, self.next_seq(), time.time(), self.plan.title, names, self.scope.seed, self.resumed
            )
        )  # fmt: skip
        if self.scope.people is not None:
            self.scope.people.on_change = self.look
        try:
            await self.finish()
        except Exception as bug:
            self._end_with(bug)
            raise
        finally:
            if clock is not None:
                clock.cancel()
        if self.limit is None and self.status not in ("cancelled", "waiting"):
            # A node that was told and went on all the same, to the end of the run.
            self.limit = self.scope.budget.over()
        if self.limit is not None:
            self.status = "limited"
        outputs = {name: self._output(slot) for name, slot in self.plan.outputs.items()}
        shown = {name: json_form(value) for name, value in outputs.items()}
        seconds = time.perf_counter() - began
        spent = self.scope.budget
        message, hint = (self.limit.message, self.limit.hint) if self.limit is not None else ("", None)
        event = e.RunFinished(
            self._run, self.next_seq(), time.time(), self.status, shown, seconds,
            spent.read, spent.written, spent.money, message, hint,
        )  # fmt: skip
        if self.scope.answers is not None:
            with suppress(JournalError):
                self.scope.answers.keep_rest(self.status)
        if self._log is not None:
            if self.status == "waiting":
                self._log.leave(event)
            else:
                self._log.end(event, {name: _stored(value) for name, value in outputs.items()})
        self._show(event)
        return outputs

    def _end_with(self, bug: Exception) -> None:
        """Keep that the run has ended by a bug: its process may live on, and nobody waits for it any more."""
        if self._log is not None:
            message = f"a bug in Phloem: {type(bug).__name__}: {bug}"
            self._log.end(e.RunFinished(self._run, self.next_seq(), time.time(), "failed", message=message), {})

    async def finish(self) -> None:
        """Work until every step has ended. When the run is to stop, or has a bug, what is under way is interrupted.

        One that is nested is itself interrupted then, and passes that on when everything in it has ended.
        """
        self._wake = asyncio.Event()
        self._ready.extend(self.plan.first)
        interrupted: asyncio.CancelledError | None = None
        try:
            await self._drain()
        except asyncio.CancelledError as error:
            if self.around is None:
                self.stop()
            else:
                interrupted = error
        except Exception as error:
            self._bug = error
        if self._bug is not None:
            await self._interrupt()
            self.outermost.report_bug(self._bug)
            raise self._bug
        if self._ended < len(self.plan.steps) and self.outermost.leaving:
            self.status = "waiting"
            await self._interrupt()
        elif self._ended < len(self.plan.steps):
            await self.break_off()
        elif self.stopped_by is not None:
            self.status = "failed"
        if interrupted is not None:
            raise interrupted

    def stop(self) -> None:
        """Begin nothing more, interrupt what is under way, and end the run as cancelled. May be called twice."""
        self._halt.on = True
        self._stop_here()

    def _stop_here(self) -> None:
        self._stopping = True
        if self._wake is not None:
            self._wake.set()

    def report_bug(self, bug: BaseException) -> None:
        """Have the run end with a bug that was met in it."""
        self._bug = self._bug or bug
        self._stop_here()

    def look(self) -> None:
        """Something has changed for those who wait: see, when all that is ready has begun, whether anything is left
        to do but to wait for people."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        people = self.scope.people
        if people is None or not people.wait or self._stopping or not self.rests():
            return
        if people.leaves:
            people.leave()
            self.leaving = True
            self._stop_here()
        else:
            people.rest(True)

    def rests(self) -> bool:
        """True if nothing is going on here but waiting for people."""
        working = self._working
        return (
            not self._ready
            and bool(working)
            and len(self._tasks) == len(working)
            and all(work.rests() for work in working.values())
        )

    def _watch_limit(self) -> asyncio.TimerHandle | None:
        """Have the run stop when its budget is over, or its time."""
        loop, budget = asyncio.get_running_loop(), self.scope.budget

        def passed(error: LimitReached) -> None:
            # Whoever spends too much may be a thread, and one that has outlived the loop.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._stop_at, error)

        budget.on_passed = passed
        if budget.limit.seconds is None:
            return None
        return loop.call_later(budget.limit.seconds, lambda: self._stop_at(budget.out_of_time()))

    def _stop_at(self, error: LimitReached) -> None:
        """Begin nothing more, interrupt what is under way, and end the run, or the part nested here, as limited."""
        if self.limit is None and not self._stopping:
            self.limit = error
            if self.around is None:
                self.stop()
            else:
                self._stop_here()

    async def _drain(self) -> None:
        """Start what is ready until everything has ended."""
        ready, steps, total = self._ready, self.plan.steps, len(self.plan.steps)
        wake = self._wake
        assert wake is not None
        slice_end = time.perf_counter() + SLICE
        while self._ended < total and not self._stopping:
            while ready and not self._stopping:
                self.begin(steps[ready.popleft()])
                if time.perf_counter() > slice_end:
                    break
            if self.cache is not None:
                self.cache.release()
            if ready and not self._stopping:
                await asyncio.sleep(0)
                slice_end = time.perf_counter() + SLICE
                continue
            if self._ended < total and not self._stopping:
                people = self.scope.people
                if people is not None and people.wait:
                    self.outermost.look()
                wake.clear()
                await wake.wait()
                slice_end = time.perf_counter() + SLICE

    async def break_off(self) -> None:
        """End every step that has not ended: at the run's limit those that were at work have failed by it."""
        self.status = "cancelled"
        try:
            await self._interrupt()
        finally:
            # Also when whoever waits for it here is interrupted again.
            self._end_all()

    def _end_all(self) -> None:
        limit = self.limit or self.outermost.limit
        because = limit.message if limit is not None else _CANCELLED if self._halt.on else _INTERRUPTED
        for step in self.plan.steps:
            if self._over[step.index]:
                continue
            work = self._working.get(step.index)
            if limit is not None and work is not None and work.began is not None:
                self._fail(step, limit, time.perf_counter() - work.began, work.budget)
            else:
                self._over[step.index] = True
                self._tell(e.NodeSkipped, step, because)

    async def _interrupt(self) -> None:
        """Cancel the tasks and give them a moment to clean up."""
        for task in self._tasks:
            task.cancel()
        clock = asyncio.get_running_loop().time
        # Those inside have less time, so that those around them see how they end.
        end = clock() + max(GRACE - 0.1 * self.depth, GRACE / 4)
        again: asyncio.CancelledError | None = None
        while self._tasks and (left := end - clock()) > 0:
            try:
                await asyncio.wait(self._tasks, timeout=left)
            except asyncio.CancelledError as error:
                # By a timeout around and then by the end of the run: the moment is theirs all the same.
                again = error
        if again is not None and self.around is not None:
            raise again

    def begin(self, step: Step) -> None:
        """Skip the step, answer it from the cache, run it here, or make it a task."""
        if self._dark or step.disabled or self.stopped_by is not None:
            because = self._why_skip(step)
            if because is not None:
                self._skip(step, because)
                return
        if self._before and self._is_over(step):
            return
        if not step.simple or step.maps:
            self._as_task(step)
            return
        key = None
        if self.cache is not None and step.key is not None:
            key = self._key(step)
            found = None if key is None else self.cache.get(key, hold=True)
            if found is not None:
                self._recalled(step, found)
                return
        self._emit(e.NodeStarted(self._run, self.next_seq(), time.time(), self.prefix + step.id))
        began = time.perf_counter()
        try:
            result = step.kind.function(**self._inputs(step))
            outputs = (result,) if step.sole else as_outputs(step, result)
        except BaseException as error:
            self._fail(step, as_failure(error), time.perf_counter() - began)
            return
        self._finish(step, Outcome(outputs, time.perf_counter() - began), key)

    def _why_skip(self, step: Step) -> str | None:
        """The reason why the step cannot run, None if it can."""
        if self.stopped_by is not None:
            dark = next((self._dark[slot] for slot in step.reads if slot in self._dark), None)
            what = "run" if self.around is None else "body"
            return dark or f"the {what} stopped when {self.prefix}{self.stopped_by[0].id} failed"
        if step.disabled:
            return _SWITCHED_OFF
        if self._dark:
            for _, slot, _ in step.links:
                if slot in self._dark:
                    return self._dark[slot]
            for gather in step.gathers:
                if all(slot in self._dark for slot, _ in gather.sources):
                    return self._dark[gather.sources[0][0]]
        return None

    def _as_task(self, step: Step) -> None:
        try:
            inputs = self._inputs(step)
        except Exception as error:
            self._fail(step, as_failure(error), 0.0)
            return
        hashes = self._link_hashes(step) if self.cache is not None and step.key is not None else None
        task = asyncio.get_running_loop().create_task(self._work(step, inputs, hashes))
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    async def _work(self, step: Step, inputs: dict[str, Any], hashes: dict[str, bytes] | None) -> None:
        began = time.perf_counter()
        self._working[step.index] = work = Work(self, step, inputs, hashes)
        try:
            outcome = await work.outcome()
        except (NodeError, PermissionNeeded) as error:
            if not self._over[step.index]:
                self._fail(step, error, time.perf_counter() - (work.began or began), work.budget)
        else:
            if not self._over[step.index]:
                self._finish(step, outcome, None)
        # One that is interrupted stays, for break_off.
        del self._working[step.index]

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        bug = None if task.cancelled() else task.exception()
        if bug is not None:
            self.report_bug(bug)
        elif self._wake is not None:
            self._wake.set()

    def _inputs(self, step: Step) -> dict[str, Any]:
        """The step's inputs by parameter; what maps is still a list, its items not yet turned."""
        values = self.values
        inputs = step.values.copy()
        for name, slot, coerce in step.links:
            value = values[slot]
            if value.__class__ is Stored:
                value = value.load()
            inputs[name] = value if coerce is None or name in step.over else coerce(value)
        for gather in step.gathers:
            inputs[gather.parameter] = gathered = []
            for slot, coerce in gather.sources:
                if slot not in self._dark:
                    value = values[slot].load() if values[slot].__class__ is Stored else values[slot]
                    value = value if coerce is None else coerce(value)
                    gathered.extend(value) if gather.joins else gathered.append(value)
        return inputs

    def _finish(self, step: Step, outcome: Outcome, key: bytes | None) -> None:
        """Take in what a step gave: keep it, tell it, and see who is ready now."""
        shown = {}
        for (name, slot), value in zip(step.outputs, outcome.outputs):  # noqa: B905, as_outputs has counted them
            shown[name] = e.preview(value)
            if value is UNLIT:
                self._dark[slot] = f"{step.id} did not light it"
            elif self._readers[slot]:
                self.values[slot] = value
        stored: Sequence[Stored | None] | None = outcome.stored
        if key is not None and self.cache is not None:
            stored = self._keep(step, outcome, key, list(shown.values()), self.cache)
        if stored is None and self._log is not None:
            stored = [self._stored_output(step, value, slot) for (_, slot), value in zip(step.outputs, outcome.outputs)]  # noqa: B905
        self._finished(step, outcome, shown, stored or ())

    def _keep(
        self, step: Step, outcome: Outcome, key: bytes, previews: list[e.Preview], cache: Cache
    ) -> list[Stored] | None:
        """Put what a step gave into the cache; its stored form, None if it has none."""
        stored: list[Stored] = []
        try:
            for (_, slot), value in zip(step.outputs, outcome.outputs):  # noqa: B905, as_outputs has counted them
                data = pack(value)
                self.hashes[slot] = content = digest(data)
                stored.append(Stored(content, data))
        except UnstorableValue:
            return None
        cache.put(key, Entry(stored, previews, outcome.seconds))
        return stored

    def _stored_output(self, step: Step, value: Any, slot: int) -> Stored | None:
        """The stored form of an output, None if it has none. Of a large value that is only passed on there is one."""
        if self._large:
            for read in step.reads:
                if read in self._large and self.values[read] is value:
                    self._large[slot] = self._large[read]
                    return self._large[read]
        found = _stored(value)
        if found is not None and found.held > INLINE_LIMIT:
            self._large[slot] = found
        return found

    def _recalled(self, step: Step, found: Entry) -> None:
        """Take in what the cache had for a step; the values are unpacked only if someone reads them."""
        shown = {}
        for (name, slot), stored, one in zip(step.outputs, found.outputs, found.previews, strict=True):
            shown[name] = one
            if one.type == "unlit":
                self._dark[slot] = f"{step.id} did not light it"
            elif self._readers[slot]:
                self.values[slot] = stored
                self.hashes[slot] = stored.hash
        outcome = Outcome((), found.seconds, True, found.tokens_in, found.tokens_out, found.money)
        self._finished(step, outcome, shown, found.outputs)

    def _finished(
        self, step: Step, outcome: Outcome, shown: dict[str, e.Preview], stored: Sequence[Stored | None]
    ) -> None:
        event = e.NodeFinished(
            self._run, self.next_seq(), time.time(), self.prefix + step.id, shown,
            outcome.seconds, outcome.cached, outcome.tokens_in, outcome.tokens_out, outcome.money,
        )  # fmt: skip
        if self._log is not None:
            self._log.finished(event, stored)
        self._show(event)
        self._end(step)

    def _is_over(self, step: Step) -> bool:
        """True for a step that had ended when the run was left: what came of it then holds, and is told once more."""
        found = self._before.take(self.prefix + step.id, step, self._readers)
        if found is None:
            return False
        if isinstance(found, e.NodeFailed):
            self._show(replace(found, seq=self.next_seq(), at=time.time()))
            error = NodeError(found.message, hint=found.hint)
            self.failures.append((step.id, error))
            self._go_on_after(step, found.action, found.error, found.message)
            return True
        for name, slot in step.outputs:
            stored = found.outputs[name]
            if found.event.outputs[name].type == "unlit":
                self._dark[slot] = f"{step.id} did not light it"
            elif stored is not None and self._readers[slot]:
                self.values[slot] = stored
                self.hashes[slot] = stored.hash
        self._show(replace(found.event, seq=self.next_seq(), at=time.time(), cached=True))
        self._end(step)
        return True

    def _fail(
        self, step: Step, error: NodeError | PermissionNeeded, seconds: float, spent: Budget | None = None
    ) -> None:
        """Tell that a step failed and do what its `on_error` says; but nothing goes on past the run's own limit."""
        action = "stop" if isinstance(error, PermissionNeeded) else step.on_error.action
        if isinstance(error, LimitReached) and self.scope.budget.under(error.budget):
            action = "limit"
            self._stop_at(error)
        cost = (spent.read, spent.written, spent.money) if spent is not None else ()
        event = e.NodeFailed(
            self._run, self.next_seq(), time.time(), self.prefix + step.id, type(error).__name__, error.message,
            error.hint, action, seconds, *cost,
        )  # fmt: skip
        if self.log is not None:
            # Of a light body too, of which nothing else is kept.
            self.log.take(event)
        self._show(event)
        self.failures.append((step.id, error))
        if action in ("stop", "limit"):
            self.stopped_by = self.stopped_by or (step, error)
        self._go_on_after(step, action, type(error).__name__, error.message)

    def _go_on_after(self, step: Step, action: str, error: str, message: str) -> None:
        """End a step that failed: what it gives all the same is what its `on_error` says."""
        given: dict[str, Any] = {}
        if action == "default":
            given = step.on_error.default
        elif action == "route":
            given = {"error": {"error": error, "message": message, "node": step.id}}
        for name, slot in step.outputs:
            if name in given:
                self.values[slot] = given[name]
            else:
                self._dark[slot] = f"{step.id} failed"
        self._end(step)

    def _skip(self, step: Step, because: str) -> None:
        self._tell(e.NodeSkipped, step, because)
        for _, slot in step.outputs:
            self._dark[slot] = f"{step.id} is switched off" if because is _SWITCHED_OFF else because
        self._end(step)

    def _end(self, step: Step) -> None:
        """Let go of what only this step still needed, and queue those that waited for nothing else."""
        readers, waiting = self._readers, self._waiting
        for slot in step.reads:
            readers[slot] -= 1
            if not readers[slot]:
                self.values[slot] = None
                if self._large:
                    self._large.pop(slot, None)
        for index in step.followers:
            waiting[index] -= 1
            if not waiting[index]:
                self._ready.append(index)
        self._over[step.index] = True
        self._ended += 1

    def given(self) -> dict[str, Any]:
        """The outputs of the plan by name, UNLIT for those that are not lit."""
        return {name: self._output(slot, UNLIT) for name, slot in self.plan.outputs.items()}

    def _output(self, slot: int, dark: Any = None) -> Any:
        if slot in self._dark:
            return dark
        value = self.values[slot]
        return value.load() if value.__class__ is Stored else value

    def _hash(self, slot: int) -> bytes | None:
        """The content hash of what is in a slot; None if the value has no stored form."""
        found = self.hashes[slot]
        if found is None:
            try:
                found = self.hashes[slot] = store(self.values[slot]).hash
            except UnstorableValue:
                return None
        return found

    def _key(self, step: Step) -> bytes | None:
        """The cache key of a step without a stamp that is not mapped item by item."""
        if len(step.links) == 1 and not step.gathers:
            one = self._hash(step.links[0][1])
            return None if one is None else digest((step.key or b"") + one)
        hashes = self._link_hashes(step)
        return None if hashes is None else digest(b"".join((step.key or b"", *hashes.values())))

    def _link_hashes(self, step: Step) -> dict[str, bytes] | None:
        """The content hash of what comes in by each linked parameter, None if any has none."""
        hashes: dict[str, bytes] = {}
        for name, slot, _ in step.links:
            one = self._hash(slot)
            if one is None:
                return None
            hashes[name] = one
        for gather in step.gathers:
            lit = [self._hash(slot) for slot, _ in gather.sources if slot not in self._dark]
            if None in lit:
                return None
            hashes[gather.parameter] = digest(b"".join(one for one in lit if one is not None))
        return hashes

    @property
    def emitted(self) -> Emit:
        """What is called with each event, when it has been kept."""
        return self._show

    def _emit(self, event: e.Event) -> None:
        if self._log is not None:
            self._log.take(event)
        self._show(event)

    def emit(self, step: Step, cls: Callable[..., e.Event], *fields: Any) -> None:
        """Emit an event about a step; one that has ended, whose thread may still be going, is not heard."""
        if not self._over[step.index]:
            self._tell(cls, step, *fields)

    def _tell(self, cls: Callable[..., e.Event], step: Step, *fields: Any) -> None:
        self._emit(cls(self._run, self.next_seq(), time.time(), self.prefix + step.id, *fields))


def _stored(value: Any) -> Stored | None:
    try:
        return store(value)
    except UnstorableValue:
        return None
