"""The process of one model, seen from the program: started, asked, watched, and replaced when it dies.

Two threads belong to it: one starts it, reads what it says and sees it end, the other writes. So no event
loop ever waits for a pipe, and on Linux the process dies with the thread that started it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Protocol

from phloem.nodes.services.models.local.frames import arriving, packed, write_all
from phloem.nodes.services.models.local.questions import error_of, packed_error
from phloem.runtime.errors import NodeError, PhloemError, ServiceError

__all__ = ["LAST", "ModelProcess", "Receiver"]

SILENCE: Final = 30.0
"""Seconds after which a process that does not even answer a ping is ended."""
CANCEL: Final = 15.0
"""Seconds that a process may take to stop what was cancelled: one step of a computation is over long before."""
HALTED: Final = 5.0
"""Seconds between two looks after which it was the program that stood still, and silence says nothing."""
LEAVE: Final = 2.0
"""Seconds that a process has to end by itself."""
LAST_WORDS: Final = 2_000
"""Bytes of what a process printed that are looked at when it has ended."""
LAST: Final = frozenset({"ended", "error", "vectors", "count"})
"""The kinds of messages that end a request."""


class Receiver(Protocol):
    """What a request waits with. Both are called from the process's reading thread, and must not wait."""

    def put(self, message: list[Any]) -> None:
        """Something came for it: the kind of message and what belongs to it."""

    def fail(self, error: NodeError) -> None:
        """Nothing more will come, because of this."""


