"""One step's work when it takes more than a call: the cache with stamps, places, attempts, items, streams."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from phloem.runtime import events as e
from phloem.runtime.budget import UNLIMITED, Budget
from phloem.runtime.cache import Cache, Entry, Stored, store
from phloem.runtime.calling import called
from phloem.runtime.codec import UnstorableValue, digest
from phloem.runtime.context import Context
from phloem.runtime.disk import file_digest
from phloem.runtime.errors import (
    InputError,
    LimitReached,
    NodeCrashed,
    NodeError,
    NodeTimeout,
    PermissionNeeded,
    PhloemError,
    ServiceError,
    SettingError,
)
from phloem.runtime.journal import Question
from phloem.runtime.nested import NestedBody
from phloem.runtime.plan import Step
from phloem.runtime.values import UNLIT

if TYPE_CHECKING:
    from phloem.runtime.scheduler import Scheduler

__all__ = ["Outcome", "Work", "as_failure", "as_outputs"]

ITEMS_AT_ONCE: Final = 64
PROGRESS_EVERY: Final = 0.1
LONGEST_MESSAGE: Final = 2_000
SLICE: Final = 0.005


@dataclass(slots=True)
class Outcome:
    """What a step gave, in the order of its outputs, and what it cost; its stored form, if that is made already."""

    outputs: tuple[Any, ...]
    seconds: float = 0.0
    cached: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    stored: Sequence[Stored] | None = None


def as_outputs(step: Step, result: Any) -> tuple[Any, ...]:
    """What a function returned, one value per output; NodeCrashed if it returned too few or too many."""
    names = [name for name, _ in step.outputs]
    routed = step.on_error.action == "route"
    if routed:
        names.pop()
    if len(names) == 1 and step.nests is None:
        given: tuple[Any, ...] = (result,)
    elif isinstance(result, dict) and set(result) <= set(names):
        given = tuple(result.get(name, UNLIT) for name in names)
    elif not names and result is None:
        given = ()
    elif isinstance(result, tuple) and len(result) == len(names):
        given = tuple(result)
    else:
        raise NodeCrashed(f"{step.kind.name} returned {type(result).__name__} where {len(names)} outputs were due")
    return (*given, UNLIT) if routed else given


def as_failure(error: BaseException) -> NodeError | PermissionNeeded:
    """The error to report for whatever a node raised: what it did not foresee becomes NodeCrashed, and
    what another part of Phloem said (an extra is missing, say) ServiceError.

    What interrupts the node and does not come from it (the run is cancelled, Ctrl-C) is raised again.
    """
    if isinstance(error, NodeError | PermissionNeeded):
        return error
    if isinstance(error, PhloemError):
        failed = ServiceError(error.message, hint=error.hint)
        failed.__cause__ = error
        return failed
    if isinstance(error, KeyboardInterrupt | GeneratorExit) or _cancels(error):
        raise error
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    spot = f" ({Path(frame.tb_frame.f_code.co_filename).name}, line {frame.tb_lineno})" if frame else ""
    crashed = NodeCrashed(
        f"{type(error).__name__}: {_said(error)}{spot}", hint="This is a bug in the node. Please tell its author."
    )
    crashed.__cause__ = error
    return crashed


def _cancels(error: BaseException) -> bool:
    """True if the task itself is being cancelled: a node may also let the end of a task of its own escape."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _said(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST_MESSAGE]
    except Exception:
        return "(its message cannot be shown)"


