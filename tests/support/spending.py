"""Kinds of node that spend, and the models they ask: what a hosted provider would take money for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

from phloem.runtime.budget import tokens_in
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.context import Context, Services
from phloem.runtime.declare import In, Out, Setting, kinds_in, node
from phloem.runtime.engine import Engine
from phloem.runtime.errors import NodeError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.kinds import Estimate
from phloem.runtime.ports import ModelName
from phloem.runtime.services import Ending, Meter, Request
from phloem.runtime.values import Message
from support import kinds_for_tests

__all__ = ["Talker", "spending_engine"]

PRICES: Mapping[str, float | None] = {"dear:one": 0.25, "near:one": 0.0, "odd:one": None}
"""US dollars a token; None where nobody knows."""


class Talker:
    """Stands for every provider: it answers with the words `0 1 2 …`, as many as it may, telling of each."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0
        self.wait = 0.0

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        prompt = _text(request.asked)
        self.asked.append(prompt)
        price = PRICES[model] or 0.0
        meter.sent(model, f"<|user|>{prompt}<|end|>")
        try:
            meter.spend(read=len(prompt.split()), money=price * len(prompt.split()))
            for index in range(request.sampling.get("max_tokens", 8)):
                await asyncio.sleep(self.wait)
                meter.spend(written=1, money=price)
                yield f"{index} "
            yield Ending()
        finally:
            self.closed += 1

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        self.asked += texts
        for text in texts:
            meter.spend(read=len(text.split()), money=(PRICES[model] or 0.0) * len(text.split()))
        return [[1.0] for _ in texts]

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        return len(_text(asked).split())

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        price = PRICES.get(model)
        return None if price is None else price * (read + written)


def spending_engine(home: Home) -> tuple[Engine, Talker]:
    """An engine with the kinds below and those of kinds_for_tests, and the models behind it."""
    talker = Talker()
    kinds = [*kinds_for_tests.catalogue(), *kinds_in(sys.modules[__name__])]
    return Engine(home, catalogue=Catalogue(kinds), services=Services({"models": lambda: talker})), talker


def _text(asked: str | Sequence[Message]) -> str:
    return asked if isinstance(asked, str) else " ".join(one.content for one in asked)


def _estimate(known: Mapping[str, Any]) -> Estimate:
    prompt = known.get("prompt")
    read = None if prompt is None else tokens_in(prompt)
    return Estimate(known.get("model"), read, known.get("max_tokens"))


async def _stamp(ctx: Context, inputs: Mapping[str, Any]) -> str:
    return "the same"


@node("spend.ask", "Ask", needs=["model:model"], effect="chance", stamp=_stamp, estimate=_estimate)
async def ask(
    ctx: Context,
    prompt: Annotated[str, In("What to ask")],
    model: Annotated[ModelName, Setting("Which")] = "",
    max_tokens: Annotated[int, Setting("How many words")] = 4,
) -> Annotated[AsyncIterator[str], Out("text")]:
    """Words of a model."""
    async for piece in ctx.models.generate(prompt, model=model, max_tokens=max_tokens):
        yield piece


def _vector_estimate(known: Mapping[str, Any]) -> Estimate:
    return Estimate(known.get("model"), tokens_in(known["text"]) if "text" in known else None, 0, embedding=True)


@node("spend.embed", "Embed", needs=["embedding:model"], effect="reads", estimate=_vector_estimate)
async def embed(
    ctx: Context,
    text: Annotated[str, In("The text")],
    model: Annotated[ModelName, Setting("Which")] = "",
) -> Annotated[float, Out("length")]:
    """The length of a vector."""
    ((length,),) = await ctx.models.embed([text], model=model)
    return length


@node("spend.tokens", "Spend", effect="chance")
async def tokens(
    ctx: Context,
    x: float = 0,
    read: Annotated[int, Setting("Tokens read")] = 0,
    written: Annotated[int, Setting("Tokens written")] = 0,
    money: Annotated[float, Setting("Dollars")] = 0.0,
    fails: Annotated[int, Setting("How often it fails first")] = 0,
) -> float:
    """Spends what it is told to, and may fail after that."""
    ctx.spend(read=read, written=written, money=money)
    left = kinds_for_tests.FAILURES[ctx.node]
    if left < fails:
        kinds_for_tests.FAILURES[ctx.node] += 1
        raise ServiceError("not yet", retryable=True)
    return x


@node("spend.thread", "Spend in a thread", effect="chance", blocking=True)
def thread(ctx: Context, x: float = 0, steps: Annotated[int, Setting("How many tokens")] = 100) -> float:
    """Spends token by token, in a thread."""
    for _ in range(steps):
        ctx.spend(written=1)
    return x


@node("spend.deaf", "Spend and go on", effect="chance")
async def deaf(ctx: Context, steps: Annotated[int, Setting("How many tokens")] = 10) -> float:
    """Goes on spending when it is told that it may not."""
    heard = 0
    for _ in range(steps):
        try:
            ctx.spend(written=1)
        except NodeError:
            heard += 1
    return heard


@node("spend.greedy", "Spend less than nothing", effect="chance")
async def greedy(ctx: Context, money: Annotated[float, Setting("Dollars")] = -1.0) -> float:
    """Tries to get something back."""
    ctx.spend(money=money)
    return 0
