"""A worker process of `--on local:N`: it reads on stdin where to go, and ends when stdin does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import threading
from typing import Any, Final

ENDS_WITHIN: Final = 4.0


async def main() -> None:
    words: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    if words["offline"]:
        from phloem.runtime.offline import seal

        seal()
    from phloem.runtime.cluster.dask import imported
    from phloem.runtime.cluster.host import close_host

    distributed = imported()
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    threading.Thread(target=_wait_for_end, args=(loop, over), daemon=True).start()
    worker = await distributed.Worker(
        words["address"], nthreads=words["places"], memory_limit=0, host="127.0.0.1",
        dashboard=False, dashboard_address="127.0.0.1:0", local_directory=words["folder"],
        security=distributed.Security(require_encryption=True, **words["security"]),
    )  # fmt: skip
    await over.wait()
    await close_host(worker)
    await worker.close(nanny=False)
    # Whoever made the folder may have been killed.
    shutil.rmtree(words["folder"], ignore_errors=True)


def _wait_for_end(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(over.set)
    # A node in native code must not keep the process.
    timer = threading.Timer(ENDS_WITHIN, os._exit, (0,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main())
    sys.stdout.flush()
    # Threads of libraries that are still at work are of no use to anybody.
    os._exit(0)
