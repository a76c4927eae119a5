"""Rows of cells made into objects: columns named, numbers told from texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from phloem.runtime.errors import InputError

__all__ = ["MOST_CELLS", "columns_of", "records", "typed"]

MOST_CELLS: Final = 10_000_000

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?\Z")


def records(rows: Sequence[Sequence[Any]], *, header: bool) -> tuple[list[str], list[dict[str, Any]]]:
    """The names of the columns, and an object for each row.

    With `header`, the first row has the names. A column without one is called `column 3`; a name that is
    there twice gets a number. What a row lacks is null.
    """
    width = max(map(len, rows), default=0)
    if width * len(rows) > MOST_CELLS:
        raise InputError(f"the table has more than {MOST_CELLS:,} cells", hint="Split it.")
    names = _names(rows[0] if header and rows else (), width)
    body = rows[1:] if header else rows
    return names, [dict(zip(names, [*row, *[None] * (width - len(row))], strict=True)) for row in body]


def typed(rows: list[list[str]], *, header: bool) -> list[list[Any]]:
    """The rows with the columns that hold nothing but numbers as numbers.

    A column with a leading zero (`0123`), a plus sign, or more digits than a float keeps stays text, all
    of it. In a column of numbers an empty cell is null.
    """
    body = rows[1:] if header else rows
    numeric = [
        index
        for index in range(max(map(len, body), default=0))
        if _is_numeric([row[index] for row in body if index < len(row)])
    ]
    if not numeric:
        return list(rows)
    made: list[list[Any]] = [list(row) for row in rows]
    for row in made[1:] if header else made:
        for index in numeric:
            if index < len(row):
                row[index] = _number(row[index].strip())
    return made


def columns_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The fields of the rows, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _is_numeric(cells: list[str]) -> bool:
    filled = [cell.strip() for cell in cells if cell and not cell.isspace()]
    return bool(filled) and all(_NUMBER.match(cell) and cell != "-0" for cell in filled)


def _number(cell: str) -> float | None:
    if not cell:
        return None
    return float(cell) if "." in cell else int(cell)


def _names(given: Sequence[Any], width: int) -> list[str]:
    names: dict[str, None] = {}
    for index in range(width):
        name = str(given[index]).strip() if index < len(given) and given[index] is not None else ""
        name = name or f"column {index + 1}"
        number = 2
        unique = name
        while unique in names:
            unique = f"{name} {number}"
            number += 1
        names[unique] = None
    return list(names)
