"""An answer in a form from a model elsewhere: held to it as well as the server can, else asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.failures import Refused
from phloem.nodes.services.models.hosted.holding import Held
from phloem.runtime.errors import ServiceError
from phloem.runtime.services import Ending
from phloem.runtime.values import Message

__all__ = ["Answered", "Ask", "held_answer"]

ATTEMPTS: Final = 3
"""How often a model is asked that answers in another form."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer: its text, or the JSON with which the tool was called, and how it ended."""

    text: str
    ending: Ending


Ask = Callable[[Sequence[Message], Held], Awaitable[Answered]]


async def held_answer(
    asked: Sequence[Message], ways: Sequence[Held], ask: Ask, endpoint: Endpoint, *, close: bool
) -> tuple[Any, Held]:
    """The value that the answer stands for, and the way in which it came.

    A way that the server refuses is followed by the next. An answer that does not fit is shown to the model,
    with what is wrong with it, and asked for again; after three of them the last is a ServiceError. One that is cut
    off is a ServiceError at once, unless it can be closed and `close` says so. Servers that hold every token to
    the form cannot answer in another: where one does, it knows nothing of that way, and the next is tried.
    """
    refused: Refused | None = None
    for held in ways:
        try:
            return await _persistently(asked, held, ask, endpoint, close=close), held
        except Refused as failure:
            refused = failure
    assert refused is not None
    raise refused


async def _persistently(asked: Sequence[Message], held: Held, ask: Ask, endpoint: Endpoint, *, close: bool) -> Any:
    said = _with(asked, held.told)
    for left in range(ATTEMPTS - 1, -1, -1):
        answered = await ask(said, held)
        if answered.ending.finish == "refused":
            raise ServiceError(f"{endpoint.full} refused to answer: {answered.text[:200]!r}")
        if answered.ending.finish == "length":
            return await asyncio.to_thread(_cut_off, answered.text, held, endpoint, close=close)
        try:
            # A hostile form may take seconds to read.
            return await asyncio.to_thread(held.read, answered.text)
        except ServiceError as failure:
            if held.sure:
                raise Refused(failure.message, hint=failure.hint) from None
            if not left:
                raise
            said = [*said, *_once_more(answered.text, failure.message)]
    raise AssertionError


def _cut_off(text: str, held: Held, endpoint: Endpoint, *, close: bool) -> Any:
    if close:
        return held.close(text)
    raise ServiceError(
        f"the answer of {endpoint.full} is cut off by max_tokens, and not complete: {text[:200]!r}",
        hint="Raise max_tokens; what a model thinks counts too. Or simplify the form.",
    )


def _once_more(text: str, problem: str) -> list[Message]:
    complaint = f"That cannot be used: {problem[:1000]}\nAnswer again, with nothing but the corrected answer."
    return [Message("assistant", text or "(nothing)"), Message("user", complaint)]


def _with(asked: Sequence[Message], told: str) -> Sequence[Message]:
    """The conversation with `told` behind what the user says last."""
    if not told:
        return asked
    last = asked[-1] if asked else None
    if last is None or last.role != "user":
        return [*asked, Message("user", told)]
    return [*asked[:-1], Message("user", f"{last.content}\n\n{told}", last.images)]
