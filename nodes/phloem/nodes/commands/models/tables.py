"""Columns for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from phloem.runtime.words import printable

__all__ = ["table"]


def table(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Collection[int] = (), indent: str = ""
) -> str:
    """The rows with their columns aligned, those in `right` to the right; columns that are empty are left out."""
    safe = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    used = [at for at, column in enumerate(zip(*safe, strict=True)) if any(column)]
    lines = [[row[at] for at in used] for row in ([list(header), *safe] if header else safe)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        (
            indent
            + "  ".join(
                cell.rjust(width) if at in right else cell.ljust(width)
                for at, cell, width in zip(used, line, widths, strict=True)
            )
        ).rstrip()
        for line in lines
    )
