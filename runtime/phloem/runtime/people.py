"""Asking people: the questions of a run's nodes that are open, and how the answers find their way back.

An answer comes from the terminal of the run, or from anywhere else through its record; whichever way, it is in the
record before the node has it, so that nobody is asked twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from phloem.runtime.cache import Stored, store
from phloem.runtime.errors import ConfigError, ServiceError
from phloem.runtime.journal.record import Question

if TYPE_CHECKING:
    from phloem.runtime.journal import RunLog

__all__ = ["NOBODY", "People", "Person"]

NOBODY: Final = object()
"""The answer of a Person who has gone."""

LATE: Final = 0.6
"""Seconds after a deadline until an answer that came just before it has been heard of."""

LONGEST_SLEEP: Final = 30.0
"""Seconds after which one who waits looks at the clock again: a machine that slept may have missed the time."""

Waiting = Callable[[Question, float | None], AbstractContextManager[None]]


class Person(Protocol):
    """Whoever can be asked where the run was begun: somebody at a terminal, or in a window."""

    async def answer(self, question: Question) -> Any:
        """What is answered, a value of the question's type; NOBODY if there is nobody any more.

        Several questions may come at once. One that is cancelled is withdrawn: it was answered elsewhere.
        """
        ...


class People:
    """What one run asks people.

    Questions go into `log`, and `deliver(node, answer)` brings an answer there, on a thread that may wait. `answered`
    are answers that were given before the run went on. `person` can be asked here; where nobody can, a run that
    `stays` waits for answers from elsewhere, and any other one leaves off when nothing else is to be done.
    Used on the loop of the run. `left` are the questions that were open when the run left off.
    """

    def __init__(
        self,
        log: RunLog | None = None,
        deliver: Callable[[str, Stored], None] | None = None,
        *,
        answered: Mapping[str, Question] | None = None,
        person: Person | None = None,
        stays: bool = False,
    ) -> None:
        self.stays = stays
        self._log = log
        self._deliver = deliver
        self._person = person
        self._answered = {node: one.answer for node, one in (answered or {}).items() if one.answer is not None}
        self._open: dict[str, tuple[Question, asyncio.Future[Any]]] = {}
        self._delivering = 0
        self._rests = False
        self.left: tuple[Question, ...] = ()
        self.on_change: Callable[[], None] = lambda: None

    @property
    def open(self) -> list[Question]:
        """The questions that nobody has answered yet."""
        return [question for question, answer in self._open.values() if not answer.done()]

    @property
    def wait(self) -> bool:
        """True while every question that a node has put is still open, and there is one."""
        on_the_way = self._delivering or any(answer.done() for _, answer in self._open.values())
        return bool(self._open) and not on_the_way

    @property
    def leaves(self) -> bool:
        """True if the run is to leave off rather than wait: nobody can be asked here."""
        return self._person is None and not self.stays

    async def ask(self, question: Question, waiting: Waiting) -> list[Any]:
        """The answer, as a list of one; an empty one if nobody answered before the deadline. ServiceError if nobody
        could ever answer. `waiting` is entered while the node waits."""
        node = question.node
        known = self._answered.pop(node, None)
        if known is not None:
            return [known.load()]
        if question.deadline is not None and self._log is not None:
            question = replace(question, deadline=self._log.deadline(node, question.deadline))
        if question.deadline is not None and question.deadline <= time.time():
            return []
        if self._log is None and self._person is None:
            raise _nobody()
        if self._log is not None:
            self._log.ask(question)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open[node] = question, answer
        asking = None if self._person is None else asyncio.create_task(self._ask_here(question, answer))
        try:
            with waiting(question, question.deadline):
                self.on_change()
                return await self._until(question, answer)
        finally:
            self._open.pop(node, None)
            if asking is not None:
                asking.cancel()
                await asyncio.wait([asking])

    def take(self, node: str, answer: Stored) -> None:
        """An answer has come."""
        found = self._open.get(node)
        if found is None:
            self._answered[node] = answer
        elif not found[1].done():
            found[1].set_result(answer.load())
        self.rest(False)

    def leave(self) -> None:
        """The run leaves off, and its questions stay open."""
        self.left = tuple(self.open)

    def rest(self, rests: bool) -> None:
        """Say in the record whether the run does nothing until somebody answers."""
        if rests != self._rests:
            self._rests = rests
            if self._log is not None:
                self._log.waits(rests)

    async def _until(self, question: Question, answer: asyncio.Future[Any]) -> list[Any]:
        """The answer, or nothing once the deadline has passed by the clock of the machine."""
        if question.deadline is None:
            return [await answer]
        end = question.deadline + (LATE if self._log is not None else 0.0)
        while (left := end - time.time()) > 0:
            await asyncio.wait([answer], timeout=min(left, LONGEST_SLEEP))
            if answer.done():
                return [answer.result()]
        self.rest(False)
        if self._log is not None:
            self._log.withdraw(question.node)
        return []

    async def _brought(self, node: str, answer: Stored, log: RunLog, deliver: Callable[[str, Stored], None]) -> None:
        """Put an answer into the record, from where it comes to the node."""
        self._delivering += 1
        try:
            await log.settled()
            # Somebody elsewhere may have been quicker, or the time be over: either is on its way.
            with suppress(ConfigError):
                await asyncio.to_thread(deliver, node, answer)
        finally:
            self._delivering -= 1
            self.on_change()

    async def _ask_here(self, question: Question, answer: asyncio.Future[Any]) -> None:
        assert self._person is not None
        try:
            value = await self._person.answer(question)
            if value is NOBODY:
                self._person = None
                if self._log is None:
                    raise _nobody()
                self.on_change()
            elif self._log is not None and self._deliver is not None:
                await self._brought(question.node, store(value), self._log, self._deliver)
            elif not answer.done():
                answer.set_result(value)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)


def _nobody() -> ServiceError:
    return ServiceError(
        "nobody can be asked: there is no terminal here, and nothing is kept of this run",
        hint="Run it at a terminal, or with a home that can be written.",
    )
