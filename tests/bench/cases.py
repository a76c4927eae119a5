"""What is run, and what must come out: the same checks for every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final

from graphs import GRAPHS, Graph, Value, expected, made, work

__all__ = ["CASES", "Case", "Lap", "NotOffered", "WrongResult"]

LENGTH: Final = 1000
ITEMS: Final = 10_000
FAR: Final = 100_000
"""Far enough that no node of the changed chain gets a value that another has had: results are kept by content,
so a node may be given what a like one made."""


class NotOffered(Exception):
    """The peer has no form of this case."""


class WrongResult(Exception):
    """The engine gave something else than it had to."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One thing to time. `check` takes what `run` gave and returns how many nodes were executed, if that is known."""

    name: str
    run: Callable[[], Any]
    check: Callable[[Any], int | None]


Round = Callable[[], Iterator[Lap]]


@dataclass(frozen=True, slots=True)
class Case:
    """`count` nodes or items are worked on in a lap. `prepare(peer)` builds what it takes, and gives the round:
    an iterator over the laps, which is made anew for each round."""

    name: str
    title: str
    count: int
    prepare: Callable[[ModuleType], Round]


def of_graph(make: Callable[[], Graph], peer: ModuleType) -> Round:
    graph = make()
    run = offered(peer, "runner")(graph)
    number = expected(graph)

    def check(value: Value) -> None:
        if value["v"] != number:
            raise WrongResult(f"the last node holds {value['v']}, not {number}")
        if graph.body == "carry" and value["data"] is not made[0]:
            raise WrongResult("the bytes were copied on the way")

    return lambda: iter([Lap("run", run, check)])


def of_list(peer: ModuleType) -> Round:
    run = offered(peer, "mapper")(ITEMS)
    numbers = [work([{"v": number}])["v"] for number in range(ITEMS)]

    def check(values: list[Value]) -> None:
        if [value["v"] for value in values] != numbers:
            raise WrongResult("the list that came out is not the right one")

    return lambda: iter([Lap("run", run, check)])


def of_cache(peer: ModuleType) -> Round:
    """A chain four times: with nothing kept, unchanged, with a value changed in the middle so that everything
    after it changes, and with one changed so that the node runs again and gives the same."""
    cached, forget = offered(peer, "cached"), offered(peer, "forget")
    middle = LENGTH // 2

    def laps() -> Iterator[Lap]:
        forget()
        for name, settings, executions in (
            ("cold", {}, LENGTH),
            ("unchanged", {}, 0),
            ("one changed", {"add": FAR}, LENGTH - middle),
            ("one changed, same result", {"label": "another"}, 1),
        ):
            chain: list[Mapping[str, Any]] = [{} for _ in range(LENGTH)]
            chain[middle] = settings
            number = LENGTH + (FAR if "add" in settings else 0)
            yield Lap(name, cached(chain), partial(_check_cached, number, executions))

    return laps


def offered(peer: ModuleType, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] | None = getattr(peer, name, None)
    if function is None:
        raise NotOffered
    return function


def _check_cached(number: int, executions: int, given: tuple[Value, int]) -> int:
    value, executed = given
    if value["v"] != number:
        raise WrongResult(f"the last node holds {value['v']}, not {number}")
    if executed != executions:
        raise WrongResult(f"{executed} nodes were executed, not {executions}")
    return executed


_TITLES: Final = {
    "chain": "chain of 1,000",
    "fan": "fan of 1,000",
    "layered": "2,000 in layers",
    "blocking": "blocking",
    "blocking-skewed": "blocking, skewed",
    "async": "async",
    "async-skewed": "async, skewed",
    "payload": "10 MB through 100",
}

CASES: Final = {
    case.name: case
    for case in (
        *(Case(name, _TITLES[name], len(make().before), partial(of_graph, make)) for name, make in GRAPHS.items()),
        Case("list", f"list of {ITEMS:,}", ITEMS, of_list),
        Case("cache", f"chain of {LENGTH:,}, kept", LENGTH, of_cache),
    )
}
