"""`phloem run`: one workflow, from its file to its outputs."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.cli import WAITING
from phloem.runtime.cli.limits import parse_limits
from phloem.runtime.cli.recording import recording_options, tell_partial
from phloem.runtime.cli.results import print_outputs
from phloem.runtime.codec import json_form
from phloem.runtime.document import WorkflowFile, load
from phloem.runtime.egress import Egress
from phloem.runtime.engine import Engine
from phloem.runtime.errors import ConfigError, PermissionNeeded, PhloemError
from phloem.runtime.events import Event, to_json
from phloem.runtime.grants import Grant, is_url
from phloem.runtime.inputs import absolute_paths, parse_input, path_inputs
from phloem.runtime.runs import Options, Result, Run
from phloem.runtime.words import nearest, printable

if TYPE_CHECKING:
    from phloem.runtime.cli.asking import AtTerminal

__all__ = [
    "at_terminal",
    "exit_code",
    "followed",
    "given_inputs",
    "main",
    "print_result",
    "progress",
    "run_on",
    "seal_if_offline",
]

INPUT_LIMIT = 200_000_000


def main(given: argparse.Namespace) -> int:
    """Run the file, or go on with a run; the exit code."""
    if given.resume is not None:
        from phloem.runtime.cli.resuming import resume, settled_already

        settled_already(given)
        return resume(given, given.resume)
    if given.file is None:
        raise ConfigError("there is no file to run", hint="`phloem run FILE`, or `phloem run --resume RUN`.")
    if given.json and given.events:
        raise ConfigError("--json and --events are two forms of the output", hint="Give one of them.")
    if given.trace:
        os.environ["PHLOEM_TRACE"] = given.trace
    document = load(given.file)
    for problem in document.warnings:
        print(f"warning: {printable(str(problem))}", file=sys.stderr)
    with progress(given) as listen:
        result = asyncio.run(_run(given, document, listen))
    print_result(given, result)
    tell_partial(given, result.status)
    return exit_code(result)


def print_result(given: argparse.Namespace, result: Result) -> None:
    """Print what came out, in the form that was asked for."""
    if given.json:
        print(json.dumps(_as_json(result) | _egress_json(given, result), ensure_ascii=False))
    elif not given.events and result.status == "done":
        print_outputs(result.outputs, sys.stdout)
    if result.status == "waiting":
        _tell_waiting(result)
    if given.egress and not given.json:
        from phloem.runtime.cli.egress import tell_egress

        sys.stdout.flush()
        tell_egress(result.egress)


def _tell_waiting(result: Result) -> None:
    """Say what the run waits for, and what to type next."""
    sys.stdout.flush()
    print(f"waiting: {result.run} goes on when it is answered", file=sys.stderr)
    for one in result.questions:
        first, *rest = one.asks.splitlines() or [""]
        print(printable(f"  {one.node} asks: {first}"), file=sys.stderr)
        for line in rest[:LINES_SHOWN]:
            print(printable(f"      {line[:200]}"), file=sys.stderr)
        if len(rest) > LINES_SHOWN or any(len(line) > 200 for line in rest):
            print(f"      … (phloem runs show {result.run} shows all of it)", file=sys.stderr)
        words = [shlex.quote(choice) for choice in one.choices] or _EXAMPLES.get(one.type, ["ANSWER"])
        until = "" if one.deadline is None else time.strftime(", until %Y-%m-%d %H:%M:%S", time.localtime(one.deadline))
        node = shlex.quote(one.node)
        print(
            printable(f"    phloem runs answer {result.run} {node} {'|'.join(words)} --resume{until}"), file=sys.stderr
        )


LINES_SHOWN: Final = 8
"""Lines of what a question is about that are shown when a run leaves off."""
_EXAMPLES: Final = {"boolean": ["yes", "no"], "number": ["3"], "json": ["'{…}'"]}


def _egress_json(given: argparse.Namespace, result: Result) -> dict[str, Any]:
    return {"egress": [asdict(one) for one in result.egress]} if given.egress else {}


async def _run(given: argparse.Namespace, document: WorkflowFile, listen: Callable[[Event], None]) -> Result:
    engine = Engine()
    seal_if_offline(engine, given)
    try:
        return await run_on(engine, given, document, listen)
    finally:
        await engine.close()


def seal_if_offline(engine: Engine, given: argparse.Namespace) -> None:
    """Have no connection made by this process from now on, if that was asked for here or in the settings."""
    if given.offline or engine.permissions(Options(), None).offline:
        from phloem.runtime.offline import seal

        seal()


async def run_on(
    engine: Engine,
    given: argparse.Namespace,
    document: WorkflowFile,
    listen: Callable[[Event], None],
    on_written: Callable[[Path], None] | None = None,
) -> Result:
    """Run a document as the command line says, each event told to `listen`; Ctrl-C cancels the run."""
    limit = parse_limits(given.limit)
    asker = None if given.no_ask else at_terminal(engine, listen)
    allow = (await engine.ask_to_call(document, Options(allow=given.allow, ask=asker, offline=given.offline))).allow
    inputs, trusted = given_inputs(given.inputs, document, engine, list(allow))
    left: list[Egress] = []
    options = Options(
        allow=allow,
        offline=given.offline,
        ask=asker,
        person=asker,
        stays=given.stay,
        on_egress=left.append if given.egress else None,
        to=given.to,
        model=given.model,
        cache=not given.no_cache,
        seed=given.seed,
        trusted=trusted,
        limit=limit,
        prompts=given.prompts,
        on_written=on_written,
        on=given.on,
        **recording_options(given),
    )
    if options.on:
        await engine.cluster(given.on, options)
    try:
        run = engine.start(document, inputs, options)
    except PermissionNeeded:
        # It asks, or raises the same.
        options = await engine.ask(document, inputs, options)
        run = engine.start(document, inputs, options)
    # Who runs it again, as `watch` does, is not asked again.
    given.allow = list(options.allow)
    return replace(await followed(run, listen), egress=tuple(left))


async def followed(run: Run, listen: Callable[[Event], None]) -> Result:
    """How a run ends, each event told to `listen`; Ctrl-C cancels it."""
    run.discard_events()
    reader_gone = False

    def tell(event: Event) -> None:
        nonlocal reader_gone
        try:
            listen(event)
        except BrokenPipeError:
            reader_gone = True
            run.cancel()

    run.subscribe(tell)
    with _stopped_by_signals(run):
        result = await run.result()
    if reader_gone:
        raise BrokenPipeError
    return result


def at_terminal(engine: Engine, listen: Callable[[Event], None]) -> AtTerminal | None:
    """The person at the terminal, on which `listen` may be drawing; None if there is none."""
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        return None
    from phloem.runtime.cli.asking import AtTerminal

    return AtTerminal(engine.home.path, getattr(listen, "paused", nullcontext))


@contextmanager
def _stopped_by_signals(run: Run) -> Iterator[None]:
    """Ctrl-C and a polite kill cancel the run; a second one ends the program where it stands."""
    loop = asyncio.get_running_loop()
    signals = [signal.SIGINT, signal.SIGTERM]

    def stop() -> None:
        run.cancel()
        for one in signals:
            loop.remove_signal_handler(one)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for one in signals:
            loop.add_signal_handler(one, stop)
    except NotImplementedError:
        # Windows: Ctrl-C then cancels the main task, which cancels the run.
        signals.clear()
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


def given_inputs(
    texts: list[str], document: WorkflowFile, engine: Engine, allow: Sequence[Grant | str] = ()
) -> tuple[dict[str, Any], list[Path]]:
    """The values of `-i`, by the types of the inputs, and the files that were named by them."""
    checked = engine.check(document, Options(allow=allow))
    declared = checked.workflow.inputs
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"-i {text}: an input is given as NAME=VALUE")
        if name not in declared:
            near = nearest(name, declared)
            known = f"The inputs are {', '.join(declared)}." if declared else "The workflow has no inputs."
            raise ConfigError(
                f"-i {name}: there is no input called {name}", hint=f"Did you mean {near}?" if near else known
            )
        values[name] = parse_input(name, _content(name, value), declared[name].type)
    paths = path_inputs(checked) & values.keys()
    values |= {name: absolute_paths(values[name], Path.cwd()) for name in paths}
    return values, [Path(path) for name in paths for path in _files(values[name])]


def _files(value: Any) -> list[str]:
    """The paths in the value of an input that takes them."""
    texts = value if isinstance(value, list) else [value]
    return [one for one in texts if isinstance(one, str) and one and not is_url(one)]


def _content(name: str, value: str) -> str:
    """The text of an input: as it stands, or from the file that `@` names."""
    if value.startswith("@@"):
        return value[1:]
    if not value.startswith("@"):
        return value
    try:
        if value == "@-":
            data = b"" if sys.stdin is None else sys.stdin.buffer.read(INPUT_LIMIT + 1)
        else:
            with Path(value[1:]).expanduser().open("rb") as file:
                data = file.read(INPUT_LIMIT + 1)
        if len(data) > INPUT_LIMIT:
            raise ConfigError(f"-i {name}: {value[1:]} is larger than {INPUT_LIMIT:,} bytes")
        # However a file ends its lines, as Python's own text files are read.
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise ConfigError(f"-i {name}: cannot read {value[1:]}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"-i {name}: {value[1:]} is not UTF-8 text (byte {error.start})") from error


@contextmanager
def progress(given: argparse.Namespace) -> Iterator[Callable[[Event], None]]:
    """What is called with each event: it prints it, draws it, or says only what failed."""
    if given.events:
        yield _print_event
        return
    form = given.progress
    if form == "auto":
        form = "live" if sys.stderr.isatty() else "off"
    if form == "live":
        from phloem.runtime.cli.live import live

        with live() as listen:
            yield listen
    else:
        from phloem.runtime.cli.lines import lines, quiet

        yield lines if form == "lines" else quiet


def _print_event(event: Event) -> None:
    print(json.dumps(to_json(event), ensure_ascii=False), flush=True)


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "run": result.run,
        "status": result.status,
        "seconds": round(result.seconds, 6),
        "spent": {"tokens_in": result.tokens_in, "tokens_out": result.tokens_out, "money": round(result.money, 9)},
        "limit": None if result.limit is None else _failure(result.limit),
        "outputs": json_form(result.outputs),
        "failures": {node: _failure(error) for node, error in result.failures.items()},
        "questions": [
            {
                "node": one.node,
                "asks": one.asks,
                "type": one.type,
                "choices": list(one.choices),
                "deadline": one.deadline,
            }
            for one in result.questions
        ],
    }


def _failure(error: Exception) -> dict[str, Any]:
    hint = error.hint if isinstance(error, PhloemError) else None
    message = error.message if isinstance(error, PhloemError) else str(error)
    return {"error": type(error).__name__, "message": message, "hint": hint}


def exit_code(result: Result) -> int:
    """The exit code of a run that has ended like this."""
    if result.status == "cancelled":
        print("cancelled", file=sys.stderr)
        return 130
    if result.status == "waiting":
        return WAITING
    if result.status == "limited":
        return 1
    if result.status == "failed":
        wrong = (PermissionNeeded,)
        return 2 if all(isinstance(error, wrong) for error in result.failures.values()) else 1
    return 0
