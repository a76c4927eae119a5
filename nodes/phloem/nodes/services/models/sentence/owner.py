"""A thread that owns one model: it loads it, does the work that is handed in one after another, and frees it.

A model of PyTorch is not made to be used by several threads at once, and while it computes nobody can wait for
it on an event loop. Work goes in, a result comes out, and work can be cancelled.
"""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, Protocol, TypeVar

from phloem.runtime.errors import ServiceError

__all__ = ["Engine", "Job", "Owner", "Stopped"]

LEAVE_SECONDS: Final = 2.0
"""How long the program waits at its end for a model to stop."""


class Stopped(Exception):
    """The work was stopped on request."""


class Engine(Protocol):
    """What an Owner needs of a model. `stop` comes from any thread, the rest from the owner's own."""

    def stop(self) -> None:
        """Make what runs now raise Stopped soon."""

    def resume(self) -> None:
        """Take back a `stop`."""

    def close(self) -> None:
        """Free the model."""


Owned = TypeVar("Owned", bound=Engine)
Result = TypeVar("Result")


class Job(Generic[Result]):
    """Work on its way. `future` gets its result, or Stopped if it was cancelled."""

    def __init__(self, owner: Owner[Any], work: Callable[[Any], Result]) -> None:
        self.future: Future[Result] = Future()
        self.work = work
        self.cancelled = False
        self._owner = owner

    def cancel(self) -> None:
        """Stop it after the texts at hand, or keep it from starting."""
        self._owner.cancel(self)


class Owner(Generic[Owned]):
    """The thread, and the queue of work for it. The model is loaded when the first work comes.

    If it cannot be loaded, the work that came fails with the reason, and the next work tries again.
    """

    def __init__(self, name: str, load: Callable[[], Owned]) -> None:
        self._load = load
        self._engine: Owned | None = None
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current: Job[Any] | None = None
        self._unfinished = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"phloem {name}", daemon=True)
        self._thread.start()
        _owners.add(self)

    @property
    def idle(self) -> bool:
        """True when it has nothing to do."""
        with self._lock:
            return self._unfinished == 0

    def submit(self, work: Callable[[Owned], Result]) -> Job[Result]:
        """Have `work` called with the model when its turn comes. ServiceError after `close`."""
        job = Job(self, work)
        with self._lock:
            if self._closed:
                raise ServiceError("the model was closed")
            self._unfinished += 1
            self._jobs.put(job)
        return job

    def cancel(self, job: Job[Any]) -> None:
        """Stop the job after the texts at hand, or keep it from starting; nothing if it is done."""
        with self._lock:
            job.cancelled = True
            if self._current is job and self._engine is not None:
                self._engine.stop()

    def close(self, seconds: float | None = None) -> None:
        """Stop what runs, drop what waits and free the model; waits for that, at most `seconds`."""
        with self._lock:
            self._closed = True
            if self._current is not None:
                self._current.cancelled = True
                if self._engine is not None:
                    self._engine.stop()
        self._jobs.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                result = self._do(job)
            except BaseException as error:
                self._finish()
                job.future.set_exception(error)
            else:
                self._finish()
                job.future.set_result(result)
                del result
            del job
        if self._engine is not None:
            self._engine.close()

    def _do(self, job: Job[Result]) -> Result:
        if self._closed or job.cancelled:
            raise Stopped
        if self._engine is None:
            self._engine = self._load()
        with self._lock:
            # Either may have come while the model was loaded.
            if self._closed or job.cancelled:
                raise Stopped
            self._engine.resume()
            self._current = job
        return job.work(self._engine)

    def _finish(self) -> None:
        with self._lock:
            self._current = None
            self._unfinished -= 1


_owners: weakref.WeakSet[Owner[Any]] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    """End the threads before the interpreter goes, so that none is inside native code when it does."""
    for owner in list(_owners):
        owner.close(LEAVE_SECONDS)
