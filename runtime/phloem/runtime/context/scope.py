"""What the nodes of a run share: its services, its permissions, its default models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phloem.runtime.asking import GrantAsking
from phloem.runtime.budget import Budget
from phloem.runtime.egress import Egress
from phloem.runtime.errors import ServiceError
from phloem.runtime.grants import Permissions

if TYPE_CHECKING:
    from phloem.runtime.cluster import Cluster
    from phloem.runtime.people import People
    from phloem.runtime.recording.answers import Answers
    from phloem.runtime.tracing.runs import RunTrace

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


class Halt:
    """Whether a run is to stop: one for the run and everything nested in it."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = False


@dataclass(slots=True)
class Scope:
    """What the nodes of one run share; those of a nested workflow have a scope of their own, see `inside`.

    With `keeps_model` the language model was asked for with the run, so that no nested workflow has another.
    `deadline(path, at)` is told until when the node at `path` is to wait, and gives the time that counts: a run that
    goes on after its process has ended keeps the one it had.

    With `answers` what nodes get from outside is recorded, or comes from a recording.

    `people` puts questions to people. `asking` asks for grants that are missing, where somebody can be asked;
    `on_egress` is called with every exchange with a server, on the loop's thread. `cluster` has the workers that make
    calls for the run, if there are any.
    """

    run: str
    services: Services
    permissions: Permissions
    model: str = DEFAULT_MODEL
    embedding: str = DEFAULT_EMBEDDING
    seed: int = 0
    pool: Executor | None = None
    halt: Halt = field(default_factory=Halt)
    keeps_model: bool = False
    deadline: Callable[[str, float], float] = lambda path, at: at
    trusted_models: frozenset[str] = frozenset()
    budget: Budget = field(default_factory=lambda: Budget(whose="the run"))
    prompts: bool = False
    trace: RunTrace | None = None
    answers: Answers | None = None
    on_written: Callable[[Path], None] | None = None
    people: People | None = None
    asking: GrantAsking | None = None
    on_egress: Callable[[Egress], None] | None = None
    cluster: Cluster | None = None

    @property
    def cancelled(self) -> bool:
        """True once the run is to stop."""
        return self.halt.on

    def inside(self, budget: Budget, model: str, base: Path | None) -> Scope:
        """The scope of a workflow nested in a node: what it spends counts for `budget`, its own language model is
        `model` if it names one, and a path in it is relative to the folder `base`, or as around it."""
        return replace(
            self,
            budget=budget,
            model=model if model and not self.keeps_model else self.model,
            permissions=self.permissions.at(base),
        )
