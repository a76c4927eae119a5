"""The schedules of the home: one file each, which a person can read and edit.

    schedule: 1
    file: /home/ada/news.flow.yaml
    cron: 0 7 * * 1-5             # or  every: 10 min
    timezone: Europe/Berlin       # else this machine's
    folder: /home/ada             # from where relative paths are meant; else the file's own
    inputs: {topic: looms}        # as after -i
    allow: [net=example.org]      # as after --allow
    options: [--model, local:mine]
    missed: run-once              # or skip: what to do about times when nothing was there to run it
    overlap: false
    paused: false
    since: 2026-11-21T18:57:08+00:00

The name of the file is that of the schedule, `morning.yaml`. Comments in it are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final, Literal, cast

from phloem.runtime.disk import replace_file
from phloem.runtime.document.comments import Comments
from phloem.runtime.document.fields import Fields, shortened, what
from phloem.runtime.document.tree import Branch, Leaf, Row, Span, Text, Tree, error_of, plain
from phloem.runtime.document.words import allowed_id
from phloem.runtime.errors import ConfigError, DocumentError, Problem
from phloem.runtime.home import Home
from phloem.runtime.triggers.times import Cron, Every, Times, zone_named
from phloem.runtime.words import nearest

__all__ = ["Missed", "Schedule", "Schedules", "private_folder"]

FORMAT: Final = 1
LARGEST: Final = 1_000_000
"""Bytes of a schedule's file: a larger one is some other file."""

