"""Starting a workflow and holding on to it: `run` for a script, `start` for a program with a loop."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from phloem.runtime.budget import Budget, Word
from phloem.runtime.cache import Cache
from phloem.runtime.catalogue import Catalogue, installed_catalogue, installed_services
from phloem.runtime.checks import CheckedWorkflow, check
from phloem.runtime.context import Scope, Services
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.document import WorkflowFile, load
from phloem.runtime.errors import CheckError, ConfigError, Problem
from phloem.runtime.events import Event
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.home import Home
from phloem.runtime.inputs import input_values
from phloem.runtime.plan import Plan, compile_plan
from phloem.runtime.resources import Resources
from phloem.runtime.runs import Options, Result, Run
from phloem.runtime.scheduler import Scheduler
from phloem.runtime.settings import Settings
from phloem.runtime.threads import Threads
from phloem.runtime.wishes import missing
from phloem.runtime.words import nearest
from phloem.runtime.workflow import Limit, Workflow

__all__ = ["Engine", "run", "run_to_end", "start"]


class Engine:
    """What the runs of one process share: the catalogue, the services, the cache, the threads.

    Everything is made from the home unless it is given. `cache` may be None: then nothing is kept.
    """

    def __init__(
        self,
        home: Home | None = None,
        *,
        catalogue: Catalogue | None = None,
        services: Services | None = None,
        resources: Resources | None = None,
    ) -> None:
        self.home = home or Home.default()
        self.catalogue = catalogue or installed_catalogue(self.home)
        self.services = services or installed_services(self.home)
        self.resources = resources or Resources()
        self.cache = Cache(self.home.cache)
        self.threads = Threads()

    def check(self, source: WorkflowFile | Workflow) -> CheckedWorkflow:
        """The workflow resolved against the catalogue; CheckError with every problem."""
        if isinstance(source, Workflow):
            return check(source, self.catalogue, store=self.home.plans)
        file = str(source.path) if source.path else None
        return check(source.workflow, self.catalogue, place=source.marks.of, file=file, store=self.home.plans)

    def start(
        self,
        source: WorkflowFile | Workflow | Plan,
        inputs: Mapping[str, Any] | None = None,
        options: Options | None = None,
    ) -> Run:
        """A run, begun on the running loop. CheckError if the workflow or an input is wrong.

        PermissionNeeded, with all that is missing, if it would touch what was not allowed and that can
        be told beforehand.
        """
        options = options or Options()
        plan = source if isinstance(source, Plan) else self.plan(source, to=options.to)
        values = input_values(plan, inputs or {})
        run = Run(_new_id(), plan, secrets.randbits(31) if options.seed is None else options.seed)
        permissions = self.permissions(options, plan.folder)
        models = self.default_models(plan.checked.workflow, options)
        lacking = missing(plan, values, permissions, models)
        if lacking is not None:
            raise lacking
        scope = Scope(
            run=run.id,
            services=self.services,
            permissions=permissions,
            model=models.text,
            embedding=models.embedding,
            seed=run.seed,
            pool=self.threads,
            trusted_models=models.trusted,
            budget=_budget(plan.checked.workflow.limit, options.limit),
            prompts=options.prompts,
        )
        cache = self.cache if options.cache else None
        scheduler = Scheduler(plan, values, scope=scope, emit=run.take, cache=cache, resources=self.resources)
        run.begin(scheduler)
        return run

    def plan(self, source: WorkflowFile | Workflow, *, to: str | None = None) -> Plan:
        """The plan of a workflow, whole or up to the node `to`."""
        checked = self.check(source)
        if to is not None and to not in checked.nodes:
            near = nearest(to, checked.nodes)
            hint = f"Did you mean {near}?" if near else f"The nodes are {', '.join(checked.nodes)}."
            raise CheckError(Problem(f"there is no node called {to}", hint))
        plan = compile_plan(checked, to=to)
        if isinstance(source, WorkflowFile) and source.path:
            plan.folder = source.path.parent
        return plan

    def default_models(self, workflow: Workflow, options: Options) -> DefaultModels:
        """The models that a run with these options would use where its nodes name none."""
        return DefaultModels.choose(options.model, workflow.model, Settings.load(self.home))

    def permissions(self, options: Options, folder: Path | None) -> Permissions:
        """What a run with these options may touch."""
        grants = [one if isinstance(one, Grant) else Grant.parse(one) for one in options.allow]
        grants += [Grant("read", os.path.realpath(path)) for path in options.trusted]
        return Permissions(grants, folder=folder, home=self.home.path)

    async def close(self) -> None:
        """Let go of models, connections, files and threads."""
        try:
            await self.services.close()
        finally:
            self.cache.close()
            self.threads.shutdown()


def run(
    source: str | Path | WorkflowFile | Workflow,
    /,
    *,
    options: Options | None = None,
    listener: Callable[[Event], None] | None = None,
    **inputs: Any,
) -> Result:
    """Run a workflow to its end and return how it went; the keywords are its inputs.

    WorkflowError if it cannot run, PermissionNeeded if it lacks a grant, the NodeError of the node that
    failed if the run failed.
    """
    return run_to_end(source, inputs, options, listener).raise_for_failure()


def run_to_end(
    source: str | Path | WorkflowFile | Workflow,
    inputs: Mapping[str, Any],
    options: Options | None = None,
    listener: Callable[[Event], None] | None = None,
    engine: Engine | None = None,
) -> Result:
    """As `run`, but a failed run is returned, not raised."""
    document = load(source) if isinstance(source, str | Path) else source

    async def whole() -> Result:
        own = engine or Engine()
        try:
            started = own.start(document, inputs, options)
            started.discard_events()
            if listener is not None:
                started.subscribe(listener)
            return await started.result()
        finally:
            if engine is None:
                await own.close()

    if _in_loop():
        raise ConfigError("run() cannot be called from a running event loop", hint="Use start() there.")
    return asyncio.run(whole())


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def start(
    source: str | Path | WorkflowFile | Workflow,
    inputs: Mapping[str, Any] | None = None,
    options: Options | None = None,
    engine: Engine | None = None,
) -> Run:
    """Begin a run on the running event loop: `async for event in start(…)`. See Engine.start."""
    document = load(source) if isinstance(source, str | Path) else source
    return (engine or _shared_engine()).start(document, inputs, options)


_engines: dict[Path, Engine] = {}


def _shared_engine() -> Engine:
    """One engine per home, for programs that do not make their own."""
    import atexit

    home = Home.default()
    if home.path not in _engines:
        _engines[home.path] = Engine(home)
        # What was made last is still on its way to the disk when a short script ends.
        atexit.register(_engines[home.path].cache.close)
    return _engines[home.path]


def _budget(written: Limit, asked: Limit) -> Budget:
    """The budget of a run: of the limit in the file and that of the options the stricter."""
    limit = written.stricter(asked)

    def remedy(word: Word) -> str:
        asked_for = getattr(limit, word) == getattr(asked, word)
        how = f"with --limit {word}=…" if asked_for else f"`{word}` of the file's `limit`"
        return f"Raise it, {how}. What has finished is kept, so the next run goes on from there."

    return Budget(limit, whose="the run", remedy=remedy)


def _new_id() -> str:
    """An id that sorts by time: `20261121-085300-3fa9c1`."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
