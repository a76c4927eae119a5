"""One call that a worker makes for a run, as the run's side knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from phloem.runtime.budget import Budget
from phloem.runtime.cache import Stored
from phloem.runtime.cluster.values import as_ref
from phloem.runtime.context import Context
from phloem.runtime.context.gate import NodeGate
from phloem.runtime.egress import Egress
from phloem.runtime.errors import InputError, PermissionNeeded
from phloem.runtime.grants import Grant

if TYPE_CHECKING:
    from phloem.runtime.plan import Step

__all__ = ["Call", "result_of"]

_FILES = frozenset({"read", "list", "write", "digest"})
_COLLECTIONS = frozenset({"add", "search", "about", "state", "note", "keep_note", "keep_only", "clear"})


class Call:
    """The function of one step to be called with these inputs, or its stamp.

    `future` will have what it gives. `context` is that of the step here: what the worker tells and asks reaches the
    run through it, as if the function were called here. `again` is called with the reason when it has to begin anew.
    `values` are its large inputs by content hash, `models` the identities of models that are here and have to be the
    same there. `asking` answers what the worker has asked; `begun_anew` counts how often it came to no end on a worker
    that is there. UnstorableValue for inputs that cannot travel.
    """

    def __init__(
        self,
        number: int,
        step: Step,
        inputs: Mapping[str, Any],
        context: Context,
        *,
        stamp: bool = False,
        tags: tuple[str, ...] = (),
        again: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.id = number
        self.step = step
        self.context = context
        self.stamp = stamp
        self.tags = tags
        self.again = again
        self.models: dict[str, str] = {}
        self.values: dict[bytes, Stored] = {}
        self.refs = {name: as_ref(value, self._large) for name, value in inputs.items()}
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.budgets = list(_and_above(context.budget))
        self.asking: set[asyncio.Task[None]] = set()
        self.begun_anew = 0
        self._waits: dict[int, AbstractContextManager[None]] = {}

    def _large(self, stored: Stored) -> None:
        self.values[stored.hash] = stored

    def spec(self) -> dict[str, Any]:
        """All that a worker has to know."""
        step, context, scope = self.step, self.context, self.context.scope
        permissions = scope.permissions
        names = len(step.outputs) - (step.on_error.action == "route")
        return {
            "id": self.id, "kind": step.kind.name, "digest": step.kind.digest, "stamp": self.stamp,
            "runs": step.runs, "many": not self.stamp and names != 1, "inputs": self.refs,
            "models": self.models, "resources": list(step.resources), "node": context.node, "key": context.key,
            "run": scope.run,
            "model": scope.model, "embedding": scope.embedding, "seed": scope.seed,
            "trusted": sorted(scope.trusted_models), "prompts": scope.prompts, "asks": scope.asking is not None,
            "budgets": [_budget(one) for one in self.budgets],
            "permissions": {
                "grants": [[one.word, one.scope] for one in permissions.grants],
                "folder": None if permissions.folder is None else str(permissions.folder),
                "base": None if permissions.base is None else str(permissions.base),
                "denials": [[one.word, one.scope, one.place] for one in permissions.denials],
                "offline": permissions.offline,
            },
        }  # fmt: skip

    def give(self, result: Any) -> None:
        """End it with what the function gave."""
        self._go_on()
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """End it with an error."""
        self._go_on()
        if not self.future.done():
            self.future.set_exception(error)

    def tell(self, method: str, arguments: list[Any]) -> None:
        """Have the run know what the worker tells. LimitReached when it has spent too much."""
        context = self.context
        if method == "progress":
            context.progress(*arguments)
        elif method == "text":
            context.emit_text(*arguments)
        elif method == "sent":
            context.sent(*arguments)
        elif method == "spend":
            read, written, money = arguments
            context.spend(read=read, written=written, money=money)
        elif method == "unkept":
            context.keeps = False
        elif method == "egress":
            NodeGate(context).told(Egress(**arguments[0]))
        elif method == "waits":
            number, waits_for, until = arguments
            self._waits[number] = waiting = context.waiting(waits_for, until)
            waiting.__enter__()
        elif method == "goes_on":
            waiting = self._waits.pop(arguments[0])
            waiting.__exit__(None, None, None)

    async def answer(self, method: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        """What the worker asks of this machine; whatever error that has."""
        context = self.context
        door, _, action = method.partition(".")
        if door == "files" and action in _FILES:
            return await context.in_thread(getattr(context.files, action), *arguments, **named)
        if door == "collections" and action in _COLLECTIONS:
            return await getattr(context.collections, action)(*arguments, **named)
        if method == "wait_until":
            return await context.wait_until(*arguments)
        if method == "person":
            return await context.ask(*arguments, **named)
        if method == "grant":
            return await self._grant(*arguments)
        raise InputError(f"a worker asks for {method}, which there is not")

    async def _grant(self, message: str, flags: list[str], hint: str | None) -> bool:
        """True once whoever started the run has allowed it."""
        wanted = {Grant.of_flag(flag) for flag in flags}
        granted = self.context.scope.permissions

        def check() -> None:
            if not granted.grants.issuperset(wanted):
                raise PermissionNeeded(message, flags=flags, hint=hint)

        try:
            await self.context.permitted(check)
        except PermissionNeeded:
            return False
        return True

    def begin_anew(self, why: str) -> None:
        """The worker that had it is gone."""
        self._go_on()
        for task in self.asking:
            task.cancel()
        self.again(why)

    def _go_on(self) -> None:
        while self._waits:
            _, waiting = self._waits.popitem()
            waiting.__exit__(None, None, None)


def _and_above(budget: Budget) -> list[Budget]:
    found = []
    one: Budget | None = budget
    while one is not None:
        found.append(one)
        one = one.parent
    return found


def _budget(one: Budget) -> list[Any]:
    """A budget as a worker is told of it: time is kept by the run."""
    remedies = {word: one.remedy(word) for word in ("tokens", "money")}
    return [[one.limit.tokens, one.limit.money], one.whose, remedies, [one.read, one.written, one.money]]


def result_of(shape: list[Any], values: list[Any]) -> Any:
    """What the function gave, as it gave it."""
    if shape[0] == "tuple":
        return tuple(values)
    if shape[0] == "dict":
        return dict(zip(shape[1:], values, strict=True))
    return values[0]
