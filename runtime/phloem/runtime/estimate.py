"""What a run may spend, estimated before it begins: `phloem check` shows it.

Every node counts as if it ran, once and without anything from the cache: a run spends less where branches
are skipped and results are kept, and more where a node is tried again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from phloem.runtime.budget import UNLIMITED, dollars, limit_words
from phloem.runtime.checked import CheckedNode, CheckedWorkflow, Joined
from phloem.runtime.context import Services
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.errors import PhloemError
from phloem.runtime.grants import LOCAL_PROVIDERS, names_server, provider_of
from phloem.runtime.kinds import Estimate
from phloem.runtime.services import ModelsService
from phloem.runtime.workflow import INPUT, Limit

__all__ = ["NodeEstimate", "RunEstimate", "estimate_run", "may_spend"]

Amount = TypeVar("Amount", int, float)

MUCH: Final = 1_000_000
"""Tokens of which the price tells whether more of them cost anything."""
MOST_ITEMS: Final = 10_000
"""Of a list that a node runs over: a longer one counts as one of unknown length."""


@dataclass(frozen=True, slots=True)
class NodeEstimate:
    """What a node may spend: tokens read and written, US dollars. None is what cannot be told.

    `node` is its path. `model` is the one that it asks, None also where those are several. With `each` it is for one
    item of a list whose length only the run will tell, or one turn of a loop. `more` says that what cannot be told
    costs money too. `limit` is for all that the node does, and what is around it.
    """

    node: str
    model: str | None
    read: int | None
    written: int | None
    money: float | None
    each: bool = False
    more: bool = False
    limit: Limit = UNLIMITED

    @property
    def tokens_at_most(self) -> int | None:
        """Tokens of all that the node does; None if nothing bounds them."""
        total = None if self.each or self.read is None or self.written is None else self.read + self.written
        return _lesser(total, self.limit.tokens)

    @property
    def money_at_most(self) -> float | None:
        """US dollars for all that the node does; None if nothing bounds them."""
        unknown = self.money is None or self.more or (self.each and self.money > 0)
        return _lesser(None if unknown else self.money, self.limit.money)

    def __str__(self) -> str:
        read = "as many tokens as the run will tell" if self.read is None else f"about {_tokens(self.read)}"
        written = "as many as the run will tell" if self.written is None else f"at most {self.written:,}"
        writes = "" if self.written == 0 else f", writes {written}"
        model = "" if self.model is None else f" with {self.model}"
        per = " for each item" if self.each else ""
        return f"{self.node}: reads {read}{writes}{per}{model}{self._price()}"

    def _price(self) -> str:
        if self.money is None:
            return ", price unknown"
        if self.more:
            known = f"{dollars(self.money)} and " if self.money else ""
            return f", costs {known}what only the run will tell"
        return f", {dollars(self.money)} at most" if self.money else ""


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a run may spend: its nodes that spend anything, in the order of the file, and the limit of the run."""

    nodes: tuple[NodeEstimate, ...] = ()
    limit: Limit = UNLIMITED

    @property
    def tokens(self) -> int | None:
        """Tokens at most; None if only the run will tell."""
        counts = [one.tokens_at_most for one in self.nodes]
        return None if None in counts else sum(one for one in counts if one is not None)

    @property
    def money(self) -> float | None:
        """US dollars at most; None if only the run will tell."""
        sums = [one.money_at_most for one in self.nodes]
        return None if None in sums else sum((one for one in sums if one is not None), 0.0)

    @property
    def beyond(self) -> tuple[str, ...]:
        """For each limit that the run may pass, what it may spend and the limit, in words."""
        found = []
        if self.tokens is not None and self.limit.tokens is not None and self.tokens > self.limit.tokens:
            found.append(f"it may spend {self.tokens:,} tokens, and its limit is {self.limit.tokens:,}")
        if self.money is not None and self.limit.money is not None and self.money > self.limit.money:
            found.append(f"it may cost {dollars(self.money)}, and its limit is {dollars(self.limit.money)}")
        return tuple(found)

    def __str__(self) -> str:
        known = [_tokens(self.tokens)] if self.tokens is not None else []
        known += [dollars(self.money)] if self.money else []
        unknown = ["how many tokens"] if self.tokens is None else []
        unknown += ["what it costs"] if self.money is None else []
        parts = [f"at most {' and '.join(known)}"] if known else []
        parts += [f"only the run will tell {' and '.join(unknown)}"] if unknown else []
        limit = limit_words(self.limit)
        return "; ".join([*parts, *([f"limit: {limit}"] if limit else [])])


