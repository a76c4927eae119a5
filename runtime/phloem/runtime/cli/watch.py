"""`phloem watch`: one workflow, run anew whenever its file, or a file that it reads, has changed.

Results go to stdout, each followed by a line `---`, or with `--json` each as a line. What is wrong with the file is
told on stderr, and as a line of JSON too, and then the next change is waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from phloem.runtime.cli import INTERRUPTED, complain
from phloem.runtime.cli.limits import parse_limits
from phloem.runtime.cli.run import given_inputs, print_result, progress, run_on, seal_if_offline
from phloem.runtime.cli.signals import told_to_stop
from phloem.runtime.document import load
from phloem.runtime.engine import Engine
from phloem.runtime.errors import ConfigError, PhloemError, WorkflowError
from phloem.runtime.grants import Grant
from phloem.runtime.home import Home
from phloem.runtime.runs import Options, Result
from phloem.runtime.settings import Settings
from phloem.runtime.tracing.choice import Choice
from phloem.runtime.triggers.watching import Snapshot, Watch
from phloem.runtime.wishes import wishes
from phloem.runtime.words import or_list, printable

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Run the file, and again after each change, until Ctrl-C: 0, or 130 if that interrupted a run."""
    if given.json and given.events:
        raise ConfigError("--json and --events are two forms of the output", hint="Give one of them.")
    parse_limits(given.limit)
    for text in given.allow:
        Grant.parse(text)
    if given.trace:
        os.environ["PHLOEM_TRACE"] = given.trace
    given.inputs = [_kept(text) for text in given.inputs]
    return asyncio.run(_Watching(given).run())


class _Watching:
    """A file that is being watched, and the engine on which it runs."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.file = Path(given.file)
        self.engine = Engine()
        self.watch = Watch(_own_places(given, self.engine.home), streams=(1, 2))
        self.stop = asyncio.Event()

    async def run(self) -> int:
        """Run and wait, until someone stops it; the exit code."""
        try:
            seal_if_offline(self.engine, self.given)
            while True:
                with told_to_stop(self.stop.set):
                    before = self._aim()
                result, found = await self._run(before)
                if result is not None and result.status == "cancelled":
                    return INTERRUPTED
                with told_to_stop(self.stop.set):
                    found = found or await self._change(before)
                if self.stop.is_set():
                    return 0
                names = [printable(_shown(one)) for one in found]
                _say("changed: " + or_list([*names[:3], *([f"{len(names) - 3} more"] if names[3:] else [])], "and"))
        finally:
            await self.watch.close()
            await self.engine.close()

    def _aim(self) -> Snapshot:
        """Watch all that the next run depends on; the state in which it is, before any of it is read."""
        self.watch.aim({self.file} | self.watch.paths)
        before = self.watch.snapshot()
        wanted = {self.file, *self._named_files()}
        try:
            wanted.update(self._read())
        except PhloemError:
            # The run will say what is wrong; what mends it may be something that was read before.
            wanted |= self.watch.paths
        self.watch.aim(wanted)
        now = self.watch.snapshot()
        return {**now, **{path: before[path] for path in now.keys() & before.keys()}}

    async def _run(self, before: Snapshot) -> tuple[Result | None, list[Path]]:
        """Run it once. With `--restart` a change breaks it off: then there is no result, but what changed."""
        if self.stop.is_set():
            return None, []
        work = asyncio.ensure_future(self._once())
        if self.given.restart:
            change = asyncio.ensure_future(self.watch.change(before))
            await asyncio.wait([work, change], return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
            if not work.done() and change.done() and not change.cancelled():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                return None, change.result()
            with suppress(asyncio.CancelledError):
                await change
        return await work, []

    async def _once(self) -> Result | None:
        """Run it once and print what came out; None for one that cannot run, which is told."""
        given = self.given
        try:
            document = load(self.file)
            for problem in document.warnings:
                _say(f"warning: {printable(str(problem))}")
            with progress(given) as listen:
                result = await run_on(self.engine, given, document, listen, self.watch.wrote)
        except PhloemError as error:
            complain(error)
            if given.json:
                print(json.dumps(_refusal(error), ensure_ascii=False), flush=True)
            return None
        if result.status == "cancelled":
            _say("cancelled")
            return result
        print_result(given, result)
        if not given.json and not given.events:
            print("---")
        sys.stdout.flush()
        return result

    async def _change(self, before: Snapshot) -> list[Path]:
        """Wait for a change, or for being told to stop."""
        if self.given.progress != "off":
            others = len(self.watch.paths) - 1
            more = f" and {others} more that it reads" if others > 0 else ""
            _say(f"watching {printable(str(self.file))}{more}; Ctrl-C ends it")
        change, stop = asyncio.ensure_future(self.watch.change(before)), asyncio.ensure_future(self.stop.wait())
        await asyncio.wait([change, stop], return_when=asyncio.FIRST_COMPLETED)
        for one in (change, stop):
            if not one.done():
                one.cancel()
                with suppress(asyncio.CancelledError):
                    await one
        return change.result() if not change.cancelled() else []

    def _read(self) -> Iterator[Path]:
        """The files and folders that the workflow reads, as far as that is written down or given, and what it calls."""
        given, document = self.given, load(self.file)
        options = Options(allow=given.allow, model=given.model, offline=given.offline)
        checked = self.engine.check(document, options)
        yield from checked.called()
        inputs, trusted = given_inputs(given.inputs, document, self.engine, given.allow)
        values = {name: one.value for name, one in checked.workflow.inputs.items() if one.has_value} | inputs
        options = replace(options, trusted=trusted)
        models = self.engine.default_models(checked.workflow, options)
        folder = self.file.absolute().parent
        for wish in wishes(checked, values, self.engine.permissions(options, folder, checked), models):
            if wish.word == "read" and wish.scope:
                yield folder / Path(wish.scope).expanduser()

    def _named_files(self) -> Iterator[Path]:
        """The files that inputs are taken from."""
        for text in self.given.inputs:
            value = text.partition("=")[2]
            if value.startswith("@") and not value.startswith("@@"):
                yield Path(value[1:]).expanduser()


def _own_places(given: argparse.Namespace, home: Home) -> Iterator[Path]:
    """What every run changes, wherever it may lie: a run must not be the reason for the next."""
    yield from (home.cache, home.journal, home.plans, home.collections, home.schedules, home.path / "installed.json")
    for name in (given.record, given.replay):
        if name:
            yield from (Path(name).expanduser(), Path(f"{name}.partial").expanduser())
    trace = Choice.read(os.environ, Settings.load(home))
    if trace is not None and trace.path is not None:
        yield trace.path


def _kept(text: str) -> str:
    """An input that standard input gives is read once, and is the same for every run."""
    name, equals, value = text.partition("=")
    if value != "@-":
        return text
    content = sys.stdin.buffer.read().decode("utf-8", "replace")
    return f"{name}{equals}{'@' if content.startswith('@') else ''}{content}"


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _refusal(error: PhloemError) -> dict[str, object]:
    problems = [str(one) for one in error.problems] if isinstance(error, WorkflowError) else [error.message]
    return {"run": None, "status": "refused", "error": type(error).__name__, "problems": problems, "hint": error.hint}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
