"""CSV and its kin, whichever character stands between the cells."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from phloem.nodes.tables.records import MOST_CELLS
from phloem.runtime.errors import InputError, SettingError

__all__ = ["read_delimited"]

DELIMITERS: Final = ",;\t|"
LARGEST_CELL: Final = 10_000_000
MOST_COLUMNS: Final = 16_384
SAMPLE: Final = 100_000

_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\r?\n?")
_LINE: Final = re.compile(r"[^\n\r]*(?:\r\n|\n|\r|\Z)")


def read_delimited(text: str, delimiter: str = "", *, likely: str = ",") -> list[list[str]]:
    """The rows, those without anything left out; InputError says in which line a table is broken.

    `delimiter` is one character, or empty to find out; `likely` decides where the text does not.
    """
    text = text.removeprefix("\ufeff")
    declared = _SEPARATOR_LINE.match(text)
    if declared:
        text = text[declared.end() :]
        delimiter = delimiter or declared[1]
    if len(delimiter) > 1 or delimiter in ("\n", "\r", '"'):
        raise SettingError(
            f"the delimiter {delimiter[:20]!r} is not a single character", hint="Such as , or ; or a tab."
        )
    delimiter = delimiter or _found(text[:SAMPLE], likely)
    # The limit belongs to the whole process; it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_CELL))
    rows, cells = [], 0
    reader = csv.reader(_lines(text, delimiter), delimiter=delimiter)
    try:
        for row in reader:
            if any(cell and not cell.isspace() for cell in row):
                rows.append(row)
                cells += len(row)
                if cells > MOST_CELLS:
                    raise InputError(f"the table has more than {MOST_CELLS:,} cells", hint="Split it.")
    except csv.Error as error:
        hint = "Is there a quotation mark that is never closed?" if "limit" in str(error) else None
        raise InputError(f"the table is broken at line {reader.line_num}: {error}", hint=hint) from None
    return rows


def _lines(text: str, delimiter: str) -> Iterator[str]:
    for number, match in enumerate(_LINE.finditer(text), 1):
        line = match[0]
        if len(line) > MOST_COLUMNS and line.count(delimiter) >= MOST_COLUMNS:
            raise InputError(f"line {number} has more than {MOST_COLUMNS:,} columns")
        if line:
            yield line


def _found(sample: str, likely: str) -> str:
    """The delimiter that cuts most of the first lines into the same number of cells, and into most of them."""
    best, best_score = likely, (0.0, 0)
    lines = sample.splitlines(keepends=True)
    whole = lines[:-1] if len(sample) == SAMPLE and len(lines) > 1 else lines
    for candidate in sorted(DELIMITERS, key=lambda one: one != likely):
        try:
            widths = Counter(len(row) for row in csv.reader(whole[:100], delimiter=candidate) if row)
        except csv.Error:
            continue
        width, times = max(widths.items(), key=lambda pair: (pair[1], pair[0]), default=(0, 0))
        score = (times / max(widths.total(), 1), width)
        if width > 1 and score > best_score:
            best, best_score = candidate, score
    return best
