"""A run under way, how it was asked for, and how it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phloem.runtime.asking import Asker
from phloem.runtime.budget import UNLIMITED
from phloem.runtime.cache import Stored
from phloem.runtime.egress import Egress
from phloem.runtime.errors import JournalError, LimitReached
from phloem.runtime.events import Event, Status
from phloem.runtime.grants import Grant
from phloem.runtime.journal import Question, RunLog
from phloem.runtime.people import People, Person
from phloem.runtime.plan import Plan
from phloem.runtime.scheduler import Scheduler
from phloem.runtime.workflow import Limit

if TYPE_CHECKING:
    from phloem.runtime.cluster import Cluster

__all__ = ["Options", "Result", "Run"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a workflow: what it may touch, how far to go, which model, what to reuse.

    `to` names the node to stop after; `model` overrides the workflow's; with `cache` false nothing is
    reused or kept. A run with the same `seed` makes the same choices where chance decides; without one each run
    makes its own. `limit` is what the run may spend: where the workflow has a limit too, the stricter holds.
    With `prompts` every text that goes to a model is told, exactly, by NodePrompt. `trusted` are paths that
    the user named and that may therefore be read. With `offline` no connection is made; `ask` is whoever can be asked
    for a grant that is missing while the run goes on, None for nobody; `on_egress` is called with every exchange with
    a server, on the loop's thread. `on_written` is called with each file that a node has written,
    on whatever thread wrote it.

    `person` can be asked what nodes ask people. Where nobody can, and nothing else is left to do, a run ends as
    `waiting` and can be resumed; one that `stays` waits for answers from elsewhere instead. With `journal` false
    nothing is kept of the run: it cannot be looked at, answered or resumed.

    With `record` every answer from outside is kept: with the run, or in the file that it names. With `replay` such
    answers come from the run of that id, or from the file at that Path, and nothing outside is asked or changed; with
    `ask_new` what is not recorded is asked outside, and kept. A replay waits for nothing unless it is to keep the
    `pace` of what was recorded.

    `on` is a cluster that does a part of the work: where it is, as after `--on`, or one from `Engine.cluster`.
    """

    allow: Iterable[Grant | str] = ()
    to: str | None = None
    model: str = ""
    cache: bool = True
    seed: int | None = None
    trusted: Iterable[Path] = ()
    limit: Limit = UNLIMITED
    prompts: bool = False
    on_written: Callable[[Path], None] | None = None
    offline: bool = False
    ask: Asker | None = None
    on_egress: Callable[[Egress], None] | None = None
    record: bool | Path = False
    replay: str | Path | None = None
    ask_new: bool = False
    pace: bool = False
    person: Person | None = None
    stays: bool = False
    journal: bool = True
    on: Cluster | str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. `outputs` has None for what was skipped; `failures` what went wrong, by node.

    `tokens_in`, `tokens_out` and `money` (US dollars) are what it spent; `limit` is the error of a run that is
    `limited`, which says where it stopped. `egress` are its exchanges with servers, where they were asked for.
    `questions` are those that a run waits for that is `waiting`; `kept` is true if it can be resumed. `stopped_by` is
    the node whose failure ended a run that is `failed`.
    """

    run: str
    status: Status
    outputs: dict[str, Any] = field(repr=False)
    seconds: float
    failures: dict[str, Exception] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    limit: LimitReached | None = None
    egress: tuple[Egress, ...] = ()
    questions: tuple[Question, ...] = ()
    kept: bool = False
    stopped_by: str = ""

    def raise_for_failure(self) -> Result:
        """The result itself; the failure that ended it raised if the run failed, LimitReached if it stopped at its
        limit."""
        if self.limit is not None:
            raise self.limit
        if self.status == "failed":
            failure = self.failures[self.stopped_by]
            failure.add_note(f"in the node {self.stopped_by}")
            raise failure
        return self


class Run:
    """A run under way: iterate over it for its events, once; await `result()` for how it ended."""

    def __init__(self, id: str, plan: Plan, seed: int = 0) -> None:
        self.id = id
        self.plan = plan
        self.seed = seed
        self._events: deque[Event] | None = deque()
        self._listeners: list[Callable[[Event], None]] = []
        self._arrived = asyncio.Event()
        self._scheduler: Scheduler | None = None
        self._task: asyncio.Task[Result] | None = None
        self._log: RunLog | None = None
        self.people: People | None = None

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Have `listener` called with every event from now on, on the loop's thread.

        What it raises goes to the loop's exception handler; the run goes on.
        """
        self._listeners.append(listener)

    def discard_events(self) -> None:
        """Keep no events for iterating: for who only listens, or only wants the result."""
        self._events = None

    def cancel(self) -> None:
        """Stop: nodes are interrupted, what had finished stays kept, the run ends as `cancelled`."""
        if self._scheduler is not None:
            self._scheduler.stop()

    def answer(self, node: str, value: Stored) -> None:
        """Take in an answer that was put into the journal; `phloem runs answer` and Journal.answer do that."""
        if self.people is not None:
            self.people.take(node, value)

    async def result(self) -> Result:
        """How the run ended. Failing nodes are in the result. Raised is a bug of ours, and the JournalError of a run
        that was stopped because nothing more could be kept of it.

        When the one who waits here is cancelled, so is the run; the cancellation goes on when it has ended.
        """
        assert self._task is not None
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if not self._task.done():
                self.cancel()
                await asyncio.wait([self._task])
            raise

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for batch in self.batches():
            for event in batch:
                yield event

    async def batches(self) -> AsyncIterator[list[Event]]:
        """The events in lists, each with all that came since the one before; none is ever empty."""
        assert self._task is not None
        while self._events is not None:
            if self._events:
                batch = list(self._events)
                self._events.clear()
                yield batch
            elif self._task.done():
                self._task.result()
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def take(self, event: Event) -> None:
        if self._events is not None:
            self._events.append(event)
            if not self._arrived.is_set():
                self._arrived.set()
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as error:
                # A screen that fails must not take the run with it.
                about = {"message": f"a listener of run {self.id} failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(about)

    async def _drive(self, scheduler: Scheduler) -> Result:
        began = time.perf_counter()
        ended: Status = "cancelled"
        try:
            outputs = await scheduler.run()
            ended = scheduler.status
        finally:
            if scheduler.scope.asking is not None:
                await scheduler.scope.asking.close()
            if scheduler.scope.answers is not None:
                scheduler.scope.answers.close(ended)
        seconds = time.perf_counter() - began
        await self._settle()
        spent, people = scheduler.scope.budget, scheduler.scope.people
        return Result(
            self.id, scheduler.status, outputs, seconds, dict(scheduler.failures),
            spent.read, spent.written, spent.money, scheduler.limit, (),
            () if people is None else people.left, self._log is not None,
            "" if scheduler.stopped_by is None else scheduler.stopped_by[0].id,
        )  # fmt: skip

    async def _settle(self) -> None:
        """Wait until all of the run is on disk. What it gave is there even if that cannot be."""
        if self._log is None:
            return
        try:
            await self._log.settled()
        except JournalError as error:
            logging.getLogger("phloem").warning("warning: the end of the run is not kept: %s", error.message)

    def fail(self, error: JournalError) -> None:
        """Stop, and have `result` raise the error: nothing more can be kept of the run."""
        if self._scheduler is not None:
            self._scheduler.report_bug(error)

    def begin(self, scheduler: Scheduler) -> None:
        """Start, on the running loop."""
        self._scheduler = scheduler
        self._log = scheduler.log
        self._task = asyncio.get_running_loop().create_task(self._drive(scheduler))
        self._task.add_done_callback(lambda _: self._arrived.set())
