"""Where a run's answers from outside come from: they are asked for, and kept, or they are given as they were kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from phloem.runtime.errors import ConfigError, NotRecorded, PhloemError, ServiceError
from phloem.runtime.grants import LOCAL_PROVIDERS, names_server, provider_of
from phloem.runtime.grants.models import names_path
from phloem.runtime.recording.differing import REMEDY, broken_off, not_recorded
from phloem.runtime.recording.held_back import HeldBack
from phloem.runtime.recording.listening import Listening, tells
from phloem.runtime.recording.plain import as_question, key_of
from phloem.runtime.recording.recording import Exchange, Given, Keeper, Recording, Sent, Spent
from phloem.runtime.recording.safe import safe_url
from phloem.runtime.services import Meter

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["Answers", "Question"]

Result = TypeVar("Result")

PATIENCE: Final = 1.0
"""Seconds more than it took then that something has for interrupting what it interrupted before."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a node asks: the `number`-th time (from 0) under this key. `turn` orders all that the node asks."""

    node: str
    call: str
    asked: Any
    key: bytes
    number: int
    turn: int


class Answers:
    """The answers from outside of one run.

    Without an `old` recording everything is asked outside; with one it is looked up there, and asked outside only if
    it `asks`. All of it goes to the keeper, see `keep_with`. Streams of an old recording keep their `pace`, or
    come at once. `folder` is the workflow's, from which paths in questions are told; with `prompts` what goes to
    models is kept word for word.

    What is asked is told apart by the path of the node, the call, and the digest of the question; equal ones by
    their number. So it does not matter in which order nodes ask that run at the same time. `changed` are the
    collections, `written` the files that the run itself has changed.
    """

    def __init__(
        self,
        *,
        old: Recording | None = None,
        asks: bool = False,
        pace: bool = False,
        folder: Path | None = None,
        prompts: bool = False,
    ) -> None:
        self.old = old
        self.asks = asks or old is None
        self.hurries = old is not None and not pace
        self.folder = folder
        self.prompts = prompts
        self.changed: set[str] = set()
        self.written: set[Path] = set()
        self.held_back = HeldBack()
        self._keeper: Keeper | None = None
        self._numbers: dict[tuple[str, str, bytes], int] = {}
        self._turns: dict[str, int] = {}
        self._used: set[tuple[str, str, bytes, int]] = set()
        self._lock = threading.Lock()

    def keep_with(self, keeper: Keeper | None) -> None:
        """Have what comes from now on kept there."""
        self._keeper = keeper

    @property
    def replays(self) -> bool:
        """True if answers come from an old recording as far as it has them."""
        return self.old is not None

    def portable(self, path: Path | str) -> str:
        """A path as questions name it: relative to the workflow's folder for what lies there or beside it, so that
        a recording holds in another place too."""
        real = Path(path)
        if self.folder is not None and real.is_absolute() and real.is_relative_to(self.folder.parent):
            inside = real.is_relative_to(self.folder)
            start = real.relative_to(self.folder if inside else self.folder.parent).as_posix()
            return start if inside else f"../{start}"
        return str(real)

    def portable_model(self, name: str) -> str:
        """The full name of a model as questions have it: a path in it as `portable` tells it."""
        if names_server(name):
            return safe_url(name)
        provider = provider_of(name)
        rest = name.removeprefix(f"{provider}:")
        here = provider in LOCAL_PROVIDERS and names_path(provider, rest)
        return f"{provider}:{self.portable(rest) if here else rest}"

    # What nodes ask

    async def ask(
        self,
        context: Context,
        call: str,
        question: Mapping[str, Any],
        ask: Callable[[Meter], Awaitable[Result]],
        *,
        fact: bool = False,
        anew: bool = False,
    ) -> Result:
        """What `ask` gives or raises, which asks outside, or what is known of it. A `fact` is the same for a node
        however often it asks, once it is known; with `anew` an old answer does not count."""
        asked = self._question(context.node, call, question, fact=fact)
        given = None if anew else self._given(asked)
        try:
            if given is None:
                return await self._outside(context, asked, ask)
            await self._pause(given.seconds)
            try:
                for one in given.said:
                    self._tell(context, one)
                await self._until_interrupted(given)
                value: Result = self._end(asked, given)
                return value
            finally:
                self._keep(asked, given)
        except BaseException:
            if fact:
                self._asked_again_after(asked)
            raise

    async def stream(
        self,
        context: Context,
        call: str,
        question: Mapping[str, Any],
        ask: Callable[[Meter], AsyncGenerator[Any, None]],
        *,
        turn: Callable[[Any], Any],
        back: Callable[[Any], Any],
    ) -> AsyncGenerator[Any, None]:
        """As `ask`, for what comes piece by piece: texts, and as the last something else, which `turn` makes a value
        of that can be kept, and `back` makes of that."""
        asked = self._question(context.node, call, question)
        given = self._given(asked)
        if given is None:
            async with aclosing(self._stream_outside(context, asked, ask, turn)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        delays = iter(given.delays)
        try:
            for one in given.said:
                if isinstance(one, str):
                    await self._pause(next(delays, 0.0))
                    yield one
                else:
                    self._tell(context, one)
            await self._until_interrupted(given)
            end = self._end(asked, given)
            if end is not None:
                yield back(end)
        finally:
            self._keep(asked, given)

    def at_once(
        self,
        context: Context,
        call: str,
        question: Mapping[str, Any],
        ask: Callable[[], Result],
        *,
        anew: bool = False,
    ) -> Result:
        """As `ask`, for what blocks, or takes no time."""
        asked = self._question(context.node, call, question)
        given = None if anew else self._given(asked)
        if given is not None:
            self._keep(asked, given)
            value: Result = self._end(asked, given)
            return value
        with self._taken(context, asked) as given:
            value = given.value = ask()
        return value

    def as_before(self, node: str, call: str, question: Mapping[str, Any]) -> None:
        """Raise the error that this came to in the old recording, if it came to one."""
        asked = self._question(node, call, question)
        given = None if self.old is None else self.old.given(node, call, asked.key, asked.number)
        if given is not None:
            self._keep(asked, given)
            self._end(asked, given)

    def keep_rest(self, status: str) -> None:
        """The run is about to end like this. Of a replay that did not get to its end what it did not come to stays in
        the recording: to be called while the record of the run is still open, or the recording in it lacks that."""
        keeper = self._keeper
        if keeper is None or self.old is None or status == "done":
            return
        for exchange, key, number in self.old.exchanges(what_is_left=True):
            place = (exchange.node, exchange.call, key, number)
            if place not in self._used:
                self._used.add(place)
                keeper.keep(exchange, key, number)

    def close(self, status: str) -> None:
        """The run has ended like this. JournalError if the recording cannot be kept."""
        self.held_back.close()
        try:
            self.keep_rest(status)
        finally:
            keeper, self._keeper = self._keeper, None
            if keeper is not None:
                # One that waits for a person is not at its end either.
                keeper.close(finished=status not in ("cancelled", "waiting"))

    # How

    def _question(self, node: str, call: str, question: Mapping[str, Any], *, fact: bool = False) -> Question:
        asked = as_question(question)
        key = key_of(asked)
        place = (node, call, key)
        with self._lock:
            number = self._numbers.get(place, 0)
            self._numbers[place] = number if fact else number + 1
            turn = self._turns[node] = self._turns.get(node, -1) + 1
        return Question(node, call, asked, key, number, turn)

    def _asked_again_after(self, asked: Question) -> None:
        """A fact that could not be had: whoever asks once more has another question."""
        place = (asked.node, asked.call, asked.key)
        with self._lock:
            self._numbers[place] = max(self._numbers[place], asked.number + 1)

    def _given(self, asked: Question) -> Given | None:
        """What is known; None if it is to be asked outside. NotRecorded if it may not be."""
        if self.old is None:
            return None
        try:
            found = self.old.given(asked.node, asked.call, asked.key, asked.number)
            if found is not None and not (found.broken_off and self.asks):
                return found
            if self.asks:
                return None
            raise not_recorded(self.old, asked.node, asked.call, asked.asked, asked.key)
        except ConfigError as error:
            # What was said has gone from the disk.
            if self.asks:
                return None
            raise NotRecorded(error.message, hint=REMEDY) from error

    def _end(self, asked: Question, given: Given) -> Any:
        if given.error is not None:
            # Each that fails gets an error of its own: the place of the failure is added to it.
            raise _again(given.error)
        if given.broken_off and self.old is not None:
            raise broken_off(self.old, asked.call)
        return given.value

    async def _outside(self, context: Context, asked: Question, ask: Callable[[Meter], Awaitable[Result]]) -> Result:
        with self._taken(context, asked) as given:
            value = given.value = await ask(Listening(context, given, prompts=self.prompts))
        return value

    async def _stream_outside(
        self,
        context: Context,
        asked: Question,
        ask: Callable[[Meter], AsyncGenerator[Any, None]],
        turn: Callable[[Any], Any],
    ) -> AsyncGenerator[Any, None]:
        with self._taken(context, asked) as given:
            last = time.perf_counter()
            async with aclosing(ask(Listening(context, given, prompts=self.prompts))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, str):
                        given.said.append(piece)
                        given.delays.append(time.perf_counter() - last)
                    else:
                        given.value = turn(piece)
                    yield piece
                    last = time.perf_counter()

    @contextmanager
    def _taken(self, context: Context, asked: Question) -> Iterator[Given]:
        """What comes of a question that is asked outside while this is entered: it is kept if it says anything."""
        given = Given()
        worth_keeping = True
        began = time.perf_counter()
        try:
            yield given
        except BaseException as error:
            # One who has had the end and reads no further has had it all.
            worth_keeping = given.value is not None or tells(context, given, error)
            raise
        finally:
            given.seconds = time.perf_counter() - began
            if worth_keeping:
                self._keep(asked, given)

    def _keep(self, asked: Question, given: Given) -> None:
        place = (asked.node, asked.call, asked.key, asked.number)
        with self._lock:
            if place in self._used:
                return
            self._used.add(place)
        keeper = self._keeper
        if keeper is not None:
            exchange = Exchange(asked.node, asked.call, asked.asked, given, asked.turn)
            keeper.keep(exchange, asked.key, asked.number)

    def _tell(self, context: Context, one: Spent | Sent | str) -> None:
        if isinstance(one, Spent):
            context.spend(read=one.read, written=one.written, cached=one.cached, money=one.money)
        elif isinstance(one, Sent):
            context.sent(one.model, one.text)

    async def _until_interrupted(self, given: Given) -> None:
        """What something else in the run had broken off waits for that to happen again."""
        if given.interrupted:
            await asyncio.sleep(given.seconds + PATIENCE)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(0 if self.hurries else seconds)


def _again(error: PhloemError) -> PhloemError:
    if isinstance(error, ServiceError):
        return type(error)(error.message, hint=error.hint, retryable=error.retryable)
    return type(error)(error.message, hint=error.hint)