class ModelProcess:
    """One model in a process. Any thread may use it.

    `load` is the message that says what to load. `make_room` is called, in a thread of this process's own,
    with the bytes that the model needs, and returns when they are there. `changed` is called whenever it has
    become idle, or has ended.
    """

    def __init__(
        self, name: str, load: list[Any], make_room: Callable[[ModelProcess, int], None], changed: Callable[[], None]
    ) -> None:
        self.name = name
        self.need = 0
        self.ready: list[Any] | None = None
        """What the process told of the loaded model: its need, streams and context."""
        self.used = time.monotonic()
        self._make_room = make_room
        self._changed = changed
        self._lock = threading.Lock()
        self._requests: dict[int, Receiver] = {}
        self._leaving: dict[int, float] = {}
        self._count = 0
        self._heard = self._looked = time.monotonic()
        self._closing = False
        self._over: NodeError | None = None
        self._reason: NodeError | None = None
        self._room_wanted = False
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox.put(packed(load))
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"phloem {name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The number of the process while there is one."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def ended(self) -> bool:
        """True when it takes no more requests."""
        return self._over is not None or self._closing

    @property
    def idle(self) -> bool:
        """True when it has nothing to do."""
        with self._lock:
            return not self._requests and not self._leaving

    def ask(self, kind: str, content: list[Any], receiver: Receiver) -> int:
        """Send a request; the number under which it can be cancelled. ServiceError when the process has ended."""
        with self._lock:
            if self._over is not None:
                raise _again(self._over)
            if self._closing:
                raise _stopped()
            key = self._count + 1
            # What cannot be sent raises here, before anybody waits for it.
            data = packed([kind, key, *content])
            self._count = key
            if not self._requests:
                self._heard = time.monotonic()
            self._requests[key] = receiver
        self._outbox.put(data)
        return key

    def cancel(self, key: int) -> None:
        """Nobody waits for that request any more; without effect when it is over."""
        with self._lock:
            if self._requests.pop(key, None) is None:
                return
            self._leaving[key] = time.monotonic()
        self._outbox.put(packed(["cancel", key]))

    def watch(self) -> None:
        """Look whether it is alive: called every second or so. A process that hangs is ended."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked > HALTED:
                self._heard = now
                self._leaving = dict.fromkeys(self._leaving, now)
            self._looked = now
            busy = bool(self._requests or self._leaving) and self._process is not None
            # What is cancelled while the model is loaded stops when that is done.
            late = now if self.ready is None else min(self._leaving.values(), default=now)
        if not busy or self._room_wanted or self._over is not None:
            return
        if now - late > CANCEL:
            self._kill(ServiceError(f"{self.name} did not stop when it was told to, and was ended", retryable=True))
        elif now - self._heard > SILENCE:
            self._kill(
                ServiceError(
                    f"the process of {self.name} said nothing for {SILENCE:.0f} seconds, and was ended",
                    hint="The machine may be short of memory, or the process was halted.",
                    retryable=True,
                )
            )
        else:
            self._outbox.put(packed(["ping"]))

    def close(self) -> None:
        """End it, whatever it does; waits until it has ended. Requests that are under way fail."""
        with self._lock:
            self._closing = True
        self._outbox.put(None)
        self._thread.join(LEAVE)
        if self._thread.is_alive():
            self._kill(None)
            self._thread.join(LEAVE)

    def kill(self) -> None:
        """End it at once, without waiting."""
        with self._lock:
            self._closing = True
        self._kill(None)

    def _run(self) -> None:
        """From the start of the process to its end."""
        try:
            error = self._lived()
        except NodeError as problem:
            error = problem
        except Exception as problem:
            error = ServiceError(f"the process of {self.name} cannot be run: {problem}")
        self._finish(error)

    def _lived(self) -> NodeError:
        """Start the process, and serve it until it has ended; why it has."""
        with _scratch_file() as errors:
            process = self._start(errors)
            self._serve(process)
            return self._reason or self._death(process.returncode, _end_of(errors))

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        """Take what the process says until it has ended."""
        writer = threading.Thread(target=self._send, args=(process,), name=f"phloem {self.name} writer", daemon=True)
        writer.start()
        try:
            assert process.stdout is not None
            for message in arriving(process.stdout.fileno()):
                self._heard = time.monotonic()
                self._receive(message)
        except Exception as error:
            self._reason = self._why(error)
        self._outbox.put(None)
        self._reap(process)
        writer.join()
        assert process.stdout is not None
        process.stdout.close()

    def _start(self, errors: Any) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closing:
                raise _stopped()
            self._process = subprocess.Popen(
                _command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment(),
                cwd=Path(sys.executable).anchor or None, start_new_session=True,
            )  # fmt: skip
        return self._process

    def _send(self, process: subprocess.Popen[bytes]) -> None:
        """Write what is to be sent until there is no more, or nobody reads it; then close the pipe, which ends it."""
        assert process.stdin is not None
        try:
            while (data := self._outbox.get()) is not None:
                write_all(process.stdin.fileno(), data)
        except OSError:
            pass  # It has ended, which the reading thread sees too, with the reason.
        process.stdin.close()

    def _receive(self, message: list[Any]) -> None:
        kind, *content = message
        if kind == "needs":
            self._room_wanted = True
            self._make_room(self, content[0])
            self._room_wanted = False
            self._heard = time.monotonic()
            self._outbox.put(packed(["go"]))
        elif kind == "ready":
            with self._lock:
                self.ready = content
                self._leaving = dict.fromkeys(self._leaving, time.monotonic())
        elif kind == "failed":
            self._reason = error_of(content[0])
        elif kind != "pong":
            self._deliver(kind, *content)

    def _deliver(self, kind: str, key: int, *content: Any) -> None:
        """Hand a message to the request that it is for; the last one ends the request."""
        last = kind in LAST
        with self._lock:
            receiver = self._requests.pop(key, None) if last else self._requests.get(key)
            gone = kind == "gone" and self._leaving.pop(key, None) is not None
            idle = not self._requests and not self._leaving
            self.used = time.monotonic()
        if receiver is not None:
            if kind == "error":
                receiver.fail(error_of(content[0]))
            else:
                receiver.put([kind, *content])
        if idle and (last or gone):
            self._changed()

    def _kill(self, reason: NodeError | None) -> None:
        with self._lock:
            self._reason = self._reason or reason
            process = self._process
            if process is not None and process.returncode is None:
                process.kill()

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the process, whose pipe has ended, so that nothing of it stays."""
        try:
            process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _finish(self, error: NodeError) -> None:
        with self._lock:
            self._over = error
            receivers, self._requests = list(self._requests.values()), {}
            self._leaving.clear()
        for receiver in receivers:
            receiver.fail(_again(error))
        self._changed()

    def _why(self, error: Exception) -> NodeError:
        """Why what the process said could not be taken."""
        if isinstance(error, PhloemError):
            return ServiceError(error.message, hint=error.hint)
        return ServiceError(f"what the process of {self.name} says makes no sense: {error}")

    def _death(self, code: int, words: str) -> NodeError:
        """Why the process has ended, as far as one can tell."""
        if self._closing:
            return _stopped()
        at_start = self.ready is None
        doing = "while it was loaded" if at_start else "while it ran"
        said = f": {words}" if words else ""
        if code >= 0:
            return ServiceError(f"the process of {self.name} ended by itself {doing} (exit code {code}){said}")
        name = _signal_name(-code)
        if -code in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            hint = (
                "Most often the system does that when memory runs out: choose a smaller model, lower models.context "
                "or models.parallel in settings.yaml, or close other programs."
            )
            return ServiceError(f"the process of {self.name} was killed {doing} ({name})", hint=hint, retryable=True)
        hint = (
            "The model file may be damaged; copy or download it again."
            if at_start
            else "Try another model, and report it if it happens again."
        )
        return ServiceError(f"llama.cpp crashed with {self.name} {doing} ({name}){said}", hint=hint)


_SECRET: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
_KEPT_OF_PYTHON: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")


def _command() -> list[str]:
    """Python without the folder that the user is in, which may hold anything, and with the packages of Phloem."""
    import phloem.nodes
    import phloem.runtime

    roots = sorted({str(Path(one.__file__ or "").parents[2]) for one in (phloem.nodes, phloem.runtime)})
    code = f"import sys; sys.path += {roots!r}; from {_MODULE} import main; main({os.getpid()})"
    return [sys.executable, "-P", "-c", code]


_MODULE: Final = "phloem.nodes.services.models.local.worker"


def _environment() -> dict[str, str]:
    """What a model needs of the environment: no keys, and nothing that changes how Python runs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(word in name.upper() for word in _SECRET)
        and (not name.startswith("PYTHON") or name in _KEPT_OF_PYTHON)
    }
    # An abort of llama.cpp makes a stack trace, which can hang for minutes.
    return {**kept, "GGML_NO_BACKTRACE": "1"}


def _scratch_file() -> IO[bytes]:
    """A file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("errors"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def _end_of(errors: Any) -> str:
    """The last of what a process printed."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - LAST_WORDS))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stopped() -> ServiceError:
    return ServiceError("the model was stopped", hint="The program ends, or has closed its models.")


def _again(error: NodeError) -> NodeError:
    """The same error for another who waits: an exception that is raised twice mixes up its traces."""
    return error_of(packed_error(error))
