"""One run's calls on one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from phloem.runtime.cluster.doing import Called
from phloem.runtime.cluster.messages import Outbox
from phloem.runtime.cluster.values import Ref, as_ref
from phloem.runtime.codec import unpack
from phloem.runtime.errors import ServiceError

if TYPE_CHECKING:
    from phloem.runtime.cluster.host import Host

__all__ = ["Session", "Spec"]

Spec = Mapping[str, Any]


class Session:
    """What a worker is told by one run, and does for it. Everything here is on the host's loop.

    `send` brings packed messages to the run.
    """

    def __init__(self, host: Host, worker: str, send: Callable[[bytes], Awaitable[None]]) -> None:
        self.host = host
        self.worker = worker
        self.outbox = Outbox(send, self.lost, ["from", worker])
        self.calls: dict[int, Called] = {}
        self.known: set[bytes] = set()
        """The large values that the run's side has."""
        self.loads: dict[int, asyncio.Future[list[Spec]]] = {}
        self._lost = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._wanted: dict[bytes, asyncio.Event] = {}

    async def work(self, load: int) -> None:
        """Begin a load: ask the run what is still to be done of it, and do that. It has been told when this returns;
        ConnectionError if it can no longer be."""
        self._raise_if_lost()
        self.loads[load] = asyncio.get_running_loop().create_future()
        self.outbox.put("begin", load)
        try:
            specs = await self.loads[load]
            async with asyncio.TaskGroup() as group:
                for spec in specs:
                    call = self.calls[spec["id"]] = Called(self, spec)
                    self._tasks[spec["id"]] = group.create_task(call.run())
        finally:
            del self.loads[load]
        await self.outbox.sent()
        self._raise_if_lost()

    def _raise_if_lost(self) -> None:
        if self._lost:
            raise ConnectionError("the run cannot be reached any more")

    def receive(self, data: bytes) -> bool:
        """Take in what the run sent; False when that was the last of it."""
        for word, *rest in unpack(data):
            if word == "end":
                return False
            self._take(word, rest)
        return True

    def _take(self, word: str, rest: list[Any]) -> None:
        if word == "value":
            content, data = rest
            self.host.seen.keep(content, data)
            self.known.add(content)
            if content in self._wanted:
                self._wanted.pop(content).set()
        elif word == "calls":
            waiting = self.loads.get(rest[0])
            if waiting is not None and not waiting.done():
                waiting.set_result(rest[1])
        elif word == "lacks":
            self._again(rest[0])
        elif word == "cancel":
            call = self.calls.get(rest[0])
            if call is not None:
                self._tasks[rest[0]].cancel()
        elif word == "answer":
            number, question, error, ref = rest
            call = self.calls.get(number)
            if call is not None:
                call.answer(question, error, ref)

    def _again(self, content: bytes) -> None:
        """Send a value that the run had before."""
        if content in self.host.seen:
            self.outbox.put("value", content, self.host.seen.data(content))
        else:
            self.known.discard(content)
            self.outbox.put("gone", content)

    async def values(self, call: int, refs: Mapping[str, Ref]) -> dict[str, Any]:
        """The values of references, once they are all here."""
        for _, content in (ref for ref in refs.values() if ref[0] is None):
            while content not in self.host.seen:
                if content not in self._wanted:
                    self._wanted[content] = asyncio.Event()
                    self.outbox.put("lacks", call, content)
                await self._arrival(content)
        try:
            return {name: self.host.seen.value(ref) for name, ref in refs.items()}
        except KeyError:
            raise ServiceError(
                "what reaches the node is more than a worker keeps", hint="Give it less at once, or leave out --on."
            ) from None

    async def _arrival(self, content: bytes) -> None:
        """Return when a value may have come, for which a call has asked."""
        waiting = self._wanted[content]
        try:
            await waiting.wait()
        except asyncio.CancelledError:
            # The run does not answer calls that it has cancelled: the others that wait ask for themselves.
            if self._wanted.get(content) is waiting:
                del self._wanted[content]
            waiting.set()
            raise

    def ref(self, value: Any) -> Ref:
        """The value as a message to the run has it; one that is large and not known there goes before."""

        def large(stored: Any) -> None:
            self.host.seen.keep(stored.hash, stored.data)
            if stored.hash not in self.known:
                self.known.add(stored.hash)
                self.outbox.put("value", stored.hash, stored.data)

        return as_ref(value, large)

    def forget(self, call: int) -> None:
        self.calls.pop(call, None)
        self._tasks.pop(call, None)

    def lost(self, error: Exception | None = None) -> None:
        """The run can no longer be reached: whatever is done for it is of no use."""
        self._lost = True
        for task in self._tasks.values():
            task.cancel()
        for waiting in self.loads.values():
            waiting.cancel()
