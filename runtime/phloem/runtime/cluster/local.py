"""Workers of this machine's own, started for a run and ended with it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from phloem.runtime.cluster.dask import imported
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home

__all__ = ["LocalWorkers"]

PLACES: Final = 16
"""Tasks that one worker has at once: as many as the exchanges with the network that one process may have."""
MOST_RESTARTS: Final = 3
"""How often, for each worker, one that has ended is replaced."""
ENDS_WITHIN: Final = 5.0


class LocalWorkers:
    """A Dask scheduler in this process, and worker processes, which end with it however it ends.

    They speak TLS with certificates made for this run, so that nobody else on this machine can have them do anything.
    """

    def __init__(self, count: int, home: Home, *, offline: bool = False) -> None:
        self.count = count
        self.home = home
        self.offline = offline
        self.security: Any = None
        self.address = ""
        self.processes: list[asyncio.subprocess.Process] = []
        self._restarts = 0
        self._scheduler: Any = None
        self._folder: Path | None = None
        self._watchers: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self) -> None:
        """Start them all; ConfigError if this machine does not let us."""
        distributed = imported()
        self.security = distributed.Security.temporary()
        self._folder = Path(tempfile.mkdtemp(prefix="phloem-workers-"))
        try:
            self._scheduler = await distributed.Scheduler(
                host="127.0.0.1", port=0, protocol="tls://", security=self.security,
                dashboard=False, dashboard_address="127.0.0.1:0",
            )  # fmt: skip
            self.address = self._scheduler.address
            for _ in range(self.count):
                await self._start()
        except OSError as error:
            await self.close()
            raise ConfigError(f"--on local:{self.count}: no worker can be started here: {error}") from error

    async def _start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "phloem.runtime.cluster.process",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            # Ctrl-C is for the run, which ends its workers.
            start_new_session=True,
            env={**os.environ, "PHLOEM_HOME": str(self.home.path)},
        )  # fmt: skip
        self.processes.append(process)
        assert process.stdin is not None
        words = {
            "address": self.address,
            "places": PLACES,
            "folder": str(self._folder),
            "offline": self.offline,
            "security": {
                "tls_ca_file": str(self.security.tls_ca_file),
                "tls_worker_cert": str(self.security.tls_worker_cert),
                "tls_worker_key": str(self.security.tls_worker_key),
            },
        }
        # The pipe stays open: at its end the worker knows that this process is gone.
        process.stdin.write(json.dumps(words).encode() + b"\n")
        watcher = asyncio.get_running_loop().create_task(self._watch(process))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Put another in the place of one that ends before its time."""
        code = await process.wait()
        if self._closing:
            return
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        may = self._restarts < MOST_RESTARTS * self.count
        logging.getLogger("phloem").warning(
            "warning: a worker ended (%s)%s", how, ", another is started" if may else ""
        )
        if may:
            self._restarts += 1
            try:
                await self._start()
            except OSError as error:
                logging.getLogger("phloem").warning("warning: no other worker can be started: %s", error)

    @property
    def alive(self) -> bool:
        """False when all have ended, and none will be started any more."""
        return any(one.returncode is None for one in self.processes)

    async def close(self) -> None:
        """End them."""
        self._closing = True
        for one in self.processes:
            if one.stdin is not None:
                one.stdin.close()
        ending = [asyncio.ensure_future(one.wait()) for one in self.processes]
        if ending:
            _, slow = await asyncio.wait(ending, timeout=ENDS_WITHIN)
            for one in self.processes:
                if one.returncode is None:
                    one.kill()
            if slow:
                await asyncio.wait(slow)
        if self._watchers:
            await asyncio.wait(self._watchers)
        if self._scheduler is not None:
            await self._scheduler.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
