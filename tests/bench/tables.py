"""Tables for the terminal that are Markdown too, and aims with their verdicts."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

__all__ = ["Aim", "Table", "heading", "shown", "span"]


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure to stay at or below, or, with `at_least`, to reach."""

    limit: float
    unit: str
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}"

    def verdict(self, figure: float | None) -> str:
        """`within`, or on which side of the aim the figure lies; empty if there is no figure."""
        if figure is None:
            return ""
        if self.at_least:
            return "within" if figure >= self.limit else "under"
        return "within" if figure <= self.limit else "over"


@dataclass(slots=True)
class Table:
    """Rows of texts under a title; the first `left` columns stand left, the others right."""

    title: str
    columns: list[str]
    left: int = 2
    rows: list[list[str]] = field(default_factory=list)

    def row(self, *cells: str) -> None:
        """Put a row in; cells that are missing at its end stay empty."""
        self.rows.append([*cells, *[""] * (len(self.columns) - len(cells))])

    def show(self) -> None:
        """Print the table."""
        widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]
        rule = ["-" * width if i < self.left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
        print(f"\n### {self.title}\n")
        for row in [self.columns, rule, *self.rows]:
            padded = [
                cell.ljust(width) if i < self.left else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("| " + " | ".join(padded) + " |", flush=True)


def heading(title: str) -> None:
    """A title with the date and the machine in general words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"## {title}\n")
    print(f"{time.strftime('%Y-%m-%d')}, {platform.system()}, {cores} cores{busy}, Python {platform.python_version()}")


def shown(values: Sequence[float], factor: float = 1.0, digits: int = 1) -> str:
    """The median of several figures times `factor`; a dash if there are none."""
    return f"{median(values) * factor:,.{digits}f}" if values else "–"


def span(values: Sequence[float], factor: float = 1.0, digits: int = 1) -> str:
    """The lowest and the highest of several figures times `factor`; a dash if there are none."""
    return f"{min(values) * factor:,.{digits}f}–{max(values) * factor:,.{digits}f}" if values else "–"
