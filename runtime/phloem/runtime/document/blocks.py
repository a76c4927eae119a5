"""Texts that take several lines: literal blocks, folded ones, and quoted ones cut after each line end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from phloem.runtime.document.scalars import double_quoted

__all__ = ["folded_lines", "is_prose", "literal_header", "literal_lines", "quoted_lines"]

_WHERE_TO_FOLD: Final = re.compile(r"(?<=[^ \t]) (?=[^ \t])")


def is_prose(value: Any) -> bool:
    """True for a text of several lines that are not all empty."""
    return isinstance(value, str) and "\n" in value and bool(value.strip(" \t\n"))


def literal_header(text: str) -> str:
    """`|`, with the depth of the block where its first lines do not show it, and what is at its end."""
    first = next((line for line in text.split("\n") if line), "")
    depth = "2" if first.startswith((" ", "\t")) else ""
    return f"|{depth}" + ("+" if text.endswith("\n\n") else "" if text.endswith("\n") else "-")


def literal_lines(text: str, pad: str) -> Iterator[str]:
    """The lines of a literal block, each behind `pad`, the empty ones bare."""
    body = text[:-1] if text.endswith("\n") else text
    return (pad + line if line else "" for line in body.split("\n"))


def folded_lines(text: str, width: int) -> list[str]:
    """A long line in several, cut at single spaces where it can be."""
    lines: list[str] = []
    for piece in _WHERE_TO_FOLD.split(text):
        if lines and len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines


def quoted_lines(text: str, pad: str) -> str:
    """A text in double quotes, cut after each of its line ends; what follows the first line stands behind `pad`."""
    pieces = [double_quoted(piece)[1:-1] for piece in text.splitlines(keepends=True)]
    rest = [f"\\{piece}" if piece.startswith(" ") else piece for piece in pieces[1:]]
    return '"' + f"\\\n{pad}".join([pieces[0], *rest]) + '"'
