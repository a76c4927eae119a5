"""How times, costs and tables of runs are said."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

from phloem.runtime.budget import dollars
from phloem.runtime.words import printable
from rich.cells import cell_len, set_cell_size

__all__ = ["clock", "cost", "duration", "shown", "size", "table"]

_GAP = "  "


def clock(at: float) -> str:
    """`2026-11-21 08:53:00`, where we are."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def duration(seconds: float) -> str:
    """`0.04 s`, `12.5 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def cost(tokens: int, money: float) -> str:
    """`1,256 tokens, $0.0012`; empty for nothing."""
    return ", ".join(filter(None, (f"{tokens:,} tokens" if tokens else "", dollars(money) if money else "")))


def size(count: int) -> str:
    """`312 bytes`, `4.2 kB`, `1.3 GB`."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            return f"{count} bytes" if unit == "bytes" else f"{amount:.3g} {unit}"
        amount /= 1000
    raise AssertionError


def shown(text: str) -> str:
    """A text in one line, as a terminal may be given it."""
    return printable(" ".join(text.split()))


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str] | None = None, indent: str = "") -> str:
    """The rows, of which there is one or more, with their columns below one another, under a head.

    On a terminal lines are cut to fit; elsewhere they are whole. Columns that are empty throughout are left out.
    """
    used = [index for index in range(len(rows[0])) if any(row[index] for row in rows)]
    rows = [head, *rows] if head is not None else rows
    widths = [max(cell_len(row[index]) for row in rows) for index in used]
    room = shutil.get_terminal_size((80, 24)).columns - cell_len(indent) if sys.stdout.isatty() else None
    if room is not None:
        _narrow(widths, room - len(_GAP) * (len(widths) - 1))
    lines = []
    for row in rows:
        cells = [_cell(row[index], width, cut=room is not None) for index, width in zip(used, widths, strict=True)]
        lines.append(f"{indent}{_GAP.join(cells)}".rstrip())
    return "\n".join(lines)


def _narrow(widths: list[int], room: int) -> None:
    """Take from the last column, and when that is narrow from the widest, until all fit."""
    least = 12
    while sum(widths) > room:
        last = len(widths) - 1
        index = last if widths[last] > least else max(range(len(widths)), key=widths.__getitem__)
        if widths[index] <= least:
            return
        widths[index] = max(least, widths[index] - (sum(widths) - room))


def _cell(text: str, width: int, *, cut: bool) -> str:
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    return set_cell_size(text, width - 1) + "…" if cut else text
