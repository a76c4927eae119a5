"""What a file says, before it means anything: plain values that know where they stand.

Both readers, of YAML and of JSON, make a Tree. A place is the number of characters before it in the
text; `Lines` turns it into a line and a column when somebody wants to know.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from phloem.runtime.errors import DocumentError, Problem

__all__ = [
    "MOST_DEPTH",
    "MOST_DIGITS",
    "MOST_VALUES",
    "Branch",
    "Leaf",
    "Lines",
    "Marks",
    "Path",
    "Row",
    "Text",
    "Tree",
]

MOST_DEPTH: Final = 64
"""How many mappings and lists may stand inside one another."""
MOST_VALUES: Final = 1_000_000
"""How many values one file may hold."""
MOST_DIGITS: Final = 4_000
"""How many digits a number may have: beyond, Python's own conversion is refused or slow."""
_MOST_PROBLEMS: Final = 100

Path = tuple[str | int, ...]
"""The way to a value: keys, and places in lists counted from 0."""
Span = tuple[int, int, bool]
"""Where a scalar begins and ends in a text, and whether it is a block (`|` or `>`)."""


@dataclass(slots=True, eq=False)
class Leaf:
    """A text, number, boolean or null, and where it starts."""

    value: str | int | float | bool | None
    start: int = 0


@dataclass(slots=True, eq=False)
class Branch:
    """A mapping: its values and where each key stands. `end` is known only of one in `{}` (`flow`)."""

    start: int = 0
    flow: bool = False
    end: int = 0
    items: dict[str, Tree] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Row:
    """A list. `end` is known only of one in `[]` (`flow`)."""

    start: int = 0
    flow: bool = False
    end: int = 0
    items: list[Tree] = field(default_factory=list)


Tree = Leaf | Branch | Row


def plain(tree: Tree) -> Any:
    """The values of a tree as dicts, lists and scalars."""
    if isinstance(tree, Leaf):
        return tree.value
    if isinstance(tree, Branch):
        return {key: item.value if isinstance(item, Leaf) else plain(item) for key, item in tree.items.items()}
    return [item.value if isinstance(item, Leaf) else plain(item) for item in tree.items]


def planted(value: Any) -> Tree:
    """The tree of plain values that stand in no file; every place is 0."""
    if isinstance(value, dict):
        items = {str(key): planted(item) for key, item in value.items()}
        return Branch(items=items, places=dict.fromkeys(items, 0))
    if isinstance(value, list | tuple):
        return Row(items=[planted(item) for item in value])
    return Leaf(value)


class Lines:
    """Turns a place in a text into a line and a column, both counted from 1, as an editor shows them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: list[int] = []

    def at(self, place: int) -> tuple[int, int]:
        """The line and column of the character at `place`."""
        if not self._starts:
            self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", self._text))]
        line = bisect_right(self._starts, place)
        return line, place - self._starts[line - 1] + 1


@dataclass(frozen=True, slots=True)
class Marks:
    """Where the things of a document stand in the file it was read from."""

    tree: Tree | None = None
    lines: Lines | None = None

    def of(self, *path: str | int) -> tuple[int, int] | None:
        """The line and column of what `path` leads to, both from 1; where it is not, of what is nearest around it.

        The mark of an entry of a mapping is that of its key. None if the document was not read from a text.
        """
        if self.tree is None or self.lines is None:
            return None
        here, place = self.tree, self.tree.start
        for part in path:
            if isinstance(here, Branch) and isinstance(part, str) and part in here.items:
                place = here.places[part]
                here = here.items[part]
            elif isinstance(here, Row) and isinstance(part, int) and 0 <= part < len(here.items):
                here = here.items[part]
                place = here.start
            else:
                break
        return self.lines.at(place)


@dataclass(slots=True)
class Text:
    """A text being read: its name, its lines, and the problems found in it so far."""

    text: str
    file: str | None = None
    problems: list[Problem] = field(default_factory=list)
    left_out: int = 0
    lines: Lines = field(init=False)

    def __post_init__(self) -> None:
        self.lines = Lines(self.text)

    def problem(
        self, place: int, message: str, hint: str | None = None, *, node: str | None = None, port: str | None = None
    ) -> Problem:
        """A problem at a place."""
        line, column = self.lines.at(place)
        return Problem(message, hint, self.file, line, column, node, port)

    def complain(
        self, place: int, message: str, hint: str | None = None, *, node: str | None = None, port: str | None = None
    ) -> None:
        """Note a problem and read on; from the hundredth on they are only counted."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(self.problem(place, message, hint, node=node, port=port))
        else:
            self.left_out += 1

    def refuse(self, place: int, message: str, hint: str | None = None) -> DocumentError:
        """The error that ends the reading, to be raised; it holds what was noted before."""
        return error_of([*self.problems, self.problem(place, message, hint)], self.left_out, self.file)


def error_of(problems: Sequence[Problem], left_out: int, file: str | None) -> DocumentError:
    """One error for all these problems, in the order of the file."""
    ordered = sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))
    if left_out:
        ordered.append(Problem(f"and {left_out:,} more problems", file=file))
    return DocumentError(ordered)
