"""What a node function is given."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from functools import partial
from typing import Any, TypeVar

from phloem.runtime.budget import Budget
from phloem.runtime.context.collections import Collections
from phloem.runtime.context.files import Files
from phloem.runtime.context.http import Http
from phloem.runtime.context.models import Models
from phloem.runtime.context.scope import Scope

Result = TypeVar("Result")


@dataclass(slots=True)
class Context:
    """What a node function is given to reach the outside world, once per call.

    `key` is the same for every attempt at the same piece of work: hand it to services that accept an
    idempotency key. `within` is the budget that the call spends from, if not one of its own.
    """

    scope: Scope
    node: str
    key: str = ""
    on_progress: Callable[[float | None, str], None] = lambda fraction, message: None
    on_text: Callable[[str, str], None] = lambda port, piece: None
    on_sent: Callable[[str, str], None] = lambda model, text: None
    within: InitVar[Budget | None] = None
    budget: Budget = field(init=False)
    written: list[tuple[str, str, str]] = field(default_factory=list)

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
