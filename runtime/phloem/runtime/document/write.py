"""The canonical form of a workflow file, in YAML.

Keys stand in a fixed order and nodes in the user's. A small flat mapping takes one line in `{}`;
text of several lines is a literal block and a long line a folded one, so both read as prose; every
entry of the layout takes one line, so that a moved box changes one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from phloem.runtime.document.blocks import folded_lines, is_prose, literal_header, literal_lines, quoted_lines
from phloem.runtime.document.comments import Comments, Texts
from phloem.runtime.document.data import ABSENT, value_at
from phloem.runtime.document.scalars import TooLong, number_text, one_line, visible
from phloem.runtime.document.tree import MOST_DEPTH, MOST_VALUES, Path
from phloem.runtime.errors import DocumentError, Problem

__all__ = ["WIDTH", "check_size", "is_small", "line_of", "unwritable", "write_yaml"]

WIDTH: Final = 100
"""The column that lines are kept within where they can be."""
_LONGEST_KEY: Final = 1_000


def write_yaml(data: Mapping[str, Any], comments: Comments) -> str:
    """The text of a workflow file that holds `data`; DocumentError if some of it has no form in a file."""
    check_size(data)
    writer = _Writer(comments, data)
    writer.lines.extend(comments.head)
    writer.mapping(data, (), 0)
    writer.end((), 0)
    return "\n".join(writer.lines) + "\n"


def line_of(value: Any) -> str:
    """Any value of a workflow on one line, as YAML."""
    return _Writer(Comments(), {}).flow(value, ())


def check_size(data: Any) -> None:
    """DocumentError if there are so many values, or so deep in one another, that the file could not be read back."""
    level: list[tuple[Path, Any]] = [((), data)]
    count = 1
    for _ in range(MOST_DEPTH):
        count += sum(len(value) for _, value in level)
        if count > MOST_VALUES:
            raise unwritable(level[0][0], f"there are more than {MOST_VALUES:,} values")
        level = [
            ((*path, key), item)
            for path, value in level
            for key, item in (value.items() if isinstance(value, Mapping) else enumerate(value))
            if _holds(item)
        ]
        if not level:
            return
    raise unwritable(level[0][0], f"mappings and lists stand more than {MOST_DEPTH} deep in one another")


def is_small(value: Any, path: Path) -> bool:
    """Whether the mapping or list at `path` may stand on one line: it holds scalars, and what holds only scalars.

    Never so for a whole workflow, its inputs, nodes, outputs and layout, and each node; for an entry
    of the layout, whatever it holds.
    """
    while path[:1] == ("nodes",) and path[2:3] == ("do",):
        path = path[3:]
        if not path:
            return False
    if not path or path in (("inputs",), ("nodes",), ("outputs",), ("layout",)):
        return False
    if path[0] == "nodes" and len(path) == 2:
        return False
    if path[0] == "layout" and len(path) == 2:
        return True
    return not any(_holds(inner) and inner for item in _items(value) if _holds(item) for inner in _items(item))


def _holds(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _items(value: Mapping[str, Any] | Sequence[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value


class _Writer:
    """Fills `lines`. `kept`: the last of them belongs to a text that keeps the empty lines after it."""

    def __init__(self, comments: Comments, data: Mapping[str, Any]) -> None:
        self.comments = comments
        self.lines: list[str] = []
        self.kept = False
        self.before = _above_dashes(comments.before, data)
        spoken = [*comments.after, *comments.beside, *(path for path, texts in self.before.items() if any(texts))]
        live = [path for path in spoken if value_at(data, path) is not ABSENT]
        around = {path[:length] for path in live for length in range(len(path))}
        self.open = around | (set(live) & comments.after.keys())

    def mapping(self, value: Mapping[str, Any], path: Path, indent: int, lead: str = "", *, told: bool = False) -> None:
        """The entries of a mapping. `lead` stands before the first in place of the indentation; the
        comments above the first are `told` where it is a list item."""
        for index, (key, item) in enumerate(value.items()):
            here = (*path, key)
            name = self.key(key, path, flow=False)
            if index or not told:
                self.above(here, indent, first=index == 0)
            start = lead if lead and not index else " " * indent
            if len(name) > _LONGEST_KEY:
                self.add(f"{start}? {name}")
                start, name = " " * indent, ""
            self.entry(f"{start}{name}:", item, here, indent)

    def row(self, value: Sequence[Any], path: Path, indent: int, lead: str = "", *, told: bool = False) -> None:
        """The items of a list, each after a dash. `lead` and `told` are those of a mapping."""
        for index, item in enumerate(value):
            here = (*path, index)
            if index or not told:
                self.above(here, indent, first=index == 0)
            start = lead if lead and not index else " " * indent
            self.entry(f"{start}-", item, here, indent, item=True)

    def entry(self, start: str, value: Any, path: Path, indent: int, *, item: bool = False) -> None:
        """One entry whose key or dash is `start`, in a mapping or list that stands `indent` deep."""
        beside = self.comments.beside.get(path)
        end = f"  {beside}" if beside else ""
        if not _holds(value):
            self.scalar(start, value, path, indent, end)
            return
        small = self.small(value, path, WIDTH - len(start) - 1)
        if small is not None:
            if not value:
                self.end(path, indent)
            self.add(f"{start} {small}{end}")
            return
        lead = f"{start} " if item and not end else ""
        if not lead:
            self.add(start + end)
        inner = indent + 2
        if isinstance(value, Mapping):
            self.mapping(value, path, inner, lead, told=item)
        else:
            self.row(value, path, inner, lead, told=item)
        self.end(path, inner)

    def small(self, value: Any, path: Path, room: int) -> str | None:
        """A mapping or list on one line, if it may stand so and there is room."""
        if not value:
            return "{}" if isinstance(value, Mapping) else "[]"
        if path in self.open or len(value) > room or not is_small(value, path) or _has_prose(value):
            return None
        text = self.flow(value, path)
        return text if len(text) <= room else None

    def flow(self, value: Any, path: Path) -> str:
        if isinstance(value, Mapping):
            pairs = [
                f"{self.key(key, path, flow=True)}: {self.flow(item, (*path, key))}" for key, item in value.items()
            ]
            return "{" + ", ".join(pairs) + "}"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(self.flow(item, (*path, index)) for index, item in enumerate(value)) + "]"
        return self.text(value, path, flow=True)

    def scalar(self, start: str, value: Any, path: Path, indent: int, end: str) -> None:
        """One entry that is a scalar: on its line if it has room there, else as a block below."""
        pad = " " * (indent + 2)
        if is_prose(value):
            _check_halves(value, path)
            if visible(value):
                self.add(f"{start} {literal_header(value)}{end}")
                self.lines.extend(literal_lines(value, pad))
                self.kept = value.endswith("\n\n")
            else:
                self.lines.extend(f"{start} {quoted_lines(value, pad)}{end}".split("\n"))
                self.kept = False
            return
        text = self.text(value, path, flow=False)
        if isinstance(value, str) and len(start) + 1 + len(text) > WIDTH and visible(value) and value == value.strip():
            lines = folded_lines(value, WIDTH - len(pad))
            if len(lines) > 1:
                self.add(f"{start} >-{end}")
                self.lines.extend(pad + line for line in lines)
                return
        self.add(f"{start} {text}{end}")

    def key(self, key: Any, path: Path, *, flow: bool) -> str:
        """A key of the mapping at `path`."""
        if not isinstance(key, str):
            raise unwritable(path, f"the key {key!r} is not text")
        return self.text(key, (*path, key), flow=flow)

    def text(self, value: Any, path: Path, *, flow: bool) -> str:
        """A scalar on one line."""
        if isinstance(value, str):
            _check_halves(value, path)
            return one_line(value, flow=flow)
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            try:
                return number_text(value)
            except TooLong:
                raise unwritable(path, "the number is too large") from None
        raise unwritable(path, f"a {type(value).__name__} is not a value that a file can hold")

    def above(self, path: Path, indent: int, *, first: bool) -> None:
        """The comments and the empty line above an entry; no empty line above the first one."""
        texts = self.before.get(path, ())
        self.remarks(texts[1:] if first and texts[:1] == ("",) else texts, indent)

    def end(self, path: Path, indent: int) -> None:
        """The comments behind the last entry of a mapping or list."""
        self.remarks(self.comments.after.get(path, ()), indent)

    def remarks(self, texts: Sequence[str], indent: int) -> None:
        """Comments on lines of their own; an empty line only where it adds nothing to the text before it."""
        for text in texts:
            if text:
                self.add(" " * indent + text)
            elif not self.kept and self.lines and self.lines[-1]:
                self.add("")

    def add(self, line: str) -> None:
        self.lines.append(line)
        self.kept = False


def _above_dashes(before: Mapping[Path, Texts], data: Any) -> dict[Path, Texts]:
    """The comments above entries; those of the first entry of a list item, which shares its line, above the item."""
    homes: dict[Path, Texts] = {}
    for path, texts in sorted(before.items(), key=lambda one: len(one[0])):
        home = path
        while len(home) > 1 and isinstance(home[-2], int) and _is_first(data, home):
            home = home[:-1]
        homes[home] = (*homes.get(home, ()), *(texts if home is path else filter(None, texts)))
    return homes


def _is_first(data: Any, path: Path) -> bool:
    around = value_at(data, path[:-1])
    return path[-1] == (next(iter(around), None) if isinstance(around, Mapping) else 0)


def _has_prose(value: Any) -> bool:
    return any(_has_prose(item) if _holds(item) else is_prose(item) for item in _items(value))


def _check_halves(text: str, path: Path) -> None:
    if not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
        raise unwritable(path, "the text holds half of a character (a lone surrogate)")


def unwritable(path: Path, why: str) -> DocumentError:
    place = ".".join(str(part)[:60] for part in path[:8]) + (" …" if len(path) > 8 else "")
    return DocumentError(Problem(f"{place} cannot be written to a workflow file: {why}"))
