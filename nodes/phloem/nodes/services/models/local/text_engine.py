"""Answers of one text model, many at once: each step computes what `schedule` says, in groups that `groups` chose.

Requests join and leave between any two steps. A request that fails takes no other with it, and one that is
cancelled in the middle of a step makes that step be done again for the others, which changes nothing for them.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import Any, Final

from phloem.nodes.services.models.local.groups import Group, Groups
from phloem.nodes.services.models.local.llama import Aborted, Entry, Loaded
from phloem.nodes.services.models.local.schedule import Copy, Read, Schedule
from phloem.nodes.services.models.local.vocabulary import Vocabulary
from phloem.nodes.services.models.local.writing import Writing
from phloem.runtime.errors import PhloemError

__all__ = ["Listener", "TextEngine"]

TURN: Final = 0.005
"""Seconds for which one of several answers goes on before the next has its turn, where they are computed one by one."""
TRIAL: Final = 0.05
"""Seconds after which a trial is not repeated to know its time better."""


class Listener:
    """Told what happens to the requests of an engine, by their keys."""

    def begun(self, key: int, read: int, cached: int) -> None:
        """Its prompt of `read` tokens is about to be read, but for the first `cached` ones, which were before."""

    def wrote(self, key: int, text: str, count: int, chances: list[Any]) -> None:
        """Its answer goes on by this text, the fruit of `count` tokens."""

    def ended(self, key: int, how: str, calls: list[list[str]]) -> None:
        """Its answer is over: `stop` if it is complete, `length` if it was cut off; with the tools that it calls."""

    def failed(self, key: int, error: Exception) -> None:
        """There will be no answer."""


class TextEngine:
    """The requests of one loaded model. It belongs to the thread that made the model."""

    def __init__(self, loaded: Loaded, listener: Listener, *, chunk: int) -> None:
        self.loaded = loaded
        self.words = Vocabulary(loaded)
        self._schedule = Schedule(loaded.shape.streams, chunk, loaded.shares)
        self._groups = Groups(loaded.shape.streams if loaded.shares else 1)
        self._writings: dict[int, Writing] = {}
        self._listener = listener

    @property
    def busy(self) -> bool:
        """True while there is something to compute."""
        return self._schedule.busy

    def add(self, key: int, writing: Writing) -> None:
        """A request has come; it is closed here."""
        self._writings[key] = writing
        self._schedule.add(key, writing.prompt)

    def cancel(self, key: int) -> None:
        """Nobody wants the answer any more."""
        if key in self._writings:
            self._remove(key)

    def close(self) -> None:
        """Drop all requests."""
        for key in list(self._writings):
            self._remove(key)

    def step(self) -> None:
        """Compute something for each answer that goes on, and some of a prompt that waits to be read.

        What `Loaded.stop` interrupts has not happened.
        """
        step = self._schedule.next()
        for move in step.moves:
            if isinstance(move, Copy):
                self.loaded.copy(move.source, move.target, move.keep)
            else:
                self.loaded.cut(move.stream, move.keep)
        try:
            if step.write:
                self._write(step.write)
            if step.read is not None:
                self._read(step.read)
        except Aborted:
            return

    def _write(self, streams: Sequence[int]) -> None:
        """One more token for the answers in these streams."""
        keys = [self._schedule.key_of(stream) for stream in streams]
        try:
            for group in self._groups.split(streams):
                self._write_group(group)
                if len(group.streams) == 1 and len(streams) > 1 and not self._schedule.reading:
                    self._go_on(group.streams[0])
        finally:
            for key in keys:
                self._tell(key)

    def _write_group(self, group: Group) -> None:
        try:
            if group.trial:
                self._try(group)
            else:
                self._together(group.streams)
        except PhloemError as error:
            for stream in group.streams:
                self._of(stream).failure = error

    def _go_on(self, stream: int) -> None:
        """Write on in one of several streams that are computed one by one.

        llama.cpp plans a computation anew when it is of another stream than the last one, which takes a small
        model as long as a token.
        """
        end = time.perf_counter() + TURN
        writing = self._of(stream)
        while not writing.ended and writing.failure is None and time.perf_counter() < end:
            self._write_group(Group((stream,)))

    def _together(self, streams: Sequence[int]) -> None:
        self._groups.took(len(streams), self._compute(streams))
        for index, stream in enumerate(streams):
            self._take(stream, index)

    def _try(self, group: Group) -> None:
        """Compute the streams together, and again one by one, which counts; tell whether that made a difference."""
        times: list[float] = []
        # The first time of a kind takes longer.
        while not times or (len(times) < 3 and sum(times) < TRIAL):
            times.append(self._compute(group.streams))
            for stream in group.streams:
                self.loaded.cut(stream, self._of(stream).at)
        together = [self._bits(index) for index in range(len(group.streams))]
        same = True
        for stream, bits in zip(group.streams, together, strict=True):
            self._groups.took(1, self._compute([stream]))
            same = same and self._bits(0) == bits
            self._take(stream, 0)
        self._groups.tried(len(group.streams), same=same, seconds=min(times))

    def _compute(self, streams: Sequence[int]) -> float:
        """Compute the next token of each stream; how many seconds that took."""
        entries = [Entry(one.token, one.at, stream, True) for stream in streams for one in [self._of(stream)]]
        began = time.perf_counter()
        self._decode(entries, {stream: self._of(stream).at for stream in streams})
        return time.perf_counter() - began

    def _read(self, read: Read) -> None:
        """Read a chunk of a prompt; after the last one the answer's first token is chosen."""
        writing = self._writings[read.key]
        if not writing.begun:
            writing.begun = True
            self._listener.begun(read.key, len(writing.prompt), read.start)
        tokens = writing.prompt[read.start : read.end]
        entries = [
            Entry(token, read.start + index, read.stream, read.last and index == len(tokens) - 1)
            for index, token in enumerate(tokens)
        ]
        began = time.perf_counter()
        try:
            self._decode(entries, {read.stream: read.start})
        except PhloemError as error:
            writing.failure = error
            return self._tell(read.key)
        self._schedule.done(read, time.perf_counter() - began)
        writing.at = read.end
        if read.last:
            self._choose(read.key, len(tokens) - 1)
            self._tell(read.key)
        return None

    def _decode(self, entries: Sequence[Entry], before: dict[int, int]) -> None:
        """Compute entries. If that does not come to its end, the streams are as `before`, by their lengths."""
        try:
            self.loaded.decode(entries)
        except BaseException:
            for stream, length in before.items():
                self.loaded.cut(stream, length)
            raise

    def _take(self, stream: int, index: int) -> None:
        self._of(stream).at += 1
        self._choose(self._schedule.key_of(stream), index)

    def _choose(self, key: int, index: int) -> None:
        """Choose the next token of one request. What goes wrong there is that request's alone."""
        writing = self._writings[key]
        try:
            writing.take(index)
        except Exception as error:
            writing.failure = error

    def _tell(self, key: int) -> None:
        writing = self._writings[key]
        text, count, chances = writing.news()
        if count or text:
            self._listener.wrote(key, text, count, chances)
        if writing.failure is not None:
            self._remove(key)
            self._listener.failed(key, writing.failure)
        elif writing.ended:
            self._remove(key)
            self._listener.ended(key, writing.ended, writing.calls)

    def _remove(self, key: int) -> None:
        self._schedule.remove(key)
        self._writings.pop(key).close()

    def _of(self, stream: int) -> Writing:
        return self._writings[self._schedule.key_of(stream)]

    def _bits(self, index: int) -> bytes:
        scores = self.loaded.scores(index)
        return ctypes.string_at(scores, ctypes.sizeof(scores))
