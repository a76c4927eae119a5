"""Runs that go on: what had finished is not done again, whatever it was that left them, and nobody else's file counts."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes import flow
from phloem.runtime import events as e
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.context import Context
from phloem.runtime.declare import kind_of, kinds_in, node
from phloem.runtime.document import WorkflowFile, load, save
from phloem.runtime.engine import Engine
from phloem.runtime.errors import ConfigError, InputError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal
from phloem.runtime.runs import Options, Result
from phloem.runtime.workflow import Limit, OnError, Retry, Workflow
from support import kinds_for_tests as kinds
from support.kinds_for_tests import CALLS
from support.playing import Played, box, drawn, given, play

BROKEN: set[str] = set()
KEYS: list[str] = []


@node("resume.gate", "Gate", effect="chance")
async def gate(ctx: Context, value: Any, label: str = "") -> Any:
    """What came in, once it is mended."""
    KEYS.append(ctx.key)
    if label in BROKEN:
        raise InputError(f"{label} is broken")
    return value


@node("resume.spend", "Spend", effect="chance")
async def spend(ctx: Context, tokens: int) -> int:
    """Spends so many tokens."""
    ctx.spend(read=tokens)
    return tokens


@node("resume.save", "Save", effect="writes")
async def save_node(ctx: Context, value: Any) -> Any:
    """Looks at what is on disk before it changes something."""
    kept = Journal(Home.default().journal).run(ctx.scope.run)
    return [sorted(kept.finished), sorted(kept.in_doubt), kept.nodes["save"].state]


TOLD: list[tuple[bool, list[str]]] = []


@node("resume.send", "Send", effect="writes")
async def send(ctx: Context, value: float) -> Any:
    """Looks what is on disk, fails at its first attempt, and changes something at the next."""
    kept = Journal(Home.default().journal).run(ctx.scope.run)
    first = ctx.key not in KEYS
    TOLD.append((first, [type(event).__name__ for event in kept.events] + sorted(kept.in_doubt)))
    if first:
        KEYS.append(ctx.key)
        raise ServiceError("not yet", retryable=True)
    return value


class Opaque:
    """A value without a stored form."""


@node("resume.opaque", "Opaque")
def opaque() -> Any:
    """Something that cannot be kept."""
    CALLS["resume.opaque"] += 1
    return Opaque()


CATALOGUE = Catalogue(
    [*kinds_in(kinds), *kinds_in(flow), *(kind_of(one) for one in (gate, spend, save_node, send, opaque))]
)


@pytest.fixture
def engine(home):
    for one in (CALLS, BROKEN, KEYS, TOLD):
        one.clear()
    engine = Engine(home, catalogue=CATALOGUE)
    yield engine
    asyncio.run(engine.close())


def resumed(engine: Engine, run: str = "last", **options: Any) -> Played:
    async def whole() -> tuple[Result, list[e.Event]]:
        going = engine.resume(run, Options(**options))
        events = [event async for event in going]
        return await going.result(), events

    return Played(*asyncio.run(whole()))


def chain(**more: Any) -> Workflow:
    return drawn(
        {
            "one": box("test.add", {"a": "input.x"}),
            "gate": box("resume.gate", {"value": "one.number"}, {"label": "gate"}),
            "two": box("test.double", {"x": "gate.any"}),
            **more,
        },
        {"x": given("number", 1)},
        two="two.number",
    )


def test_a_run_that_failed_goes_on_with_what_had_finished(engine):
    BROKEN.add("gate")
    first = play(engine, chain(), {"x": 5}, cache=False)
    assert first.result.status == "failed"
    BROKEN.clear()
    again = resumed(engine, cache=False)
    assert (again.result.status, again.outputs, again.result.run) == ("done", {"two": 12}, first.result.run)
    assert CALLS["test.add"] == CALLS["test.double"] == 1
    assert [f"{first.result.run}/gate"] * 2 == KEYS, "every attempt has the same key"
    assert [one.seq for one in again.events] == list(range(again.events[0].seq, again.events[-1].seq + 1))
    assert again.events[0].seq == first.events[-1].seq + 1
    assert again.states == {"one": "cached", "gate": "done", "two": "done"}
    with pytest.raises(ConfigError, match="is done"):
        engine.resume(first.result.run)


def test_a_run_that_was_cancelled_goes_on(engine):
    workflow = chain(slow=box("test.sleep", {"x": "one.number"}, {"seconds": 60}))
    cancelled = play(engine, workflow, watch=lambda run, event: type(event) is e.NodeStarted and event.node == "slow" and run.cancel())  # fmt: skip
    assert cancelled.result.status == "cancelled"

    async def briefly() -> None:
        run = engine.resume("last")
        run.discard_events()
        with pytest.raises(ConfigError, match="still under way"):
            engine.resume("last")
        asyncio.get_running_loop().call_later(0.2, run.cancel)
        assert (await run.result()).status == "cancelled"

    asyncio.run(briefly())
    assert CALLS["test.add"] == 1


def test_cancelled_from_another_process_while_it_is_under_way(engine, home):
    async def whole() -> Result:
        run = engine.start(drawn({"slow": box("test.sleep", set={"x": 1, "seconds": 30})}))
        run.discard_events()
        await asyncio.sleep(0.05)
        assert await asyncio.to_thread(Journal(home.journal).cancel, run.id) == "asked"
        return await asyncio.wait_for(run.result(), 5)

    assert asyncio.run(whole()).status == "cancelled"


def test_what_is_nested_goes_on_where_it_was(engine):
    body = drawn(
        {
            "in": box("resume.gate", {"value": "input.item"}, {"label": "in"}),
            "out": box("resume.gate", {"value": "in.any"}, {"label": "out"}),
        },
        y="out.any",
    )
    workflow = drawn({"each": box("flow.each", set={"items": [1, 2], "concurrency": 1}, do=body)}, y="each.y")
    BROKEN.add("out")
    run = play(engine, workflow, cache=False).result.run
    assert [one.rpartition(run)[2] for one in KEYS] == ["/each/0/in", "/each/0/out"]
    BROKEN.clear()
    assert resumed(engine, cache=False).outputs == {"y": [1, 2]}
    assert [one.rpartition(run)[2] for one in KEYS[2:]] == ["/each/0/out", "/each/1/in", "/each/1/out"]


def test_a_failure_that_the_run_went_on_after_holds(engine):
    failing = box("resume.gate", {"value": "input.x"}, {"label": "early"}, on_error=default(7))
    workflow = drawn(
        {
            "early": failing,
            "used": box("test.double", {"x": "early.any"}),
            "gate": box("resume.gate", {"value": "used.number"}, {"label": "gate"}),
        },
        {"x": given("number", 1)},
        o="gate.any",
    )
    BROKEN.update(["early", "gate"])
    play(engine, workflow)
    BROKEN.clear()
    again = resumed(engine)
    assert again.outputs == {"o": 14}
    assert len([one for one in KEYS if one.endswith("/early")]) == 1
    assert again.states["early"] == "failed"


def default(values: Any) -> OnError:
    return OnError("default", values)


def test_a_new_attempt_does_everything_inside_anew(engine):
    body = drawn(
        {
            "in": box("resume.gate", {"value": "input.item"}, {"label": "in"}),
            "out": box("resume.gate", {"value": "in.any"}, {"label": "out"}),
        },
        y="out.any",
    )
    each = box("flow.each", set={"items": [1]}, do=body, retry=Retry(times=1, wait=0.01))
    BROKEN.add("out")
    workflow = drawn({"each": each}, y="each.y")
    play(engine, workflow, cache=False)
    KEYS.clear()
    resumed(engine, cache=False)
    names = [one.rpartition("/")[2] for one in KEYS]
    assert names[0] == "out" and set(names) <= {"in", "out"}


def test_a_value_that_is_lost_or_damaged_is_made_again_and_it_is_said(engine, home, caplog):
    workflow = drawn(
        {
            "long": box("test.table", set={"rows": 9_000}),
            "odd": box("resume.opaque"),
            "gate": box("resume.gate", {"value": "long.number"}, {"label": "gate"}),
            "after": box("test.gather", {"values": ["gate.any", "odd.any"]}),
        },
        o="gate.any",
    )
    BROKEN.add("gate")
    play(engine, workflow, cache=False)
    BROKEN.clear()
    for path in (home.journal / "values").iterdir():
        if path.stat().st_size > 20_000:
            path.chmod(0o600)
            path.write_bytes(b"y" * path.stat().st_size)
    with caplog.at_level(logging.WARNING):
        again = resumed(engine, cache=False)
    assert len(again.outputs["o"]) == 9_000
    assert CALLS["test.table"] == CALLS["resume.opaque"] == 2
    assert {one.args[0] for one in caplog.records if "runs again" in one.msg} == {"long", "odd"}


def test_what_a_run_spent_counts_and_a_limit_may_be_given_anew(engine):
    workflow = drawn({"a": box("resume.spend", set={"tokens": 60}), "b": box("resume.spend", {"tokens": "a.number"})})
    assert play(engine, workflow, limit=Limit(tokens=100)).result.status == "limited"
    with pytest.raises(ConfigError, match="nothing left to spend"):
        asyncio.run(_resume(engine))
    again = resumed(engine, limit=Limit(tokens=500))
    assert (again.result.status, again.result.tokens_in) == ("done", 180)


async def _resume(engine: Engine) -> None:
    engine.resume("last")


def test_it_goes_on_with_its_own_file_and_inputs(engine, tmp_path: Path):
    file, inner = tmp_path / "a.flow.yaml", tmp_path / "inner.flow.yaml"
    save(WorkflowFile(drawn({"n": box("resume.gate", {"value": "input.x"}, {"label": "n"})}, {"x": given("number")}, y="n.any")), inner)  # fmt: skip
    save(WorkflowFile(drawn({"call": box("flow.call", {"x": "input.x"}, {"workflow": "inner.flow.yaml"})}, {"x": given("number")}, y="call.y")), file)  # fmt: skip
    BROKEN.add("n")
    run = asyncio.run(_of_file(engine, load(file)))
    BROKEN.clear()
    inner.unlink()
    file.write_text("nothing of the kind")
    assert run.status == "failed"
    assert resumed(engine).outputs == {"y": 4}


def test_without_its_workflow_it_cannot_go_on(engine, home):
    BROKEN.add("gate")
    play(engine, chain(), {"x": 5})
    for path in (home.journal / "values").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match="its workflow was not kept, or is damaged") as told:
        asyncio.run(_resume(engine))
    assert told.value.hint == "Run the workflow again."


async def _of_file(engine: Engine, document: Any) -> Result:
    run = engine.start(document, {"x": 4})
    run.discard_events()
    return await run.result()


def test_before_something_is_changed_outside_all_that_led_to_it_is_on_disk(engine):
    workflow = drawn(
        {"one": box("test.constant", set={"value": 1}), "save": box("resume.save", {"value": "one.json"})}, o="save.any"
    )
    assert play(engine, workflow).outputs == {"o": [["one"], ["save"], "running"]}


def test_what_is_told_of_a_call_is_on_disk_before_every_attempt_of_every_item(engine):
    workflow = drawn(
        {
            "list": box("test.numbers", set={"n": 3}),
            "send": box("resume.send", {"value": "list.number"}, retry=Retry(1, 0)),
        },
        o="send.any",
    )
    assert play(engine, workflow).outputs == {"o": [0, 1, 2]}
    assert len(set(KEYS)) == 3, "each item has a key of its own"
    assert all({"NodeStarted", "send"} <= set(kept) for _, kept in TOLD)
    assert all(first or "NodeRetrying" in kept for first, kept in TOLD)
    assert max(kept.count("NodeRetrying") for _, kept in TOLD) == 3


def test_a_run_of_which_nothing_is_kept(engine):
    result = play(engine, chain(), journal=False).result
    assert not result.kept and engine.journal.runs() == []
    with pytest.raises(ConfigError, match="there is no run"):
        asyncio.run(_resume(engine))
