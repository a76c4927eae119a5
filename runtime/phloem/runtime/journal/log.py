"""What a run under way puts into the journal. Everything here but `settled` returns at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime import events as e
from phloem.runtime.cache import Stored, store
from phloem.runtime.egress import Egress
from phloem.runtime.journal.entries import Row
from phloem.runtime.journal.record import Deadline, Effect, Question, Recorded, RunRecord
from phloem.runtime.journal.rows import packed_question

if TYPE_CHECKING:
    from phloem.runtime.errors import JournalError
    from phloem.runtime.journal.writer import Writer

__all__ = ["RunLog"]

MOST_HELD: Final = 64_000_000
"""Bytes of values that may wait for the disk before whoever makes more has to wait too."""
MOST_ROWS: Final = 20_000

_PASSING: Final = (e.NodeChunk, e.NodeProgress)


class RunLog:
    """One run's own place in the journal, from `Journal.begin` or `Journal.resume`.

    What is put in is on disk a few milliseconds later, or when `settled` returns. `failure` is the error
    after which nothing more can be kept; the run should stop then. `closed` is true from then on, and after `end`.
    Any thread may use it. A run that goes on where
    it was stopped numbers its events from `next_seq`.

    The callbacks come on the journal's own thread: `on_cancel` when somebody elsewhere wants the run to stop,
    `on_answer` with the node and the answer of a question, `on_failure` with the error.
    """

    def __init__(
        self,
        run: str,
        writer: Writer,
        *,
        record: RunRecord | None = None,
        owner: str = "",
        number: int | None = None,
        next_seq: int = 0,
        on_cancel: Callable[[], None] | None = None,
        on_answer: Callable[[str, Stored], None] | None = None,
        on_failure: Callable[[JournalError], None] | None = None,
    ) -> None:
        self.run = run
        self.next_seq = next_seq
        self.on_cancel = on_cancel
        self.on_answer = on_answer
        self.on_failure = on_failure
        self.failure: JournalError | None = None
        self.record = record
        self.owner = owner
        self.number = number
        self.rows: list[Row] = []
        self.statements: list[tuple[str, tuple[Any, ...]]] = []
        self.deadlines: dict[str, float] = {}
        self.held = 0
        self.closed = False
        self.writing = False
        self.cancel_told = False
        self.answers_told: set[str] = set()
        self._writer = writer

    @property
    def waits_for_disk(self) -> bool:
        """True if there is something to be written."""
        return bool(self.rows or self.statements or self.record is not None)

    def take(self, event: e.Event) -> None:
        """Keep an event. Pieces of streamed text and progress are not kept: the finished output has the text."""
        if event.__class__ in _PASSING or self.closed:
            return
        self.rows.append(event)
        if self._writer.idle:
            self._writer.wake()

    def finished(self, event: e.NodeFinished, outputs: Sequence[Stored | None]) -> None:
        """Keep a node's end with its outputs, in the order in which the event names them."""
        if self.closed:
            return
        rows = self.rows
        rows.append((event, outputs))
        for one in outputs:
            if one is not None:
                self.held += one.held
        if self._writer.idle:
            self._writer.wake()
        if self.held > MOST_HELD or len(rows) > MOST_ROWS:
            # The disk is slower than the run; memory is no place to keep the difference.
            self._writer.wait_for_room(self)

    def recorded(self, answer: Recorded) -> None:
        """Keep an answer from outside, for a replay."""
        if answer.answer is not None:
            self.held += answer.answer.held
        self._put((answer, (answer.answer,)))

    def egress(self, exchange: Egress) -> None:
        """Keep that a node spoke to a server."""
        self._put(exchange)

    def deadline(self, node: str, until: float) -> float:
        """Keep until when a node is to wait, in seconds since 1970, and return it; of a run that goes on, the time that
        it had before."""
        known = self.deadlines.get(node)
        if known is None:
            known = self.deadlines[node] = until
            self._put(Deadline(node, until))
        return known

    async def before_effect(self, node: str) -> None:
        """Have it on disk that a node is about to change something outside, and all that was kept before; to be
        awaited before it does. JournalError if that cannot be: then it must not."""
        self._put(Effect(time.time(), node))
        await self.settled()

    def ask(self, question: Question) -> None:
        """Put a question to whoever may answer, here or from elsewhere. The run hears of the answer by `on_answer`."""
        self.answers_told.discard(question.node)
        self._state(
            "INSERT OR REPLACE INTO questions VALUES (:run, ?, ?, NULL, NULL)",
            question.node, packed_question(question),
        )  # fmt: skip

    def withdraw(self, node: str) -> None:
        """Take back a question that nobody needs to answer any more; one that was answered stays."""
        self._state("DELETE FROM questions WHERE run = :run AND node = ? AND answer IS NULL", node)

    def waits(self, waits: bool) -> None:
        """Say whether the run does nothing until a person answers or a time comes; then its process may end, and
        another can go on with it."""
        self._state("UPDATE runs SET status = ? WHERE number = :run", "waiting" if waits else "running")

    def end(self, event: e.RunFinished, outputs: Mapping[str, Stored | None]) -> None:
        """Keep how the run ended, with its outputs by name. Nothing is kept after this."""
        if self.closed:
            return
        kept = []
        for name, shown in event.outputs.items():
            one = outputs.get(name)
            kept.append(store(shown) if one is None else one)
        # The values say it all, and may be too large for an event.
        bare = replace(event, outputs=dict.fromkeys(event.outputs))
        self.rows.append((bare, kept))
        self.statements.append(
            (
                "UPDATE runs SET status = ?, ended = ?, seconds = ?, tokens_in = ?, tokens_out = ?, money = ?, "
                "message = ? WHERE number = :run",
                (
                    event.status, event.at, event.seconds, event.tokens_in, event.tokens_out, event.money,
                    event.message,
                ),
            )
        )  # fmt: skip
        self.closed = True
        self._writer.hurry()

    def leave(self, event: e.RunFinished) -> None:
        """Keep that the run has left off until a person answers. Nothing is kept after this, and whoever resumes it
        goes on with it, in this process too."""
        if self.closed:
            return
        self.rows.append(replace(event, outputs={}))
        self._state("UPDATE runs SET status = 'waiting', owner = '' WHERE number = :run")
        self.closed = True
        self._writer.hurry()

    async def settled(self) -> None:
        """Return when all that was put in so far is on disk, so that not even a power cut takes it; JournalError
        if it could not be written."""
        if self.failure is not None:
            raise self.failure
        if self.waits_for_disk or self.writing or self.number is None:
            import asyncio

            await asyncio.wrap_future(self._writer.settled(self))

    def settle(self) -> None:
        """As `settled`, for one who is not on an event loop: it waits."""
        if self.failure is not None:
            raise self.failure
        self._writer.settled(self).result()

    def _put(self, row: Row) -> None:
        if not self.closed:
            self.rows.append(row)
            self._writer.wake()

    def _state(self, statement: str, *values: Any) -> None:
        if not self.closed:
            self.statements.append((statement, values))
            self._writer.wake()
