"""A Dask scheduler and workers as an operator starts them: processes of Dask's own commands."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["DaskCluster"]


class DaskCluster:
    """A scheduler on loopback at `address`, and the workers that were started for it. Close it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{_free_port()}"
        self.scheduler = self._start("dask_scheduler", "--no-dashboard", "--host", self.address)
        self.workers: list[subprocess.Popen[bytes]] = []
        self._wait(self._answers)

    def add(
        self, *words: str, environment: Mapping[str, str] | None = None, wait: bool = True
    ) -> subprocess.Popen[bytes]:
        """Start another worker; with `wait` it is there when this returns."""
        worker = self._start(
            "dask_worker", self.address, "--no-dashboard", "--no-nanny", "--local-directory", str(self.folder), *words,
            environment=environment,
        )  # fmt: skip
        self.workers.append(worker)
        if wait:
            self._wait(lambda: self._log().count("Registered to:") >= len(self.workers))
        return worker

    def close(self) -> None:
        for one in [*self.workers, self.scheduler]:
            one.send_signal(signal.SIGKILL)
            one.wait()

    def _start(self, module: str, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        log = (self.folder / "dask.log").open("ab")
        try:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *words],
                stdout=log, stderr=log, env={**os.environ, **(environment or {})},
            )  # fmt: skip
        finally:
            log.close()

    def _log(self) -> str:
        return (self.folder / "dask.log").read_text()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(self.address.rpartition(":")[2])), timeout=1).close()
        except OSError:
            return False
        return True

    def _wait(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not until():
            if time.monotonic() > deadline:
                raise AssertionError(self._log())
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
