"""How fast a model reads and writes, measured through the service that answers workflows."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Final, TypeVar

from phloem.nodes.services.models.models import Models
from phloem.runtime.errors import ServiceError
from phloem.runtime.services import ModelInfo, Request

__all__ = ["Speed", "measure"]

Result = TypeVar("Result")

SHORT: Final = 16
"""Words in the prompts that are answered to measure writing."""
MOST_ANSWERS: Final = 25
"""Answers to one round's prompts at most: a model may end its answers after a word."""
FEWEST: Final = 4
"""Tokens that each request must have written at least, for the speed to mean something."""
ROOM_FOR_TEMPLATE: Final = 64
"""Tokens of a context that are left for what a chat template adds."""
LONGEST: Final = 60.0
"""Seconds that the rounds of one measurement may take, about."""
ENOUGH: Final = 10.0
"""Seconds after which a first round is not only warming up."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians for `parallel` requests at once: tokens per second of all of them together, and in seconds how long
    one waits for its first token after a prompt of `prompt` tokens. None for what could not be measured.
    """

    parallel: int
    prompt: int
    read_rate: float
    write_rate: float | None
    first_token: float | None


@dataclass(slots=True)
class _Cost:
    """A meter that only counts."""

    read: int = 0
    written: int = 0
    cached: int = 0

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        self.read += read
        self.written += written
        self.cached += cached

    def left(self) -> int | None:
        return None

    def sent(self, model: str, text: str) -> None: ...


@dataclass(slots=True)
class _Answer:
    """When things happened in one answer, in seconds of time.perf_counter."""

    asked: float
    first: float | None = None
    ended: float = 0.0
    cost: _Cost = field(default_factory=_Cost)

    @property
    def wait(self) -> float | None:
        """How long it took until the first token came; None if none came."""
        return None if self.first is None else self.first - self.asked


async def measure(
    models: Models,
    info: ModelInfo,
    *,
    prompt: int,
    write: int,
    parallel: Sequence[int],
    rounds: int,
    tell: Callable[[str], None],
) -> tuple[float, list[Speed]]:
    """The seconds that it takes to load the model, and its speed for each of `parallel`.

    `prompt` and `write` are in tokens: less is read where the model's context is smaller, or where a round would
    take more than a minute, and of a slow model fewer rounds are made. What the model says as an error is
    raised. Every prompt begins differently, so that nothing of it has been read before.
    """
    tell("loading")
    cold = await _seconds(models, info)
    warm = min([await _seconds(models, info) for _ in range(3)])
    room = max(8, info.context - ROOM_FOR_TEMPLATE) if info.context else max(8, prompt, write)
    words = await _words_for(models, info, max(8, min(prompt, room)))
    rate = (await _read(models, info, min(words, 32), 1)).rate
    speeds = []
    for at_once in parallel:
        fewer = min(1.0, LONGEST * rate / (at_once * max(words, 1)))
        tell(f"{at_once} at once: reading")
        reads = await _repeated(partial(_read, models, info, max(1, int(words * fewer)), at_once), rounds)
        rate = median(one.rate for one in reads)
        written: list[float | None] = []
        if info.makes == "text":
            tell(f"{at_once} at once: writing")
            written = await _repeated(partial(_write, models, info, min(write, room), at_once), rounds)
        speeds.append(
            Speed(
                at_once,
                round(median(one.tokens for one in reads)),
                rate,
                _median([one for one in written if one is not None]),
                _median([one.first for one in reads if one.first is not None]),
            )
        )
    return max(0.0, cold - warm), speeds


async def _repeated(work: Callable[[], Awaitable[Result]], rounds: int) -> list[Result]:
    """What `work` gives in each of the rounds, after one to warm up; that one alone if it takes long enough."""
    began = time.perf_counter()
    first = await work()
    if time.perf_counter() - began > ENOUGH:
        return [first]
    found: list[Result] = []
    while len(found) < rounds and (not found or time.perf_counter() - began < LONGEST):
        found.append(await work())
    return found


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


async def _seconds(models: Models, info: ModelInfo) -> float:
    began = time.perf_counter()
    await _ask(models, info, _prompt(1), 1)
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class _Reading:
    """Tokens of one prompt, tokens per second of all together, and the seconds to the first token of an answer."""

    tokens: float
    rate: float
    first: float | None


async def _read(models: Models, info: ModelInfo, words: int, at_once: int) -> _Reading:
    began = time.perf_counter()
    answers = await asyncio.gather(*(_ask(models, info, _prompt(words), 1) for _ in range(at_once)))
    seconds = time.perf_counter() - began
    fresh = sum(one.cost.read - one.cost.cached for one in answers)
    if fresh <= 0:
        raise ServiceError(f"{info.name} does not tell how many tokens it reads, so its speed is not known")
    return _Reading(fresh / at_once, fresh / seconds, _median([one.wait for one in answers if one.wait is not None]))


async def _write(models: Models, info: ModelInfo, write: int, at_once: int) -> float | None:
    """Tokens written per second by all, from the first of each answer to its last; None if there are too few."""
    slots = await asyncio.gather(*(_fill(models, info, write) for _ in range(at_once)))
    answers = [one for slot in slots for one in slot]
    tokens = sum(one.cost.written - 1 for one in answers)
    seconds = sum(one.ended - one.first for one in answers if one.first is not None)
    return at_once * tokens / seconds if tokens >= FEWEST * at_once and seconds > 0 else None


async def _fill(models: Models, info: ModelInfo, write: int) -> list[_Answer]:
    """Answers one after the other, until `write` tokens are written or it has taken long enough."""
    answers: list[_Answer] = []
    left, end = write, time.perf_counter() + LONGEST
    for _ in range(MOST_ANSWERS):
        answer = await _ask(models, info, f"Write a long story with these words: {_prompt(SHORT)}", left)
        left -= answer.cost.written
        if answer.cost.written > 1 and answer.first is not None:
            answers.append(answer)
        if left <= 1 or time.perf_counter() > end:
            break
    return answers


async def _ask(models: Models, info: ModelInfo, text: str, write: int) -> _Answer:
    answer = _Answer(time.perf_counter())
    if info.makes == "vectors":
        await models.embed(info.name, [text], answer.cost)
    elif info.makes == "scores":
        await models.rerank(info.name, "a question", [text], answer.cost)
    else:
        request = Request(asked=text, sampling={"max_tokens": write, "temperature": 1.0, "top_k": 0, "top_p": 1.0})
        async with aclosing(models.answer(info.name, request, answer.cost)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str) and piece and answer.first is None:
                    answer.first = time.perf_counter()
    answer.ended = time.perf_counter()
    return answer


async def _words_for(models: Models, info: ModelInfo, tokens: int) -> int:
    """How many words make a prompt of about so many tokens, and rather fewer."""
    few, many = 8, 72
    base, more = await models.count(info.name, _prompt(few)), await models.count(info.name, _prompt(many))
    each = max((more - base) / (many - few), 0.25)
    return max(1, int((tokens - (base - few * each)) / each * 0.98))


def _prompt(words: int) -> str:
    """A text that nobody has asked before, of common words."""
    return " ".join(random.choices(_WORDS, k=words))


_WORDS: Final = (
    "the", "river", "turns", "where", "old", "mill", "stands", "and", "a", "boat", "waits", "for", "people", "who",
    "bring", "bread", "to", "market", "every", "morning", "in", "spring", "when", "water", "is", "high", "small",
    "birds", "sing", "over", "green", "fields", "of", "corn", "while", "children", "walk", "home", "from", "school",
)  # fmt: skip