async def estimate_run(
    checked: CheckedWorkflow, inputs: Mapping[str, Any], models: DefaultModels, services: Services, limit: Limit
) -> RunEstimate:
    """What a run with these inputs may spend. Only prices of models that are elsewhere are asked of a service."""
    found = [one async for one in _estimates(checked, _Turns([(inputs, 1)]), models, services, "", UNLIMITED)]
    return RunEstimate(tuple(found), limit)


def may_spend(checked: CheckedWorkflow) -> bool:
    """True if any node, nested ones and those of called files too, can tell before a run what it would spend."""
    return any(
        node.kind.estimate is not None or (node.body is not None and may_spend(node.body.checked))
        for node in checked.nodes.values()
    )


@dataclass(frozen=True, slots=True)
class _Turns:
    """How often something runs: what is known of its inputs, and how many times that is. With `each` there is one,
    and only the run will tell how many times."""

    known: list[tuple[Mapping[str, Any], int]]
    each: bool = False

    @property
    def count(self) -> int | None:
        return None if self.each else sum(times for _, times in self.known)


async def _estimates(
    checked: CheckedWorkflow, turns: _Turns, models: DefaultModels, services: Services, inside: str, bound: Limit
) -> AsyncIterator[NodeEstimate]:
    """Those of all nodes. `bound` is what they may spend together at most, `inside` the path of the node around them,
    with a `/` at its end."""
    for node in checked.nodes.values():
        if node.node.disabled:
            continue
        limit = bound.stricter(_times(node.node.limit, turns))
        if node.kind.estimate is not None:
            one = await _estimated(node, turns, models, services)
            if one is not None:
                yield replace(one, node=inside + node.id, limit=limit)
        if node.body is not None:
            body = node.body.checked
            runs = _turns_inside(node, turns)
            within = limit.stricter(_times(body.workflow.limit, runs))
            there = models.inside(body.workflow.model)
            async for one in _estimates(body, runs, there, services, f"{inside}{node.id}/", within):
                yield one


async def _estimated(
    node: CheckedNode, turns: _Turns, models: DefaultModels, services: Services
) -> NodeEstimate | None:
    assert node.kind.estimate is not None
    each = turns.each
    try:
        found = _executions(node, turns)
        each = found.each
        calls = [(one, times) for known, times in found.known if (one := node.kind.estimate(known)) is not None]
    except Exception:
        # A stranger's estimate that fails tells nothing, and of a value that does not fit the run will tell.
        return NodeEstimate(node.id, None, None, None, None, each)
    if not calls:
        return None
    by_model: dict[str | None, list[tuple[Estimate, int]]] = {}
    for one, times in calls:
        usual = models.embedding if one.embedding else models.text
        by_model.setdefault(usual if one.model == "" else one.model, []).append((one, times))
    costs = [await _cost(model, asked, services) for model, asked in by_model.items()]
    return NodeEstimate(
        node.id,
        _told(next(iter(by_model))) if len(by_model) == 1 else None,
        _sum((one.read, times) for one, times in calls),
        _sum((one.written, times) for one, times in calls),
        _sum((money, 1) for money, _ in costs),
        each,
        any(more for _, more in costs),
    )


async def _cost(model: str | None, calls: list[tuple[Estimate, int]], services: Services) -> tuple[float | None, bool]:
    """US dollars for what is known of these calls of one model, and whether what is not known costs money too."""
    read, written = _sum((one.read, times) for one, times in calls), _sum((one.written, times) for one, times in calls)
    money = await _price(model, read or 0, written or 0, services)
    unknown = (MUCH if read is None else 0, MUCH if written is None else 0)
    return money, any(unknown) and bool(await _price(model, *unknown, services))


def _executions(node: CheckedNode, turns: _Turns) -> _Turns:
    """Each execution of a node, with what is known of its inputs: in every turn once, or once per item."""
    found: list[tuple[Mapping[str, Any], int]] = []
    for inputs, times in turns.known:
        known, items = _known(node, inputs), _items(node, inputs)
        if items is None or len(found) + len(items) > MOST_ITEMS:
            return _Turns([(known, 1)], each=True)
        found += [(known | item, times) for item in items]
    return _Turns(found, turns.each)


