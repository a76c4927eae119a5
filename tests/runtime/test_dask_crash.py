"""What becomes of a run when workers, the scheduler or the run's own process are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime import Engine, Options, parse
from phloem.runtime import events as e
from phloem.runtime.home import Home
from phloem.runtime.runs import Result
from support import weft
from support.dask_cluster import DaskCluster
from support.web_server import Answer, Asked, serving

pytest.importorskip("distributed", reason="needs the extra dask")
pytestmark = pytest.mark.slow

CHAINS = """\
phloem: 1
inputs: {numbers: "list[number]"}
nodes:
  each:
    kind: flow.each@1
    in: {items: input.numbers}
    do:
      inputs: {base: text}
      nodes:
        where: {kind: text.template@1, in: {base: input.base, n: input.item}, set: {template: "{{ base }}/{{ n }}"}}
        first: {kind: weft.fetch@1, in: {url: where.text}}
        ask: {kind: weft.ask@1, in: {prompt: first.text}, set: {seconds: 0.6}}
        second: {kind: weft.fetch@1, in: {url: where.text}}
        both: {kind: text.join@1, in: {texts: [ask.text, second.text]}}
      outputs: {both: both.text}
    set: {base: BASE}
outputs: {all: each.both}
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weft"
    folder.mkdir()
    return weft.install(folder, monkeypatch)


def killed_in_the_middle(log: Path) -> int:
    """The process of a worker that has begun, but not ended, with what takes 0.6 s, killed; 0 if none has."""
    now = time.time()
    for one in weft.entries(log, "asked"):
        if 0.05 < now - one["at"] < 0.4:
            os.kill(one["pid"], signal.SIGKILL)
            return int(one["pid"])
    return 0


def test_worker_that_is_killed_costs_only_what_it_was_doing(log: Path, home: Home) -> None:
    finished: set[str] = set()
    started_again: list[str] = []
    asked: list[Asked] = []

    def page(one: Asked) -> Answer:
        asked.append(one)
        return Answer(b"page")

    async def whole(base: str, port: int) -> tuple[Result, int]:
        engine = Engine(home)
        try:
            cluster = await engine.cluster("local:2")
            numbers = list(range(24))
            text = CHAINS.replace("BASE", f"'{base}', concurrency: 8")
            run = engine.start(parse(text), {"numbers": numbers}, Options(on=cluster, allow=[f"net=localhost:{port}"]))
            killed = 0

            def listen(event: e.Event) -> None:
                if isinstance(event, e.NodeFinished):
                    finished.add(event.node)
                if isinstance(event, e.NodeRetrying):
                    started_again.append(event.node)

            run.subscribe(listen)
            run.discard_events()
            ended = asyncio.ensure_future(run.result())
            while not killed and not ended.done():
                await asyncio.sleep(0.02)
                killed = killed_in_the_middle(log)
            return await ended, killed
        finally:
            await engine.close()

    with serving({f"/{n}": page for n in range(24)}) as server:
        result, killed = asyncio.run(whole(server.url(""), server.port))
    assert killed and result.status == "done", result.failures
    assert result.outputs["all"] == ["page is answered\npage"] * 24
    assert len({one["pid"] for one in weft.entries(log)}) >= 2
    # What had finished did not run again; what had not has the same key as before.
    per_node: dict[str, list[dict[str, Any]]] = {}
    for one in [*weft.entries(log, "asked"), *weft.entries(log, "fetch")]:
        per_node.setdefault(one["node"], []).append(one)
    for node, ones in per_node.items():
        assert len({one["key"] for one in ones}) == 1
        assert len(ones) == 1 or node in started_again
        assert len(ones) <= 2
    again = {node for node, ones in per_node.items() if len(ones) > 1}
    assert again and len(again) <= 16
    keys = [one.headers["idempotency-key"] for one in asked]
    assert len(set(keys)) == 48


