"""What a run finds at a Dask scheduler that somebody else started: versions, kinds, models, resources."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from phloem.runtime import Engine, Options, parse
from phloem.runtime import events as e
from phloem.runtime.errors import ConfigError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.runs import Result
from support import weft
from support.dask_cluster import DaskCluster

pytest.importorskip("distributed", reason="needs the extra dask")
pytestmark = pytest.mark.slow

ASK = "phloem: 1\nnodes: {ask: {kind: weft.ask@1, set: {prompt: hello}}}\noutputs: {t: ask.text}\n"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weft"
    folder.mkdir()
    return weft.install(folder, monkeypatch)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskCluster]:
    cluster = DaskCluster(tmp_path)
    yield cluster
    cluster.close()


def ran(
    home: Home,
    on: str,
    text: str,
    workers: int = 1,
    listen: Callable[[e.Event], None] = lambda event: None,
    **words: object,
) -> tuple[Result, list[e.Event]]:
    """How a workflow ends on a cluster, once so many workers are there."""

    async def whole() -> tuple[Result, list[e.Event]]:
        engine = Engine(home)
        try:
            cluster = await engine.cluster(on)
            while len(cluster.workers) < workers:
                await asyncio.sleep(0.05)
            run = engine.start(parse(text), {}, Options(on=on, **words))  # type: ignore[arg-type]
            found: list[e.Event] = []
            run.subscribe(found.append)
            run.subscribe(listen)
            run.discard_events()
            return await run.result(), found
        finally:
            await engine.close()

    return asyncio.run(whole())


def test_nobody_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phloem.runtime.cluster.dask.CONNECT_WITHIN", 0.5)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        ran(home, "tcp://127.0.0.1:1", ASK)
    with pytest.raises(ConfigError, match="no certificates are set up"):
        ran(home, "tls://127.0.0.1:1", ASK)


def test_scheduler_without_workers(dask: DaskCluster, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phloem.runtime.cluster.members.FIRST_WITHIN", 0.2)
    with pytest.raises(ConfigError, match="has no worker") as found:
        ran(home, dask.address, ASK)
    assert f"dask worker {dask.address}" in str(found.value)


def test_versions_that_differ_are_named(dask: DaskCluster, home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other" / "phloem-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: phloem\nVersion: 9.9\n")
    dask.add(environment={"PYTHONPATH": str(other.parent)})
    with pytest.raises(
        ConfigError, match=r"the worker tcp://127\.0\.0\.1:\d+ has phloem 9\.9, and here it is 0\.1"
    ) as found:
        ran(home, dask.address, ASK)
    assert "Install the same versions" in str(found.value)


def test_machine_without_phloem_is_named(dask: DaskCluster, home: Home, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['phloem'] = None\n")
    dask.add(environment={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(
        ConfigError, match=r"the worker tcp://127\.0\.0\.1:\d+ has no phloem, or one that knows nothing"
    ):
        ran(home, dask.address, ASK)


def test_worker_that_comes_in_mid_run_and_has_other_versions_gets_nothing(
    log: Path, dask: DaskCluster, home: Home, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "phloem-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: phloem\nVersion: 9.9\n")
    has = dask.add("--nthreads", "1")
    text = """\
phloem: 1
inputs: {names: {type: "list[text]", value: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t]}}
nodes: {ask: {kind: weft.ask@1, in: {prompt: input.names}, set: {seconds: 0.3}}}
outputs: {t: ask.text}
"""
    path = os.pathsep.join([str(other.parent), os.environ["PYTHONPATH"]])

    def listen(event: e.Event) -> None:
        if isinstance(event, e.NodeStarted):
            dask.add("--nthreads", "8", environment={"PYTHONPATH": path}, wait=False)

    result, events = ran(home, dask.address, text, listen=listen)
    assert result.status == "done", result.failures
    assert {one["pid"] for one in weft.entries(log)} == {has.pid}
    assert not [one for one in events if isinstance(one, e.NodeRetrying)]


def test_kind_that_is_not_there_or_has_other_code(log: Path, dask: DaskCluster, home: Home, tmp_path: Path) -> None:
    dask.add(environment={"PYTHONPATH": ""})
    result, _ = ran(home, dask.address, ASK)
    assert isinstance(result.failures["ask"], ServiceError)
    assert "the worker has no weft.ask@1" in str(result.failures["ask"])
    assert "(on the worker tcp://127.0.0.1:" in str(result.failures["ask"])
    dask.workers[0].kill()
    dask.workers[0].wait()
    other = tmp_path / "other"
    shutil.copytree(log.parent, other)
    with (other / "weft.py").open("a") as file:
        file.write("# changed\n")
    dask.add(environment={"PYTHONPATH": str(other)})
    result, _ = ran(home, dask.address, ASK)
    assert "another version of weft.ask@1" in str(result.failures["ask"])


def test_models_go_to_the_workers_that_declare_them(log: Path, dask: DaskCluster, home: Home) -> None:
    has = dask.add("--resources", "model:demo=1", "--nthreads", "8")
    dask.add("--nthreads", "8")
    text = """\
