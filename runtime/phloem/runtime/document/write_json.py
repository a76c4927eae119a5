"""A workflow file in JSON: the same structure, with one line for what takes one line in YAML."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from phloem.runtime.document.scalars import UNSEEN, TooLong, number_text
from phloem.runtime.document.tree import Path
from phloem.runtime.document.write import WIDTH, check_size, is_small, unwritable

__all__ = ["write_json"]

_LONE: Final = re.compile("[\ud800-\udfff]")


def write_json(data: Mapping[str, Any]) -> str:
    """The text of a workflow file that holds `data`; DocumentError if some of it has no form in JSON."""
    check_size(data)
    return _value(data, (), 0) + "\n"


def _value(value: Any, path: Path, indent: int, room: int = WIDTH) -> str:
    """A value that begins `indent` columns deep, where `room` columns are left on the line."""
    if not isinstance(value, Mapping | list | tuple):
        return _scalar(value, path)
    if not value or (len(value) <= room and is_small(value, path)):
        line = _line(value, path)
        if len(line) <= room:
            return line
    pad, inner = "\n" + " " * indent, "\n" + " " * (indent + 2)
    if isinstance(value, Mapping):
        lines = []
        for key, item in value.items():
            name = f"{_key(key, path)}: "
            lines.append(name + _value(item, (*path, key), indent + 2, WIDTH - indent - 3 - len(name)))
        return "{" + inner + f",{inner}".join(lines) + pad + "}"
    lines = [_value(item, (*path, index), indent + 2, WIDTH - indent - 3) for index, item in enumerate(value)]
    return "[" + inner + f",{inner}".join(lines) + pad + "]"


def _line(value: Any, path: Path) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        pairs = (f"{_key(key, path)}: {_line(item, (*path, key))}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_line(item, (*path, index)) for index, item in enumerate(value)) + "]"
    return _scalar(value, path)


def _key(key: Any, path: Path) -> str:
    if not isinstance(key, str):
        raise unwritable((*path, str(key)), f"the key {key!r} is not text")
    return _scalar(key, (*path, key))


def _scalar(value: Any, path: Path) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise unwritable(path, "JSON has no way to say infinite or not a number; save the file as YAML")
        try:
            return number_text(value)
        except TooLong:
            raise unwritable(path, "the number is too large") from None
    if isinstance(value, str):
        if _LONE.search(value):
            raise unwritable(path, "the text holds half of a character (a lone surrogate)")
        return UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(value, ensure_ascii=False))
    raise unwritable(path, f"a {type(value).__name__} is not a value that a file can hold")
