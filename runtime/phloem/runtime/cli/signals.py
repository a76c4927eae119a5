"""Ctrl-C and a polite kill, for commands that end in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["told_to_stop"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def told_to_stop(act: Callable[[], object]) -> Iterator[None]:
    """While this goes on, Ctrl-C and a polite kill call `act` on the running loop, and do nothing else.

    On Windows, where a loop has no such handlers, they do what they do anyway.
    """
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):
        for one in _SIGNALS:
            loop.add_signal_handler(one, act)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for one in _SIGNALS:
                loop.remove_signal_handler(one)
