"""A recording in the record of a run: its answers stand among its events, large ones in files by their content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

import msgpack
from phloem.runtime.cache import Stored, store
from phloem.runtime.codec import UnstorableValue
from phloem.runtime.errors import ConfigError
from phloem.runtime.journal.record import Recorded
from phloem.runtime.recording.recording import Exchange, Head, Place, Recording

__all__ = ["HEAD", "KeptAnswers", "Log", "LogKeeper", "recording_of"]

HEAD: Final = "recorded with"
"""The call under which the head of a recording is kept, of no node."""


class Log(Protocol):
    """Where a run puts its answers while it goes on; see journal.RunLog."""

    def recorded(self, answer: Recorded) -> None:
        """Keep an answer from outside."""
        ...


class KeptAnswers(Protocol):
    """A run that was kept; see journal.KeptRun."""

    @property
    def id(self) -> str: ...

    @property
    def recorded(self) -> Sequence[Recorded]:
        """Its answers from outside, in the order in which they came."""
        ...


class LogKeeper:
    """Keeps a recording with its run."""

    def __init__(self, log: Log, head: Head) -> None:
        self._log = log
        log.recorded(Recorded("", HEAD, b"", 0, store(head.data)))

    def keep(self, exchange: Exchange, key: bytes, number: int) -> None:
        data = {**exchange.data, "turn": exchange.turn}
        self._log.recorded(Recorded(exchange.node, exchange.call, key, number, store(data)))

    def close(self, finished: bool) -> None:
        """What a run has kept is there, however it ended."""


def recording_of(run: KeptAnswers) -> Recording:
    """What was recorded with a run. ConfigError if it was run without --record."""
    head: Stored | None = None
    answers: dict[tuple[str, str, bytes], dict[int, Stored | None]] = {}
    for one in run.recorded:
        if one.call == HEAD:
            head = one.answer
        else:
            # A run that was resumed may have asked again what it had asked before: the last counts.
            answers.setdefault((one.node, one.call, one.asked), {})[one.number] = one.answer
    if head is None:
        hint = "`phloem run FILE --record` records a run, and only what was recorded can be replayed."
        raise ConfigError(f"the run {run.id} was not recorded", hint=hint)
    try:
        recording = Recording(Place("run", run.id), Head.of(_loaded(run.id, head)))
    except ValueError as error:
        raise _gone(run.id, str(error)) from None
    for (node, call, key), numbered in answers.items():
        for number in sorted(numbered):
            recording.add(node, call, key, partial(_exchange, run.id, numbered[number]))
    return recording


def _exchange(run: str, kept: Stored | None) -> Exchange:
    data = _loaded(run, kept)
    try:
        turn = data.get("turn", 0)
        return Exchange.of(data, turn if isinstance(turn, int) else 0)
    except (ValueError, AttributeError) as error:
        raise _gone(run, str(error)) from None


def _loaded(run: str, kept: Stored | None) -> dict[str, object]:
    if kept is None:
        raise _gone(run, "its file has gone")
    try:
        data = kept.load()
    except (OSError, ValueError, TypeError, KeyError, UnstorableValue, msgpack.UnpackException) as error:
        raise _gone(run, str(error)) from None
    if not isinstance(data, dict):
        raise _gone(run, "it is no object")
    return data


def _gone(run: str, reason: str) -> ConfigError:
    return ConfigError(f"an answer that the run {run} recorded can no longer be read: {reason}")