class Work:
    """One step being worked on: once, or once per item of the lists it maps over."""

    def __init__(
        self, scheduler: Scheduler, step: Step, inputs: dict[str, Any], hashes: dict[str, bytes] | None
    ) -> None:
        self.scheduler = scheduler
        self.step = step
        self.inputs = inputs
        self.hashes = hashes
        self.began: float | None = None
        self.executed = 0
        self.recalled = 0
        self.made_for = (0, 0, 0.0)
        self.budget = Budget(step.limit, scheduler.scope.budget)
        self._clock: asyncio.Timeout | None = None
        self._clocks: list[asyncio.Timeout] = []
        self.bodies: set[Scheduler] = set()
        self._calls = 0
        self._asking = 0
        self._stored: Sequence[Stored] | None = None
        self._durable: asyncio.Future[None] | None = None

    async def outcome(self) -> Outcome:
        """What the step gives; NodeError or PermissionNeeded when it fails."""
        began = time.perf_counter()
        work = self._mapped_outputs() if self.step.maps else self._one(self.inputs, self.hashes, None)
        outputs = await (work if self.step.limit is UNLIMITED else self._within_limit(work))
        cached = self.recalled > 0 and not self.executed
        if not cached:
            self._started()
        seconds = time.perf_counter() - (self.began or began)
        cost = self.made_for if cached else (self.budget.read, self.budget.written, self.budget.money)
        return Outcome(outputs, seconds, cached, *cost, stored=self._stored)

    def rests(self) -> bool:
        """True if every call that is under way waits for a person."""
        if self.bodies:
            return all(body.rests() for body in self.bodies)
        return 0 < self._calls == self._asking

    async def _mapped_outputs(self) -> tuple[Any, ...]:
        if self.step.simple:
            return await self._mapped_inline()
        return await self._mapped(self.inputs, self.step.maps, "")

    async def _within_limit(self, work: Coroutine[Any, Any, tuple[Any, ...]]) -> tuple[Any, ...]:
        """What `work` gives; LimitReached once the step has spent too much, or has worked for too long."""
        try:
            async with asyncio.timeout(None) as clock:
                self._clock = clock
                self._clocks.append(clock)
                outputs = await work
        except TimeoutError:
            if clock.expired():
                raise self.budget.out_of_time() from None
            raise
        finally:
            if self._clock is not None:
                self._clocks.remove(self._clock)
            self._clock = None
        # A node that was told and went on all the same.
        over = self.budget.over()
        if over is not None:
            raise over
        return outputs

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
        outputs = await self._walk(self.inputs, self.step.maps)
        if key is not None and cache is not None:
            self._stored = _keep(cache, key, outputs, self.budget, 0.0, [])
        return outputs

    async def _walk(self, inputs: dict[str, Any], depth: int) -> tuple[Any, ...]:
        step, function = self.step, self.step.kind.function
        results: list[tuple[Any, ...]] = []
        coerce = _coercions(step)
        slice_end = time.perf_counter() + SLICE
        total, shown = None, time.perf_counter() + PROGRESS_EVERY
        for index, item in enumerate(_items(step, inputs)):
            try:
                if depth > 1:
                    outputs = await self._walk(item, depth - 1)
                else:
                    for name, turn in coerce:
                        item[name] = turn(item[name])
                    outputs = as_outputs(step, function(**item))
            except BaseException as error:
                _fail_at(index, error)
            results.append(outputs)
            now = time.perf_counter()
            if now > slice_end:
                if now > shown and depth == step.maps:
                    total = total or len(inputs[step.over[0]])
                    self.scheduler.emit(step, e.NodeProgress, index / total, "")
                    shown = now + PROGRESS_EVERY
                await asyncio.sleep(0)
                slice_end = time.perf_counter() + SLICE
        self.executed += 1
        return _columns(step, results)

    async def _mapped(self, inputs: dict[str, Any], depth: int, place: str) -> tuple[Any, ...]:
        """All items, some at once; each is looked up in the cache and tried by itself."""
        items = list(_items(self.step, inputs))
        results: list[tuple[Any, ...]] = [()] * len(items)
        waiting = iter(enumerate(items))
        ended, shown = 0, 0.0

        async def take() -> None:
            nonlocal ended, shown
            for index, item in waiting:
                try:
                    results[index] = await self._item(item, depth, f"{place}{index}")
                except BaseException as error:
                    _fail_at(index, error)
                ended += 1
                if self.began is not None and depth == self.step.maps and time.perf_counter() > shown:
                    shown = time.perf_counter() + PROGRESS_EVERY
                    self.scheduler.emit(self.step, e.NodeProgress, ended / len(items), "")

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(items), ITEMS_AT_ONCE)):
                    group.create_task(take())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        return _columns(self.step, results)

    async def _item(self, item: dict[str, Any], depth: int, place: str) -> tuple[Any, ...]:
        """What one item gives; a list of lists is walked down first."""
        if depth > 1:
            return await self._mapped(item, depth - 1, f"{place}/")
        for name, turn in _coercions(self.step):
            item[name] = turn(item[name])
        return await self._one(item, self._item_hashes(item), place)

    def _item_hashes(self, item: dict[str, Any]) -> dict[str, bytes] | None:
        if self.hashes is None:
            return None
        try:
            return self.hashes | {name: store(item[name]).hash for name in self.step.over}
        except UnstorableValue:
            return None

    async def _one(self, inputs: dict[str, Any], hashes: dict[str, bytes] | None, item: str | None) -> tuple[Any, ...]:
        """One execution, or what the cache has for it."""
        self._calls += 1
        try:
            return await self._executed(inputs, hashes, item)
        finally:
            self._calls -= 1
            people = self.scheduler.scope.people
            if people is not None and people.wait:
                self.scheduler.outermost.look()

    async def _executed(
        self, inputs: dict[str, Any], hashes: dict[str, bytes] | None, item: str | None
    ) -> tuple[Any, ...]:
        step, cache = self.step, self.scheduler.cache
        context = self._context(item)
        key = None
        # What depends on the outside is asked anew when it is recorded, and in a replay comes from the recording alone.
        answers = None if step.kind.effect == "pure" else context.scope.answers
        in_replay = answers is not None and answers.replays
        if cache is not None and hashes is not None and step.key is not None and not in_replay:
            key = await self._stamped_key(context, inputs, hashes)
            found = None if key is None or answers is not None else cache.get(key)
            if found is not None and await self._still_so(found):
                return self._recall(found, item)
        began = time.perf_counter()
        outputs = await self._attempts(inputs, context, item)
        self.executed += 1
        if key is not None and cache is not None and context.keeps:
            seconds = time.perf_counter() - began
            stored = _keep(cache, key, outputs, context.budget, seconds, context.written)
            self._stored = stored if item is None else None
        return outputs

    def _recall(self, found: Entry, item: str | None) -> tuple[Any, ...]:
        """What the cache has; what it cost when it was made is told, and not spent again."""
        self.recalled += 1
        self._stored = found.outputs if item is None else None
        read, written, money = self.made_for
        self.made_for = (read + found.tokens_in, written + found.tokens_out, money + found.money)
        return tuple(one.load() for one in found.outputs)

    def _started(self) -> None:
        if self.began is None:
            self.began = time.perf_counter()
            self.scheduler.emit(self.step, e.NodeStarted)
            if self._clock is not None and self.step.limit.seconds is not None:
                self._clock.reschedule(asyncio.get_running_loop().time() + self.step.limit.seconds)

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
            on_waiting=self._waiting,
            within=self.budget if item is None else Budget(parent=self.budget),
        )
        if self.scheduler.scope.prompts:
            context.on_sent = lambda model, text: show(e.NodePrompt, model, text, number)
        return context

    @contextmanager
    def _waiting(self, waits_for: str | Question, until: float | None = None) -> Iterator[None]:
        """Tell what the step waits for, and stop its clocks, and those of the steps around it, while it does."""
        works: list[Work] = [self]
        while (around := works[-1].scheduler.around) is not None:
            works.append(around)
        loop = asyncio.get_running_loop()
        running = [(one, one.when()) for work in works for one in work._clocks]
        clocks = [(one, when - loop.time()) for one, when in running if when is not None]
        for clock, _ in clocks:
            clock.reschedule(None)
        if isinstance(waits_for, Question):
            self._asking += 1
            asked = (waits_for.asks, waits_for.type, list(waits_for.choices))
            self.scheduler.emit(self.step, e.NodeWaiting, f"an answer: {waits_for.asks}", until, *asked)
        else:
            self.scheduler.emit(self.step, e.NodeWaiting, waits_for, until)
        try:
            yield
        finally:
            if isinstance(waits_for, Question):
                self._asking -= 1
            for clock, left in clocks:
                if not clock.expired() and any(clock in work._clocks for work in works):
                    clock.reschedule(loop.time() + left)
            if not self.scheduler.outermost.leaving:
                self.scheduler.emit(self.step, e.NodeProgress)

    async def _stamped_key(self, context: Context, inputs: dict[str, Any], hashes: dict[str, bytes]) -> bytes | None:
        """The cache key, with what the kind's stamp says; None when this call must not be cached."""
        step = self.step
        parts = [step.key or b"", *hashes.values()]
        if step.kind.stamp is not None:
            try:
                stamp = await self._call_stamp(context, inputs)
            except (NodeError, PermissionNeeded, OSError):
                # The node itself will meet the same obstacle, and say it better.
                return None
            except Exception as error:
                raise as_failure(error) from error
            if stamp is None:
                return None
            folder = self.scheduler.scope.permissions.base
            parts += [str(stamp).encode("utf-8", "surrogatepass"), str(folder).encode("utf-8", "surrogatepass")]
        return digest(b"\0".join(parts))

    async def _call_stamp(self, context: Context, inputs: dict[str, Any]) -> Any:
        stamp = self.step.kind.stamp
        assert stamp is not None
        if context.scope.answers is not None:
            context = context.aside()
        try:
            if inspect.iscoroutinefunction(stamp):
                return await stamp(context, inputs)
            return await context.in_thread(stamp, context, inputs)
        except NodeError:
            scope = context.scope
            if scope.cluster is None or not scope.cluster.takes(self.step, inputs, scope):
                raise
            # What it depends on, a model say, may be where the call goes.
            return await scope.cluster.stamp(self.step, inputs, context)

    async def _still_so(self, found: Entry) -> bool:
        """True if what the cached execution wrote is still as it left it."""
        services = self.scheduler.scope.services
        try:
            for word, where, left in found.written:
                if word == "file":
                    now = await asyncio.get_running_loop().run_in_executor(
                        self.scheduler.scope.pool, file_digest, Path(where)
                    )
                elif word == "contents":
                    now = await services.get("collections").state(where)
                else:
                    name, *ids = where.split("\n")
                    now = await services.get("collections").digest(name, ids)
                if now != left:
                    return False
        except Exception:
            # What cannot be looked at is done again, and the node says what is wrong.
            return False
        return True

    async def _attempts(self, inputs: dict[str, Any], context: Context, item: str | None) -> tuple[Any, ...]:
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
                if attempt > retry.times or not _may_pass(failure):
                    raise failure from failure.__cause__
            self.scheduler.emit(step, e.NodeRetrying, attempt, wait, failure.message)
            await context.pause(wait)
            wait *= retry.backoff
        raise AssertionError("the loop returns or raises")

    async def _before_effect(self, context: Context) -> None:
        """Have it on disk what led to this call, if it is one that changes something outside: once for all items."""
        log, answers = self.scheduler.log, context.scope.answers
        if log is None or not _changes_something(self.step) or (answers is not None and answers.replays):
            return
        if self._durable is None:
            node = self.scheduler.prefix + self.step.id
            self._durable = asyncio.ensure_future(log.before_effect(node))
        await asyncio.shield(self._durable)

    async def _timed(self, inputs: dict[str, Any], context: Context) -> Any:
        limit = self.step.timeout
        if limit is None:
            return await self._call(inputs, context)
        try:
            async with asyncio.timeout(limit) as clock:
                self._clocks.append(clock)
                context.timed_out = lambda: _too_long(limit) if clock.expired() else None
                try:
                    return await self._call(inputs, context)
                finally:
                    self._clocks.remove(clock)
        except TimeoutError:
            if clock.expired():
                raise _too_long(limit) from None
            raise

    async def _call(self, inputs: dict[str, Any], context: Context) -> Any:
        step, scope = self.step, self.scheduler.scope
        if step.nests is not None:
            first: tuple[Any, ...] = (context,) if step.kind.takes_context else ()
            return await step.kind.function(*first, NestedBody(self, step.nests, context), **inputs)
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


