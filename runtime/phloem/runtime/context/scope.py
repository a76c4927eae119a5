"""What the nodes of a run share: its services, its permissions, its default models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from phloem.runtime.budget import Budget
from phloem.runtime.errors import ServiceError
from phloem.runtime.grants import Permissions

DEFAULT_MODEL = "local:demo"
DEFAULT_EMBEDDING = "local:minilm"


class Services:
    """The services of one process, each made when it is first asked for.

    `makers` has a function of no arguments for each name; a name without one is a ServiceError.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        if name not in self._made:
            maker = self._makers.get(name)
            if maker is None:
                raise ServiceError(f"nothing installed provides {name}", hint="Install phloem with its built-in nodes.")
            self._made[name] = maker()
        return self._made[name]

    async def close(self) -> None:
        """Let go of what the services hold (connections, models)."""
        made, self._made = self._made, {}
        async with AsyncExitStack() as stack:
            for service in made.values():
                close = getattr(service, "close", None)
                if close is not None:
                    stack.push_async_callback(close)


@dataclass(slots=True)
class Scope:
    """What the nodes of one run share."""

    run: str
    services: Services
    permissions: Permissions
    model: str = DEFAULT_MODEL
    embedding: str = DEFAULT_EMBEDDING
    seed: int = 0
    pool: Executor | None = None
    cancelled: bool = False
    trusted_models: frozenset[str] = frozenset()
    budget: Budget = field(default_factory=lambda: Budget(whose="the run"))
    prompts: bool = False
