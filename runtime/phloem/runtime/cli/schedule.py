"""`phloem schedule`: workflows at set times."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from phloem.runtime.cli.schedule_arguments import OWN
from phloem.runtime.cli.schedule_shown import list_all, next_words, show, tell_if_not_served
from phloem.runtime.cli.signals import told_to_stop
from phloem.runtime.document.fields import seconds_of
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.triggers.history import History
from phloem.runtime.triggers.launch import Launch
from phloem.runtime.triggers.schedule import Schedule
from phloem.runtime.triggers.schedules import Schedules
from phloem.runtime.triggers.times import Cron, Every, Times, zone_named
from phloem.runtime.words import printable

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Do what was asked; the exit code."""
    home = Home.default()
    actions = {
        "add": _add, "list": list_all, "show": show, "run-now": _run_now, "pause": _pause, "resume": _pause,
        "remove": _remove, "serve": _serve,
    }  # fmt: skip
    return actions[given.action](given, home)


def _add(given: argparse.Namespace, home: Home) -> int:
    times = _times(given)
    zone_named(given.timezone)
    file = Path(given.file).absolute()
    schedules, name = Schedules(home), given.name or _name_of(file)
    # Before anybody is asked for grants.
    schedules.must_be_free(name)
    schedule = Schedule(
        name=name,
        file=file,
        times=times,
        timezone=given.timezone,
        folder=Path.cwd(),
        inputs=dict(_input(text) for text in given.inputs),
        allow=tuple(_grants(given, home)),
        options=tuple(_options(given)),
        missed=given.missed,
        overlap=given.overlap,
        since=datetime.now(UTC),
    )
    schedules.add(schedule)
    print(f"{schedule.name}: {schedule.when}, first {next_words(schedule)}")
    tell_if_not_served(home)
    return 0


def _times(given: argparse.Namespace) -> Times:
    if given.cron is not None:
        return Cron.parse(given.cron)
    seconds = seconds_of(given.every)
    if not seconds:
        raise ConfigError(f"--every {given.every}: not a length of time", hint="Write --every 10m, or 90s, 6h, 1d.")
    return Every(seconds, datetime.now(UTC).replace(microsecond=0))


def _name_of(file: Path) -> str:
    """`news` for `/home/ada/news.flow.yaml`."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", file.name.partition(".")[0]).strip("-")
    return stem if stem[:1].isalpha() or stem[:1] == "_" else f"schedule-{stem}".rstrip("-")


def _input(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"-i {text}: an input is given as NAME=VALUE")
    if value == "@-":
        raise ConfigError(f"-i {text}: a schedule has no standard input", hint="Put it into a file, and give @FILE.")
    return name, value


def _options(given: argparse.Namespace) -> list[str]:
    """The other options of `phloem run` that were given, as words."""
    from phloem.runtime.cli.arguments import parser

    run = next(one for one in parser(["run"])._actions if isinstance(one, argparse._SubParsersAction)).choices["run"]
    words: list[str] = []
    for action in run._actions:
        value = getattr(given, action.dest, action.default)
        if action.dest in OWN or not action.option_strings or value == action.default:
            continue
        option = action.option_strings[-1]
        if action.nargs == 0:
            words.append(option)
            continue
        for one in value if isinstance(value, list) else [value]:
            words += [option, str(one)]
    return words


def _grants(given: argparse.Namespace, home: Home) -> list[str]:
    """The grants that the run will have, asked for on a terminal. The error that it would begin with, if any, is raised
    now: nobody is there to see it when it is due."""
    from phloem.runtime.cli.limits import parse_limits
    from phloem.runtime.cli.run import at_terminal, given_inputs
    from phloem.runtime.document import load
    from phloem.runtime.engine import Engine
    from phloem.runtime.runs import Options

    async def ask() -> list[str]:
        engine = Engine(home)
        try:
            document = load(given.file)
            for problem in document.warnings:
                print(f"warning: {printable(str(problem))}", file=sys.stderr)
            asker = None if given.no_ask else at_terminal(engine, lambda event: None)
            options = Options(allow=given.allow, ask=asker, offline=given.offline, to=given.to, model=given.model)
            options = await engine.ask_to_call(document, options)
            inputs, trusted = given_inputs(given.inputs, document, engine, list(options.allow))
            options = await engine.ask(document, inputs, replace(options, trusted=trusted))
            return [str(one) for one in options.allow]
        finally:
            await engine.close()

    parse_limits(given.limit)
    return asyncio.run(ask())


def _run_now(given: argparse.Namespace, home: Home) -> int:
    return asyncio.run(_run_and_follow(Schedules(home).read(given.name), home))


async def _run_and_follow(schedule: Schedule, home: Home) -> int:
    """Run it, show its log while it is written, and give its exit code. Ctrl-C cancels it."""
    launch = await Launch.begin(home, schedule)
    if launch is None:
        last = History(home, schedule.name).last
        log = f"Its log is {History(home, schedule.name).logs / last.log}" if last else None
        raise ConfigError(f"{schedule.name} is running already", hint=log)
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []
    with told_to_stop(lambda: stopping.append(loop.create_task(launch.cancel()))):
        following = asyncio.ensure_future(_follow(launch))
        ending = await launch.ending()
        await following
    code = launch.process.returncode or 0
    print(f"{schedule.name}: {ending.status}; its log is {launch.log}", file=sys.stderr)
    # One that was ended by a signal has a number below 0.
    return code if code >= 0 else 1


async def _follow(launch: Launch) -> None:
    """Show a log as it grows, what came out on stdout and the rest on stderr."""
    with launch.log.open("rb") as log:
        log.readline()
        left = b""
        while True:
            over = launch.process.returncode is not None
            *lines, left = (left + log.read()).split(b"\n")
            for line in [*lines, left] if over and left else lines:
                to = sys.stdout if line.startswith(b'{"run": ') else sys.stderr
                print(printable(line.decode("utf-8", "replace")), file=to, flush=True)
            if over:
                return
            await asyncio.sleep(0.05)


def _pause(given: argparse.Namespace, home: Home) -> int:
    """Pause it, or resume it: what was due in between was not missed."""
    paused = given.action == "pause"
    schedule = Schedules(home).pause(given.name, paused)
    if not paused:
        History(home, schedule.name).handle(datetime.now(UTC), schedule.when)
    print(f"{schedule.name}: " + ("paused" if paused else f"next {next_words(schedule)}"))
    return 0


def _remove(given: argparse.Namespace, home: Home) -> int:
    Schedules(home).remove(given.name)
    history = History(home, given.name)
    running = history.is_running
    history.remove()
    print(f"{given.name}: removed" + (", while a run of it goes on to its end" if running else ""))
    return 0


def _serve(given: argparse.Namespace, home: Home) -> int:
    from phloem.runtime.triggers.serve import Service

    grace = float(given.grace) if re.fullmatch(r"[0-9]{1,9}", given.grace) else seconds_of(given.grace)
    if grace is None:
        raise ConfigError(f"--grace {given.grace}: not a length of time", hint="Write --grace 60s, or 5m.")
    if given.at_once < 1:
        raise ConfigError(f"--at-once {given.at_once}: at least one has to run")

    async def serve() -> None:
        service = Service(home, tell=_tell, at_once=given.at_once)
        with told_to_stop(service.stop):
            await service.run(grace)

    asyncio.run(serve())
    return 0


def _tell(line: str) -> None:
    # What the schedules are for goes on when nobody can be told of it, as on a full disk.
    with suppress(OSError):
        print(f"{datetime.now().strftime('%Y-%m-%d %H:%M:%S')} {printable(line)}", file=sys.stderr, flush=True)
