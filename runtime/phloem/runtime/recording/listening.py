"""Listening in while something is asked outside: what it says on the way, and whether how it ends tells anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from phloem.runtime.errors import LimitReached, PhloemError
from phloem.runtime.recording.failures import error_data
from phloem.runtime.recording.recording import Given, Sent, Spent

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["Listening", "tells"]


class Listening:
    """The meter of a call that is recorded: it notes what it is told, and tells the node's."""

    def __init__(self, context: Context, given: Given, *, prompts: bool) -> None:
        self._context = context
        self._given = given
        self._prompts = prompts

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        said, spent = self._given.said, Spent(read, written, cached, money)
        if said and isinstance(said[-1], Spent):
            said[-1] = said[-1].and_then(spent)
        else:
            said.append(spent)
        self._context.spend(read=read, written=written, cached=cached, money=money)

    def left(self) -> int | None:
        return self._context.left()

    def sent(self, model: str, text: str) -> None:
        if self._prompts:
            self._given.said.append(Sent(model, text))
        self._context.sent(model, text)


def tells(context: Context, given: Given, error: BaseException) -> bool:
    """Whether a question that came to this error tells anything of the outside; if so, it is noted in `given`."""
    late = context.timed_out() if isinstance(error, asyncio.CancelledError) else None
    if isinstance(error, PhloemError) and error_data(error) is not None:
        given.error = error
    elif late is not None:
        given.error = late
    elif isinstance(error, LimitReached | asyncio.CancelledError | GeneratorExit):
        given.broken_off = True
        given.interrupted = isinstance(error, asyncio.CancelledError) and not _stops(context)
    else:
        return False
    return True


def _stops(context: Context) -> bool:
    """True if the run itself stops, or leaves off until a person answers."""
    people = context.scope.people
    return context.cancelled or (people is not None and bool(people.left))
