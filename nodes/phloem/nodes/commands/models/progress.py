"""How a fetch is shown: a bar on a terminal, a line now and then in a log, or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from phloem.nodes.services.models.pull.disk import amount
from phloem.runtime.words import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["Shown", "shown"]

_EVERY_SECONDS: Final = 10.0
_EVERY_PART: Final = 0.1


class Shown:
    """Progress that knows where it is: what is being done, how many bytes of it are, of how many. It shows nothing."""

    def __init__(self) -> None:
        self.doing = ""
        self.done = 0
        self.total: int | None = None

    def begin(self, doing: str, done: int, total: int | None) -> None:
        """See pull.Progress, as for the others."""
        self.doing, self.done, self.total = doing, done, total

    def reach(self, done: int) -> None:
        self.done = done

    def say(self, words: str) -> None: ...

    def __str__(self) -> str:
        if not self.total:
            return amount(self.done)
        return f"{self.done / self.total:.0%} of {amount(self.total)}"


@contextmanager
def shown(how: str) -> Iterator[Shown]:
    """What shows progress on stderr while the block runs. `how` is as --progress takes it."""
    if how == "auto":
        how = "bar" if sys.stderr.isatty() else "lines"
    if how == "off":
        yield Shown()
    elif how == "lines":
        yield _Lines()
    else:
        with _bars() as bars:
            yield _Bar(bars)


class _Lines(Shown):
    """A line for every tenth, at most every ten seconds."""

    def begin(self, doing: str, done: int, total: int | None) -> None:
        super().begin(doing, done, total)
        self._start = self._last = done
        self._began = self._told = time.monotonic()
        self.say(f"{doing}: {self}")

    def reach(self, done: int) -> None:
        super().reach(done)
        now = time.monotonic()
        far = self.total is None or done - self._last >= self.total * _EVERY_PART
        if done == self.total or (far and now - self._told >= _EVERY_SECONDS):
            self._last, self._told = done, now
            self.say(f"{self.doing}: {self}, {amount(int((done - self._start) / max(now - self._began, 1e-6)))}/s")

    def say(self, words: str) -> None:
        print(printable(words), file=sys.stderr, flush=True)


class _Bar(Shown):
    """A bar of rich's."""

    def __init__(self, bars: Bars) -> None:
        super().__init__()
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, doing: str, done: int, total: int | None) -> None:
        super().begin(doing, done, total)
        if self._task is not None:
            self._bars.remove_task(self._task)
        # What was done before is there from the start, so that only what comes now counts as speed.
        self._task = self._bars.add_task(doing, total=total, completed=done)

    def reach(self, done: int) -> None:
        super().reach(done)
        if self._task is not None:
            self._bars.update(self._task, completed=done)

    def say(self, words: str) -> None:
        self._bars.console.print(printable(words), markup=False, highlight=False)


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(), DownloadColumn(),
        TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=Console(stderr=True), expand=True, transient=True)
