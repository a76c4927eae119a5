"""Starting a workflow and holding on to it: `run` for a script, `start` for a program with a loop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phloem.runtime import granting
from phloem.runtime.cache import Cache
from phloem.runtime.called import Called
from phloem.runtime.catalogue import Catalogue, installed_catalogue, installed_services
from phloem.runtime.checks import CheckedWorkflow, check
from phloem.runtime.context import Services
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.document import WorkflowFile, load
from phloem.runtime.errors import CheckError, ConfigError, JournalError, Problem
from phloem.runtime.events import Event
from phloem.runtime.grants import Grant, Permissions, Rules
from phloem.runtime.home import Home
from phloem.runtime.inputs import input_values
from phloem.runtime.journal import Journal, KeptRun, RunLog
from phloem.runtime.launching import Launch, budget_of
from phloem.runtime.plan import Plan, compile_plan
from phloem.runtime.resources import Resources
from phloem.runtime.resuming import Left
from phloem.runtime.runs import Options, Result, Run
from phloem.runtime.settings import Settings
from phloem.runtime.threads import Threads
from phloem.runtime.tracing import tracing_of
from phloem.runtime.wishes import missing
from phloem.runtime.words import nearest
from phloem.runtime.workflow import Limit, Workflow

if TYPE_CHECKING:
    from phloem.runtime.cluster import Cluster
    from phloem.runtime.recording import Tape
    from phloem.runtime.tracing.tracing import Tracing

__all__ = ["Engine", "run", "run_to_end", "start"]


class Engine:
    """What the runs of one process share: the catalogue, the services, the cache, the journal, the threads.

    Everything is made from the home unless it is given. `cache` may be None: then nothing is kept.
    """

    def __init__(
        self,
        home: Home | None = None,
        *,
        catalogue: Catalogue | None = None,
        services: Services | None = None,
        resources: Resources | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.home = home or Home.default()
        self.catalogue = catalogue or installed_catalogue(self.home)
        self.services = services or installed_services(self.home)
        self.resources = resources or Resources()
        self.cache = Cache(self.home.cache)
        self.journal = Journal(self.home.journal, cache=self.home.cache)
        self._told_unkept = False
        self.threads = Threads()
        self._clusters: dict[str, Cluster] = {}
        if tracing is not None:
            self.tracing = tracing

    @cached_property
    def tracing(self) -> Tracing | None:
        """Where the spans of runs go; None if nobody asked for any."""
        return tracing_of(self.home)

    def check(
        self,
        source: WorkflowFile | Workflow,
        options: Options | None = None,
        called: Mapping[Path, WorkflowFile] | None = None,
    ) -> CheckedWorkflow:
        """The workflow resolved against the catalogue; CheckError with every problem.

        `options` say where files may lie that it calls, besides beside it; PermissionNeeded names what they lack.
        `called` are such files that are known already, by their real paths.
        """
        document = WorkflowFile(source) if isinstance(source, Workflow) else source
        path = document.path
        permissions = self.permissions(options or Options(), path.parent if path else None, document.workflow)
        return check(
            document.workflow,
            self.catalogue,
            place=document.marks.of,
            file=str(path) if path else None,
            store=self.home.plans,
            called=Called(permissions, dict(called or {})),
        )

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
        tape = self._tape(options)
        cluster = self._cluster(options)
        plan = source if isinstance(source, Plan) else self.plan(source, to=options.to, options=options)
        given = inputs or {} if tape is None else tape.inputs(plan, inputs or {})
        values = input_values(plan, given)
        seed = options.seed if tape is None else tape.seed
        run = Run(_new_id(), plan, secrets.randbits(31) if seed is None else seed)
        permissions = self.permissions(options, plan.folder, plan.checked)
        models = self.default_models(plan.checked.workflow, options)
        if tape is not None:
            models = tape.models(models, plan.checked.workflow.model)
        # What was recorded needs no grant, and what else a replay may need only the run will tell.
        refusal = None if tape is not None and tape.replays else missing(plan, values, permissions, models)
        if refusal is not None:
            raise refusal
        budget = budget_of(plan.checked.workflow.limit, options.limit)
        launch = Launch(self, run, given, values, options, permissions, models, budget, tape, cluster, self.tracing)
        return launch.begin(self._log(launch))

    def resume(self, which: str, options: Options | None = None) -> Run:
        """A run that was left (interrupted, waiting, failed, cancelled or at its limit), gone on with on the running
        loop: its own workflow and inputs, and the outputs of all that had finished.

        It may touch what it was allowed, and what `options` allow besides; a limit of theirs takes the place of the
        one that it had. ConfigError if there is no such run, it is done, or a process is at work on it; CheckError
        and PermissionNeeded as from `start`.
        """
        asked = options or Options()
        kept = self.journal.run(which)
        self._check_resumable(kept)
        left = Left.of(kept, asked)
        options = left.options
        tape, cluster = self._tape(options), self._cluster(options)
        plan = self.plan(left.document, to=options.to, options=options, called=left.called)
        plan.folder = left.folder
        values = input_values(plan, left.inputs)
        permissions = self.permissions(options, plan.folder, plan.checked)
        refusal = None if tape is not None and tape.replays else missing(plan, values, permissions, left.models)
        if refusal is not None:
            raise refusal
        budget = budget_of(_without(plan.checked.workflow.limit, left.limit), options.limit)
        spent = kept.summary
        budget.read, budget.written, budget.money = spent.tokens_in, spent.tokens_out, spent.money
        over = budget.over()
        if over is not None:
            raise ConfigError(f"the run {kept.id} has nothing left to spend: {over.message}", hint=over.hint)
        run = Run(kept.id, plan, left.seed)
        launch = Launch(
            self, run, left.inputs, values, options, permissions, left.models, budget, tape, cluster, self.tracing
        )
        # Now it is ours, as it is at this moment.
        kept, log = launch.gone_on(kept.id)
        return launch.begin(log, kept)

    def _check_resumable(self, kept: KeptRun) -> None:
        """ConfigError for a run with which nobody can go on."""
        about = kept.summary
        if about.here:
            raise ConfigError(
                f"the run {kept.id} is still under way",
                hint=f"`phloem runs answer {kept.id} NODE VALUE` answers what it asks, `phloem runs cancel` stops it.",
            )
        if about.status == "done":
            raise ConfigError(f"the run {kept.id} is done", hint="There is nothing left of it to be run.")

    def _log(self, launch: Launch) -> RunLog | None:
        """Where the run is kept; None, with a warning, where the home cannot be written."""
        if not launch.options.journal:
            return None
        try:
            return launch.recorded()
        except JournalError as error:
            if not self._told_unkept:
                self._told_unkept = True
                logging.getLogger("phloem").warning("warning: nothing is kept of this run: %s", error.message)
            return None

    async def cluster(self, on: str, options: Options | None = None) -> Cluster:
        """The workers at `tcp://HOST:PORT`, or `local:N` made here, for `Options(on=…)`: one for each place, until the
        engine is closed.

        ConfigError if nothing is there, its versions are others, or the run is to be offline and it is elsewhere.
        """
        from phloem.runtime.cluster import Cluster, Place

        offline = self.permissions(options or Options(), None).offline
        if offline and Place.parse(on).address:
            raise ConfigError(f"--on {on} makes a connection, and {offline} wants none", hint="Write --on local:2")
        if on not in self._clusters:
            opened = await Cluster.open(on, self.home, offline=bool(offline))
            if self._clusters.setdefault(on, opened) is not opened:
                # Another was quicker.
                await opened.close()
        return self._clusters[on]

    def _cluster(self, options: Options) -> Cluster | None:
        """The cluster that a run with these options has."""
        if not options.on:
            return None
        if options.record or options.replay is not None or options.ask_new:
            raise ConfigError(
                "a run that is recorded or replayed has no workers elsewhere", hint="Leave out --on, or the recording."
            )
        if isinstance(options.on, str):
            if options.on not in self._clusters:
                raise ConfigError(
                    f"there is no connection to {options.on} yet",
                    hint="Await Engine.cluster() before the run is started.",
                )
            return self._clusters[options.on]
        return options.on

    def _tape(self, options: Options) -> Tape | None:
        """What a run with these options replays and records; None for one that does neither."""
        if not options.record and options.replay is None and not options.ask_new and not options.pace:
            return None
        from phloem.runtime.recording import Tape

        return Tape(options, self.home)

    def plan(
        self,
        source: WorkflowFile | Workflow,
        *,
        to: str | None = None,
        options: Options | None = None,
        called: Mapping[Path, WorkflowFile] | None = None,
    ) -> Plan:
        """The plan of a workflow, whole or up to the node `to`. See check."""
        checked = self.check(source, options, called)
        if to is not None and to not in checked.nodes:
            near = nearest(to, checked.nodes)
            outer = to.partition("/")[0]
            if outer != to and outer in checked.nodes:
                near = outer
            hint = f"Did you mean {near}?" if near else f"The nodes are {', '.join(checked.nodes)}."
            raise CheckError(Problem(f"there is no node called {to}", hint))
        plan = compile_plan(checked, to=to)
        if isinstance(source, WorkflowFile):
            plan.document = source
            plan.folder = source.path.parent if source.path else None
        return plan

    def default_models(self, workflow: Workflow, options: Options) -> DefaultModels:
        """The models that a run with these options would use where its nodes name none."""
        return DefaultModels.choose(options.model, workflow.model, Settings.load(self.home))

    def permissions(
        self, options: Options, folder: Path | None, checked: CheckedWorkflow | Workflow | None = None
    ) -> Permissions:
        """What a run with these options may touch: what they allow, what the settings allow every workflow, and what
        was allowed this one always. ConfigError for settings that cannot be read.

        Of a Workflow that is not checked yet, only files to call can have been allowed.
        """
        rules = Rules.of(Settings.load(self.home))
        grants = [one if isinstance(one, Grant) else Grant.parse(one) for one in options.allow]
        grants += [Grant("read", os.path.realpath(path)) for path in options.trusted]
        grants += rules.allowed
        offline = "--offline" if options.offline else rules.offline
        # Most homes remember nothing, and learn it without loading what remembers.
        # (Path.exists raises for a home that cannot be looked into.)
        if checked is not None and os.path.exists(self.home.path / "grants.json"):  # noqa: PTH110
            from phloem.runtime.grants.remembered import Remembered, content_digest

            grants += Remembered(self.home.path).grants(content_digest(checked))
        return Permissions(grants, folder=folder, home=self.home.path, denials=rules.denials, offline=offline)

    def remember(self, checked: CheckedWorkflow | Workflow, file: Path | None, grants: Sequence[Grant]) -> None:
        """Allow this workflow, as it is now, these things always. `file` is shown to people. That it cannot be kept is
        told to the log: then it is asked again."""
        from phloem.runtime.grants.remembered import Remembered, content_digest

        workflow = checked if isinstance(checked, Workflow) else checked.workflow
        place = "" if file is None else os.path.realpath(file)
        try:
            Remembered(self.home.path).add(content_digest(checked), grants, title=workflow.title, file=place)
        except ConfigError as error:
            logging.getLogger("phloem").warning("warning: %s", error.message)

    async def ask(self, source: WorkflowFile | Workflow, inputs: Mapping[str, Any], options: Options) -> Options:
        """The options with what a run is known to lack, if `options.ask` allows it: all is asked at once.

        PermissionNeeded, as from `start`, if it is not allowed, or nobody can be asked.
        """
        document = WorkflowFile(source) if isinstance(source, Workflow) else source
        return await granting.ask(self, document, inputs, options)

    async def ask_to_call(self, document: WorkflowFile, options: Options) -> Options:
        """The options with leave to read the files that a workflow calls: what these would touch nobody knows before.

        PermissionNeeded, as from `check`, if one of them may not be read.
        """
        return await granting.ask_to_call(self, document, options)

    async def close(self) -> None:
        """Let go of models, connections, files and threads."""
        # Not `self.tracing`: that would look for one that no run needed.
        tracing: Tracing | None = self.__dict__.get("tracing")
        clusters, self._clusters = self._clusters, {}
        # Each is closed whatever becomes of the others; the last that is put in goes first.
        async with AsyncExitStack() as stack:
            if tracing is not None:
                stack.push_async_callback(asyncio.to_thread, tracing.close)
            stack.callback(self.threads.shutdown)
            stack.push_async_callback(self._close_journal)
            stack.push_async_callback(asyncio.to_thread, self.cache.close)
            stack.push_async_callback(self.services.close)
            for cluster in clusters.values():
                stack.push_async_callback(cluster.close)

    async def _close_journal(self) -> None:
        await asyncio.to_thread(self.journal.close)
        for notice in self.journal.notices:
            logging.getLogger("phloem").warning("warning: %s", notice)
        self.journal.notices.clear()


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
            if options is not None and isinstance(options.on, str) and options.on:
                await own.cluster(options.on, options)
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
        atexit.register(_engines[home.path].journal.close)
        atexit.register(_engines[home.path].cache.close)
    return _engines[home.path]


def _without(limit: Limit, other: Limit) -> Limit:
    """A limit without what another one bounds."""
    words = ("tokens", "money", "seconds")
    return Limit(**{word: None if getattr(other, word) is not None else getattr(limit, word) for word in words})


def _new_id() -> str:
    """An id that sorts by time: `20261121-085300-3fa9c1d2`."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
