"""Starting workflows from a program: `run`, `start`, and the engine behind them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import phloem.runtime
import pytest
from phloem.runtime import Engine, Options, Workflow, fold, load, run, start
from phloem.runtime import engine as engine_module
from phloem.runtime import events as e
from phloem.runtime.engine import run_to_end
from phloem.runtime.errors import CheckError, ConfigError, DocumentError, InputError, PermissionNeeded
from phloem.runtime.grants import Grant
from phloem.runtime.runs import Result
from phloem.runtime.threads import Threads
from phloem.runtime.workflow import OnError
from support import kinds_for_tests as kinds
from support.kinds_for_tests import CALLS
from support.playing import box, drawn, given, play
from support.spending import spending_engine

FLOW = """\
phloem: 1
title: Shout
inputs:
  words: {type: text, value: hello}
nodes:
  loud:
    kind: test.upper@1
    in: {text: input.words}
outputs:
  shouted: loud.text
"""


@pytest.fixture
def own_kinds(monkeypatch):
    """`run` and `start` find the kinds of the tests where they look for installed ones."""
    CALLS.clear()
    monkeypatch.setattr(engine_module, "installed_catalogue", lambda *_: kinds.catalogue())
    monkeypatch.setattr(engine_module, "_engines", {})
    yield
    for one in engine_module._engines.values():
        asyncio.run(one.close())


@pytest.fixture
def flow(tmp_path, own_kinds) -> Path:
    path = tmp_path / "shout.flow.yaml"
    path.write_text(FLOW)
    return path


def test_run_takes_a_file_and_inputs_by_name(flow):
    for source in (flow, str(flow), load(flow), load(flow).workflow):
        result = run(source, words="a b")
        assert isinstance(result, Result)
        assert (result.status, result.outputs) == ("done", {"shouted": "A B"})
        assert result.seconds >= 0
        assert result.run
    assert run(flow).outputs == {"shouted": "HELLO"}


def test_run_leaves_nothing_running_and_keeps_its_results(flow):
    threads = threading.active_count()
    run(flow)
    assert threading.active_count() == threads
    CALLS.clear()
    run(flow)
    assert not CALLS


def test_run_tells_a_listener_everything(flow):
    heard: list[e.Event] = []
    result = run(flow, listener=heard.append)
    assert fold(heard).outputs == result.outputs
    assert [event.seq for event in heard] == list(range(len(heard)))


def test_run_raises_what_went_wrong(flow, tmp_path):
    with pytest.raises(CheckError, match="there is no input called word\n  Did you mean words"):
        run(flow, word="x")
    with pytest.raises(DocumentError):
        run(tmp_path / "missing.flow.yaml")
    with pytest.raises(InputError, match="it cannot divide by zero"):
        run(drawn({"d": box("test.divide", set={"a": 1, "b": 0})}))


def test_run_raises_the_failure_that_ended_it_and_not_one_that_it_went_on_after(own_kinds):
    workflow = drawn(
        {
            "early": box("test.fail", set={"how": "setting"}, on_error=OnError("skip")),
            "late": box("test.sleep", set={"x": 1}),
            "fatal": box("test.fail", {"x": "late.number"}, {"how": "input"}),
        }
    )
    with pytest.raises(InputError) as raised:
        run(workflow)
    assert raised.value.__notes__ == ["in the node fatal"]
    result = run_to_end(workflow, {})
    assert (list(result.failures), result.stopped_by) == (["early", "fatal"], "fatal")


def test_a_failed_run_may_be_looked_at_instead(own_kinds):
    result = run_to_end(
        drawn({"n": box("test.numbers"), "d": box("test.divide", set={"a": 1, "b": 0})}, n="n.number"), {}
    )
    assert result.status == "failed"
    assert result.outputs == {"n": [0, 1, 2]}
    assert list(result.failures) == ["d"]


def test_run_inside_a_running_loop_says_what_to_use(flow):
    async def inside():
        run(flow)

    with pytest.raises(ConfigError, match="run\\(\\) cannot be called from a running event loop\n  Use start"):
        asyncio.run(inside())


def test_start_gives_events_and_the_result(flow):
    async def started():
        one = start(flow, {"words": "x"})
        events = [event async for event in one]
        return events, await one.result()

    for _ in range(2):
        events, result = asyncio.run(started())
        assert isinstance(events[-1], e.RunFinished)
        assert result.outputs == {"shouted": "X"}
        assert result.run == events[0].run


def test_start_outside_a_loop_is_refused(flow):
    with pytest.raises(RuntimeError, match="no running event loop"):
        start(flow)


def test_every_problem_of_a_file_carries_its_line(flow):
    flow.write_text(FLOW.replace("test.upper@1", "test.uper@1").replace("loud.text", "quiet.text"))
    with pytest.raises(CheckError) as refused:
        run(flow)
    assert [(Path(str(one.file)).name, one.line) for one in refused.value.problems] == [
        ("shout.flow.yaml", 7),
        ("shout.flow.yaml", 10),
    ]


def test_relative_paths_are_meant_from_the_file(flow, tmp_path, monkeypatch):
    flow.write_text(
        "phloem: 1\nnodes:\n  r:\n    kind: test.read@1\n    set: {path: sub/a.txt}\noutputs:\n  o: r.text\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.txt").write_text("beside the file")
    monkeypatch.chdir("/")
    assert run(flow).outputs == {"o": "beside the file"}


def test_every_missing_grant_is_named_before_anything_runs(own_kinds, tmp_path):
    workflow = drawn(
        {
            "n": box("test.numbers"),
            "w": box("test.write", set={"path": str(tmp_path / "out.txt"), "text": "x"}),
            "r": box("test.read", {"path": "input.file"}),
        },
        {"file": given("text", "/etc/hostname")},
    )
    with pytest.raises(PermissionNeeded) as refused:
        run(workflow)
    assert not CALLS
    assert len(refused.value.flags) == 2
    assert str(tmp_path / "out.txt") in refused.value.flags[0]
    assert "/etc/hostname" in refused.value.flags[1]
    assert "To allow it, add --allow write=" in str(refused.value)


def test_grants_may_be_given_as_words_or_as_grants(engine, tmp_path):
    workflow = drawn({"w": box("test.write", set={"path": str(tmp_path / "out.txt"), "text": "x"})}, o="w.path")
    for allow in ([f"write={tmp_path}"], [Grant("write", str(tmp_path))]):
        assert play(engine, workflow, allow=allow, cache=False).result.status == "done"
    with pytest.raises(ConfigError, match="--allow wrte=x"):
        play(engine, workflow, allow=["wrte=x"])


def test_a_path_that_only_a_node_knows_is_asked_for_when_it_comes(engine, tmp_path):
    (tmp_path / "c.txt").write_text("c")
    workflow = drawn(
        {"p": box("test.constant", set={"value": str(tmp_path / "c.txt")}), "r": box("test.read", {"path": "p.json"})},
        o="r.text",
    )
    played = play(engine, workflow)
    (failed,) = played.of(e.NodeFailed)
    assert failed.error == "PermissionNeeded"
    assert f"--allow read={tmp_path / 'c.txt'}" in str(failed.hint)
    assert play(engine, workflow, allow=[f"read={tmp_path}"]).outputs == {"o": "c"}


def test_a_path_the_user_named_may_be_read_however_it_is_written(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.txt").write_text("a")
    (tmp_path / "link").symlink_to("real")
    workflow = drawn({"r": box("test.read", {"path": "input.file"})}, {"file": given("text")}, o="r.text")
    for trusted in ("real/a.txt", "link/a.txt", "real", tmp_path / "link"):
        assert play(engine, workflow, {"file": "real/a.txt"}, trusted=[Path(trusted)]).outputs == {"o": "a"}
    with pytest.raises(PermissionNeeded):
        play(engine, workflow, {"file": "real/a.txt"}, trusted=[Path("rea")])


@pytest.mark.parametrize(
    "option, of_workflow, of_environment, model",
    [
        ("local:o", "local:w", "local:e", "local:o"), ("", "local:w", "local:e", "local:w"), ("", "", "local:e", "local:e"),
        ("", "", None, "local:demo"),
    ],
)  # fmt: skip
def test_the_default_model_comes_from_the_nearest_place(
    engine, monkeypatch, option, of_workflow, of_environment, model
):
    if of_environment:
        monkeypatch.setenv("PHLOEM_MODEL", of_environment)
    seen = []

    async def look():
        one = engine.start(Workflow(model=of_workflow), options=Options(model=option))
        seen.append(one._scheduler.scope.model)
        await one.result()

    asyncio.run(look())
    assert seen == [model]


@pytest.mark.parametrize(
    ("option", "of_workflow", "of_environment", "model"),
    [("", "", None, "local:s"), ("", "", "local:e", "local:e"), ("", "local:w", None, "local:w"), ("local:o", "", None, "local:o")],
)  # fmt: skip
def test_the_settings_name_the_default_models_where_nothing_nearer_does(
    engine, home, monkeypatch, option, of_workflow, of_environment, model
):
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text("models: {default: 'local:s', embedding: 'local:v'}\n")
    if of_environment:
        monkeypatch.setenv("PHLOEM_MODEL", of_environment)

    async def look():
        one = engine.start(Workflow(model=of_workflow), options=Options(model=option))
        await one.result()
        return one._scheduler.scope

    scope = asyncio.run(look())
    assert (scope.model, scope.embedding) == (model, "local:v")
    assert {"local:s", "local:v"} <= scope.trusted_models
    assert "" not in scope.trusted_models


def test_a_default_model_elsewhere_needs_its_grant_before_the_run(home, monkeypatch):
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text("models: {default: 'dear:one', embedding: 'http://localhost:9/v1#v'}\n")
    engine, talker = spending_engine(home)
    workflow = drawn({"a": box("spend.ask", set={"prompt": "x"}), "b": box("spend.embed", set={"text": "x"})})
    with pytest.raises(PermissionNeeded) as refused:
        play(engine, workflow)
    assert refused.value.flags == ("--allow spend=dear", "--allow net=localhost:9")
    assert "a would spend at dear; b would connect to localhost:9" in refused.value.message
    with pytest.raises(PermissionNeeded) as refused:
        play(engine, workflow, model="near:one")
    assert refused.value.flags == ("--allow spend=near", "--allow net=localhost:9")
    assert talker.asked == []
    asyncio.run(engine.close())


def test_a_wrong_setting_is_told_before_the_run(engine, home):
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text("models: {default: 5}\n")
    with pytest.raises(ConfigError, match=r"settings\.yaml: models\.default is 5, and must be a text"):
        play(engine, Workflow())


def test_each_run_has_an_id_of_its_own_that_sorts_by_time(engine):
    ids = [play(engine, Workflow()).result.run for _ in range(5)]
    assert len(set(ids)) == 5
    assert all(one[:15].replace("-", "").isdigit() for one in ids)


def test_an_engine_may_be_closed_twice_and_before_anything_ran(home):
    engine = Engine(home, catalogue=kinds.catalogue())
    asyncio.run(engine.close())
    asyncio.run(engine.close())
    assert not home.path.exists() or not any(path.is_file() for path in home.path.rglob("*.db"))


def test_an_engine_closed_in_the_middle_of_a_run_ends_it(home):
    """Work that waits for a thread is given up; the run must not wait for it for ever."""
    engine = Engine(home, catalogue=kinds.catalogue())
    engine.threads = Threads(2)
    nodes = {f"n{index}": box("test.block", set={"x": index, "seconds": 0.2}) for index in range(5)}

    async def closed():
        one = engine.start(drawn(nodes))
        await asyncio.sleep(0.02)
        await engine.close()
        async with asyncio.timeout(5):
            return await one.result()

    assert asyncio.run(closed()).status == "failed"


def ended_runs(engine: Engine) -> list[tuple[str, str]]:
    """How the runs of an engine that is closed stand in its record, the last first."""
    asyncio.run(engine.close())
    return [(one.status, one.message) for one in Engine(engine.home).journal.runs()]


def test_a_run_that_ends_by_a_bug_of_ours_has_ended_in_its_record_too(home, monkeypatch):
    def bug(*_, **__):
        raise ZeroDivisionError("a bug")

    engine = Engine(home, catalogue=kinds.catalogue())
    monkeypatch.setattr(engine.cache, "get", bug)

    async def buggy():
        one = engine.start(drawn({"d": box("test.double", set={"x": 1})}))
        with pytest.raises(ZeroDivisionError):
            await one.result()

    asyncio.run(buggy())
    assert ended_runs(engine) == [("failed", "a bug in Phloem: ZeroDivisionError: a bug")]


def test_a_run_that_could_not_begin_is_not_under_way_for_ever(home, monkeypatch):
    from phloem.runtime import launching

    engine = Engine(home, catalogue=kinds.catalogue())
    monkeypatch.setenv("PHLOEM_TRACE", "nowhere")
    with pytest.raises(ConfigError, match="PHLOEM_TRACE is 'nowhere'"):
        play(engine, Workflow())
    monkeypatch.delenv("PHLOEM_TRACE")
    monkeypatch.setattr(launching, "Scheduler", None)
    with pytest.raises(TypeError):
        play(engine, Workflow())
    assert ended_runs(engine) == [("failed", "'NoneType' object is not callable")]


class Workers:
    """Stands for a cluster that may fail to close."""

    made: ClassVar[list[Workers]] = []
    closed = False

    @classmethod
    async def open(cls, *_, **__) -> Workers:
        cls.made.append(one := cls())
        await asyncio.sleep(0)
        return one

    async def close(self) -> None:
        self.closed = True
        raise OSError("it is gone")


def test_workers_that_two_ask_for_at_once_are_opened_once_and_all_is_closed_whatever_fails(home, monkeypatch):
    from phloem.runtime.cluster import Cluster

    monkeypatch.setattr(Cluster, "open", Workers.open)
    monkeypatch.setattr(Workers, "made", [])
    engine = Engine(home, catalogue=kinds.catalogue())

    async def both():
        found = await asyncio.gather(*(engine.cluster("local:2") for _ in range(2)), return_exceptions=True)
        one = await engine.cluster("local:2")
        assert one in found
        await engine.cluster("local:3")
        with pytest.raises(OSError, match="it is gone"):
            await engine.close()

    asyncio.run(both())
    assert all(one.closed for one in Workers.made)
    with pytest.raises(RuntimeError, match="closed"):
        engine.threads.submit(print)


def test_the_public_names_are_all_there_and_loaded_when_they_are_used():
    for name in phloem.runtime.__all__:
        assert getattr(phloem.runtime, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        phloem.runtime.nothing  # noqa: B018
    code = "import sys, phloem.runtime; print(len([name for name in sys.modules if name.startswith('phloem.')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1


@pytest.mark.slow
def test_running_a_workflow_seen_before_imports_nothing_heavy(flow, home):
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from phloem.runtime import engine
from support import kinds_for_tests as kinds
engine.installed_catalogue = lambda *_: kinds.catalogue()
print(engine.run({str(flow)!r}).outputs["shouted"])
print(*sorted({{"networkx", "jinja2", "httpx", "chromadb", "llama_cpp", "lxml", "rich", "PySide6", "wasmtime"}} & set(sys.modules)))
"""
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said == ["HELLO\nnetworkx\n", "HELLO\n\n"]
