"""`phloem schedule`: workflows at set times."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from phloem.runtime.cli import INTERRUPTED, complain
from phloem.runtime.cli.schedule_arguments import OWN
from phloem.runtime.document.fields import seconds_of
from phloem.runtime.errors import ConfigError, PhloemError
from phloem.runtime.home import Home
from phloem.runtime.triggers.history import History, Last
from phloem.runtime.triggers.launch import Launch
from phloem.runtime.triggers.schedules import Schedule, Schedules
from phloem.runtime.triggers.times import Cron, Every, Times, zone_named
from phloem.runtime.words import printable

__all__ = ["main"]

NEXT: Final = 3
"""How many of the next times are shown."""


def main(given: argparse.Namespace) -> int:
    """Do what was asked; the exit code."""
    home = Home.default()
    actions = {
        "add": _add, "list": _list, "show": _show, "run-now": _run_now, "pause": _pause, "resume": _pause,
        "remove": _remove, "serve": _serve,
    }  # fmt: skip
    return actions[given.action](given, home)


def _add(given: argparse.Namespace, home: Home) -> int:
    times = _times(given)
    zone_named(given.timezone)
    file = Path(given.file).absolute()
    schedule = Schedule(
        name=given.name or _name_of(file),
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
    Schedules(home).add(schedule)
    print(f"{schedule.name}: {schedule.when}, first {_next(schedule)}")
    _tell_if_not_served(home)
    return 0


def _times(given: argparse.Namespace) -> Times:
    if given.cron is not None:
        return Cron.parse(given.cron)
    seconds = seconds_of(given.every)
    if not seconds or seconds < 1:
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


def _list(given: argparse.Namespace, home: Home) -> int:
    schedules, code = Schedules(home), 0
    rows: list[dict[str, Any]] = []
    times: dict[str, str] = {}
    for name in schedules.names():
        try:
            schedule = schedules.read(name)
            rows.append(_about(schedule, home))
            times[name] = _next(schedule)
        except PhloemError as error:
            code = 2
            if given.json:
                rows.append({"name": name, "damaged": str(error)})
            else:
                complain(error)
    if given.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return code
    if not rows and not code:
        print("There are no schedules; phloem schedule add makes one.", file=sys.stderr)
    _print_table([[row["name"], row["when"], times[row["name"]], _last(row)] for row in rows])
    if rows:
        _tell_if_not_served(home)
    return code


def _print_table(rows: list[list[str]]) -> None:
    if rows:
        table = [["name", "when", "next", "last"], *rows]
        widths = [max(len(line[column]) for line in table) for column in range(3)]
        for line in table:
            print(
                "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]).rstrip()
            )


def _show(given: argparse.Namespace, home: Home) -> int:
    schedules = Schedules(home)
    schedule = schedules.read(given.name)
    about = _about(schedule, home)
    history = History(home, schedule.name)
    about |= {
        "file": str(schedules.path(schedule.name)),
        "command": ["phloem", "run", *schedule.words],
        "folder": str(schedule.folder or schedule.file.parent),
        "logs": [str(one) for one in history.newest_logs(5)],
    }
    if given.json:
        print(json.dumps(about, ensure_ascii=False, indent=2))
        return 0
    import shlex

    print(f"{schedule.name}: {schedule.when}" + (", paused" if schedule.paused else ""))
    print(f"  runs   {printable(shlex.join(about['command']))}")
    print(f"  in     {printable(about['folder'])}")
    if about["next"]:
        print(f"  next   {', '.join(_clock(datetime.fromisoformat(one), schedule) for one in about['next'])}")
    print(f"  last   {_last(about)}")
    if about["failures"] > 1:
        print(f"         the last {about['failures']} runs did not end well")
    for number, log in enumerate(about["logs"]):
        print(f"  {'logs' if number == 0 else '    '}   {log}")
    print(f"  kept   {about['file']}")
    _tell_if_not_served(home)
    return 0


def _about(schedule: Schedule, home: Home) -> dict[str, Any]:
    """What there is to say of a schedule, as JSON data."""
    history = History(home, schedule.name)
    upcoming = [] if schedule.paused else schedule.next(NEXT, datetime.now(UTC))
    return {
        "name": schedule.name,
        "workflow": str(schedule.file),
        "when": schedule.when,
        "paused": schedule.paused,
        "missed": schedule.missed,
        "overlap": schedule.overlap,
        "next": [one.isoformat() for one in upcoming],
        "last": asdict(history.last) if history.last else None,
        "failures": history.failures,
    }


def _next(schedule: Schedule) -> str:
    """When it is due next, in words."""
    upcoming = None if schedule.paused else schedule.after(datetime.now(UTC))
    return _clock(upcoming, schedule) if upcoming else "paused" if schedule.paused else "never"


def _last(row: dict[str, Any]) -> str:
    if row["last"] is None:
        return "has not run yet"
    last = Last(**row["last"])
    began = datetime.fromisoformat(last.began).astimezone().strftime("%Y-%m-%d %H:%M")
    took = ""
    if last.ended:
        seconds = (datetime.fromisoformat(last.ended) - datetime.fromisoformat(last.began)).total_seconds()
        took = f", {seconds:.0f} s"
    return f"{last.status} ({began}{took})" + (f": {printable(last.error)}" if last.error else "")


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
    for one in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(one, lambda: loop.create_task(launch.cancel()))
    following = asyncio.ensure_future(_follow(launch))
    ending = await launch.ending()
    await following
    for one in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.remove_signal_handler(one)
    code = launch.process.returncode or 0
    print(f"{schedule.name}: {ending.status}; its log is {launch.log}", file=sys.stderr)
    return code if code in (0, 1, 2, 3, INTERRUPTED) else 1


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
    print(f"{schedule.name}: " + ("paused" if paused else f"next {_next(schedule)}"))
    return 0


def _remove(given: argparse.Namespace, home: Home) -> int:
    history = History(home, given.name)
    running = history.is_running
    Schedules(home).remove(given.name)
    history.remove()
    print(f"{given.name}: removed" + (", while a run of it goes on to its end" if running else ""))
    return 0


def _serve(given: argparse.Namespace, home: Home) -> int:
    from phloem.runtime.triggers.serve import Service

    grace = seconds_of(given.grace) if not given.grace.isdigit() else float(given.grace)
    if grace is None:
        raise ConfigError(f"--grace {given.grace}: not a length of time", hint="Write --grace 60s, or 5m.")
    if given.at_once < 1:
        raise ConfigError(f"--at-once {given.at_once}: at least one has to run")

    async def serve() -> None:
        service = Service(home, tell=_tell, at_once=given.at_once)
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):
                loop.add_signal_handler(one, service.stop)
        await service.run(grace)

    asyncio.run(serve())
    return 0


def _tell(line: str) -> None:
    print(f"{datetime.now().strftime('%Y-%m-%d %H:%M:%S')} {printable(line)}", file=sys.stderr, flush=True)


def _tell_if_not_served(home: Home) -> None:
    from phloem.runtime.triggers.serve import is_served

    if not is_served(home):
        print("Nothing runs them: phloem schedule serve does, and has to go on.", file=sys.stderr)


def _clock(moment: datetime, schedule: Schedule) -> str:
    """A time as the clocks of the schedule show it."""
    return moment.astimezone(schedule.zone).strftime("%a %Y-%m-%d %H:%M %Z")
