"""Tables: read from what people have, picked over, and written again without losing anything."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime.errors import InputError, PermissionNeeded, SettingError
from support import papers
from support.kinds import call

CELLS = st.text(st.sampled_from(list("ab,;\"'\n| 01.5-é")), max_size=6)


def parse(text: str, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = call("table.parse", {"text": text, **settings})
    return found


@pytest.mark.parametrize(
    "text",
    [
        "name,born\nKay,1704\n",
        "name;born\r\nKay;1704\r\n",
        "name\tborn\nKay\t1704",
        "name|born\nKay|1704",
        "\ufeffname,born\n\nKay,1704\n\n",
        "sep=;\nname;born\nKay;1704",
        '"name","born"\n"Kay","1704"',
    ],
)
def test_what_stands_between_cells_is_found_out(text: str) -> None:
    assert parse(text) == {"rows": [{"name": "Kay", "born": 1704}], "columns": ["name", "born"]}


def test_decimal_commas_do_not_confuse() -> None:
    assert parse("price;name\n1,50;a, b\n2,25;c")["rows"][0] == {"price": "1,50", "name": "a, b"}


def test_a_delimiter_can_be_named() -> None:
    assert parse("a:b\n1:2", delimiter=":")["rows"] == [{"a": 1, "b": 2}]
    with pytest.raises(SettingError, match="single character"):
        parse("a", delimiter="::")


def test_a_single_column_is_a_table() -> None:
    assert parse("name\nKay\nWatt")["rows"] == [{"name": "Kay"}, {"name": "Watt"}]
    assert parse("")["rows"] == []
    assert parse("name\n") == {"rows": [], "columns": ["name"]}


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["1", "2", "-3"], [1, 2, -3]),
        (["1.50", "2", "0.5"], [1.5, 2, 0.5]),
        (["1", "", "3"], [1, None, 3]),
        (["0161", "20"], ["0161", "20"]),
        (["+44", "20"], ["+44", "20"]),
        (["1e5", "2"], ["1e5", "2"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["1,000", "2"], ["1,000", "2"]),
        (["-0", "1"], ["-0", "1"]),
        (["1 2", "3"], ["1 2", "3"]),
        (["NaN", "1"], ["NaN", "1"]),
    ],
)
def test_a_column_is_numbers_only_if_that_loses_nothing(cells: list[str], wanted: list[Any]) -> None:
    text = "n;x\n" + "".join(f"{cell};y\n" for cell in cells)
    assert [row["n"] for row in parse(text)["rows"]] == wanted
    assert [row["n"] for row in parse(text, numbers=False)["rows"]] == cells


def test_columns_without_a_name_or_with_the_same() -> None:
    assert parse("a,a,,a\n1,2,3,4")["columns"] == ["a", "a 2", "column 3", "a 3"]
    assert parse("1,2\n3,4", header=False)["columns"] == ["column 1", "column 2"]


def test_rows_of_different_length_lose_nothing() -> None:
    found = parse("a,b\n1\n1,2,3")
    assert found["columns"] == ["a", "b", "column 3"]
    assert found["rows"] == [{"a": 1, "b": None, "column 3": None}, {"a": 1, "b": 2, "column 3": 3}]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('[{"a": 1}, {"b": [2]}]', [{"a": 1}, {"b": [2]}]),
        ('{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('{"a": 1, "tags": ["x"]}', [{"a": 1, "tags": ["x"]}]),
        ("[[1, 2], 3]", [{"column 1": 1, "column 2": 2}, {"value": 3}]),
    ],
)
def test_json_is_a_table_too(text: str, rows: list[Any]) -> None:
    assert parse(text)["rows"] == rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ('{"a": 1}\n{"a": ', {}, "line 2: the text is not JSON"),
        ('{"a": 1}', {"format": "json"}, "not a list of rows"),
        ('{\n "a": [1]\n}', {}, "not a list of rows"),
        ('a,b\n"never closed,1\n' + "x" * 11_000_000, {}, "quotation mark that is never closed"),
        ("," * 20_000, {}, "more than 16,384 columns"),
        ("x," * 101 + "\n" + ("x," * 100 + "\n") * 110_000, {}, "more than 10,000,000 cells"),
    ],
    ids=["json line", "json object", "json over lines", "quote", "wide", "large"],
)
def test_a_broken_or_enormous_table_is_told(text: str, settings: dict[str, Any], words: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InputError) as caught:
        parse(text, **settings)
    assert words in str(caught.value)
    assert time.perf_counter() - began < 20


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_what_is_written_as_csv_is_read_again(cells: list[list[str]]) -> None:
    rows = [{"a": one, "b": two} for one, two in cells if one.strip() or two.strip()]
    text = call("table.format", {"rows": rows, "columns": ["a", "b"]})
    assert parse(text, delimiter=",", numbers=False)["rows"] == rows


def test_writing() -> None:
    rows = [{"a": "x|y\nz", "b": None}, {"c": [1], "a": True}]
    assert call("table.format", {"rows": rows}) == 'a,b,c\n"x|y\nz",,\ntrue,,[1]\n'
    assert call("table.format", {"rows": rows, "delimiter": ";", "columns": ["c"]}) == 'c\n""\n[1]\n'
    assert call("table.format", {"rows": rows, "format": "markdown", "columns": ["a"]}) == (
        "| a |\n| --- |\n| x\\|y<br>z |\n| true |\n"
    )
    assert call("table.format", {"rows": rows, "format": "json lines"}) == (
        '{"a": "x|y\\nz", "b": null}\n{"a": true, "c": [1]}\n'
    )
    with pytest.raises(SettingError, match="single character"):
        call("table.format", {"rows": rows, "delimiter": ""})
    with pytest.raises(InputError, match="row 1 is a number, not an object"):
        call("table.format", {"rows": [1]})


def test_picking_rows_and_columns() -> None:
    rows = [{"n": 1, "t": "x"}, {"n": 5, "t": "y"}, {"t": "z"}, {"n": 9, "t": "x"}]
    assert call("table.select", {"rows": rows, "where": "n > `2`", "columns": ["n"]}) == [{"n": 5}, {"n": 9}]
    assert call("table.select", {"rows": rows, "where": "t == 'x' || !n", "limit": 2}) == [rows[0], rows[2]]
    assert call("table.select", {"rows": rows, "columns": ["t", "n"], "limit": 1}) == [{"t": "x", "n": 1}]
    with pytest.raises(SettingError, match="JMESPath"):
        call("table.select", {"rows": rows, "where": "n >> 2"})


# table.read


def test_reading_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("name;città\nKäse;à".encode("cp1252"))
    (tmp_path / "a.tsv").write_text("a,b\tc\n1\t2")
    (tmp_path / "a.jsonl").write_text('{"a": 1}')
    (tmp_path / "a.json").write_text('[{"b": 1}]')
    assert call("table.read", {"path": "a.csv"}, tmp_path)["rows"] == [{"name": "Käse", "città": "à"}]
    assert call("table.read", {"path": "a.tsv"}, tmp_path)["rows"] == [{"a,b": 1, "c": 2}]
    assert call("table.read", {"path": "a.jsonl"}, tmp_path)["rows"] == [{"a": 1}]
    assert call("table.read", {"path": "a.json"}, tmp_path)["rows"] == [{"b": 1}]


def test_reading_spreadsheets(tmp_path: Path) -> None:
    sheets = {
        "Makers": [
            ["name", "born", "when", "alive"],
            ["Kay", 1704.0, datetime.datetime(1733, 5, 26), False],
            [None, None, None, None],
            ["Watt", 17.5, datetime.datetime(1769, 1, 5, 12, 30), None],
        ],
        "Other": [["x"], ["0161"]],
    }
    (tmp_path / "a.xlsx").write_bytes(papers.xlsx(sheets))
    assert call("table.read", {"path": "a.xlsx"}, tmp_path)["rows"] == [
        {"name": "Kay", "born": 1704, "when": "1733-05-26", "alive": False},
        {"name": "Watt", "born": 17.5, "when": "1769-01-05T12:30:00", "alive": None},
    ]
    for sheet in ("Other", "2"):
        assert call("table.read", {"path": "a.xlsx", "sheet": sheet}, tmp_path)["rows"] == [{"x": "0161"}]
    with pytest.raises(SettingError, match="Did you mean Makers"):
        call("table.read", {"path": "a.xlsx", "sheet": "Maker"}, tmp_path)


@pytest.mark.slow
def test_a_spreadsheet_with_one_cell_far_away_does_not_fill_the_memory(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["A1"] = "name"
    sheet["XFD1048576"] = "far"
    book.save(tmp_path / "a.xlsx")
    began = time.perf_counter()
    found = call("table.read", {"path": "a.xlsx"}, tmp_path)
    assert found["rows"][0]["column 16384"] == "far"
    assert time.perf_counter() - began < 10


def test_what_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(papers.pdf(["text"]))
    with pytest.raises(InputError, match="is a pdf file, not a table"):
        call("table.read", {"path": "a.csv"}, tmp_path)
    with pytest.raises(InputError, match=r"cannot read gone\.csv"):
        call("table.read", {"path": "gone.csv"}, tmp_path)
    with pytest.raises(PermissionNeeded):
        call("table.read", {"path": "/etc/hostname"}, tmp_path)


def test_extending_needs_a_value_for_each_row_and_a_name() -> None:
    with pytest.raises(InputError, match="1 rows and 2 values"):
        call("table.extend", {"rows": [{}], "values": [1, 2], "column": "x"})
    with pytest.raises(SettingError, match="no name"):
        call("table.extend", {"rows": [{}], "values": [1], "column": ""})
