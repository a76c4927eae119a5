"""Beginning a run of which all is known: its place in the journal, what its nodes share, and its scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from phloem.runtime.asking import Asking
from phloem.runtime.budget import Budget, Word
from phloem.runtime.context import Scope
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.egress import Egress
from phloem.runtime.ended import Ended
from phloem.runtime.events import RunFinished
from phloem.runtime.grants import Permissions
from phloem.runtime.journal import KeptRun, RunLog
from phloem.runtime.people import People
from phloem.runtime.resuming import record_of
from phloem.runtime.runs import Options, Run
from phloem.runtime.scheduler import Scheduler
from phloem.runtime.workflow import Limit

if TYPE_CHECKING:
    from phloem.runtime.cluster import Cluster
    from phloem.runtime.engine import Engine
    from phloem.runtime.recording import Tape
    from phloem.runtime.tracing.tracing import Tracing

__all__ = ["Launch", "budget_of"]


@dataclass(frozen=True, slots=True)
class Launch:
    """A run that is about to begin. `given` are its inputs as they were given, `values` as the plan takes them."""

    engine: Engine
    run: Run
    given: Mapping[str, Any]
    values: Mapping[str, Any]
    options: Options
    permissions: Permissions
    models: DefaultModels
    budget: Budget
    tape: Tape | None
    cluster: Cluster | None
    tracing: Tracing | None

    def recorded(self) -> RunLog:
        """Its place in the journal; JournalError where nothing can be kept."""
        record = record_of(self.run, self.given, self.options, self.models, time.time())
        return self.engine.journal.begin(record, **self._heard())

    def gone_on(self, run: str) -> tuple[KeptRun, RunLog]:
        """What there is of a run that was left, and its place in the journal, which is ours from now on."""
        return self.engine.journal.resume(run, **self._heard())

    def begin(self, log: RunLog | None, kept: KeptRun | None = None) -> Run:
        """Begin it on the running loop, and keep it in `log`; `kept` is what there is of one that goes on."""
        try:
            scheduler = self._scheduler(log, kept)
        except BaseException as error:
            if log is not None:
                message = getattr(error, "message", str(error))
                log.end(RunFinished(self.run.id, log.next_seq, time.time(), "failed", message=message), {})
            raise
        self.run.begin(scheduler)
        return self.run

    def _scheduler(self, log: RunLog | None, kept: KeptRun | None) -> Scheduler:
        engine, run, options, plan = self.engine, self.run, self.options, self.run.plan
        scope = Scope(
            run=run.id,
            services=engine.services,
            permissions=self.permissions,
            model=self.models.text,
            embedding=self.models.embedding,
            seed=run.seed,
            pool=engine.threads,
            trusted_models=self.models.trusted,
            keeps_model=self.models.asked,
            budget=self.budget,
            prompts=options.prompts,
            on_written=options.on_written,
            on_egress=_both(log, options.on_egress),
            cluster=self.cluster,
        )
        if log is not None:
            scope.deadline = log.deadline
        run.people = scope.people = People(
            log,
            None if log is None else partial(engine.journal.answer, run.id),
            answered=None if kept is None else kept.questions,
            person=options.person,
            stays=options.stays,
        )
        if options.ask is not None:
            file = plan.document.path if plan.document is not None else None
            scope.asking = Asking(options.ask, self.permissions, partial(engine.remember, plan.checked, file))
        if self.tracing is not None:
            scope.trace = self.tracing.begin(run.id, plan)
            run.subscribe(scope.trace.take)
        if self.tape is not None:
            scope.answers = self.tape.answers(plan, self.given, run.seed, self.models, log)
        return Scheduler(
            plan,
            self.values,
            scope=scope,
            emit=run.take,
            cache=engine.cache if options.cache else None,
            resources=engine.resources if self.cluster is None else self.cluster.resources,
            log=log,
            before=None if kept is None else Ended(kept.ended),
        )

    def _heard(self) -> dict[str, Any]:
        """What the journal calls, on its own thread, for a run on the running loop."""
        loop = asyncio.get_running_loop()

        def heard(call: Callable[..., None], *words: Any) -> None:
            # A word may come when the run, and its loop, have ended.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(call, *words)

        return {
            "on_cancel": partial(heard, self.run.cancel),
            "on_answer": partial(heard, self.run.answer),
            "on_failure": partial(heard, self.run.fail),
        }


def budget_of(written: Limit, asked: Limit) -> Budget:
    """The budget of a run: of the limit in the file and that of the options the stricter."""
    limit = written.stricter(asked)

    def remedy(word: Word) -> str:
        asked_for = getattr(limit, word) == getattr(asked, word)
        how = f"with --limit {word}=…" if asked_for else f"`{word}` of the file's `limit`"
        return f"Raise it, {how}. What has finished is kept, so the next run goes on from there."

    return Budget(limit, whose="the run", remedy=remedy)


def _both(log: RunLog | None, listener: Callable[[Egress], None] | None) -> Callable[[Egress], None] | None:
    """What is told of every exchange with a server."""
    if log is None or listener is None:
        return listener if log is None else log.egress

    def tell(exchange: Egress) -> None:
        log.egress(exchange)
        listener(exchange)

    return tell
