"""Timeouts and limits of time stand while what they are for waits, and no longer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from phloem.nodes import flow
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.clocks import Clock
from phloem.runtime.context import Context
from phloem.runtime.declare import kind_of, kinds_in, node
from phloem.runtime.engine import Engine
from phloem.runtime.errors import NodeTimeout
from phloem.runtime.workflow import Limit, Workflow
from support.playing import box, drawn, given, play


@node("clock.wait", "Wait", effect="chance")
async def wait(ctx: Context, x: float) -> float:
    """Waits until so many seconds from now; of no seconds it hangs."""
    if x:
        await ctx.wait_until(time.time() + x, "the time")
    else:
        await asyncio.sleep(30)
    return x


@pytest.fixture
def engine(home):
    engine = Engine(home, catalogue=Catalogue([*kinds_in(flow), kind_of(wait)]))
    yield engine
    asyncio.run(engine.close())


def nested(kind: str, limit: Limit | None = None, **rest) -> Workflow:
    """A workflow that waits in a body, for each of its items or once."""
    name, port = ("item", "items") if kind == "flow.each" else ("x", "x")
    do = drawn({"w": box("clock.wait", {"x": f"input.{name}"})}, {name: given("number")}, o="w.number")
    do = replace(do, title="", limit=limit or Limit())
    type = "list[number]" if kind == "flow.each" else "number"
    return drawn({"n": box(kind, {port: "input.x"}, do=do, **rest)}, {"x": given(type)}, o="n.o")


@pytest.mark.parametrize("rest", [{"timeout": 0.05}, {"limit": Limit(seconds=0.05)}])
def test_the_time_of_a_node_stands_until_the_last_of_what_waits_in_it_goes_on(engine, rest):
    assert play(engine, nested("flow.each", **rest), {"x": [0.02, 0.2]}).outputs == {"o": [0.02, 0.2]}


def test_the_time_of_a_body_stands_too(engine):
    workflow = nested("flow.group", Limit(seconds=0.05))
    assert play(engine, workflow, {"x": 0.2}).outputs == {"o": 0.2}
    hanging = play(engine, workflow, {"x": 0})
    assert hanging.result.failures["n"].message == "the body of n stopped at its limit: 0.05 s"


@pytest.mark.parametrize("items", [[0, 20], [20, 0]])
def test_the_time_of_an_item_does_not_stand_while_another_waits(engine, items):
    workflow = drawn(
        {"w": box("clock.wait", {"x": "input.x"}, timeout=0.05)}, {"x": given("list[number]")}, o="w.number"
    )
    played = play(engine, workflow, {"x": items})
    assert played.result.failures["w"].message.endswith("it took longer than 0.05 s")
    assert played.result.seconds < 10, "not as long as the other waits"


def test_a_clock_that_is_over_is_left_alone():
    """Whoever waits for a grant in a thread may come back when its node has long ended."""

    async def late() -> None:
        clock = Clock(Clock())
        with clock.standing():
            async with clock.bounds(5, NodeTimeout):
                pass
        with clock.standing():
            clock.start(0)
        await asyncio.sleep(0.01)
        assert not clock.expired

    asyncio.run(late())


def test_what_goes_on_while_its_time_is_up_may_still_wait():
    async def stubborn() -> None:
        clock = Clock()
        with pytest.raises(NodeTimeout):
            async with clock.bounds(0.01, lambda: NodeTimeout("too long")):
                try:
                    await asyncio.sleep(5)
                finally:
                    assert clock.expired
                    with clock.standing():
                        await asyncio.sleep(0)

    asyncio.run(stubborn())