def test_node_that_ends_every_worker_fails_and_says_so(log: Path, home: Home) -> None:
    text = """\
phloem: 1
nodes:
  die: {kind: weft.die@1, set: {n: 1}, on_error: skip}
  ask: {kind: weft.ask@1, set: {prompt: still, seconds: 0.1}}
outputs: {t: ask.text}
"""

    async def whole() -> Result:
        engine = Engine(home)
        try:
            cluster = await engine.cluster("local:2")
            return await engine.start(parse(text), {}, Options(on=cluster)).result()
        finally:
            await engine.close()

    result = asyncio.run(whole())
    assert result.outputs == {"t": "still is answered"}
    assert "the workers that ran it ended, one after the other" in str(result.failures["die"])
    assert len(weft.entries(log, "die")) == 3


def test_three_workers_may_end_under_a_node_whatever_the_scheduler_allows(
    log: Path, home: Home, tmp_path: Path
) -> None:
    async def whole(on: str) -> Result:
        engine = Engine(home)
        try:
            cluster = await engine.cluster(on)
            while len(cluster.workers) < 4:
                await asyncio.sleep(0.05)
            text = "phloem: 1\nnodes: {die: {kind: weft.die@1, set: {n: 1}}}\n"
            return await engine.start(parse(text), {}, Options(on=cluster)).result()
        finally:
            await engine.close()

    dask = DaskCluster(tmp_path)
    try:
        for _ in range(4):
            dask.add()
        result = asyncio.run(whole(dask.address))
    finally:
        dask.close()
    assert "the workers that ran it ended, one after the other" in str(result.failures["die"])
    assert len(weft.entries(log, "die")) == 3


def test_workers_end_with_a_process_that_is_killed(log: Path, home: Home, tmp_path: Path) -> None:
    (tmp_path / "long.flow.yaml").write_text(
        "phloem: 1\nnodes: {ask: {kind: weft.ask@1, set: {prompt: long, seconds: 60}}}\n"
    )
    words = [sys.executable, "-m", "phloem.runtime.cli", "run", str(tmp_path / "long.flow.yaml"), "--on", "local:1"]
    with subprocess.Popen(words) as process:
        deadline = time.monotonic() + 30
        while not weft.entries(log, "asked"):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.kill()
    worker = int(weft.entries(log, "asked")[0]["pid"])
    deadline = time.monotonic() + 10
    while _lives(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_scheduler_that_is_killed_fails_the_nodes(log: Path, home: Home, tmp_path: Path) -> None:
    text = "phloem: 1\nnodes: {ask: {kind: weft.ask@1, set: {prompt: long, seconds: 60}}}\n"

    async def whole(dask: DaskCluster) -> Result:
        engine = Engine(home)
        try:
            cluster = await engine.cluster(dask.address)
            run = engine.start(parse(text), {}, Options(on=cluster))
            while not weft.entries(log, "asked"):
                await asyncio.sleep(0.05)
            dask.scheduler.kill()
            return await run.result()
        finally:
            await engine.close()

    dask = DaskCluster(tmp_path)
    try:
        dask.add()
        result = asyncio.run(whole(dask))
    finally:
        dask.close()
    assert f"the connection to the scheduler {dask.address} was lost" in str(result.failures["ask"])


def test_worker_lets_go_when_the_run_s_process_is_killed(log: Path, home: Home, tmp_path: Path) -> None:
    (tmp_path / "long.flow.yaml").write_text(
        "phloem: 1\nnodes: {ask: {kind: weft.ask@1, set: {prompt: long, seconds: 60}}}\n"
    )
    dask = DaskCluster(tmp_path)
    try:
        dask.add()
        words = [
            sys.executable,
            "-m",
            "phloem.runtime.cli",
            "run",
            str(tmp_path / "long.flow.yaml"),
            "--on",
            dask.address,
        ]
        with subprocess.Popen(words) as process:
            deadline = time.monotonic() + 30
            while not weft.entries(log, "asked"):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
            process.kill()
        deadline = time.monotonic() + 15
        while not weft.entries(log, "interrupted"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        dask.close()
