"""One call, on the worker that makes it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import operator
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.budget import Budget
from phloem.runtime.calling import called
from phloem.runtime.cluster.away import AskingAtHome, AwayContext, ToldBudget
from phloem.runtime.cluster.failures import packed_error, unpacked_error
from phloem.runtime.cluster.messages import PACE, SLOW_PACE
from phloem.runtime.cluster.values import Ref
from phloem.runtime.codec import UnstorableValue, pack
from phloem.runtime.context import Scope
from phloem.runtime.egress import Egress
from phloem.runtime.errors import NodeError, PermissionNeeded, ServiceError
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.grants.rules import Denial
from phloem.runtime.kinds import NodeKind
from phloem.runtime.outcomes import as_failure
from phloem.runtime.workflow import Limit

if TYPE_CHECKING:
    from phloem.runtime.cluster.session import Session, Spec

__all__ = ["Called"]


class Called:
    """One call on a worker, and the line from it to its run."""

    def __init__(self, session: Session, spec: Spec) -> None:
        self.session = session
        self.spec = spec
        self.id: int = spec["id"]
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._questions = count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._scope: Scope | None = None
        self._over = False
        self.budgets = self._budgets()

    async def run(self) -> None:
        """Do it, and tell the run what came of it."""
        outbox = self.session.outbox
        try:
            shape, refs = await self._outcome()
            outbox.put("done", self.id, shape, refs)
        except (NodeError, PermissionNeeded) as error:
            outbox.put("failed", self.id, packed_error(error, self.budgets))
        finally:
            self._over = True
            self.session.forget(self.id)
            await self._let_go()

    async def _let_go(self) -> None:
        """Have a node that is still in a thread see that it is not wanted any more, and wait for nobody."""
        for waiting in self._asked.values():
            waiting.cancel()
        if self._scope is not None:
            self._scope.halt.on = True
            if self._scope.asking is not None:
                await self._scope.asking.close()

    # The line

    def tell(self, method: str, *arguments: Any) -> None:
        if threading.get_ident() == self._thread:
            self._tell(method, *arguments)
        else:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._tell, method, *arguments)

    def _tell(self, method: str, *arguments: Any) -> None:
        if not self._over:
            plain = [_plain(one) for one in arguments]
            self.session.outbox.put("tell", self.id, method, plain, within=self._pace(method))

    def _pace(self, method: str) -> float:
        """The seconds for which the run need not know it."""
        return SLOW_PACE if method == "spend" and not self.budgets[0].bounded else PACE

    async def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        if self._over:
            raise ServiceError("the run was cancelled")
        question = next(self._questions)
        self._asked[question] = self.loop.create_future()
        try:
            ref = self.session.ref([list(arguments), named])
            self.session.outbox.put("ask", self.id, question, method, ref)
            error, answer = await self._asked[question]
        finally:
            del self._asked[question]
        if error is not None:
            raise unpacked_error(error, self.budgets)
        return (await self.session.values(self.id, {"answer": answer}))["answer"]

    def ask_from_thread(self, method: str, *arguments: Any, **named: Any) -> Any:
        waiting = asyncio.run_coroutine_threadsafe(self.ask(method, *arguments, **named), self.loop)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError:
            raise ServiceError("the run was cancelled") from None

    def answer(self, question: int, error: Any, ref: Ref) -> None:
        waiting = self._asked.get(question)
        if waiting is not None and not waiting.done():
            waiting.set_result((error, ref))

    # The call

    async def _outcome(self) -> tuple[list[Any], list[Ref]]:
        """What the function gave: how it gave its outputs, and each."""
        spec, session = self.spec, self.session
        try:
            kind = self._kind()
            inputs = await session.values(self.id, spec["inputs"])
            context = self._context()
            await self._same_models()
            async with session.host.resources.hold(spec["resources"]):
                if spec["stamp"]:
                    result = await _stamp(kind, context, inputs)
                else:
                    result = await called(kind, spec["runs"], context, inputs)
            if not context.keeps:
                self.tell("unkept")
        except BaseException as error:
            raise as_failure(error) from error.__cause__
        if not spec["many"] or not isinstance(result, tuple | dict):
            names, given = ["one"], [result]
        elif isinstance(result, tuple):
            names, given = ["tuple"], list(result)
        elif all(isinstance(name, str) for name in result):
            names, given = ["dict", *result], list(result.values())
        else:
            # The run's side says what is wrong with it.
            names, given = ["one"], [result]
        try:
            return names, [session.ref(one) for one in given]
        except UnstorableValue as error:
            raise ServiceError(
                f"what it gave cannot leave the worker: {error.message}", hint="Run it without --on."
            ) from error

    def _kind(self) -> NodeKind:
        name = self.spec["kind"]
        kind = self.session.host.catalogue.find(name.partition("@")[0])
        if kind is None or kind.name != name:
            there = "nothing of that name is" if kind is None else f"{kind.name} is"
            raise ServiceError(
                f"the worker has no {name}: {there} installed there",
                hint="Install there what brings it, and start it anew.",
            )
        if kind.digest != self.spec["digest"]:
            raise ServiceError(
                f"the worker has another version of {name}, with other code",
                hint="Install the same version on both machines, and start the worker anew.",
            )
        return kind

    async def _same_models(self) -> None:
        """ServiceError if a model here is another one than that of the same name where the run is."""
        for model, identity in self.spec["models"].items():
            if await self.session.host.services.get("models").identity(model) != identity:
                raise ServiceError(
                    f"the model {model} there is another one than here, under the same name",
                    hint="Put the same file on both machines, or give one of them another name.",
                )

    def _context(self) -> AwayContext:
        spec = self.spec
        granted = spec["permissions"]
        permissions = Permissions(
            [Grant(word, scope) for word, scope in granted["grants"]],
            folder=None if granted["folder"] is None else Path(granted["folder"]),
            home=self.session.host.home.path,
            denials=[Denial(*one) for one in granted["denials"]],
            offline=granted["offline"],
        ).at(None if granted["base"] is None else Path(granted["base"]))
        scope = Scope(
            run=spec["run"],
            services=self.session.host.services,
            permissions=permissions,
            model=spec["model"],
            embedding=spec["embedding"],
            seed=spec["seed"],
            pool=self.session.host.threads,
            trusted_models=frozenset(spec["trusted"]),
            budget=self.budgets[-1],
            prompts=spec["prompts"],
            on_egress=self._told_egress,
        )
        if spec["asks"]:
            scope.asking = AskingAtHome(self, permissions.give)
        self._scope = scope
        context = AwayContext(
            scope,
            spec["node"],
            key=spec["key"],
            on_progress=lambda fraction, message: self.tell("progress", fraction, message),
            on_text=lambda port, piece: self.tell("text", port, piece),
            within=self.budgets[0],
            line=self,
        )
        context.on_waiting = context.told_waiting
        return context

    def _told_egress(self, egress: Egress) -> None:
        self.tell("egress", asdict(egress))

    def _budgets(self) -> list[Budget]:
        """The budget of the call and those above it, as they are on the run's side, the call's own first."""
        made: list[Budget] = []
        parent: Budget | None = None
        limits = self.spec["budgets"]
        for place in range(len(limits) - 1, -1, -1):
            (tokens, money), whose, remedies, spent = limits[place]
            limit = Limit(tokens=tokens, money=money)
            if place:
                one = Budget(limit, parent, whose=whose, remedy=remedies.__getitem__)
            else:
                one = ToldBudget(self, limit, parent, whose, remedies)
            one.read, one.written, one.money = spent
            made.insert(0, one)
            parent = one
        return made


_CARRIED: Final = frozenset({bool, float, type(None)})


def _plain(value: Any) -> Any:
    """What a node tells, as a message can carry it: a number of some library's, an error in place of its text."""
    if type(value) in _CARRIED:
        return value
    try:
        pack(value)
    except UnstorableValue:
        for turn in (operator.index, float, str):
            with suppress(Exception):
                return turn(value)
        return ""
    return value


async def _stamp(kind: NodeKind, context: AwayContext, inputs: Mapping[str, Any]) -> Any:
    assert kind.stamp is not None
    if inspect.iscoroutinefunction(kind.stamp):
        return await kind.stamp(context, inputs)
    return await context.in_thread(kind.stamp, context, inputs)
