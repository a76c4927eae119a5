"""Table kinds: rows as objects, from CSV, JSON and spreadsheets, picked over, and written as text."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NamedTuple

from phloem.nodes.checks import one_of, whole
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Json, type_of_value

LARGEST: Final = 100_000_000

Rows = Annotated[list[Json], In("The rows, each an object")]
Header = Annotated[bool, Setting("The first row has the names of the columns")]
Delimiter = Annotated[str, Setting("The character between cells; nothing to find out")]
Numbers = Annotated[bool, Setting("Read columns of nothing but numbers as numbers")]


class Table(NamedTuple):
    rows: list[Json]
    columns: list[str]


def _digest(ctx: Context, inputs: dict[str, Any]) -> str | None:
    return ctx.files.digest(inputs["path"]) or None


@node(
    "table.read",
    "Read a table",
    needs=["read:path"],
    effect="reads",
    stamp=_digest,
    examples=[
        Example(
            {"path": "makers.csv"},
            {
                "rows": [{"name": "Kay", "born": 1704, "post": "0161"}, {"name": "Watt", "born": 1736, "post": "0131"}],
                "columns": ["name", "born", "post"],
            },
            files={"makers.csv": "name;born;post\nKay;1704;0161\nWatt;1736;0131\n"},
        )
    ],
)
def read(
    ctx: Context,
    path: Annotated[str, In("A file: csv, tsv, xlsx, json or jsonl", path="path")],
    header: Header = True,
    delimiter: Delimiter = "",
    numbers: Numbers = True,
    sheet: Annotated[str, Setting("Which sheet of a spreadsheet, by name or number; nothing for the first")] = "",
    encoding: Annotated[str, Setting("How the text is encoded; nothing to find out")] = "",
) -> Table:
    """Read a table from a file: CSV, tab-separated values, Excel (xlsx), a JSON list or JSON lines.

    Each row becomes an object with a field for each column. What stands between the cells, and how the
    text is encoded, is found out. A column is read as numbers if that loses nothing: with `0161` or `+44`
    in it, it stays text, and in a column of numbers an empty cell is null. A column without a name is
    called `column 3`. Dates in a spreadsheet become texts such as 2024-05-01.
    """
    from phloem.nodes.readers.plain import decoded
    from phloem.nodes.readers.sniff import format_of
    from phloem.nodes.tables.records import records
    from phloem.nodes.tables.sheets import read_sheet

    data = ctx.files.read(path, limit=LARGEST)
    found = format_of(data, path)
    if found == "xlsx":
        columns, rows = records(read_sheet(data, sheet), header=header)
        return Table(rows, columns)
    if found != "text":
        raise InputError(f"{path} is a {found} file, not a table", hint="Read it with files.read.")
    return _table(decoded(data, path, encoding), _format_of_name(path), header, delimiter, numbers)


@node(
    "table.parse",
    "Read a table from text",
    examples=[
        Example(
            {"text": 'name,born\nKay,1704\n"Watt, James",1736'},
            {
                "rows": [{"name": "Kay", "born": 1704}, {"name": "Watt, James", "born": 1736}],
                "columns": ["name", "born"],
            },
        ),
        Example({"text": '{"n": 1}\n{"n": 2}'}, {"rows": [{"n": 1}, {"n": 2}], "columns": ["n"]}),
    ],
    blocking=True,
)
def parse(
    text: Annotated[str, In("The table as text")],
    format: Annotated[Literal["auto", "csv", "json", "json lines"], Setting("How it is written")] = "auto",
    header: Header = True,
    delimiter: Delimiter = "",
    numbers: Numbers = True,
) -> Table:
    """Read a table from a text in CSV, tab-separated values, as a JSON list, or as JSON lines.

    Each row becomes an object with a field for each column; see table.read for how cells are read.
    """
    return _table(text, one_of("format", format, ["auto", "csv", "json", "json lines"]), header, delimiter, numbers)


def _format_of_name(path: str) -> str:
    ending = path.lower().rpartition(".")[2]
    return {
        "csv": "csv",
        "tsv": "tsv",
        "tab": "tsv",
        "json": "json",
        "jsonl": "json lines",
        "ndjson": "json lines",
    }.get(ending, "auto")


def _table(text: str, format: str, header: bool, delimiter: str, numbers: bool) -> Table:
    from phloem.nodes.tables.delimited import read_delimited
    from phloem.nodes.tables.json_rows import read_json_lines, read_json_rows
    from phloem.nodes.tables.records import columns_of, records, typed

    if format == "auto":
        format = _format_of_text(text)
    if format in ("json", "json lines"):
        rows = read_json_rows(text) if format == "json" else read_json_lines(text)
        return Table(rows, columns_of(rows))
    cells = read_delimited(text, delimiter, likely="\t" if format == "tsv" else ",")
    columns, rows = records(typed(cells, header=header) if numbers else cells, header=header)
    return Table(rows, columns)


def _format_of_text(text: str) -> str:
    line = text.lstrip("\ufeff \t\r\n").partition("\n")[0].rstrip()
    if line.startswith("{"):
        return "json lines" if line.endswith("}") else "json"
    return "json" if line.startswith("[") else "csv"


@node(
    "table.select",
    "Pick rows and columns",
    examples=[
        Example(
            {
                "rows": [{"name": "Kay", "born": 1704}, {"name": "Watt", "born": 1736}],
                "where": "born < `1730`",
                "columns": ["name"],
            },
            {"rows": [{"name": "Kay"}]},
        )
    ],
)
def select(
    rows: Rows,
    columns: Annotated[list[str], Setting("Which columns to keep, in this order; nothing for all")] = [],  # noqa: B006
    where: Annotated[str, Setting("Which rows to keep, in JMESPath, such as age > `30`; nothing for all")] = "",
    limit: Annotated[int, Setting("Keep at most so many rows; 0 for all", ge=0)] = 0,
) -> Annotated[list[Json], Out("rows")]:
    """Keep some rows and some columns of a table.

    In `where`, numbers stand in backticks and texts in single quotes: `country == 'FR' && age > `30``.
    A row lacks a column that it did not have. To put rows in order, use data.sort.
    """
    kept = _objects(rows)
    limit = whole("limit", limit, least=0)
    if where.strip():
        from phloem.nodes.queries import compiled

        find = compiled(where).find
        kept = [row for row in kept if _is_true(find(row))]
    if limit:
        kept = kept[:limit]
    return [{name: row[name] for name in columns if name in row} for row in kept] if columns else kept


@node(
    "table.extend",
    "Add a column",
    examples=[
        Example(
            {"rows": [{"item": "lamp", "price": 40}], "column": "worth", "values": [80]},
            {"rows": [{"item": "lamp", "price": 40, "worth": 80}]},
        )
    ],
)
def extend(
    rows: Rows,
    values: Annotated[list[Any], In("One value for each row, in the order of the rows")],
    column: Annotated[str, Setting("The name of the column; one that is there already is replaced")],
) -> Annotated[list[Json], Out("rows")]:
    """Add a column to a table, for example with what a node worked out for each row."""
    if len(values) != len(rows):
        raise InputError(
            f"there are {len(rows)} rows and {len(values)} values", hint="Link a list with one value for each row."
        )
    if not column:
        raise SettingError("the column has no name", hint="Write one under column.")
    return [{**row, column: value} for row, value in zip(_objects(rows), values, strict=True)]


@node(
    "table.format",
    "Write a table",
    examples=[
        Example(
            {"rows": [{"name": "Kay", "born": 1704}, {"name": "Watt, James", "born": None}]},
            {"text": 'name,born\nKay,1704\n"Watt, James",\n'},
        ),
        Example(
            {"rows": [{"name": "Kay", "born": 1704}], "format": "markdown"},
            {"text": "| name | born |\n| --- | --- |\n| Kay | 1704 |\n"},
        ),
    ],
)
def format_(
    rows: Rows,
    format: Annotated[Literal["csv", "json", "json lines", "markdown"], Setting("How to write it")] = "csv",
    columns: Annotated[list[str], Setting("Which columns to write, in this order; nothing for all")] = [],  # noqa: B006
    delimiter: Annotated[str, Setting("The character between the cells of CSV")] = ",",
) -> Annotated[str, Out("text")]:
    """Write rows as text, for a file or a prompt: CSV, JSON, JSON lines, or a table in Markdown.

    Without `columns`, all that any row has are written, in the order in which they first appear.
    """
    from phloem.nodes.tables.records import columns_of
    from phloem.nodes.tables.writing import WRITERS

    found = _objects(rows)
    return WRITERS[one_of("format", format, list(WRITERS))](found, columns or columns_of(found), delimiter)


def _objects(rows: list[Any]) -> list[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(
                f"row {number} is a {type_of_value(row)}, not an object",
                hint="Build objects with data.build or data.query.",
            )
    return rows


def _is_true(value: Any) -> bool:
    """What JMESPath takes as true: anything but false, null and what is empty."""
    return value is not None and value is not False and value not in ("", [], {})
