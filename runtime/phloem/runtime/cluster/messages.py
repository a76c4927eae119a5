"""What goes to and fro between a run and a worker: lists of messages in the byte form of values.

A message is a list that begins with a word. From the run to a worker:

    value HASH BYTES            something large that calls refer to by its content hash
    calls LOAD [CALL…]          what is to be called, for the load that the worker has begun
    cancel CALL                 it is not wanted any more
    answer QUESTION ERROR REF   what came of a question
    lacks HASH                  as below
    end                         the run is over

and from a worker to the run:

    from WORKER                 the first of every list: who says what follows
    begin LOAD                  a load has been given to this worker: what is still to be done of it?
    value HASH BYTES
    gone HASH                   what the run lacks is no longer here either
    lacks CALL HASH             what it had seen before it no longer has
    tell CALL METHOD [ARGUMENT…]   progress, text, prompts, what was spent, exchanges with servers, not to be kept
    ask CALL QUESTION METHOD REF   something that only the run's own machine has
    done CALL SHAPE [REF…]      what the call gave
    failed CALL ERROR
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from phloem.runtime.codec import pack

__all__ = ["PACE", "SLOW_PACE", "Message", "Outbox"]

Message = list[Any]

PACE: Final = 0.02
"""Seconds for which text that streams gathers: a list of messages costs each side about a millisecond."""
SLOW_PACE: Final = 0.25
"""Seconds for which what nobody watches gathers. With PACE, telling each token that a small model wrote took a sixth of
the time of the processors (measured, two workers on two cores)."""


class Outbox:
    """Messages on their way, in order: what gathers while some are sent goes together with the next.

    Used on one loop; `send` is given the packed list of messages, begun with `head`, and `failed` what it raises, after
    which nothing more is sent.
    """

    def __init__(
        self, send: Callable[[bytes], Awaitable[None]], failed: Callable[[Exception], None], *head: Message
    ) -> None:
        self._head = head
        self._send = send
        self._failed = failed
        self._messages: list[Message] = []
        self._task: asyncio.Task[None] | None = None
        self._broken = False
        self._sent_at = -math.inf
        self._within = math.inf
        self._hurry = asyncio.Event()

    def put(self, *message: Any, within: float = 0.0) -> None:
        """Have a message sent, `within` so many seconds of the one before at the latest: it may wait for others."""
        if self._broken:
            return
        self._messages.append(list(message))
        if within < self._within:
            self._within = within
            self._hurry.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def sent(self) -> None:
        """Return when everything put so far has arrived, or nothing more can."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._messages:
                while (left := self._sent_at + self._within - clock()) > 0:
                    self._hurry.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._hurry.wait(), left)
                messages, self._messages, self._within = self._messages, [], math.inf
                await self._send(pack([*self._head, *messages]))
                self._sent_at = clock()
        except Exception as error:
            self._broken = True
            self._messages.clear()
            self._failed(error)
        finally:
            self._task = None
