"""What workers gain and cost: `python tests/bench/cluster.py`. Wall time, on this machine alone: `--on local:N`.

Eight branches that ask a model served elsewhere, which answers each worker's questions one after the other; eight that
ask the local demo model, with one thread and one stream a worker; what a call on a worker costs beside one here; how
long a piece of text is on its way; and a run one of whose workers is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pytest
from phloem.runtime import Engine, Options, parse
from phloem.runtime import events as e
from phloem.runtime.cluster import Cluster
from phloem.runtime.home import Home
from support import weft
from tables import Aim, Table, heading, shown, span

BRANCHES: Final = 8
ROUNDS: Final = 3
CALLS: Final = 400
AIM: Final = Aim(0.65, "of one")
CALL_AIM: Final = Aim(5, "ms")
TEXT_AIM: Final = Aim(20, "ms")

WAITING: Final = """\
phloem: 1
nodes:
%s
outputs: {%s}
"""
ASK: Final = "  n%d: {kind: weft.ask@1, set: {prompt: 'branch %d', seconds: 0.4, at_once: 1}}"
WRITE: Final = (
    "  n%d: {kind: llm.structured@1, set: {prompt: 'The loom of house %d was shown in Lyon.', pattern: '([a-z]{3,9} ){150}', "
    "max_tokens: 2000}}"
)
MANY: Final = """\
phloem: 1
inputs: {names: "list[text]"}
nodes: {ask: {kind: weft.ask@1, in: {prompt: input.names}, set: {seconds: 0}}}
outputs: {t: ask.text}
"""
STREAM: Final = "phloem: 1\nnodes: {ask: {kind: weft.ask@1, set: {prompt: a, seconds: 0.6}}}\n"


def branches(template: str) -> str:
    """A workflow of eight of them."""
    nodes = [template % tuple([one] * template.count("%d")) for one in range(BRANCHES)]
    port = "value" if "structured" in template else "text"
    outputs = ", ".join(f"t{one}: n{one}.{port}" for one in range(BRANCHES))
    return WAITING % ("\n".join(nodes), outputs)


async def timed(
    home: Home,
    cluster: Cluster | None,
    text: str,
    inputs: dict[str, Any],
    listen: Callable[[e.Event], None] | None = None,
) -> tuple[float, dict[str, Any], float]:
    """The wall seconds of a run, what it gave, and its CPU seconds in this process."""
    engine = Engine(home)
    try:
        options = Options(cache=False, seed=1) if cluster is None else Options(cache=False, seed=1, on=cluster)
        run = engine.start(parse(text), inputs, options)
        run.discard_events()
        if listen is not None:
            run.subscribe(listen)
        began, cpu = time.perf_counter(), time.process_time()
        result = (await run.result()).raise_for_failure()
        return time.perf_counter() - began, result.outputs, time.process_time() - cpu
    finally:
        await engine.close()


async def measured(home: Home, log: Path) -> int:
    wrong = 0
    table = Table("Workers", ["what", "workers", "median", "low–high", "of one", "aim", "verdict"])
    times: dict[tuple[str, int], list[float]] = {}
    busy: dict[tuple[str, int], list[float]] = {}
    here: dict[str, Any] = {}
    cases = {"8 branches, a model served elsewhere": branches(ASK), "8 branches, the demo model": branches(WRITE)}
    for name, text in cases.items():
        _, here[name], _ = await timed(home, None, text, {})
    for workers in (1, 2):
        cluster = await Cluster.open(f"local:{workers}", home)
        try:
            for name, text in cases.items():
                for round in range(ROUNDS + 1):
                    before = _cpu(cluster)
                    seconds, outputs, _ = await timed(home, cluster, text, {})
                    if round:
                        times.setdefault((name, workers), []).append(seconds)
                        most = max(now - then for now, then in zip(_cpu(cluster), before, strict=True))
                        busy.setdefault((name, workers), []).append(most)
                    if outputs != here[name]:
                        print(f"\nWRONG: {name} on {workers}")
                        wrong = 1
            if workers == 2:
                wrong |= await _costs(home, cluster, log)
        finally:
            await cluster.close()
    for name in cases:
        one, two = times[name, 1], times[name, 2]
        share = median(two) / median(one)
        table.row(name, "1", shown(one) + " s", span(one))
        table.row("", "2", shown(two) + " s", span(two), f"{share:.2f}", str(AIM), AIM.verdict(share))
    one, two = (busy["8 branches, the demo model", workers] for workers in (1, 2))
    share = median(two) / median(one)
    table.row("CPU of the busier worker, the demo model", "1", shown(one) + " s", span(one))
    table.row("", "2", shown(two) + " s", span(two), f"{share:.2f}", str(AIM), AIM.verdict(share))
    table.show()
    return wrong | await _killed(home, log)


def _cpu(cluster: Cluster) -> list[float]:
    """The CPU seconds of each worker so far, with the processes of its models: what is left where others compute too."""
    import psutil

    assert cluster.local is not None
    found = []
    for worker in cluster.local.processes:
        tree = psutil.Process(worker.pid)
        times = [one.cpu_times() for one in (tree, *tree.children(recursive=True))]
        found.append(sum(one.user + one.system for one in times))
    return found


async def _costs(home: Home, cluster: Cluster, log: Path) -> int:
    table = Table("A call on a worker", ["what", "median", "low–high", "aim", "verdict"], left=1)
    names = [f"n{one}" for one in range(CALLS)]
    wall, cpu = [], []
    for _ in range(ROUNDS):
        seconds, outputs, own = await timed(home, cluster, MANY, {"names": names})
        if outputs["t"] != [f"{name} is answered" for name in names]:
            print("\nWRONG: many calls")
            return 1
        wall.append(seconds / CALLS * 1000)
        cpu.append(own / CALLS * 1000)
    table.row(f"one of {CALLS}, in all", f"{median(wall):.2f} ms", _span(wall))
    table.row(
        "CPU of the run's own process",
        f"{median(cpu):.2f} ms",
        _span(cpu),
        str(CALL_AIM),
        CALL_AIM.verdict(median(cpu)),
    )
    delays: list[float] = []

    def listen(event: e.Event) -> None:
        if isinstance(event, e.NodeChunk) and event.text == "a":
            # The first piece comes a third of the time after the question was noted.
            delays.append((time.time() - weft.entries(log, "asked")[-1]["at"] - 0.2) * 1000)

    for _ in range(5):
        await timed(home, cluster, STREAM, {}, listen)
    table.row(
        "a piece of text on its way",
        f"{median(delays):.1f} ms",
        _span(delays),
        str(TEXT_AIM),
        TEXT_AIM.verdict(median(delays)),
    )
    table.show()
    return 0


def _span(figures: list[float]) -> str:
    return f"{min(figures):.2f}–{max(figures):.2f}"


async def _killed(home: Home, log: Path) -> int:
    cluster = await Cluster.open("local:2", home)
    killed: list[int] = []

    def listen(event: e.Event) -> None:
        if isinstance(event, e.NodeFinished) and not killed:
            killed.append(int(weft.entries(log, "asked")[-1]["pid"]))
            os.kill(killed[0], signal.SIGKILL)

    try:
        log.write_text("")
        seconds, outputs, _ = await timed(home, cluster, branches(ASK), {}, listen)
    finally:
        await cluster.close()
    again = len(weft.entries(log, "asked")) - BRANCHES
    right = sorted(outputs.values()) == sorted(f"branch {one} is answered" for one in range(BRANCHES))
    print(
        f"\nOne of two workers killed in mid-run: {seconds:.2f} s, {again} of {BRANCHES} calls begun again, the result is "
        f"{'right' if right else 'WRONG'}"
    )
    return 0 if right else 1


def main() -> int:
    heading("Workers")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        home = Home(Path(folder) / "home")
        home.path.mkdir()
        (home.path / "settings.yaml").write_text("models: {threads: 1, parallel: 1}\n")
        patch.setenv("PHLOEM_HOME", str(home.path))
        log = weft.install(Path(folder), patch)
        return asyncio.run(measured(home, log))


if __name__ == "__main__":
    raise SystemExit(main())
