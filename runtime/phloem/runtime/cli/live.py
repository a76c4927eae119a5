"""The live view of a run on a terminal: a row a node, with what it is doing right now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from phloem.runtime.budget import spent_words
from phloem.runtime.cli.lines import prompt_words
from phloem.runtime.events import Event, NodePrompt
from phloem.runtime.view import NodeView, RunView
from phloem.runtime.words import printable
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

__all__ = ["live"]

NAME_WIDTH: Final = 28
BESIDE: Final = 12
"""Columns of a row that are taken by the mark, the time and what is between."""
NAMED: Final = 3
"""Of the nodes under way inside another one, how many are named."""

_MARKS = {
    "waiting": ("·", "dim"), "done": ("✓", "green"), "cached": ("✓", "cyan"), "skipped": ("–", "dim"),
    "failed": ("✗", "red"), "retrying": ("↻", "yellow"), "asking": ("?", "magenta"),
    "sleeping": ("◷", "dim"),
}  # fmt: skip


@contextmanager
def live() -> Iterator[LiveView]:
    """What takes events and keeps the picture on stderr true to them."""
    console = Console(stderr=True)
    view = RunView()
    picture = _Picture(view, console)
    with Live(picture, console=console, refresh_per_second=12, transient=False) as drawn:
        yield LiveView(view, console, drawn)
    picture.tell_what_was_cut()


class LiveView:
    """Called with each event of a run."""

    def __init__(self, view: RunView, console: Console, picture: Live) -> None:
        self._view = view
        self._console = console
        self._picture = picture

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodePrompt):
            self._console.print(Text(printable(prompt_words(event)), style="dim"), soft_wrap=True)
        self._view.apply(event)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Draw nothing: a question stands on the terminal where the picture was."""
        self._picture.transient = True
        self._picture.stop()
        self._picture.transient = False
        try:
            yield
        finally:
            self._picture.start(refresh=True)


class _Picture:
    """Drawn anew by rich at its own pace, whatever the pace of events.

    That is in another thread than the one that changes the view: so each part of it is read once, and whole.
    """

    def __init__(self, view: RunView, console: Console) -> None:
        self.view = view
        self.console = console
        self.spinner = Spinner("dots", style="blue")

    def __rich__(self) -> RenderableType:
        rows = self._rows()
        names = min(max((len(name) for name, _ in rows), default=0), NAME_WIDTH)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(width=names, no_wrap=True, overflow="ellipsis", style="bold")
        table.add_column(width=7, no_wrap=True, justify="right", style="dim")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for name, node in rows:
            table.add_row(self._mark(node), name, _time(node), _doing(node))
        hidden = len(self.view.nodes) - len(rows)
        parts: list[RenderableType] = [table, self._summary(hidden)]
        if self.view.message:
            parts.append(Text(printable(f"{self.view.message}\n  {self.view.hint or ''}").rstrip(), style="yellow"))
        return Group(*parts)

    def tell_what_was_cut(self) -> None:
        """Print the errors that were too long for their rows, whole, so that what they say to type can be copied."""
        for name, node in self.view.nodes.items():
            words = _doing(node)
            if node.state == "failed" and words.cell_len > self.console.width - min(len(name), NAME_WIDTH) - BESIDE:
                self.console.print(Text(f"{printable(name)}: ", style="bold") + words, soft_wrap=True)

    def _rows(self) -> list[tuple[str, NodeView]]:
        """All nodes if they fit the window; else what is going on, and of the rest what ended last."""
        rows = list(self.view.nodes.items())
        room = max(self.console.height - 3, 5)
        if len(rows) <= room:
            return rows
        ranks = {"failed": 0, "asking": 1, "running": 2, "retrying": 2, "sleeping": 2, "waiting": 4}
        wanted = sorted(range(len(rows)), key=lambda at: (ranks.get(rows[at][1].state, 3), -at))
        return [rows[at] for at in sorted(wanted[:room])]

    def _mark(self, node: NodeView) -> RenderableType:
        state = node.state
        if state == "running":
            return self.spinner
        mark, style = _MARKS[state]
        return Text(mark, style=style)

    def _summary(self, hidden: int) -> Text:
        view = self.view
        seconds = view.seconds or (time.time() - view.started if view.started else 0.0)
        parts = [f"{view.ended} of {len(view.nodes)} nodes", f"{seconds:.1f} s"]
        if view.count("cached"):
            parts.insert(1, f"{view.count('cached')} from the cache")
        spent = spent_words(view.tokens_in, view.tokens_out, view.money)
        if spent:
            parts.append(spent)
        if hidden > 0:
            parts.append(f"{hidden} not shown")
        style = {
            "done": "green",
            "failed": "red",
            "limited": "yellow",
            "cancelled": "yellow",
            "waiting": "magenta",
        }.get(view.status, "dim")
        return Text(f"{view.status}: " + ", ".join(parts), style=style)


def _time(node: NodeView) -> str:
    if node.state == "cached":
        return "cached"
    if node.state in ("running", "retrying", "sleeping") and node.started:
        return f"{time.time() - node.started:.1f} s"
    return f"{node.seconds:.1f} s" if node.state in ("done", "failed") else ""


def _inside(node: NodeView) -> str:
    """What goes on inside a node: what failed there, and what is under way."""
    inside = node.inside
    if inside is None:
        return ""
    parts = [f"{inside.failed:,} failed"] if inside.failed else []
    now = list(inside.now.items())
    if now:
        names = [path.partition("/")[2] for path, _ in now[:NAMED]]
        waiting = next((one.message for _, one in now if one.state == "asking"), "")
        more = len(now) + inside.beyond - len(names)
        shown = ", ".join(names) + (f" and {more:,} more" if more else "")
        parts.append(f"{shown} waits for {waiting}" if waiting else shown)
    return " · ".join(parts)


def _doing(node: NodeView) -> Text:
    """A line about the node: its error, its progress, what it streams, or what it gave."""
    words, style = _said(node)
    return Text(" ".join(printable(words).split()), style=style)


def _first(ports: dict[str, Any]) -> Any:
    return next(iter(list(ports.values())), None)


def _said(node: NodeView) -> tuple[str, str]:
    if node.state == "failed":
        return f"{node.message}  {node.hint or ''}", "red"
    if node.state == "sleeping":
        return f"until {node.message}", "dim"
    if node.state in ("skipped", "retrying", "asking"):
        return node.message, "dim"
    if node.state == "running":
        streamed = _first(node.text)
        if streamed:
            return streamed[-100:], "blue"
        fraction = node.fraction
        percent = f"{fraction:.0%} " if fraction is not None else ""
        return percent + " · ".join(filter(None, (node.message, _inside(node)))), "blue"
    shown = _first(node.outputs)
    tokens = f"{node.tokens_out} tokens  " if node.tokens_out else ""
    return tokens + (shown.text if shown else ""), "dim"
