"""The threads that blocking nodes run in."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import CancelledError, wait

import pytest
from phloem.runtime.threads import Threads


@pytest.fixture
def threads():
    pool = Threads(8)
    yield pool
    pool.shutdown()


def test_work_is_done_and_its_result_comes_back(threads):
    assert threads.submit(lambda a, b=0: a + b, 1, b=2).result(5) == 3
    assert list(threads.map(str, range(50))) == [str(number) for number in range(50)]


def test_an_error_comes_back_as_it_was(threads):
    error = KeyError("x")

    def fail():
        raise error

    assert threads.submit(fail).exception(5) is error
    assert type(threads.submit(sys.exit).exception(5)) is SystemExit
    assert threads.submit(lambda: 1).result(5) == 1, "and the thread goes on"


def test_up_to_the_most_run_at_once_and_never_more(threads):
    lock, now, most = threading.Lock(), 0, 0

    def work():
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1

    wait([threads.submit(work) for _ in range(50)])
    assert most == 8
    assert threads._threads == 8


def test_a_thread_that_is_free_is_used_again(threads):
    for _ in range(20):
        threads.submit(lambda: None).result(5)
        time.sleep(0.001)
    assert threads._threads <= 2


def test_work_that_submits_work_is_not_stuck(threads):
    def outer():
        return threads.submit(lambda: 5).result(5)

    assert [one.result(5) for one in [threads.submit(outer) for _ in range(4)]] == [5] * 4


def test_work_that_was_cancelled_in_time_is_not_done(threads):
    gate = threading.Event()
    busy = [threads.submit(gate.wait, 5) for _ in range(8)]
    done = []
    waiting = threads.submit(done.append, 1)
    assert waiting.cancel()
    gate.set()
    wait(busy)
    threads.submit(lambda: None).result(5)
    assert done == []


def test_closing_ends_idle_threads_and_gives_up_what_waits():
    pool = Threads(2)
    gate, begun = threading.Event(), threading.Barrier(3)

    def work() -> bool:
        begun.wait(5)
        return gate.wait(5)

    busy = [pool.submit(work) for _ in range(2)]
    begun.wait(5)
    waiting = pool.submit(lambda: 1)
    pool.shutdown()
    with pytest.raises(CancelledError):
        waiting.result(1)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(lambda: 1)
    gate.set()
    assert [one.result(5) for one in busy] == [True, True], "what had begun is finished"
    pool.shutdown()


def test_a_thread_holds_on_to_nothing_it_has_done_with(threads):
    class Heavy:
        pass

    heavy = Heavy()
    seen = weakref.ref(heavy)
    threads.submit(lambda one: one, heavy).result(5)
    del heavy
    threads.submit(lambda: None).result(5)
    gc.collect()
    assert seen() is None


def test_a_thread_that_is_stuck_does_not_hold_up_the_end_of_the_program():
    code = """
import sys, time
from phloem.runtime.threads import Threads
Threads().submit(time.sleep, 60)
time.sleep(0.05)
print("over")
"""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
    assert time.perf_counter() - began < 10


def test_a_thread_that_the_system_refuses(threads, monkeypatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    gate, done = threading.Event(), []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.submit(done.append, "refused")
    busy = threads.submit(gate.wait, 5)
    while not busy.running():
        time.sleep(0.001)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    waiting = threads.submit(done.append, "later")
    gate.set()
    waiting.result(5)
    assert done == ["later"], "the one that there is comes to it, and what was refused is not done"
