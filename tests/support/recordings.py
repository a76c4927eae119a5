"""Recordings in memory for tests, and contexts whose answers are recorded or replayed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from phloem.runtime.budget import Budget
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.recording import Answers, Exchange, Head, Recording
from phloem.runtime.recording.recording import Place
from phloem.runtime.workflow import Limit

__all__ = ["InMemory", "context_of"]


class InMemory:
    """A Keeper that keeps in a list, and the recording of it."""

    def __init__(self) -> None:
        self.kept: list[tuple[Exchange, bytes, int]] = []
        self.finished: bool | None = None

    def keep(self, exchange: Exchange, key: bytes, number: int) -> None:
        # As it would be read from a disk.
        self.kept.append((Exchange.of(exchange.data, exchange.turn), key, number))

    def close(self, finished: bool) -> None:
        self.finished = finished

    @property
    def calls(self) -> list[str]:
        return [exchange.call for exchange, _, _ in self.kept]

    @property
    def recording(self) -> Recording:
        recording = Recording(Place("run", "test"), Head())
        for exchange, key, _ in sorted(self.kept, key=lambda one: (one[0].node, one[0].turn)):
            recording.add(exchange.node, exchange.call, key, partial(_same, exchange))
        return recording


def _same(exchange: Exchange) -> Exchange:
    return exchange


def context_of(
    services: dict[str, Any],
    keeper: InMemory | None = None,
    *,
    old: Recording | None = None,
    node: str = "node",
    folder: Path | None = None,
    home: Path | None = None,
    grants: tuple[str, ...] = ("net=*", "spend=*"),
    limit: Limit | None = None,
    **how: Any,
) -> Context:
    """A context that asks these services, records to `keeper` and replays `old`."""
    answers = Answers(old=old, folder=folder, **how)
    answers.keep_with(keeper)
    permissions = Permissions([Grant.parse(one) for one in grants], folder=folder, home=home)
    found = Services({name: partial(_same_service, one) for name, one in services.items()})
    scope = Scope("run", found, permissions, model="dear:one", answers=answers)
    if limit is not None:
        scope.budget = Budget(limit, whose="the run")
    return Context(scope, node)


def _same_service(service: Any) -> Any:
    return service
