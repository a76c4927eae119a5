"""Large values that are waited for, when what would bring them does not come."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from phloem.runtime.cluster.desks import Desk
from phloem.runtime.cluster.session import Session
from phloem.runtime.cluster.values import Seen, as_ref
from phloem.runtime.codec import digest, pack, unpack

LARGE = "x" * 20_000


class Queue:
    """Keeps the messages that are put in."""

    def __init__(self) -> None:
        self.messages: list[list[Any]] = []

    async def put(self, data: bytes) -> None:
        self.messages += unpack(data)


def desk_and_queue() -> tuple[Desk, Queue]:
    queue = Queue()
    return Desk("tcp://a:1", queue, Seen(), lambda error: None), queue  # type: ignore[arg-type]


def test_value_is_asked_for_once_and_goes_to_all_who_wait() -> None:
    async def main() -> None:
        desk, queue = desk_and_queue()
        data = pack(LARGE)
        content = digest(data)
        first, second = (asyncio.create_task(desk.fetch(content)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await desk.sent()
        assert queue.messages == [["lacks", content]]
        desk.take(content, data)
        assert await second == data

    asyncio.run(main())


def test_nobody_waits_for_a_worker_that_is_gone() -> None:
    async def main() -> None:
        desk, _ = desk_and_queue()
        waiting = asyncio.create_task(desk.fetch(b"some hash"))
        await asyncio.sleep(0)
        desk.left()
        assert await asyncio.wait_for(waiting, 5) is None

    asyncio.run(main())


def test_call_that_is_cancelled_takes_no_value_from_another() -> None:
    async def main() -> None:
        queue = Queue()
        session = Session(SimpleNamespace(seen=Seen()), "tcp://a:1", queue.put)  # type: ignore[arg-type]
        stored: list[Any] = []
        refs = {"text": as_ref(LARGE, stored.append)}
        first, second = (asyncio.create_task(session.values(number, refs)) for number in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0.01)
        await session.outbox.sent()
        # The run answers the second one, and would not the first.
        assert [one for one in queue.messages if one[:2] == ["lacks", 2]]
        session.receive(pack([["value", stored[0].hash, stored[0].data]]))
        assert await asyncio.wait_for(second, 5) == {"text": LARGE}

    asyncio.run(main())


def test_load_for_a_run_that_cannot_be_reached_fails() -> None:
    async def main() -> None:
        async def send(data: bytes) -> None:
            raise OSError("the scheduler is gone")

        session = Session(SimpleNamespace(seen=Seen()), "tcp://a:1", send)  # type: ignore[arg-type]
        with pytest.raises(asyncio.CancelledError):
            await session.work(1)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(session.work(2), 5)

    asyncio.run(main())