def _items(step: Step, inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The inputs of each item; InputError when the lists walked through together differ in length."""
    for name in step.over:
        if not isinstance(inputs[name], list | tuple):
            raise InputError(f"{name} should be a list to go through, not {e.preview(inputs[name], 60).text}")
    lengths = {name: len(inputs[name]) for name in step.over}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InputError(
            f"the lists it goes through together differ in length: {words}",
            hint="Make them equally long, or link only one of them as a list.",
        )
    lists = [inputs[name] for name in step.over]
    for values in zip(*lists, strict=True):
        yield inputs | dict(zip(step.over, values, strict=True))


def _coercions(step: Step) -> list[tuple[str, Callable[[Any], Any]]]:
    return [(name, coerce) for name, _, coerce in step.links if coerce is not None and name in step.over]


def _columns(step: Step, results: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """A list for each output of what the items gave; what an item did not light is left out of it."""
    columns: list[Any] = [[value for value in column if value is not UNLIT] for column in zip(*results, strict=True)]
    columns = columns or [[] for _ in step.outputs]
    if step.on_error.action == "route":
        columns[-1] = UNLIT
    return tuple(columns)


def _fail_at(index: int, error: BaseException) -> NoReturn:
    """Raise what an item raised, with the item named in its message; a limit is that of all items together."""
    failure = as_failure(error)
    if isinstance(failure, LimitReached):
        raise failure from failure.__cause__
    failure.message = f"item {index + 1}: {failure.message}"
    raise failure from failure.__cause__


def _may_pass(failure: NodeError | PermissionNeeded) -> bool:
    """True unless trying again is known to end the same way."""
    if isinstance(failure, ServiceError):
        return failure.retryable
    return not isinstance(failure, InputError | SettingError | LimitReached | PermissionNeeded)


def _keep(
    cache: Cache,
    key: bytes,
    outputs: tuple[Any, ...],
    spent: Budget,
    seconds: float,
    written: list[tuple[str, str, str]],
) -> list[Stored] | None:
    """Put what was given into the cache; its stored form, None if it has none."""
    try:
        stored = [store(value) for value in outputs]
    except UnstorableValue:
        return None
    last = {(word, where): (word, where, left) for word, where, left in written}
    previews = [e.preview(value) for value in outputs]
    cache.put(key, Entry(stored, previews, seconds, spent.read, spent.written, list(last.values()), spent.money))
    return stored


def _on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
