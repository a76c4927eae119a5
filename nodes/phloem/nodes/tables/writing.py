"""Rows as text: CSV, JSON lines, JSON, or a table in Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, Final

from phloem.nodes.shown import LARGEST_TEXT, as_json, as_text
from phloem.runtime.errors import SettingError

__all__ = ["WRITERS"]

Row = dict[str, Any]


def csv_text(rows: Sequence[Row], columns: Sequence[str], delimiter: str) -> str:
    """CSV as RFC 4180 has it, but for lines that end in a newline alone; nothing for null."""
    if len(delimiter) != 1 or delimiter in '\n\r"':
        raise SettingError(
            f"the delimiter {delimiter[:20]!r} is not a single character", hint="Such as , or ; or a tab."
        )
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([as_text(row.get(name)) for name in columns] for row in rows)
    return written.getvalue()


def json_lines_text(rows: Sequence[Row], columns: Sequence[str], delimiter: str) -> str:
    return "".join(as_json(_picked(row, columns)) + "\n" for row in rows)


def json_text(rows: Sequence[Row], columns: Sequence[str], delimiter: str) -> str:
    return as_json([_picked(row, columns) for row in rows], indent=2, most=10 * LARGEST_TEXT) + "\n"


def markdown_text(rows: Sequence[Row], columns: Sequence[str], delimiter: str) -> str:
    """A table as GitHub has it; | in a cell is escaped, a line end becomes <br>."""
    if not columns:
        return ""
    lines = [list(columns), ["---"] * len(columns), *([as_text(row.get(name)) for name in columns] for row in rows)]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


WRITERS: Final[dict[str, Callable[[Sequence[Row], Sequence[str], str], str]]] = {
    "csv": csv_text,
    "json lines": json_lines_text,
    "json": json_text,
    "markdown": markdown_text,
}


def _picked(row: Row, columns: Sequence[str]) -> Row:
    return {name: row[name] for name in columns if name in row}


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\r\n", "<br>").replace("\n", "<br>")
