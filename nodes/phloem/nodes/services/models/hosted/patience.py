"""Trying again: when a provider is busy or the network fails, for a while, politely."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from phloem.nodes.services.models.hosted.failures import TryLater
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_before_delay

__all__ = ["patiently"]

Result = TypeVar("Result")

ATTEMPTS: Final = 6
LONGEST: Final = 120.0
"""Seconds after which no further attempt begins. A server that asks for a longer wait gets none."""
FIRST: Final = 0.5
"""Seconds before the second attempt, when the server does not say; twice as many before each following."""


async def patiently(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """What `attempt` gives. While it raises TryLater it is made again, after the time that the server asked for.

    Where it asked for none, after exponentially longer times, with jitter so that those who failed together do
    not come back together. The last failure is raised.
    """

    async def once() -> Result:
        # Tenacity awaits only what it can tell to be a coroutine function.
        return await attempt()

    trying = AsyncRetrying(
        retry=retry_if_exception_type(TryLater),
        wait=_wait,
        stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(LONGEST),
        reraise=True,
    )
    return await trying(once)


def _wait(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    asked = failure.after if isinstance(failure, TryLater) else None
    if asked is not None:
        return asked + random.uniform(0, min(1.0, 0.01 + asked / 10))
    return FIRST * 2.0 ** (state.attempt_number - 1) * random.uniform(0.5, 1.0)
