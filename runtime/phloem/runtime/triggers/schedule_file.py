"""The file of a schedule, which a person can read and edit.

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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from phloem.runtime.document.comments import Comments
from phloem.runtime.document.fields import Fields, shortened, what
from phloem.runtime.document.tree import Branch, Leaf, Row, Span, Text, Tree, error_of, plain
from phloem.runtime.errors import ConfigError, DocumentError, Problem
from phloem.runtime.triggers.schedule import Missed, Schedule
from phloem.runtime.triggers.times import Cron, Every, Times, zone_named

__all__ = ["data_of", "parsed", "text_of"]

FORMAT: Final = 1
LARGEST: Final = 1_000_000
"""Bytes of a schedule's file: a larger one is some other file."""
KEYS: Final = (
    "schedule", "file", "cron", "every", "timezone", "folder", "inputs", "allow", "options", "missed", "overlap",
    "paused", "since",
)  # fmt: skip


def data_of(one: Schedule) -> dict[str, Any]:
    """What the file of a schedule holds."""
    times = {"cron" if isinstance(one.times, Cron) else "every": one.times.text}
    data: dict[str, Any] = {"schedule": FORMAT, "file": str(one.file), **times}
    rest = {
        "timezone": one.timezone, "folder": str(one.folder or ""), "inputs": dict(one.inputs),
        "allow": list(one.allow), "options": list(one.options),
        "missed": "" if one.missed == "run-once" else one.missed, "overlap": one.overlap, "paused": one.paused,
        "since": one.since.isoformat(timespec="seconds") if one.since else "",
    }  # fmt: skip
    return {**data, **{key: value for key, value in rest.items() if value}}


def text_of(data: Mapping[str, Any], comments: Comments) -> str:
    """The text of that file."""
    from phloem.runtime.document.write import write_yaml

    return write_yaml(data, comments)


def parsed(name: str, data: bytes, path: Path) -> tuple[Schedule, dict[str, Any], Comments]:
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
        try:
            return (Every(seconds, since) if since else Every(seconds)) if seconds else None
        except ConfigError as error:
            self.complain(tree.items["every"].start, error.message)
            return None

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
            if found is not None and not 1970 <= found.year < 9000:
                raise ValueError
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
