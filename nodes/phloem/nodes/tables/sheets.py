"""Spreadsheets (xlsx), by openpyxl, row by row so that an empty million of them costs nothing."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterator
from typing import Any, Final

from phloem.nodes.readers.archive import repacked
from phloem.nodes.shown import as_text
from phloem.nodes.tables.records import MOST_CELLS
from phloem.runtime.errors import InputError, NodeError, SettingError
from phloem.runtime.values import Document
from phloem.runtime.words import nearest, or_list

__all__ = ["read_sheet", "workbook_text"]

MOST_ROWS: Final = 1_048_576


def read_sheet(data: bytes, sheet: str = "") -> list[list[Any]]:
    """The rows of a sheet, by name or by number from 1; the first one if none is named. Empty rows are left out.

    Numbers are numbers, dates are texts such as 2024-05-01, empty cells are null.
    """
    with _Workbook(data) as book:
        names: list[str] = book.sheetnames
        if not sheet:
            name = names[0]
        elif sheet in names:
            name = sheet
        elif sheet.isdecimal() and 1 <= int(sheet) <= len(names):
            name = names[int(sheet) - 1]
        else:
            near = nearest(sheet, names)
            hint = f"Did you mean {near}?" if near else f"There is {or_list(names[:20], 'and')}."
            raise SettingError(f"there is no sheet called {sheet[:60]}", hint=hint)
        return list(_rows(book[name], MOST_CELLS))


def workbook_text(data: bytes) -> Document:
    """Every sheet under its name, one line a row, cells apart by |."""
    parts, left = [], MOST_CELLS
    with _Workbook(data) as book:
        for name in book.sheetnames:
            rows = list(_rows(book[name], left))
            left -= sum(map(len, rows))
            if rows:
                lines = (" | ".join(as_text(cell) for cell in row).rstrip(" |") for row in rows)
                parts.append(f"# {name}\n\n" + "\n".join(lines))
        sheets = list(book.sheetnames)
    return Document("\n\n".join(parts), metadata={"sheets": sheets})


class _Workbook:
    """An open workbook; InputError for whatever goes wrong while it is open."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._book: Any = None

    def __enter__(self) -> Any:
        import openpyxl

        archive = repacked(self._data, "the spreadsheet")
        warnings.filterwarnings("ignore", module="openpyxl")
        try:
            self._book = openpyxl.load_workbook(archive, read_only=True, data_only=True, keep_links=False)
        except Exception as error:
            raise _damaged(error) from error
        if not self._book.sheetnames:
            raise InputError("the spreadsheet has no sheets")
        return self._book

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._book.close()
        if isinstance(error, Exception) and not isinstance(error, NodeError):
            raise _damaged(error) from error


def _rows(sheet: Any, most: int) -> Iterator[list[Any]]:
    if not hasattr(sheet, "iter_rows"):
        return
    sheet.reset_dimensions()
    cells = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells += len(row)
        if cells > most or number > MOST_ROWS:
            raise InputError(f"the spreadsheet has more than {MOST_CELLS:,} cells", hint="Save the part you need.")
        if any(cell is not None for cell in row):
            yield [_plain(cell) for cell in row]


def _plain(cell: Any) -> Any:
    """A cell as JSON data."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    if cell is None or isinstance(cell, str | bool | int | float):
        return cell
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)


def _damaged(error: Exception) -> InputError:
    return InputError(f"the spreadsheet cannot be read: {str(error)[:200] or type(error).__name__}")
