"""Runs in a journal without an engine: told what a run of the engine would tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phloem.runtime import events as e
from phloem.runtime.cache import Stored, store
from phloem.runtime.journal import Journal, RunLog, RunRecord

__all__ = ["a_run", "begun", "elsewhere", "ended", "failing", "finish", "loaded", "record", "start", "wait_for"]

TEXT = "phloem: 1\ntitle: Test\nnodes: {}\n"


def record(id: str = "20261121-085300-3fa9c1", **more: Any) -> RunRecord:
    return RunRecord(id, **{"text": TEXT, "title": "Test", "file": "/w/test.flow.yaml", "began": time.time()} | more)


def begun(journal: Journal, id: str = "20261121-085300-3fa9c1", nodes: Iterable[str] = ("one",), **more: Any) -> RunLog:
    """A log of a run that has told its beginning. The callbacks go to `begin`, the rest to the record."""
    calls = {name: more.pop(name) for name in list(more) if name.startswith("on_")}
    log = journal.begin(record(id, **more), **calls)
    log.take(e.RunStarted(id, 0, time.time(), "Test", list(nodes)))
    return log


def start(log: RunLog, node: str, seq: int = 1) -> None:
    log.take(e.NodeStarted(log.run, seq, time.time(), node))


def finish(log: RunLog, node: str, outputs: dict[str, Any], seq: int = 2, **more: Any) -> None:
    shown = {port: e.preview(value) for port, value in outputs.items()}
    event = e.NodeFinished(log.run, seq, time.time(), node, shown, **{"seconds": 0.01} | more)
    log.finished(event, [store(value) for value in outputs.values()])


def ended(
    log: RunLog, status: e.Status = "done", seq: int = 99, outputs: dict[str, Any] | None = None, **more: Any
) -> None:
    """Tell the end, and wait until it is on disk."""
    outputs = outputs or {}
    event = e.RunFinished(log.run, seq, time.time(), status, outputs, **{"seconds": 0.5} | more)
    log.end(event, {name: store(value) for name, value in outputs.items()})
    log.settle()


def a_run(journal: Journal, id: str, nodes: dict[str, dict[str, Any]], **more: Any) -> None:
    """A whole run, whose nodes give these outputs; the last node's are the workflow's."""
    log = begun(journal, id, nodes, **more)
    for number, (name, outputs) in enumerate(nodes.items()):
        start(log, name, 2 * number + 1)
        finish(log, name, outputs, 2 * number + 2)
    ended(log, seq=2 * len(nodes) + 1, outputs=list(nodes.values())[-1] if nodes else {})


def elsewhere(journal: Journal) -> Journal:
    """The same folder as another process sees it. Nothing of it has to be closed unless it begins a run."""
    return Journal(journal.folder)


def loaded(outputs: Mapping[str, Stored | None]) -> dict[str, Any]:
    return {port: None if one is None else one.load() for port, one in outputs.items()}


def wait_for(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Return when something has come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def failing(error: Exception) -> Callable[..., Any]:
    """What raises an error, whatever it is called with."""

    def fail(*words: Any, **more: Any) -> None:
        raise error

    return fail