def _turns_inside(node: CheckedNode, turns: _Turns) -> _Turns:
    """How often the body of a node runs, and what is known of its inputs."""
    body, nesting = node.body, node.kind.nests
    assert body is not None and nesting is not None
    executions = _executions(node, turns)
    found: list[tuple[Mapping[str, Any], int]] = []
    for known, times in executions.known:
        common = {name: value for name, value in known.items() if name in body.checked.workflow.inputs}
        if nesting.items:
            lists = {name: known.get(of) for name, of in nesting.items.items()}
            length = max((len(one) for one in lists.values() if isinstance(one, list)), default=0)
            if not all(isinstance(one, list) for one in lists.values()) or len(found) + length > MOST_ITEMS:
                return _Turns([(common, 1)], each=True)
            for index in range(length):
                items = {name: one[index] for name, one in lists.items() if one is not None and index < len(one)}
                found.append((common | items, times))
        elif nesting.most is not None:
            most = known.get(nesting.most)
            later = {name: value for name, value in common.items() if name not in body.carried}
            if not isinstance(most, int) or most < 1:
                return _Turns([(later, 1)], each=True)
            found += [(common, times), *([(later, times * (most - 1))] if most > 1 else [])]
        else:
            found.append((common, times))
    return _Turns(found, executions.each)


def _times(limit: Limit, turns: _Turns) -> Limit:
    """What something may spend that has a limit for each of its turns."""
    count = turns.count
    if limit == UNLIMITED or count is None:
        return UNLIMITED
    return Limit(
        None if limit.tokens is None else limit.tokens * count,
        None if limit.money is None else limit.money * count,
        None if limit.seconds is None else limit.seconds * count,
    )


def _told(model: str | None) -> str | None:
    """The name of a model as a screen may show it: an address may hold a password, and is then not repeated."""
    if model is not None and names_server(model) and {"@", "?"} & set(model.partition("#")[0]):
        return f"{model.partition('://')[0]}://…"
    return model


def _known(node: CheckedNode, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a node that are known before the run, but for those whose items it runs over."""
    known = {name: value for name, value in node.values.items() if name not in node.links}
    for name, joined in node.links.items():
        port = node.inputs[name]
        if not any(one.fit.maps for one in joined) and all(_is_given(one, inputs) for one in joined):
            values = [_turned(inputs[one.source.port], one) for one in joined]
            joins = port.type.depth > 0
            known[name] = [item for one in values for item in one] if joins and port.many else values
            if not port.many:
                (known[name],) = values
    return known


def _items(node: CheckedNode, inputs: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """For each execution what is known of the lists that the node runs over; None if nobody knows how long they are."""
    over = {name: joined[0] for name, joined in node.links.items() if joined[0].fit.maps}
    if not over:
        return [{}]
    lists = {name: inputs[one.source.port] for name, one in over.items() if _is_given(one, inputs)}
    if node.maps > 1 or not lists or not all(isinstance(one, list) for one in lists.values()):
        return None
    length = max(map(len, lists.values()))
    if length > MOST_ITEMS:
        return None
    return [
        {name: _turned(one[index], over[name]) for name, one in lists.items() if index < len(one)}
        for index in range(length)
    ]


async def _price(model: str | None, read: int, written: int, services: Services) -> float | None:
    """US dollars; None for a model that only the run will tell, or whose price nobody knows."""
    if model is None:
        return None
    if not names_server(model) and provider_of(model) in LOCAL_PROVIDERS:
        return 0.0
    try:
        service: ModelsService = services.get("models")
        return await service.estimate(model, read, written)
    except PhloemError:
        return None


def _tokens(count: int) -> str:
    return f"{count:,} token{'' if count == 1 else 's'}"


def _is_given(link: Joined, inputs: Mapping[str, Any]) -> bool:
    return link.source.node == INPUT and link.source.port in inputs


def _turned(value: Any, link: Joined) -> Any:
    return value if link.fit.coerce is None else link.fit.coerce(value)


def _sum(amounts: Iterable[tuple[Amount | None, int]]) -> Amount | int | None:
    """What comes to so much, so many times; None if of any nobody knows."""
    total: Amount | int = 0
    for one, times in amounts:
        if one is None:
            return None
        total += one * times
    return total


def _lesser(one: Amount | None, other: Amount | None) -> Amount | None:
    return other if one is None else one if other is None else min(one, other)
