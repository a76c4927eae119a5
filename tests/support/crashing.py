"""A run that is killed again and again, and resumed until it ends; and many runs, in one process and in several.

`python -m support.crashing begin|resume|many …` is the process that is killed, or that runs many.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

from phloem.nodes import flow
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Setting, kinds_in, node
from phloem.runtime.engine import Engine
from phloem.runtime.events import NodeFinished
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal
from phloem.runtime.runs import Options, Run
from phloem.runtime.workflow import Node, Source, Workflow

__all__ = [
    "BRANCHES",
    "DEEP",
    "ITEMS",
    "LOOPS",
    "NODES",
    "Counting",
    "Crashed",
    "catalogue",
    "child",
    "crash",
    "many",
    "shape_of",
]

BRANCHES, DEEP, LOOPS, ITEMS = 40, 10, 9, 10
NODES = BRANCHES * DEEP + LOOPS + 1 + LOOPS * ITEMS
"""Plain ones, those that loop, one that adds up, and those that run inside the loops."""

ROOT = Path(__file__).parent.parent.parent


def _ran(ctx: Context) -> None:
    with open(os.environ["RAN"], "ab") as file:  # noqa: PTH123
        file.write(f"{ctx.node} {ctx.key}\n".encode())


@node("crash.step", "Step", effect="chance")
async def step(ctx: Context, x: float) -> float:
    """One more."""
    _ran(ctx)
    await asyncio.sleep(0.002)
    return x + 1


@node("crash.write", "Write", effect="writes")
def write(ctx: Context, x: float) -> float:
    """One more, written into a file too."""
    _ran(ctx)
    Path(os.environ["FILES"], ctx.node.replace("/", "_")).write_text(str(x + 1))
    return x + 1


@node("crash.post", "Post", effect="writes")
async def post(ctx: Context, x: float, port: Annotated[int, Setting("Of the server")]) -> float:
    """One more, counted by a server."""
    _ran(ctx)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST /{ctx.node} HTTP/1.0\r\nIdempotency-Key: {ctx.key}\r\nContent-Length: 0\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert b" 200 " in answer.splitlines()[0]
    return x + 1


@node("crash.numbers", "Numbers")
def numbers(n: int) -> list[float]:
    """0, 1, 2, …"""
    return [float(one) for one in range(n)]


@node("crash.total", "Total")
def total(values: list[float]) -> float:
    """The sum."""
    return sum(values)


@node("crash.sum", "Sum")
def sum_(
    values: Annotated[list[float], In("Numbers", many=True)] = (),
    lists: Annotated[list[float], In("Lists of numbers", many=True)] = (),
) -> float:
    """All of it."""
    return sum(values) + sum(lists)


def shape_of(port: int) -> tuple[Workflow, float]:
    """A workflow of NODES nodes, and what it gives."""
    kinds = ("crash.step@1", "crash.write@1", "crash.step@1", "crash.post@1", "crash.step@1")
    nodes: dict[str, Node] = {}

    def one(kind: str, links: dict[str, tuple[Source, ...]], **given: float) -> Node:
        more = {"port": port} if kind == "crash.post@1" else {}
        return Node(kind, links=links, set={**given, **more})

    ends = []
    for branch in range(BRANCHES):
        for deep in range(DEEP):
            kind = kinds[(branch + deep) % len(kinds)]
            before = {"x": (Source(f"b{branch}_{deep - 1}", "number"),)} if deep else {}
            nodes[f"b{branch}_{deep}"] = one(kind, before, **({} if deep else {"x": branch}))
        ends.append(Source(f"b{branch}_{DEEP - 1}", "number"))
    for loop in range(LOOPS):
        kind = ("crash.step@1", "crash.post@1", "crash.write@1")[loop % 3]
        body = Workflow(
            inputs={}, nodes={"in": one(kind, {"x": (Source("input", "item"),)})}, outputs={"y": Source("in", "number")}
        )
        nodes[f"loop{loop}"] = Node("flow.each@1", set={"items": [float(item) for item in range(ITEMS)]}, do=body)
    loops = [Source(f"loop{loop}", "y") for loop in range(LOOPS)]
    nodes["total"] = Node("crash.sum@1", links={"values": tuple(ends), "lists": tuple(loops)})
    expected = sum(branch + DEEP for branch in range(BRANCHES)) + LOOPS * (ITEMS * (ITEMS - 1) / 2 + ITEMS)
    return Workflow(title="to be killed", nodes=nodes, outputs={"total": Source("total", "number")}), expected


def catalogue() -> Catalogue:
    return Catalogue([*kinds_in(sys.modules[__name__]), *kinds_in(flow)])


class Counting(ThreadingHTTPServer):
    """Notes under which keys each node called."""

    daemon_threads = True

    def __init__(self) -> None:
        self.keys: dict[str, list[str]] = defaultdict(list)
        noted = self.keys

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                noted[self.path].append(self.headers["Idempotency-Key"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@dataclass
class Crashed:
    """What came of a run that was killed. `twice` are the nodes that ran though the record said they had finished,
    `keys` those that called with more than one key."""

    kills: int = 0
    rounds: int = 0
    value: float = 0.0
    expected: float = 0.0
    executions: int = 0
    again: int = 0
    calls: int = 0
    kept: list[int] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    files: int = 0


def child(folder: Path, *words: str) -> subprocess.Popen[str]:
    """The process that does it, with its home in the folder."""
    (folder / "files").mkdir(exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path]), "PHLOEM_HOME": str(folder / "home"),
        "RAN": str(folder / "ran"), "FILES": str(folder / "files"),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "support.crashing", *words], stdout=subprocess.PIPE, text=True, env=environment
    )


def _lines(folder: Path) -> list[list[str]]:
    try:
        # The last line may be half of one.
        return [line.split() for line in (folder / "ran").read_text().split("\n")[:-1]]
    except FileNotFoundError:
        return []


def crash(folder: Path, kills: int, seed: int = 0) -> Crashed:
    """Run it, kill it `kills` times, and let it end at last.

    The moments are random, and spread over the work and not over time, which on a busy machine is over before anything
    is done: after some steps have ended, between none and twice its share, and up to 5 ms more.
    """
    chance, server, found = random.Random(seed), Counting(), Crashed()
    journal = Journal(folder / "home" / "journal")
    run, finished, seen = "", set[str](), 0
    found.expected = shape_of(server.port)[1]
    while True:
        words = ["resume", run] if run else ["begin", str(server.port)]
        with child(folder, *words) as process:
            told = process.stdout.readline().split()
            if found.kills < kills:
                for _ in range(chance.randint(0, 2 * NODES // (kills + 1))):
                    process.stdout.readline()
                time.sleep(chance.uniform(0, 0.005))
                process.send_signal(signal.SIGKILL)
                found.kills += 1
            last = process.stdout.read().split("\n")[-2:]
        found.rounds += 1
        run = run or told[1]
        lines = _lines(folder)
        found.twice += [path for path, _ in lines[seen:] if path in finished]
        seen = len(lines)
        ended = last[0].split() if len(last) == 2 else []
        if ended[:1] == ["ended"] or found.rounds > kills + 1:
            break
        try:
            finished = set(journal.run(run).finished)
        except Exception:
            # It was killed before anything of it was on disk.
            run, finished = "", set()
        found.kept.append(len(finished))
    server.shutdown()
    server.server_close()
    found.value = float(ended[1])
    keys = defaultdict(set)
    for path, key in (line for line in lines if line[1].startswith(run)):
        keys[path].add(key)
    found.keys = [path for path, used in keys.items() if used != {f"{run}/{path}"}]
    found.keys += [path for path, used in server.keys.items() if len({one for one in used if one.startswith(run)}) > 1]
    found.executions, found.again = len(lines), len(lines) - len(keys)
    found.calls, found.files = sum(map(len, server.keys.values())), len(list((folder / "files").iterdir()))
    return found


async def _go(run: Run) -> None:
    print("begun", run.id, flush=True)
    # What had finished before is told again, as kept.
    run.subscribe(lambda event: print("step", flush=True) if type(event) is NodeFinished and not event.cached else None)
    result = await run.result()
    result.raise_for_failure()
    print("ended", result.outputs["total"], flush=True)


async def main(words: list[str]) -> None:
    """Do what the process was begun for."""
    engine = Engine(Home.default(), catalogue=catalogue())
    try:
        match words:
            case ["begin", port]:
                await _go(engine.start(shape_of(int(port))[0]))
            case ["resume", run]:
                await _go(engine.resume(run))
            case ["many", count]:
                await many(engine, int(count))
    finally:
        await engine.close()


async def many(engine: Engine, count: int, every: int = 100, *, tell: bool = True) -> list[tuple[int, int, int]]:
    """Run a small workflow so often; after each `every` runs the memory in bytes, the open files and the threads."""
    nodes = {"numbers": Node("crash.numbers@1", set={"n": 20}), "total": Node("crash.total@1", links={"values": (Source("numbers", "number"),)})}  # fmt: skip
    plan = engine.plan(Workflow(nodes=nodes, outputs={"total": Source("total", "number")}))
    seen = []
    for index in range(count):
        run = engine.start(plan, {}, Options(cache=False))
        run.discard_events()
        result = await run.result()
        assert result.outputs == {"total": 190}
        if tell:
            print("ran", result.run, flush=True)
        if (index + 1) % every == 0:
            gc.collect()
            seen.append((_memory(), len(os.listdir("/proc/self/fd")), threading.active_count()))  # noqa: PTH208
    return seen


def _memory() -> int:
    """The resident bytes of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