Missed = Literal["run-once", "skip"]
KEYS: Final = (
    "schedule", "file", "cron", "every", "timezone", "folder", "inputs", "allow", "options", "missed", "overlap",
    "paused", "since",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Schedule:
    """A workflow file, when to run it, and how: `inputs`, `allow` and `options` are as after `phloem run`.

    `folder` is where relative paths are meant from. `missed` says what becomes of times at which nothing was there to
    run it; with `overlap` a run begins even while the one before it goes on. Times up to `since` do not count.
    """

    name: str
    file: Path
    times: Times
    timezone: str = ""
    folder: Path | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    missed: Missed = "run-once"
    overlap: bool = False
    paused: bool = False
    since: datetime | None = None

    @property
    def zone(self) -> tzinfo:
        """The time zone in which it is meant. ConfigError if there is none of that name."""
        return zone_named(self.timezone)

    def after(self, moment: datetime) -> datetime | None:
        """The first time it is due later than `moment`, paused or not."""
        return self.times.after(moment, self.zone)

    def next(self, count: int, now: datetime) -> list[datetime]:
        """The next times it is due."""
        found: list[datetime] = []
        moment: datetime | None = now
        while moment is not None and len(found) < count:
            moment = self.after(moment)
            if moment is not None:
                found.append(moment)
        return found

    @property
    def words(self) -> list[str]:
        """What stands after `phloem run` for it."""
        given = [f"{name}={value}" for name, value in self.inputs.items()]
        return [
            str(self.file),
            *(word for one in given for word in ("-i", one)),
            *(word for one in self.allow for word in ("--allow", one)),
            *self.options,
        ]

    @property
    def when(self) -> str:
        """`0 7 * * 1-5 (Europe/Berlin)`, `every 10 min`."""
        if isinstance(self.times, Every):
            return f"every {_length(self.times.seconds)}"
        return f"{self.times.text} ({self.timezone})" if self.timezone else self.times.text


class Schedules:
    """The folder of schedules in a home."""

    def __init__(self, home: Home) -> None:
        self.folder = home.schedules

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def names(self) -> list[str]:
        """The names of all schedules, the damaged ones too, sorted."""
        try:
            return sorted(one.stem for one in self.folder.glob("*.yaml") if allowed_id(one.stem))
        except OSError:
            return []

    def read(self, name: str) -> Schedule:
        """One schedule. ConfigError if there is none of that name, DocumentError, with the lines, if it is damaged."""
        try:
            data = self.path(name).read_bytes() if allowed_id(name) else None
        except (FileNotFoundError, NotADirectoryError):
            data = None
        except OSError as error:
            raise ConfigError(f"cannot read {self.path(name)}: {(error.strerror or str(error)).lower()}") from error
        if data is None:
            near, known = nearest(name, self.names()), self.names()
            hint = f"Did you mean {near}?" if near else f"There is {', '.join(known)}." if known else None
            raise ConfigError(f"there is no schedule called {name}", hint=hint or "phloem schedule add makes one.")
        return _parsed(name, data, self.path(name))[0]

    def add(self, schedule: Schedule) -> None:
        """Keep a new one. ConfigError if its name is none, or taken, or if it cannot be written."""
        if not allowed_id(schedule.name):
            hint = "It begins with a letter or _, and goes on with letters, digits, _ and -, 100 in all."
            raise ConfigError(f"{schedule.name!r} cannot be the name of a schedule", hint=hint)
        path = self.path(schedule.name)
        if path.exists():
            hint = "Give this one another with --name, or remove that one first."
            raise ConfigError(f"there is a schedule called {schedule.name} already", hint=hint)
        self._write(path, _text(_data(schedule), Comments()))

    def pause(self, name: str, paused: bool) -> Schedule:
        """Stop it from being due, or let it be due again; the schedule as it is then."""
        schedule = replace(self.read(name), paused=paused)
        path = self.path(name)
        _, data, comments = _parsed(name, path.read_bytes(), path)
        data.pop("paused", None)
        self._write(path, _text({**data, "paused": True} if paused else data, comments))
        return schedule

    def remove(self, name: str) -> None:
        """Take a schedule away, a damaged one too. ConfigError if there is none."""
        if not self.path(name).exists():
            self.read(name)
        self.path(name).unlink()

    def _write(self, path: Path, text: str) -> None:
        try:
            private_folder(self.folder)
            replace_file(path, text.encode())
            path.chmod(0o600)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def private_folder(folder: Path) -> None:
    """Make a folder, if it is not there, that only its owner can look into."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)


def _data(one: Schedule) -> dict[str, Any]:
    """What the file of a schedule holds."""
    times = {"cron": one.times.text} if isinstance(one.times, Cron) else {"every": _length(one.times.seconds)}
    data: dict[str, Any] = {"schedule": FORMAT, "file": str(one.file), **times}
    rest = {
        "timezone": one.timezone, "folder": str(one.folder or ""), "inputs": dict(one.inputs),
        "allow": list(one.allow), "options": list(one.options),
        "missed": "" if one.missed == "run-once" else one.missed, "overlap": one.overlap, "paused": one.paused,
        "since": one.since.isoformat(timespec="seconds") if one.since else "",
    }  # fmt: skip
    return {**data, **{key: value for key, value in rest.items() if value}}


def _text(data: Mapping[str, Any], comments: Comments) -> str:
    from phloem.runtime.document.write import write_yaml

    return write_yaml(data, comments)


def _length(seconds: float) -> str:
    """`10 min`, `36 h`, `90 s`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size:g} {unit}"
    return f"{seconds:g} s"


def _parsed(name: str, data: bytes, path: Path) -> tuple[Schedule, dict[str, Any], Comments]:
    """The schedule in a file, all that the file holds, and its comments. DocumentError with every problem."""
    from phloem.runtime.document.find_comments import comments_in
    from phloem.runtime.document.yaml_tree import yaml_tree

    if len(data) > LARGEST:
        raise DocumentError(Problem(f"the file is larger than {LARGEST:,} bytes, so it is no schedule", file=str(path)))
    try:
        source = Text(data.decode().removeprefix("\ufeff"), str(path))
    except UnicodeDecodeError as error:
        raise DocumentError(Problem(f"byte {error.start:,} is not UTF-8", file=str(path))) from None
    spans: list[Span] = []
    tree = yaml_tree(source, spans)
    schedule = _Reader(source).schedule(name, tree)
    if source.problems or schedule is None or not isinstance(tree, Branch):
        raise error_of(source.problems, source.left_out, str(path))
    return schedule, plain(tree), comments_in(source.text, tree, spans, source.lines)


