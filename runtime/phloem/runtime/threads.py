"""The threads that blocking nodes run in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

__all__ = ["Threads"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_Work = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Threads(Executor):
    """Up to `most` daemon threads, started as they are needed.

    Unlike the standard pool's these do not hold up the end of the program: a node that is stuck in
    native code cannot be stopped, but the person who pressed Ctrl-C can leave.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._work: deque[_Work] = deque()
        self._ready = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(
        self, fn: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Result]:
        future: Future[Result] = Future()
        with self._ready:
            if self._closed:
                raise RuntimeError("the threads are closed")
            self._work.append((future, fn, args, kwargs))
            if self._idle < len(self._work) and self._threads < self._most:
                self._start()
            else:
                self._ready.notify()
        return future

    def _start(self) -> None:
        """One more thread; RuntimeError, and nothing left to be done, if there is none and can be none."""
        try:
            threading.Thread(target=self._run, name=f"phloem-{self._threads + 1}", daemon=True).start()
        except RuntimeError:
            # The system has no more: those that there are come to it.
            if not self._threads:
                self._work.pop()
                raise
        else:
            self._threads += 1

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """Idle threads end now, busy ones after what they are doing; nobody waits for them."""
        with self._ready:
            self._closed = True
            left, self._work = self._work, deque()
            self._ready.notify_all()
        for future, *_ in left:
            future.cancel()

    def _run(self) -> None:
        while True:
            with self._ready:
                self._idle += 1
                while not self._work and not self._closed:
                    self._ready.wait()
                self._idle -= 1
                if not self._work:
                    self._threads -= 1
                    return
                future, function, arguments, named = self._work.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments, **named))
                except BaseException as error:
                    future.set_exception(error)
            del future, function, arguments, named
