"""Messages between a run and a worker: what waits for others, and what does not."""

from __future__ import annotations

import asyncio
from typing import Any

from phloem.runtime.cluster.messages import Outbox
from phloem.runtime.codec import unpack


def test_what_is_not_urgent_goes_with_what_is() -> None:
    async def main() -> None:
        lists: list[list[Any]] = []

        async def send(data: bytes) -> None:
            lists.append(unpack(data))

        outbox = Outbox(send, lambda error: None, ["from", "a"])
        outbox.put("first", within=60)
        await outbox.sent()
        for number in range(50):
            outbox.put("patient", number, within=60)
            await asyncio.sleep(0)
        assert len(lists) == 1
        outbox.put("urgent")
        await outbox.sent()
        patient = [["patient", number] for number in range(50)]
        assert lists == [[["from", "a"], ["first"]], [["from", "a"], *patient, ["urgent"]]]

    asyncio.run(main())
