"""Phloem, with every event folded into the view that the terminal, the server and the editor show."""

from __future__ import annotations

from collections.abc import Callable

from graphs import Graph, Value
from phloem.runtime.plan import Plan
from phloem.runtime.runs import Run
from phloem.runtime.view import RunView

from peers.ours import drawn, planned

__all__ = ["runner"]


def runner(graph: Graph) -> Callable[[], Value]:
    return planned(drawn(graph), _folded)


async def _folded(run: Run, plan: Plan) -> None:
    view = RunView()
    async for event in run:
        view.apply(event)
    if view.status != "done" or view.count("done") != len(plan.steps):
        raise RuntimeError(f"the view shows {view.status}, {view.count('done')} of {len(plan.steps)} nodes")
