"""Asking whoever started a run for the grants that it lacks."""

from __future__ import annotations

import asyncio
import concurrent.futures
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from phloem.runtime.errors import PermissionNeeded, ServiceError
from phloem.runtime.grants import Grant, Permissions

__all__ = ["Answer", "Asker", "Asking", "GrantAsking", "Question"]

Answer = Literal["once", "always", "no"]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Question:
    """May this node have this grant?"""

    node: str
    grant: Grant


class Asker(Protocol):
    """Whoever can be asked: a person at a terminal, or in a window."""

    async def ask(self, questions: Sequence[Question]) -> Answer:
        """May all of these be? `once` is for this run, `always` for this workflow as long as its content is the same.

        It may be cancelled at any time, and then withdraws the question.
        """
        ...


class GrantAsking(ABC):
    """What is missing while something goes on, asked for: one question at a time, and none twice that was refused.

    Made on the loop of what goes on. Who is asked is a matter of `_is_given`.
    """

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._one_at_a_time = asyncio.Lock()
        self._threads: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._over = False

    @abstractmethod
    async def _is_given(self, node: str, error: PermissionNeeded) -> bool:
        """Ask for what the error lacks, and have it hold from now on; False for a no."""

    def may_help(self, error: PermissionNeeded) -> bool:
        """True unless nothing can allow it, or somebody said no."""
        return bool(error.flags) and self._refused.isdisjoint(error.flags) and not self._over

    async def until_allowed(self, node: str, check: Callable[[], Result]) -> Result:
        """What `check` gives, once it is allowed; the PermissionNeeded that it raised, if it is not."""
        given: set[str] = set()
        async with self._one_at_a_time:
            while True:
                try:
                    return check()
                except PermissionNeeded as error:
                    # What was given and does not help would be asked for ever.
                    if not self.may_help(error) or given.issuperset(error.flags):
                        raise
                    given.update(error.flags)
                    if not await self._is_given(node, error):
                        self._refused.update(error.flags)

    def is_elsewhere(self) -> bool:
        """True in a thread that may wait for the loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._loop.is_running()
        return False

    def from_thread(self, wait: Coroutine[Any, Any, Result]) -> Result:
        """What `wait` gives on the loop; called in another thread. It ends at the latest with `close`."""
        waiting = asyncio.run_coroutine_threadsafe(self._kept(wait), self._loop)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError:
            raise ServiceError("the run was cancelled") from None

    async def _kept(self, wait: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.current_task()
        assert task is not None
        self._threads.add(task)
        try:
            if self._over:
                wait.close()
                raise asyncio.CancelledError
            return await wait
        finally:
            self._threads.discard(task)

    async def close(self) -> None:
        """It is over: withdraw what is still asked for threads that wait."""
        self._over = True
        for task in self._threads:
            task.cancel()
        if self._threads:
            await asyncio.wait(self._threads)


class Asking(GrantAsking):
    """What one run lacks, asked of `asker`. `remember` is called with what is to be allowed always."""

    def __init__(self, asker: Asker, permissions: Permissions, remember: Callable[[Sequence[Grant]], None]) -> None:
        super().__init__()
        self._asker = asker
        self._permissions = permissions
        self._remember = remember

    async def _is_given(self, node: str, error: PermissionNeeded) -> bool:
        grants = [Grant.of_flag(flag) for flag in error.flags]
        answer = await self._asker.ask([Question(node, grant) for grant in grants])
        if answer == "no":
            return False
        self._permissions.give(grants)
        if answer == "always":
            self._remember(grants)
        return True
