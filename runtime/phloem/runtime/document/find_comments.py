"""Where the comments of a YAML text stand, and which entry each of them speaks of.

A comment above an entry, or behind it on its line, is the entry's own; one that is indented like the
entries before it, with none of them following, stands at the end of their mapping or list.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from phloem.runtime.document.comments import Comments, Texts
from phloem.runtime.document.tree import Branch, Leaf, Lines, Path, Row, Span, Tree

__all__ = ["comments_in", "has_comments"]

_LINE_END: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]|\\Z")
_EMPTY_LINE: Final = re.compile("(?:\n|\r(?!\n))([ \t]*)(?=[\n\r])")


def has_comments(text: str) -> bool:
    """False if a text surely holds neither comments nor empty lines."""
    return "#" in text or _EMPTY_LINE.search(text) is not None


def comments_in(text: str, tree: Tree | None, spans: list[Span], lines: Lines) -> Comments:
    """The comments of a YAML text whose tree and scalars are known."""
    entries = list(_entries(tree, lines)) if tree is not None else []
    if not entries:
        return Comments()
    bodies = _Bodies(text, spans)
    return _Gathered(entries).take(sorted([*_remarks(text, bodies), *_empty_lines(text, bodies)]))


class Remark(NamedTuple):
    """A comment, or an empty line (`text` is empty).

    `alone`: nothing but space is before it on its line, which starts at `line`. `column` is that of
    the first thing on the line, from 1; `dashes` is true where nothing but dashes is before it.
    """

    place: int
    text: str
    alone: bool = True
    line: int = 0
    column: int = 0
    dashes: bool = False


class Entry(NamedTuple):
    """An entry of a mapping or list: where it starts, the column its mapping or list begins in, and its value.

    `flow`: it stands inside `{}` or `[]`.
    """

    start: int
    path: Path
    column: int
    value: Tree
    flow: bool


def _entries(tree: Tree, lines: Lines) -> Iterator[Entry]:
    """Every entry below `tree`, in the order of the text."""
    waiting: list[Iterator[Entry]] = [_children(tree, (), lines)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        yield entry
        if not isinstance(entry.value, Leaf):
            waiting.append(_children(entry.value, entry.path, lines))


def _children(tree: Tree, path: Path, lines: Lines) -> Iterator[Entry]:
    if isinstance(tree, Branch):
        for key, item in tree.items.items():
            start = tree.places[key]
            yield Entry(start, (*path, key), lines.at(start)[1], item, tree.flow)
    elif isinstance(tree, Row):
        column = lines.at(tree.start)[1]
        for index, item in enumerate(tree.items):
            yield Entry(item.start, (*path, index), column, item, tree.flow)


class _Bodies:
    """Which parts of a text are the insides of scalars, where neither a `#` nor an empty line means anything."""

    def __init__(self, text: str, spans: list[Span]) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        for start, end, block in spans:
            if block:
                header = text[start : (start := _line_end(text, start))].partition("#")[0]
                if "+" not in header:
                    end = start + len(text[start:end].rstrip("\r\n"))
            self.starts.append(start)
            self.ends.append(end)

    def end(self, place: int) -> int | None:
        """The end of the scalar that `place` is inside of; None if it is outside of all."""
        index = bisect_right(self.starts, place) - 1
        return self.ends[index] if index >= 0 and place < self.ends[index] else None


def _remarks(text: str, bodies: _Bodies) -> Iterator[Remark]:
    """Every comment. A `#` begins one wherever it is outside the scalars."""
    lines = [0, *(found.end() for found in _LINE_END.finditer(text))]
    at = text.find("#")
    while at >= 0:
        end = bodies.end(at)
        if end is None:
            end = _line_end(text, at)
            line = lines[bisect_right(lines, at) - 1]
            before = text[line:at]
            column = len(before) - len(before.lstrip(" \t")) + 1
            dashes = before.strip(" \t") != "" and not before.strip(" \t-")
            yield Remark(at, text[at:end].rstrip(), not before.strip(" \t?:"), line, column, dashes)
        at = text.find("#", end)


def _line_end(text: str, at: int) -> int:
    found = _LINE_END.search(text, at)
    return found.start() if found else len(text)


def _empty_lines(text: str, bodies: _Bodies) -> Iterator[Remark]:
    """Every empty line that is no part of a text."""
    for found in _EMPTY_LINE.finditer(text):
        if bodies.end(found.start(1)) is None:
            yield Remark(found.end(), "")


class _Gathered:
    """Ties remarks to entries, in the order of the text."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.starts = [entry.start for entry in entries]
        self.by_path = {entry.path: entry for entry in entries}
        self.head: list[str] = []
        self.before: dict[Path, list[str]] = {}
        self.beside: dict[Path, str] = {}
        self.after: dict[Path, list[str]] = {}

    def take(self, remarks: list[Remark]) -> Comments:
        for index, remark in enumerate(remarks):
            if remark.text and not remark.alone and remark.place > self.starts[0]:
                self.put_beside(remark)
            else:
                slot = self.slot(remark, remarks[index + 1] if index + 1 < len(remarks) else None)
                if slot is not None and (remark.text or slot or slot is not self.head):
                    slot.append(remark.text)
        return Comments(tuple(self.head), _frozen(self.before), self.beside, _frozen(self.after))

    def put_beside(self, remark: Remark) -> None:
        """A comment behind something: the last entry begun, what was closed with it, or a dash whose item follows."""
        index = bisect_right(self.starts, remark.place) - 1
        entry = self.entries[index]
        empty = isinstance(entry.value, Leaf) and entry.start >= remark.line
        if remark.dashes and not empty and index + 1 < len(self.entries):
            entry = self.entries[index + 1]
        path = entry.path
        while path and entry.flow:
            around = self.by_path.get(path[:-1])
            if around is None:
                break
            if isinstance(around.value, Leaf) or around.value.end > remark.place:
                break
            entry, path = around, around.path
        if path in self.beside:
            self.before.setdefault(path, []).append(remark.text)
        else:
            self.beside[path] = remark.text

    def slot(self, remark: Remark, following: Remark | None) -> list[str] | None:
        """The list that a remark on a line of its own belongs to; None for an empty line that means nothing."""
        if remark.place <= self.starts[0]:
            return self.head
        index = bisect_right(self.starts, remark.place)
        previous = self.entries[index - 1]
        ahead = self.entries[index] if index < len(self.entries) else None
        if not remark.text:
            if following and following.alone and (ahead is None or following.place < ahead.start):
                return self.slot(following, None) if following.text else None
            return self.before.setdefault(ahead.path, []) if ahead and not ahead.flow else None
        if previous.value.start > remark.place and (ahead is None or ahead.path[:-1] != previous.path):
            return self.before.setdefault(previous.path, [])
        inside = self.flow_around(previous, remark.place)
        if inside is not None:
            if ahead is not None and ahead.path[: len(inside)] == inside:
                return self.before.setdefault(ahead.path, [])
            return self.after.setdefault(inside, [])
        if ahead is not None and remark.column <= ahead.column:
            return self.before.setdefault(ahead.path, [])
        around = self.block_around(previous, remark.column)
        if ahead is not None and ahead.path[: len(around)] == around:
            return self.before.setdefault(ahead.path, [])
        return self.after.setdefault(around, [])

    def flow_around(self, entry: Entry, place: int) -> Path | None:
        """The path of the innermost `{}` or `[]` that is open at `place`, `entry` being the last one begun."""
        path: Path = entry.path
        while path:
            value = self.by_path[path].value
            if not isinstance(value, Leaf) and value.flow and value.start < place < value.end:
                return path
            path = path[:-1]
        return None

    def block_around(self, entry: Entry, column: int) -> Path:
        """The path of the innermost block around `entry` whose entries stand no deeper than `column`."""
        path = entry.path
        while len(path) > 1 and (self.by_path[path].flow or self.by_path[path].column > column):
            path = path[:-1]
        return path[:-1]


def _frozen(lists: Mapping[Path, list[str]]) -> dict[Path, Texts]:
    return {path: tuple(texts) for path, texts in lists.items() if texts}
