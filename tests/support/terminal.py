"""A program on a terminal of its own, as a person would see it and type to it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Terminal", "phloem_at_a_terminal"]

PATIENCE = 60.0
"""Seconds to wait for what is expected: the machine may be busy."""


class Terminal:
    """`screen` is all that was shown so far."""

    def __init__(self, process: subprocess.Popen[bytes], handle: int) -> None:
        self.process = process
        self.screen = ""
        self._handle = handle
        self._seen = 0

    def expect(self, text: str) -> None:
        """Wait until `text` is shown, after what was expected before."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.screen[self._seen :]:
            if time.monotonic() > deadline or not self._read(deadline):
                raise AssertionError(f"{text!r} was never shown; there was: {self.screen!r}")
        self._seen = self.screen.index(text, self._seen) + len(text)

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def press_control_c(self) -> None:
        self.type("\x03")

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        """Take in more of what is shown; False when there will be no more."""
        ready, _, _ = select.select([self._handle], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._handle, 65536) if ready else b""
        except OSError:
            return False
        self.screen += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def phloem_at_a_terminal(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """The command line in a process whose terminal this is."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _START, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env={**os.environ, "TERM": "xterm", **(environment or {})},
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        os.close(ours)


_START = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from phloem.runtime.cli import main
sys.exit(main(sys.argv[1:]))
"""
