"""The workflow inside a node, running: what a kind that nests calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.budget import UNLIMITED, Budget
from phloem.runtime.clocks import Clock
from phloem.runtime.errors import LimitReached, NodeError, PermissionNeeded
from phloem.runtime.paths import absolute_paths

if TYPE_CHECKING:
    from phloem.runtime.context import Context
    from phloem.runtime.plan import Nested
    from phloem.runtime.ports import Coercion
    from phloem.runtime.scheduler import Scheduler
    from phloem.runtime.work import Work

__all__ = ["NestedBody"]

SLICE: Final = 0.005


class NestedBody:
    """The body of one step that is being worked on. See Body.

    A light body goes through its steps where it stands, with a scheduler that is used again and again; any other
    gets one for each run, with everything that a scheduler can.
    """

    def __init__(self, work: Work, nested: Nested, context: Context, clock: Clock | None) -> None:
        around = work.scheduler
        self.plan = plan = nested.plan
        self.light = plan.light
        self.outputs = tuple(plan.outputs)
        self.carried = nested.carried
        self._work = work
        self._context = context
        self._clock = clock
        self._running: set[Scheduler] = set()
        self._path = context.node
        self._scope = around.scope.inside(context.budget, plan.model, plan.folder)
        self._inputs = [
            (name, slot, nested.given.get(name)) for name, slot in plan.inputs.items() if plan.readers[slot]
        ]
        self._paths = nested.paths
        self._folder = around.scope.permissions.base or Path.cwd()
        self._kept = {slot for name, slot, _ in self._inputs if name not in nested.given}
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._spare: Scheduler | None = None
        self._slice_end = time.perf_counter() + SLICE

    async def __call__(self, inputs: Mapping[str, Any], place: int | None = None) -> dict[str, Any]:
        run, self._spare = self._spare or self._scheduler(), None
        run.reset(f"{self._path}/" if place is None else f"{self._path}/{place}/")
        self._running.add(run)
        try:
            return await self._given(run, inputs)
        finally:
            self._running.discard(run)
            if not self.light:
                self._work.look()

    def rests(self) -> bool:
        """True if it runs, and every run of it waits for people only."""
        return bool(self._running) and all(run.rests() for run in self._running)

    async def _given(self, run: Scheduler, inputs: Mapping[str, Any]) -> dict[str, Any]:
        values = run.values
        for name, slot, turn in self._inputs:
            value = inputs[name]
            if name in self._paths:
                value = absolute_paths(value, self._folder)
            values[slot] = value if turn is None else _turned(name, value, turn)
        if self.light:
            await self._go_through(run)
            self._spare = run
            # What failed is to be tried, and told, again in the next run, as it is anywhere else.
            self._context.keeps = self._context.keeps and not run.failures
        elif self.plan.limit is UNLIMITED:
            await self._finish(run)
        else:
            await self._within_limit(run)
        if run.limit is not None:
            raise run.limit
        if run.stopped_by is not None:
            step, error = run.stopped_by
            assert isinstance(error, NodeError | PermissionNeeded)
            error.message = f"{step.id}: {error.message}"
            if isinstance(error, NodeError) and not error.node:
                error.node = run.prefix + step.id
            raise error
        return run.given()

    def may_go_on(self, error: NodeError) -> bool:
        return not (isinstance(error, LimitReached) and self._scope.budget.under(error.budget))

    def _scheduler(self) -> Scheduler:
        from phloem.runtime.scheduler import Scheduler

        around = self._work.scheduler
        # The steps of a light body are kept as a whole, by the key of the step around them.
        cache = None if self.light else around.cache
        return Scheduler(
            self.plan, {}, scope=self._scope, emit=around.emitted, cache=cache, resources=around.resources,
            around=self._work, clock=self._clock,
        )  # fmt: skip

    async def _go_through(self, run: Scheduler) -> None:
        """Run the steps one after the other, and give everything else its turn every few milliseconds."""
        steps, clock = self.plan.steps, time.perf_counter
        try:
            for index in self.plan.order:
                run.begin(steps[index])
                if clock() > self._slice_end:
                    await asyncio.sleep(0)
                    self._slice_end = clock() + SLICE
        except asyncio.CancelledError:
            await run.break_off()
            raise

    async def _finish(self, run: Scheduler) -> None:
        """Run the steps as a scheduler does; what comes in again and again is hashed only once."""
        for slot in self._kept:
            known = self._known.get(slot)
            if known is not None and known[0] is run.values[slot]:
                run.hashes[slot] = known[1]
        values = {slot: run.values[slot] for slot in self._kept}
        await run.finish()
        for slot, value in values.items():
            found = run.hashes[slot]
            if found is not None:
                self._known[slot] = (value, found)

    async def _within_limit(self, run: Scheduler) -> None:
        """As `_finish`, for a body with a limit of its own, which is one for each time that it runs."""
        limit = self.plan.limit
        budget = Budget(
            limit,
            self._context.budget,
            whose=f"the body of {self._path}",
            remedy=lambda word: f"Raise `{word}` of its `limit`, or give it less to do.",
        )
        run.scope = replace(self._scope, budget=budget)
        run.clock = Clock(self._clock)
        async with run.clock.bounds(limit.seconds, budget.out_of_time):
            await self._finish(run)
        over = budget.over()
        if over is not None and run.limit is None:
            raise over


def _turned(name: str, value: Any, turn: Coercion) -> Any:
    try:
        return turn(value)
    except NodeError as error:
        error.message = f"{name}: {error.message}"
        raise
