"""Telling when files that a run depends on have changed.

What counts is the state of the files: the operating system's notices only say when to look. So it does not matter
how an editor saves, whether a file is there yet, or that a notice got lost. Files that the run itself wrote, and that
are still as it left them, have not changed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

__all__ = ["Snapshot", "State", "Watch"]

QUIET: Final = 0.1
"""Seconds without another change after which a burst of them is over."""
BURST: Final = 3.0
"""Seconds after which a burst counts as over, whatever goes on."""
LOOK_EVERY: Final = 2.0
"""Seconds after which it is looked without a notice, as on file systems that give none; much longer where looking
takes long."""
MOST_FILES: Final = 100_000
"""Files below one folder that are looked at."""

State = tuple[int, int, int, int] | None
"""When a file was written, in ns, its size, and its number and that of its disk; None if it is not there."""
Snapshot = Mapping[Path, State]

_LEFT_OUT: Final = ("~", ".swp", ".swx", ".tmp", ".pyc")


def state_of(path: Path | int) -> State:
    """The state of a file, or of an open one."""
    try:
        found = os.stat(path)  # noqa: PTH116, it may be a number
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


class Watch:
    """Files and folders that are watched. Aim it, take a snapshot, do the work, and wait for what changed since.

    Of a folder everything below it counts but what is hidden, what editors leave beside a file while they save, and
    what is the program's own: the files and folders in `own`, and the open files in `streams`, such as 1.
    """

    def __init__(self, own: Iterable[Path] = (), streams: Iterable[int] = ()) -> None:
        self.paths: frozenset[Path] = frozenset()
        self._own_places = frozenset(Path(os.path.realpath(path)) for path in own)
        self._streams = {found[2:] for one in streams if (found := state_of(one)) is not None}
        self._written: dict[Path, State] = {}
        self._noticed = asyncio.Event()
        self._folders: tuple[frozenset[Path], frozenset[Path]] = (frozenset(), frozenset())
        self._task: asyncio.Task[None] | None = None
        self._cost = 0.0

    def aim(self, paths: Iterable[Path]) -> None:
        """Watch these from now on, on the running loop. They need not be there."""
        self.paths = frozenset(Path(os.path.abspath(path)) for path in paths)  # noqa: PTH100, links are to stay
        self._listen()

    async def close(self) -> None:
        task = self._task
        self._end_task()
        if task is not None:
            with suppress(asyncio.CancelledError):
                await task

    def wrote(self, path: Path) -> None:
        """A run has written this file: as it is now it does not count as changed. May be called on any thread."""
        self._written[path] = state_of(path)

    def snapshot(self) -> Snapshot:
        """The state of every file that is watched."""
        began = time.perf_counter()
        found = dict(one for path in self.paths for one in self._states(path))
        self._cost = time.perf_counter() - began
        return found

    def changed(self, before: Snapshot) -> list[Path]:
        """What is another way than in a snapshot, as far as no run did that."""
        now = self.snapshot()
        return sorted(path for path in {**before, **now} if self._differs(path, before.get(path), now.get(path)))

    async def change(self, before: Snapshot) -> list[Path]:
        """Wait until something changed since a snapshot, and until the burst of changes is over; what changed."""
        while True:
            found = self.changed(before)
            if found and (found := await self._settled(before, found)):
                return found
            self._noticed.clear()
            self._listen()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._noticed.wait(), max(LOOK_EVERY, 50 * self._cost))

    async def _settled(self, before: Snapshot, found: list[Path]) -> list[Path]:
        deadline = time.monotonic() + BURST
        seen: Snapshot = {}
        while (now := self.snapshot()) != seen and time.monotonic() < deadline:
            seen = now
            await asyncio.sleep(QUIET)
        # What was changed and changed back, or taken away and put back, may have been found in between. What a run was
        # just writing has been told by now.
        return self.changed(before) or [one for one in found if not self._is_written(one, now.get(one))]

    def _differs(self, path: Path, before: State, now: State) -> bool:
        return before != now and not self._is_written(path, now)

    def _is_written(self, path: Path, now: State) -> bool:
        """True if a run has written the file, and it is as the run left it."""
        real = Path(os.path.realpath(path))
        return real in self._written and self._written[real] == now

    def _states(self, path: Path) -> Iterator[tuple[Path, State]]:
        """The file itself, there or not, or every file below a folder that counts; each with its state."""
        if not path.is_dir():
            yield path, state_of(path)
            return
        own_names = {one.name for one in self._own_places}
        for one in islice(_below(path, lambda one: one.name in own_names and self._is_own(one)), MOST_FILES):
            state = state_of(one)
            if state is None or state[2:] not in self._streams:
                yield one, state

    def _is_own(self, path: Path) -> bool:
        return Path(os.path.realpath(path)) in self._own_places

    def _listen(self) -> None:
        """Be noticed of changes where the paths are, or would be."""
        folders = _folders(self.paths)
        if folders != self._folders or self._task is None or self._task.done():
            self._end_task()
            self._folders = folders
            self._task = asyncio.get_running_loop().create_task(self._notice(*folders))

    def _end_task(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _notice(self, flat: frozenset[Path], deep: frozenset[Path]) -> None:
        """Have it looked whenever the operating system tells of a change in `flat` folders, or anywhere below `deep`
        ones."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._hear(flat, False, stop)), asyncio.create_task(self._hear(deep, True, stop))]
        try:
            await asyncio.gather(*tasks)
        finally:
            stop.set()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, folders: frozenset[Path], recursive: bool, stop: asyncio.Event) -> None:
        from watchfiles import awatch

        if not folders:
            return
        # A folder that went away, or no more watches to be had, ends this: then it is looked only at times.
        with suppress(OSError, RuntimeError):
            async for _ in awatch(
                *folders, watch_filter=None, recursive=recursive, debounce=100, rust_timeout=1_000,
                stop_event=stop, ignore_permission_denied=True,
            ):  # fmt: skip
                self._noticed.set()


def _folders(paths: Collection[Path]) -> tuple[frozenset[Path], frozenset[Path]]:
    """The folders in which a change matters, and those of the paths themselves that are folders."""
    flat = {_nearest_folder(path) for path in paths} | {_nearest_folder(Path(os.path.realpath(path))) for path in paths}
    return frozenset(one for one in flat if one.is_dir()), frozenset(path for path in paths if path.is_dir())


def _nearest_folder(path: Path) -> Path:
    """The folder that holds `path`; while that is not there, the nearest around it."""
    return next((one for one in path.parents if one.is_dir()), path.parent)


def _below(path: Path, left_out: Callable[[Path], bool]) -> Iterator[Path]:
    """Every file below a folder that may count."""
    for folder, inner, names in os.walk(path):
        here = Path(folder)
        inner[:] = sorted(
            name for name in inner if not name.startswith(".") and name != "__pycache__" and not left_out(here / name)
        )
        for name in names:
            if not name.startswith(".") and not name.endswith(_LEFT_OUT) and not left_out(here / name):
                yield here / name
