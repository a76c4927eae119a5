"""How many streams are computed in one go: as many as is fastest, and changes nothing. It knows nothing of llama.cpp.

Computing several streams together reads the weights once for all of them. Whether that is faster depends on
the model, the kind of its weights and the processor: measured on one machine, eight streams together took
between half and twice the time of eight one by one. And some kernels add numbers up in another order from a
certain number of streams on, which changes the last bits of a result, and so in the end a text. Both are found
out while the model works: the first time that a number of streams comes up they are computed together and
one by one, the results are compared bit by bit, and only what is the same is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Group", "Groups"]

TRIED_AGAIN: Final = 512
"""After so many steps a size that is exact is tried again: longer texts change what is fastest."""
GROWTH: Final = 1.03
"""By how much a time may grow from one step to the next: an interrupted step says little, a longer text does."""


@dataclass(frozen=True, slots=True)
class Group:
    """Streams with consecutive numbers, computed together; with `trial` one by one too, to be compared."""

    streams: tuple[int, ...]
    trial: bool = False


@dataclass(slots=True)
class Groups:
    """What is known of one model. `most` is how many streams it has."""

    most: int
    _seconds: dict[int, float] = field(init=False, default_factory=dict)
    _refused: set[int] = field(init=False, default_factory=set)
    _tried: dict[int, int] = field(init=False, default_factory=dict)
    _steps: int = field(init=False, default=0)

    def split(self, streams: Sequence[int]) -> list[Group]:
        """The groups in which to compute streams, whose numbers ascend."""
        self._steps += 1
        found: list[Group] = []
        for run in _runs(streams):
            found += self._split(run)
        return found

    def took(self, size: int, seconds: float) -> None:
        """A group of that size was computed in so many seconds."""
        before = self._seconds.get(size)
        self._seconds[size] = seconds if before is None else min(seconds, before * GROWTH)

    def tried(self, size: int, *, same: bool, seconds: float) -> None:
        """A trial is over: whether the results were the same, and how long it took together."""
        self._tried[size] = self._steps
        if same:
            self._seconds[size] = seconds
        else:
            self._refused.add(size)
            self._seconds.pop(size, None)

    def _split(self, run: tuple[int, ...]) -> list[Group]:
        size = self._to_try(len(run))
        if size is not None:
            return [Group(run[:size], trial=True), *self._split_known(run[size:])]
        return self._split_known(run)

    def _to_try(self, length: int) -> int | None:
        """The largest size up to `length` about which nothing is known, unless a larger one will do."""
        for size in range(length, 1, -1):
            if size in self._refused:
                continue
            due = self._tried.get(size)
            return size if due is None or self._steps - due > TRIED_AGAIN else None
        return None

    def _split_known(self, run: tuple[int, ...]) -> list[Group]:
        """The fastest way to cut a run into groups of sizes that were tried."""
        best: list[tuple[float, int]] = [(0.0, 0)]
        for length in range(1, len(run) + 1):
            options = [
                (best[length - size][0] + self._seconds.get(size, 1.0), size)
                for size in range(1, length + 1)
                if size == 1 or size in self._seconds
            ]
            best.append(min(options))
        groups: list[Group] = []
        end = len(run)
        while end:
            size = best[end][1]
            groups.append(Group(run[end - size : end]))
            end -= size
        return groups[::-1]


def _runs(streams: Sequence[int]) -> list[tuple[int, ...]]:
    """The streams cut where a number is missing: llama.cpp computes only consecutive ones together."""
    runs: list[list[int]] = []
    for stream in streams:
        if runs and runs[-1][-1] == stream - 1:
            runs[-1].append(stream)
        else:
            runs.append([stream])
    return [tuple(run) for run in runs]
