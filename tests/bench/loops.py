"""What loops cost: `python tests/bench/loops.py`. CPU time of the process, with every event taken off the run.

10,000 turns of flow.repeat and 10,000 items of flow.each with a body of one node that does next to nothing, once
where it stands and once as a task; and the memory at its highest.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from phloem.nodes import flow
from phloem.runtime import Engine, Options, parse
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.declare import kind_of, kinds_in, node
from phloem.runtime.events import NodeProgress
from phloem.runtime.home import Home
from phloem.runtime.view import RunView
from tables import Aim, Table, heading, shown, span

TURNS: Final = 10_000
TURN_AIM: Final = Aim(15, "µs")
TASK_AIM: Final = Aim(100, "µs")
MEMORY_AIM: Final = Aim(200, "MB")
ROUNDS: Final = 5


@node("bench.more", "More")
def more(x: float) -> float:
    """One more."""
    return x + 1


@node("bench.more_async", "More, as a task")
async def more_async(x: float) -> float:
    """One more, in a task of its own."""
    return x + 1


REPEAT: Final = """\
phloem: 1
inputs: {items: "list[number]"}
nodes:
  loop:
    kind: flow.repeat@1
    set: {times: 10000, x: 0}
    do:
      inputs: {x: number}
      nodes: {more: {kind: KIND, in: {x: input.x}}}
      outputs: {x: more.number}
outputs: {o: loop.x}
"""

EACH: Final = """\
phloem: 1
inputs: {items: "list[number]"}
nodes:
  loop:
    kind: flow.each@1
    in: {items: input.items}
    do:
      nodes: {more: {kind: KIND, in: {x: input.item}}}
      outputs: {x: more.number}
outputs: {o: loop.x}
"""

CASES: Final = [
    ("repeat, 10,000 turns", REPEAT, "bench.more@1", TURN_AIM),
    ("each, 10,000 items", EACH, "bench.more@1", TURN_AIM),
    ("repeat, a task a turn", REPEAT, "bench.more_async@1", TASK_AIM),
    ("each, a task an item", EACH, "bench.more_async@1", TASK_AIM),
]


def main() -> int:
    heading("Loops")
    table = Table("CPU time per turn or item", ["loop", "view", "CPU µs", "low–high", "aim", "verdict"])
    wrong = 0
    with tempfile.TemporaryDirectory() as home:
        catalogue = Catalogue([kind_of(more), kind_of(more_async), *kinds_in(flow)])
        engine = Engine(Home(Path(home)), catalogue=catalogue)
        for title, text, kind, aim in CASES:
            for folded in (False, True):
                seconds = [_seconds(engine, text.replace("KIND", kind), folded) for _ in range(ROUNDS)]
                if None in seconds:
                    print(f"\nWRONG: {title}")
                    wrong = 1
                    continue
                cpu = [one for one in seconds if one is not None]
                micro = 1e6 / TURNS
                table.row(
                    title, "folded" if folded else "", shown(cpu, micro), span(cpu, micro), str(aim),
                    aim.verdict(median(cpu) * micro),
                )  # fmt: skip
        asyncio.run(engine.close())
    table.show()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print(f"\nMemory at its highest: {peak:.0f} MB ({MEMORY_AIM}: {MEMORY_AIM.verdict(peak)})")
    return wrong


def _seconds(engine: Engine, text: str, folded: bool) -> float | None:
    """The CPU seconds of one run; None if what came out is wrong."""
    plan = engine.plan(parse(text))
    items = list(range(TURNS))

    async def once() -> Any:
        run = engine.start(plan, {"items": items}, Options(cache=False))
        view, count = RunView(), 0
        async for event in run:
            count += type(event) is not NodeProgress
            if folded:
                view.apply(event)
        inside = view.nodes["loop"].inside if folded else None
        if inside is not None and inside.done != TURNS:
            return None
        outputs = (await run.result()).raise_for_failure().outputs
        return outputs["o"] if count == 2 * TURNS + 4 else None

    began = time.process_time()
    given = asyncio.run(once())
    seconds = time.process_time() - began
    return seconds if given in (TURNS, [item + 1 for item in items]) else None


if __name__ == "__main__":
    raise SystemExit(main())