class _Reader(Fields):
    """Reads one schedule."""

    def schedule(self, name: str, tree: Tree | None) -> Schedule | None:
        if not isinstance(tree, Branch):
            found = "empty" if tree is None else what(tree)
            self.complain(0, f"a schedule is a mapping of file, cron and so on; this one is {found}")
            return None
        version = tree.items.get("schedule")
        if not isinstance(version, Leaf) or version.value != FORMAT or isinstance(version.value, bool):
            newer = isinstance(version, Leaf) and isinstance(version.value, int) and version.value > FORMAT
            hint = "Install a newer Phloem to read it." if newer else f"Its first line is `schedule: {FORMAT}`."
            self.complain(version.start if version else tree.start, "this is not a schedule of format 1", hint)
            return None
        where = "the schedule"
        self.known_only(tree, KEYS, f"There is {', '.join(KEYS[1:])}.", where, None)
        since = self.moment(tree, "since")
        file, folder = (Path(self.text(tree, key, where)).expanduser() for key in ("file", "folder"))
        times = self.times_of(tree, since)
        if "file" not in tree.items:
            self.complain(tree.start, "the schedule names no `file` to run")
        for key, one in (("file", file), ("folder", folder)):
            if key in tree.items and not one.is_absolute():
                self.complain(tree.items[key].start, f"`{key}` must be a path from the root on, such as /home/ada/…")
        if times is None:
            return None
        return Schedule(
            name=name,
            file=file,
            times=times,
            timezone=self.zone_name(tree),
            folder=folder if "folder" in tree.items else None,
            inputs={key: _as_typed(value) for key, value in self.values(tree, "inputs", where, "inputs").items()},
            allow=self.list_of_texts(tree, "allow"),
            options=self.list_of_texts(tree, "options"),
            missed=self.missed(tree),
            overlap=self.yes_or_no(tree, "overlap"),
            paused=self.yes_or_no(tree, "paused"),
            since=since,
        )

    def times_of(self, tree: Branch, since: datetime | None) -> Times | None:
        """The cron expression or the interval; exactly one of them has to be there."""
        found = [key for key in ("cron", "every") if key in tree.items]
        if len(found) != 1:
            message = "the schedule has both `cron` and `every`" if found else "the schedule does not say when"
            self.complain(tree.start, message, "It has `cron: 0 7 * * 1-5` or `every: 10 min`.")
            return None
        if found == ["cron"]:
            try:
                return Cron.parse(self.text(tree, "cron", "the schedule"))
            except ConfigError as error:
                self.complain(tree.items["cron"].start, error.message, error.hint)
                return None
        seconds = self.duration(tree.items["every"], "`every`", None)
        return Every(seconds, since) if since and seconds else Every(seconds) if seconds else None

    def zone_name(self, tree: Branch) -> str:
        name = self.text(tree, "timezone", "the schedule")
        try:
            zone_named(name)
        except ConfigError as error:
            self.complain(tree.items["timezone"].start, error.message, error.hint)
        return name

    def moment(self, tree: Branch, key: str) -> datetime | None:
        text = self.text(tree, key, "the schedule")
        try:
            found = datetime.fromisoformat(text) if text else None
        except ValueError:
            self.complain(tree.items[key].start, f"`{key}` must be a date and time, such as 2026-11-21T18:57:08+00:00")
            return None
        return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found

    def missed(self, tree: Branch) -> Missed:
        word = self.text(tree, "missed", "the schedule") or "run-once"
        if word not in ("run-once", "skip"):
            message = f"`missed` must be run-once or skip, not `{shortened(word)}`"
            self.complain(tree.items["missed"].start, message)
            return "run-once"
        return cast("Missed", word)

    def yes_or_no(self, tree: Branch, key: str) -> bool:
        found = tree.items.get(key)
        if found is not None and not (isinstance(found, Leaf) and isinstance(found.value, bool)):
            self.complain(found.start, f"`{key}` must be true or false, not {what(found, show=True)}")
        return isinstance(found, Leaf) and found.value is True

    def list_of_texts(self, tree: Branch, key: str) -> tuple[str, ...]:
        found = tree.items.get(key)
        if found is None:
            return ()
        if isinstance(found, Row) and all(isinstance(one, Leaf) and one.value is not None for one in found.items):
            return tuple(_as_typed(plain(one)) for one in found.items)
        self.complain(found.start, f"`{key}` must be a list of texts, not {what(found)}")
        return ()


def _as_typed(value: Any) -> str:
    """A value as it is written after `-i NAME=`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
