"""The bodies of the graphs as kinds of node, declared as any package declares its own."""

from __future__ import annotations

from typing import Annotated, Any

import graphs
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.declare import In, Setting, kind_of, node
from phloem.runtime.ports import Json

__all__ = ["CATALOGUE", "executed"]

executed = [0]
"""How often `bench.cached` has really run."""

Values = Annotated[Any, In("What the nodes before gave", many=True)]
Wait = Annotated[float, Setting("Seconds to wait", ge=0)]


@node("bench.work", "Work")
def work(values: Values = ()) -> Json:
    """Next to nothing."""
    return graphs.work(values)


@node("bench.wait_blocking", "Wait, holding a thread", blocking=True)
def wait_blocking(values: Values = (), wait: Wait = 0.0) -> Json:
    """Work after a wait that blocks."""
    return graphs.wait_blocking(values, wait)


@node("bench.wait_async", "Wait")
async def wait_async(values: Values = (), wait: Wait = 0.0) -> Json:
    """Work after a wait that lets others go on."""
    return await graphs.wait_async(values, wait)


@node("bench.carry", "Carry")
def carry(values: Values = (), size: Annotated[int, Setting("Bytes to make", ge=0)] = 0) -> Json:
    """Work that hands on a block of bytes."""
    return graphs.carry(values, size)


@node("bench.numbers", "Numbers")
def numbers(count: int) -> list[int]:
    """The numbers below `count`."""
    return list(range(count))


@node("bench.item", "Item")
def item(number: int) -> Json:
    """Work on one number."""
    return graphs.work([{"v": number}])


@node("bench.item_async", "Item, as a task")
async def item_async(number: int) -> Json:
    """Work on one number, in a task of its own."""
    return graphs.work([{"v": number}])


@node("bench.cached", "Work that is kept")
def cached(
    values: Values = (),
    add: Annotated[int, Setting("Changes the result")] = 0,
    label: Annotated[str, Setting("Changes nothing")] = "",
) -> Json:
    """Work that counts how often it is executed."""
    executed[0] += 1
    return graphs.work([*values, {"v": add}])


CATALOGUE = Catalogue(
    kind_of(one) for one in (work, wait_blocking, wait_async, carry, numbers, item, item_async, cached)
)
