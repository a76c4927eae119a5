"""How much memory a model takes, and how it is run so that it fits: how many streams, of how much context."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phloem.nodes.services.models.local.gguf import Header
from phloem.runtime.errors import ServiceError

__all__ = ["MOST_STREAMS", "Room", "Wanted", "available_memory", "cores", "stream_context"]

LONGEST_CONTEXT: Final = 4096
"""Tokens of context that a stream gets at most, unless the settings say otherwise: memory grows with it."""
LONGEST_WINDOW: Final = 1024
"""The same for an embedding model, whose memory grows with the square."""
STREAMS: Final = 8
"""Requests that are computed at once, unless the settings say otherwise, or memory is short."""
MOST_STREAMS: Final = 64
"""More than llama.cpp is built for, and than any machine has use for."""
LEAST_STREAM_MEMORY: Final = 1_000_000_000
"""Bytes that streams may take together whatever the model's size; more only up to half the model's own."""
SMALL: Final = 256_000_000
"""Bytes below which a model gets few threads. See Room.threads."""
SHARE: Final = 0.6
"""The part of the machine's memory that models may take together, unless the settings say otherwise."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say of how models are run; None where they say nothing. `memory` is bytes for all models."""

    memory: int
    context: int | None = None
    parallel: int | None = None
    gpu_layers: int | None = None
    threads: int | None = None

    def packed(self) -> list[Any]:
        return [self.memory, self.context, self.parallel, self.gpu_layers, self.threads]


@dataclass(frozen=True, slots=True)
class Room:
    """How one model is run. `need` is how many bytes it takes, about."""

    streams: int
    context: int
    need: int
    threads: int

    @classmethod
    def of(cls, name: str, header: Header, size: int, wanted: Wanted) -> Room:
        """The room for a file of `size` bytes. ServiceError if it is larger than all models may take together."""
        vectors = header.makes_vectors
        context = stream_context(header, wanted)
        each = header.memory_per_token * _padded(context)
        streams = 1 if vectors else wanted.parallel or STREAMS
        most = wanted.memory - size
        if wanted.parallel is None:
            most = min(most, max(LEAST_STREAM_MEMORY, size // 2))
        while streams > 1 and streams * each > most:
            streams //= 2
        need = size + streams * each
        if need > wanted.memory:
            raise ServiceError(
                f"{name} needs {_gigabytes(need)} of memory, and models may take {_gigabytes(wanted.memory)} together",
                hint="Raise models.memory in settings.yaml, lower models.context there, or choose a smaller model.",
            )
        return cls(streams, context, need, wanted.threads or _threads(size))


def stream_context(header: Header, wanted: Wanted) -> int:
    """Tokens of context that each request has: no more than the model was trained for."""
    longest = wanted.context or (LONGEST_WINDOW if header.makes_vectors else LONGEST_CONTEXT)
    return min(header.context_length, longest)


def _threads(size: int) -> int:
    """How many threads a model of this size gets: all cores, or if it is small at most 4, and one less.

    Threads that wait for one another lose more than they win when a core is taken from one of them
    (measured with a model of 3 MB on two cores of which one was busy: 13 times slower than one thread).
    """
    return max(1, min(cores() - 1, 4)) if size < SMALL else cores()


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes that models may take together by default: a part of the machine's memory, or of the container's."""
    limits = [_physical_memory()]
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(place).read_text()))
        except (OSError, ValueError):
            continue  # There is none, or it is `max`.
    return int(min(limits) * SHARE)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _windows_memory()


def _windows_memory() -> int:
    import ctypes

    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API."""

        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")
        ]

    status = Status()
    status.length = ctypes.sizeof(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined, unused-ignore]
    return int(status.total)


def _padded(context: int) -> int:
    """llama.cpp rounds the length of a stream up to a multiple of 256."""
    return -(-context // 256) * 256


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
