"""Tables written as JSON: a list of objects, or an object on each line."""

from __future__ import annotations

from typing import Any

from phloem.nodes.found_json import parse_json
from phloem.runtime.errors import InputError

__all__ = ["as_rows", "read_json_lines", "read_json_rows"]


def read_json_lines(text: str) -> list[dict[str, Any]]:
    """A row for each line that is not blank; InputError names the line that is not JSON."""
    found = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.strip():
            try:
                found.append(parse_json(line))
            except InputError as error:
                raise InputError(f"line {number}: {error.message}") from None
    return as_rows(found)


def read_json_rows(text: str) -> list[dict[str, Any]]:
    """The rows of a JSON list; InputError if it is something else."""
    value = parse_json(text)
    if not isinstance(value, list):
        raise InputError(
            "the JSON is not a list of rows", hint="Read it with data.parse, and take the rows with data.query."
        )
    return as_rows(value)


def as_rows(values: list[Any]) -> list[dict[str, Any]]:
    """Objects as they are; a list becomes columns by number, anything else the column `value`."""
    return [
        value
        if isinstance(value, dict)
        else {f"column {index}": one for index, one in enumerate(value, 1)}
        if isinstance(value, list)
        else {"value": value}
        for value in values
    ]
