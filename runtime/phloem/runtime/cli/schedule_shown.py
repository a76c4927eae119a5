"""What `phloem schedule list` and `show` tell of schedules: when they are due, and how their runs went."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from phloem.runtime.cli import complain
from phloem.runtime.errors import PhloemError
from phloem.runtime.home import Home
from phloem.runtime.triggers.history import History, Last
from phloem.runtime.triggers.schedule import Schedule
from phloem.runtime.triggers.schedules import Schedules
from phloem.runtime.words import printable

__all__ = ["list_all", "next_words", "show", "tell_if_not_served"]

NEXT: Final = 3
"""How many of the next times are shown."""


def list_all(given: argparse.Namespace, home: Home) -> int:
    """Print all schedules; 2 if one of them is damaged, else 0."""
    schedules, code = Schedules(home), 0
    rows: list[dict[str, Any]] = []
    times: dict[str, str] = {}
    for name in schedules.names():
        try:
            schedule = schedules.read(name)
            rows.append(_about(schedule, home))
            times[name] = next_words(schedule)
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
        tell_if_not_served(home)
    return code


def _print_table(rows: list[list[str]]) -> None:
    if rows:
        table = [["name", "when", "next", "last"], *rows]
        widths = [max(len(line[column]) for line in table) for column in range(3)]
        for line in table:
            print(
                "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]).rstrip()
            )


def show(given: argparse.Namespace, home: Home) -> int:
    """Print all about one schedule."""
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
    tell_if_not_served(home)
    return 0


def _about(schedule: Schedule, home: Home) -> dict[str, Any]:
    """What there is to say of a schedule, as JSON data."""
    history = History(home, schedule.name)
    last = history.last
    upcoming = [] if schedule.paused else schedule.next(NEXT, datetime.now(UTC))
    return {
        "name": schedule.name,
        "workflow": str(schedule.file),
        "when": schedule.when,
        "paused": schedule.paused,
        "missed": schedule.missed,
        "overlap": schedule.overlap,
        "next": [one.isoformat() for one in upcoming],
        "last": asdict(last) if last else None,
        "failures": history.failures,
    }


def next_words(schedule: Schedule) -> str:
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


def tell_if_not_served(home: Home) -> None:
    """Say that nothing looks after the schedules, if that is so."""
    from phloem.runtime.triggers.serve import is_served

    if not is_served(home):
        print("Nothing runs them: phloem schedule serve does, and has to go on.", file=sys.stderr)


def _clock(moment: datetime, schedule: Schedule) -> str:
    """A time as the clocks of the schedule show it."""
    return moment.astimezone(schedule.zone).strftime("%a %Y-%m-%d %H:%M %Z")
