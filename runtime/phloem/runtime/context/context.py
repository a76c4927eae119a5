"""What a node function is given."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from phloem.runtime.budget import Budget
from phloem.runtime.context.collections import Collections
from phloem.runtime.context.files import Files
from phloem.runtime.context.http import Http
from phloem.runtime.context.models import Models
from phloem.runtime.context.scope import Scope
from phloem.runtime.errors import NodeTimeout, PermissionNeeded

if TYPE_CHECKING:
    import random
    from datetime import datetime

    from phloem.runtime.journal.record import Question

Result = TypeVar("Result")

LONGEST_SLEEP: Final = 30.0
"""Seconds after which somebody who waits looks at the clock again: a machine that slept may have missed the time."""


@dataclass(slots=True)
class Context:
    """What a node function is given to reach the outside world, once per call.

    `key` is the same for every attempt at the same piece of work: hand it to services that accept an
    idempotency key. `within` is the budget that the call spends from, if not one of its own. What a call gives is not
    kept for later runs once `keeps` is False. `timed_out` gives the error of a node whose time is up, and None before.
    """

    scope: Scope
    node: str
    key: str = ""
    on_progress: Callable[[float | None, str], None] = lambda fraction, message: None
    on_text: Callable[[str, str], None] = lambda port, piece: None
    on_sent: Callable[[str, str], None] = lambda model, text: None
    on_waiting: Callable[[str | Question, float | None], AbstractContextManager[None]] = lambda waits_for, until: (
        nullcontext()
    )
    timed_out: Callable[[], NodeTimeout | None] = lambda: None
    within: InitVar[Budget | None] = None
    budget: Budget = field(init=False)
    keeps: bool = True
    written: list[tuple[str, str, str]] = field(default_factory=list)
    _random: random.Random | None = field(default=None, init=False, repr=False)
    _questions: int = field(default=0, init=False, repr=False)

    def __post_init__(self, within: Budget | None) -> None:
        self.budget = within or Budget(parent=self.scope.budget)

    @property
    def tokens_in(self) -> int:
        """Tokens that models have read for this call so far."""
        return self.budget.read

    @property
    def tokens_out(self) -> int:
        """Tokens that models have written for this call so far."""
        return self.budget.written

    @property
    def money(self) -> float:
        """US dollars that this call has cost so far."""
        return self.budget.money

    @property
    def seed(self) -> int:
        """A number for nodes that use chance: it differs between nodes, and is the same in a repeated run."""
        text = f"{self.scope.seed}/{self.node}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) >> 1

    @property
    def random(self) -> random.Random:
        """Chance for this call: it goes another way in every node, and the same way in a run with the same seed."""
        if self._random is None:
            import random

            self._random = random.Random(self.seed)
        return self._random

    def now(self) -> datetime:
        """The time, in UTC; in a replay that of the recording. `.astimezone()` makes it that of this machine."""
        from datetime import UTC, datetime

        answers = self.scope.answers
        at = time.time() if answers is None else answers.at_once(self, "now", {}, time.time)
        return datetime.fromtimestamp(at, UTC)

    async def recorded(self, call: str, asked: Mapping[str, Any], ask: Callable[[], Awaitable[Result]]) -> Result:
        """What `ask` gives or raises, which asks outside for something that no other part of this Context knows: a
        person, a device. A recording keeps it, and a replay does not ask again.

        `call` is a word for what is done, `asked` all that the answer depends on. Both, and the answer, are values
        that a link could carry.
        """
        answers = self.scope.answers
        return await ask() if answers is None else await answers.ask(self, call, asked, lambda meter: ask())

    async def ask(
        self, asks: str, *, type: str = "text", choices: Sequence[str] = (), timeout: float | None = None
    ) -> Any:
        """What a person answers: a value of the port type `type`, one of `choices` if there are any.

        The run goes on with everything else meanwhile; with nothing else to do, and nobody there to be asked, it
        leaves off, and goes on when it is resumed. NodeTimeout if nobody has answered within `timeout` seconds, which
        go on while the run does not; ServiceError where nobody could be asked at all, InputError for an answer of
        another type. A recording keeps the answer, and a replay asks nobody.
        """
        from phloem.runtime.journal.record import Question
        from phloem.runtime.people import People
        from phloem.runtime.ports import PortType, expect

        self._questions += 1
        number = self._questions
        now = time.time()

        async def put() -> list[Any]:
            people = self.scope.people or People()
            # What is asked after it has an id of its own, so that a run which goes on knows which was answered.
            node = self.node if number == 1 else f"{self.node}#{number}"
            deadline = None if timeout is None else now + timeout
            return await people.ask(Question(node, asks, type, tuple(choices), deadline, now), self.on_waiting)

        answer = await self.recorded("ask", {"asks": asks, "type": type, "choices": list(choices)}, put)
        if not answer:
            raise NodeTimeout("nobody answered in time", hint="Say what is to happen then, or give them longer.")
        return expect(answer[0], PortType.parse(type))

    @property
    def cancelled(self) -> bool:
        """True once the run is to stop: long loops look at it."""
        return self.scope.cancelled

    @property
    def models(self) -> Models:
        return Models(self)

    @property
    def http(self) -> Http:
        return Http(self)

    @property
    def files(self) -> Files:
        return Files(self)

    @property
    def collections(self) -> Collections:
        return Collections(self)

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Show how far the node has come: a fraction of 1 if it is known, and a few words."""
        self.on_progress(fraction, message)

    def log(self, message: str) -> None:
        """Show a line beside the node."""
        self.on_progress(None, message)

    def emit_text(self, port: str, piece: str) -> None:
        """Show a piece of a text output while it is being made; the whole of it is still to be returned."""
        self.on_text(port, piece)

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        """Add to what the node costs: tokens, and US dollars. The models do it by themselves. See services.Meter.

        LimitReached when that is more than the node or the run may spend; ValueError for less than nothing.
        """
        self.budget.spend(read, written, money)

    def left(self) -> int | None:
        """How many tokens the node may still spend, and the run; None without a limit."""
        return self.budget.left()

    def sent(self, model: str, text: str) -> None:
        """Show the exact text that goes to a model, if the run was asked to. The models do it by themselves."""
        self.on_sent(model, text)

    def waiting(self, waits_for: str, until: float | None = None) -> AbstractContextManager[None]:
        """While it is entered the node waits for something outside, `until` that time (seconds since 1970) at the
        latest: that is shown, and no timeout of the node runs."""
        return self.on_waiting(waits_for, until)

    async def wait_until(self, at: float, waits_for: str) -> None:
        """Return at a time, in seconds since 1970, by the clock of the machine, also when that is put forward or back;
        at once for one that has passed, and in a replay. A run that goes on after its process has ended keeps the
        time."""
        if self.scope.answers is not None and self.scope.answers.hurries:
            return
        at = self.scope.deadline(self.node, at)
        with self.waiting(waits_for, at):
            while (left := at - time.time()) > 0:
                await asyncio.sleep(min(left, LONGEST_SLEEP))

    async def pause(self, seconds: float) -> None:
        """Let some time pass, as before another try; in a replay, none."""
        hurries = self.scope.answers is not None and self.scope.answers.hurries
        await asyncio.sleep(0 if hurries else seconds)

    def aside(self) -> Context:
        """A Context like this one for what is no part of the node's work: nothing of it is recorded."""
        return replace(self, scope=replace(self.scope, answers=None), within=self.budget)

    async def permitted(self, check: Callable[[], Result]) -> Result:
        """What `check` gives, which asks the permissions. A grant that it lacks is asked of whoever started the run,
        if anybody can be asked; PermissionNeeded if it stays missing."""
        try:
            return check()
        except PermissionNeeded as error:
            asking = self.scope.asking
            if asking is None or not asking.may_help(error):
                raise
            flags = " ".join(error.flags).replace("--allow ", "")
        with self.waiting(f"a grant: {flags}"):
            return await asking.until_allowed(self.node, check)

    def permitted_here(self, check: Callable[[], Result]) -> Result:
        """As `permitted`, for a thread that is not the loop's, which waits."""
        try:
            return check()
        except PermissionNeeded as error:
            asking = self.scope.asking
            if asking is None or not asking.may_help(error) or not asking.is_elsewhere():
                raise
        return asking.from_thread(self.permitted(check))

    async def in_thread(self, function: Callable[..., Result], /, *arguments: Any, **named: Any) -> Result:
        """`function(…)` without holding up the other nodes: for work of more than a few milliseconds."""
        call = partial(_without_stop_iteration, function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self.scope.pool, call)


def _without_stop_iteration(function: Callable[..., Result], /, *arguments: Any, **named: Any) -> Result:
    """A future cannot carry StopIteration, so a function that lets one escape would be waited for forever."""
    try:
        return function(*arguments, **named)
    except StopIteration as error:
        raise RuntimeError("StopIteration came out of a thread") from error