phloem: 1
inputs: {names: {type: "list[text]", value: [a, b, c, d, e]}}
nodes: {ask: {kind: weft.ask@1, in: {prompt: input.names}, set: {seconds: 0.06}}}
outputs: {t: ask.text}
"""
    result, _ = ran(home, dask.address, text, workers=2, model="local:demo")
    assert result.status == "done", result.failures
    asked, answered = weft.entries(log, "asked"), weft.entries(log, "answered")
    assert {one["pid"] for one in asked} == {has.pid}
    # A quantity of one is one at a time.
    assert [one["what"] for one in weft.entries(log)] == ["asked", "answered"] * 5
    assert len(answered) == 5


def test_node_whose_worker_is_gone_for_good_is_not_waited_for(
    log: Path, dask: DaskCluster, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phloem.runtime.cluster.loads.NONE_FOR", 0.2)
    monkeypatch.setattr("phloem.runtime.cluster.cluster.LOOK_EVERY", 0.2)
    has = dask.add("--resources", "model:demo=1")
    dask.add()

    def listen(event: e.Event) -> None:
        if isinstance(event, e.NodeChunk):
            has.kill()

    text = ASK.replace("hello", "hello, seconds: 1.5")
    result, _ = ran(home, dask.address, text, workers=2, listen=listen, model="local:demo")
    assert "has model:demo any more" in str(result.failures["ask"])


def test_model_that_only_workers_have_is_used_and_kept(
    log: Path, dask: DaskCluster, home: Home, tmp_path: Path
) -> None:
    demo = next(Path(str(files("phloem.nodes"))).rglob("demo*.gguf"))
    there = tmp_path / "worker-home"
    (there / "models").mkdir(parents=True)
    shutil.copy(demo, there / "models" / "mine.gguf")
    dask.add(environment={"PHLOEM_HOME": str(there)})
    text = "phloem: 1\nnodes: {g: {kind: llm.generate@1, set: {prompt: a loom, model: 'local:mine', max_tokens: 4}}}\noutputs: {t: g.text}\n"
    first, _ = ran(home, dask.address, text)
    assert first.status == "done", first.failures
    second, events = ran(home, dask.address, text)
    assert second.outputs == first.outputs
    assert [one.cached for one in events if isinstance(one, e.NodeFinished)] == [True]
    # Another file under the same name would give other answers.
    (home.models).mkdir(parents=True, exist_ok=True)
    data = bytearray(demo.read_bytes())
    data[-1] ^= 1
    (home.models / "mine.gguf").write_bytes(data)
    third, _ = ran(home, dask.address, text)
    assert "another one than here, under the same name" in str(third.failures["g"])


def test_command_line(log: Path, dask: DaskCluster, home: Home, tmp_path: Path) -> None:
    dask.add()
    (tmp_path / "ask.flow.yaml").write_text(ASK)

    def phloem(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "phloem.runtime.cli", "run", str(tmp_path / "ask.flow.yaml"), *words],
            capture_output=True, text=True,
        )  # fmt: skip

    done = phloem("--on", dask.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello is answered\n", "")
    assert {one["pid"] for one in weft.entries(log)}.isdisjoint({os.getpid()})
    wrong = phloem("--on", "tcp://nowhere")
    assert wrong.returncode == 2 and "not where workers could be" in wrong.stderr
    offline = phloem("--on", dask.address, "--offline")
    assert offline.returncode == 2 and "--offline wants none" in offline.stderr
    own = phloem("--on", "local:1", "--offline", "--no-cache")
    assert (own.returncode, own.stdout, own.stderr) == (0, "hello is answered\n", "")


def test_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "ask.flow.yaml").write_text("phloem: 1\nnodes: {t: {kind: text.case@1, set: {text: a, to: upper}}}\n")
    (tmp_path / "dask.py").write_text("raise ImportError('no dask')\n")
    done = subprocess.run(
        [sys.executable, "-m", "phloem.runtime.cli", "run", str(tmp_path / "ask.flow.yaml"), "--on", "local:1"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == 'error: --on needs Dask, which is an extra\n  pip install "phloem[dask]"\n'


def test_workers_do_not_run_what_lies_in_the_folder(home: Home, tmp_path: Path) -> None:
    (tmp_path / "one.flow.yaml").write_text(
        "phloem: 1\nnodes: {t: {kind: text.case@1, set: {text: a, to: upper}}}\noutputs: {t: t.text}\n"
    )
    for name in ("json", "dask", "msgpack"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "phloem.runtime.cli", "run", "one.flow.yaml", "--on", "local:1"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "A\n"), done.stderr
    assert not (tmp_path / "ran").exists()
