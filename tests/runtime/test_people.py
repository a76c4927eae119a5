"""Runs that wait for people: asked here or answered from elsewhere, alive or left off, in time or too late."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes import flow, human
from phloem.runtime import events as e
from phloem.runtime.cache import store
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.cli.answers import parse_answer
from phloem.runtime.declare import kinds_in
from phloem.runtime.engine import Engine
from phloem.runtime.errors import CheckError, ConfigError
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal, Question
from phloem.runtime.people import NOBODY
from phloem.runtime.runs import Options, Result
from phloem.runtime.workflow import Workflow
from support import kinds_for_tests as kinds
from support.kinds_for_tests import CALLS
from support.playing import box, drawn, play
from support.terminal import phloem_at_a_terminal

CATALOGUE = Catalogue([*kinds_in(kinds), *kinds_in(human), *kinds_in(flow)])


class Somebody:
    """Answers each question after a while, one at a time; has gone where there is no answer."""

    def __init__(self, after: float = 0.0, **answers: Any) -> None:
        self.answers = answers
        self.after = after
        self.asked: list[str] = []

    async def answer(self, question: Question) -> Any:
        self.asked.append(question.node)
        await asyncio.sleep(self.after if question.node in self.answers else 0.2)
        return self.answers.get(question.node, NOBODY)


@pytest.fixture
def engine(home):
    CALLS.clear()
    engine = Engine(home, catalogue=CATALOGUE)
    yield engine
    asyncio.run(engine.close())


def letter(**settings: Any) -> Workflow:
    return drawn(
        {
            "text": box("test.constant", set={"value": "Dear all"}),
            "fine": box("human.approve", {"value": "text.json"}, {"about": "Send it?", **settings}),
            "who": box("human.ask", set={"about": "To whom?"}),
            "sent": box("test.same", {"value": "fine.approved"}),
        },
        sent="sent.any",
        to="who.answer",
    )


def resumed(engine: Engine, run: str, **options: Any) -> tuple[Result, list[e.Event]]:
    async def whole() -> tuple[Result, list[e.Event]]:
        going = engine.resume(run, Options(**options))
        events = [event async for event in going]
        return await going.result(), events

    return asyncio.run(whole())


def left(engine: Engine, workflow: Workflow, **options: Any) -> Result:
    """Run it, to where it leaves off."""

    async def whole() -> Result:
        run = engine.start(workflow, {}, Options(**options))
        run.discard_events()
        return await run.result()

    return asyncio.run(whole())


async def on_the_disk(journal: Journal, run: str, status: str) -> None:
    """Return when the two questions of the letter are in the record, and the run's status."""
    async with asyncio.timeout(10):
        while not (
            journal.runs() and len(journal.run(run).questions) == 2 and journal.run(run).summary.status == status
        ):
            await asyncio.sleep(0.02)


def test_with_nobody_there_a_run_leaves_off_and_goes_on_when_it_is_answered(engine):
    result = left(engine, letter())
    assert (result.status, sorted(one.node for one in result.questions)) == ("waiting", ["fine", "who"])
    kept = engine.journal.run(result.run)
    assert (kept.summary.status, kept.summary.here) == ("waiting", False)
    assert kept.questions["fine"].asks == "Send it?\nDear all" and kept.questions["fine"].type == "boolean"
    engine.journal.answer(result.run, "fine", store(True))
    again, _ = resumed(engine, result.run)
    assert [one.node for one in again.questions] == ["who"], "what was answered is not asked again"
    engine.journal.answer(result.run, "who", store("Ann"))
    last, events = resumed(engine, result.run)
    assert (last.status, last.outputs) == ("done", {"sent": "Dear all", "to": "Ann"})
    assert CALLS["test.constant"] == CALLS["test.same"] == 1
    assert events[0].seq > 0 and events[0].resumed
    assert engine.journal.run(result.run).summary.status == "done"


def test_everything_else_is_done_before_a_run_leaves_off(engine):
    workflow = letter()
    workflow.nodes["slow"] = box("test.sleep", set={"x": 1, "seconds": 0.3})
    workflow.nodes["then"] = box("test.double", {"x": "slow.number"})
    result = left(engine, workflow)
    assert result.status == "waiting"
    assert {"slow", "then", "text"} <= set(engine.journal.run(result.run).finished)


def test_somebody_who_is_there_is_asked_while_the_rest_goes_on(engine):
    person = Somebody(0.05, fine=False, who="Bob")
    workflow = letter()
    workflow.nodes["slow"] = box("test.sleep", set={"x": 1, "seconds": 0.2})
    played = play(engine, workflow, person=person)
    assert played.outputs == {"sent": None, "to": "Bob"}
    assert sorted(person.asked) == ["fine", "who"]
    assert played.states["sent"] == "skipped"
    asked = {event.node: event for event in played.of(e.NodeWaiting)}
    assert (asked["fine"].asks, asked["fine"].takes, asked["who"].takes) == ("Send it?\nDear all", "boolean", "text")
    kept = engine.journal.run(played.result.run)
    assert kept.questions["who"].answer.load() == "Bob"


def test_one_who_goes_away_leaves_the_run_to_others(engine):
    result = left(engine, letter(), person=Somebody(fine=True))
    assert [one.node for one in result.questions] == ["who"]


@pytest.mark.parametrize("busy", [True, False])
def test_a_run_that_is_alive_goes_on_at_once_when_it_is_answered_from_elsewhere(engine, home, busy):
    """Busy with something else, or staying."""
    workflow = letter()
    if busy:
        workflow.nodes["slow"] = box("test.sleep", set={"x": 1, "seconds": 30})

    async def whole() -> float:
        run = engine.start(workflow, {}, Options(stays=not busy))
        waiting = set()
        async for event in run:
            if isinstance(event, e.NodeWaiting):
                waiting.add(event.node)
                if waiting == {"fine", "who"}:
                    break
        other = Journal(home.journal)
        await on_the_disk(other, run.id, "running" if busy else "waiting")
        if not busy:
            assert other.run(run.id).summary.here
            with pytest.raises(ConfigError, match="still under way"):
                engine.resume(run.id)
        await asyncio.to_thread(other.answer, run.id, "fine", store(True))
        began = time.monotonic()
        async for event in run:
            if isinstance(event, e.NodeFinished) and event.node == "sent":
                break
        took = time.monotonic() - began
        await asyncio.to_thread(other.answer, run.id, "who", store("Ann"))
        if busy:
            run.cancel()
        await run.result()
        return took

    assert asyncio.run(whole()) < 15
    summary = engine.journal.run().summary
    assert summary.status == ("cancelled" if busy else "done")


def test_after_the_deadline_the_default_is_taken_also_when_nothing_ran_meanwhile(engine):
    result = left(engine, letter(timeout="0.4s", default="approved"))
    assert {one.node: one.deadline is None for one in result.questions} == {"fine": False, "who": True}
    time.sleep(0.5)
    with pytest.raises(ConfigError, match="could be answered until"):
        engine.journal.answer(result.run, "fine", store(False))
    again, _ = resumed(engine, result.run, person=Somebody(who="Ann"))
    assert again.outputs == {"sent": "Dear all", "to": "Ann"}
    assert not [one for one in engine.journal.run(result.run).questions.values() if one.node == "fine" and one.answer]


def test_a_deadline_passes_while_the_run_goes_on(engine):
    workflow = drawn({"n": box("human.ask", set={"about": "?", "timeout": "0.1s", "default": "so"})}, o="n.answer")
    assert play(engine, workflow, stays=True).outputs == {"o": "so"}


def test_questions_inside_a_loop_are_told_apart(engine):
    body = drawn({"a": box("human.approve", {"value": "input.item"}, {"about": "This one?"})}, ok="a.approved")
    workflow = drawn({"each": box("flow.each", set={"items": [1, 2, 3]}, do=body)}, ok="each.ok")
    result = left(engine, workflow)
    assert sorted(one.node for one in result.questions) == ["each/0/a", "each/1/a", "each/2/a"]
    for index, answer in enumerate([True, False, True]):
        engine.journal.answer(result.run, f"each/{index}/a", store(answer))
    assert resumed(engine, result.run)[0].outputs == {"ok": [1, 3]}


@pytest.mark.parametrize("first", [0, 2])
def test_a_run_leaves_off_again_when_only_some_of_its_items_were_answered(engine, first):
    body = drawn({"a": box("human.approve", {"value": "input.item"}, {"about": "This one?"})}, ok="a.approved")
    workflow = drawn({"each": box("flow.each", set={"items": [1, 2, 3]}, do=body)}, ok="each.ok")
    run = left(engine, workflow).run
    open_ones = {0, 1, 2}
    for index in (first, *sorted({0, 1, 2} - {first})):
        engine.journal.answer(run, f"each/{index}/a", store(True))
        open_ones.discard(index)
        result = resumed(engine, run)[0]
        assert sorted(one.node for one in result.questions) == [f"each/{left}/a" for left in sorted(open_ones)]
    assert result.outputs == {"ok": [1, 2, 3]}


def test_what_is_to_be_approved_is_part_of_the_question(engine):
    """Whoever is asked sees it, and a yes that was recorded holds for nothing else."""

    def asking(value: str) -> Workflow:
        return drawn({"a": box("human.approve", set={"value": value, "about": "Pay this?"})}, o="a.approved")

    person = Somebody(a=True)
    first = play(engine, asking("10 euros"), person=person, record=True)
    assert "10 euros" in next(one.asks for one in first.events if isinstance(one, e.NodeWaiting))
    changed = play(engine, asking("1000000 euros"), replay=first.result.run)
    assert "a" in changed.result.failures
    assert play(engine, asking("10 euros"), replay=first.result.run).outputs == {"o": "10 euros"}
    long = [play(engine, asking("x" * 5_000 + end), person=person).events for end in "ab"]
    asked = [next(one.asks for one in events if isinstance(one, e.NodeWaiting)) for events in long]
    assert asked[0] != asked[1] and max(map(len, asked)) < 2_500


def test_one_node_asks_about_every_item_of_a_list(engine):
    workflow = drawn(
        {"words": box("test.words", set={"text": "a b"}), "n": box("human.ask", {"about": "words.text"})}, o="n.answer"
    )
    person = Somebody(**{"n/0": "x", "n/1": "y"})
    assert play(engine, workflow, person=person).outputs == {"o": ["x", "y"]}


def test_answers_are_recorded_and_replayed(engine):
    first = play(engine, letter(), person=Somebody(fine=True, who="Ann"), record=True)
    again = play(engine, letter(), replay=first.result.run)
    assert again.outputs == first.outputs == {"sent": "Dear all", "to": "Ann"}


def test_without_a_record_only_one_who_is_there_can_answer(engine):
    assert play(engine, letter(), person=Somebody(fine=True, who="A"), journal=False).result.status == "done"
    for nobody in (None, Somebody(fine=True)):
        failed = play(engine, letter(), journal=False, person=nobody).result
        assert "nobody can be asked" in str(failed.failures["who"])


def test_cancelled_while_it_waits(engine):
    async def whole() -> Result:
        run = engine.start(letter(), {}, Options(stays=True))
        run.discard_events()
        asyncio.get_running_loop().call_later(0.2, Journal(engine.home.journal).cancel, run.id)
        return await asyncio.wait_for(run.result(), 10)

    result = asyncio.run(whole())
    assert result.status == "cancelled"
    assert resumed(engine, result.run, person=Somebody(fine=True, who="A"))[0].status == "done"


# ---- On the command line


@pytest.mark.parametrize(
    ("type", "choices", "typed", "answer"),
    [
        ("text", [], " as it is ", " as it is "),
        ("text", [], "", ""),
        ("number", [], "2.5", 2.5),
        ("json", [], '{"a": 1}', {"a": 1}),
        ("boolean", [], " YES ", True),
        ("boolean", [], "n", False),
        ("text", ["Ann", "Bob"], "2", "Bob"),
        ("text", ["Ann", "Bob"], " bob ", "Bob"),
        ("text", ["2", "1"], "2", "2"),
        ("text", ["a", "A"], "A", "A"),
    ],
)
def test_what_is_typed_is_an_answer(type, choices, typed, answer):
    assert parse_answer(Question("n", "?", type, choices), typed) == answer


@pytest.mark.parametrize(
    ("type", "choices", "typed", "says"),
    [
        ("number", [], "two", "'two' is not a number"),
        ("json", [], "{", "'{' is not a json"),
        ("boolean", [], "", "'' is neither yes nor no"),
        ("text", ["Ann", "Bob"], "", "'' cannot be chosen"),
        ("text", ["Ann", "Bob"], "0", "cannot be chosen"),
        ("text", ["Ann", "Bob"], "3", "There is Ann or Bob"),
        ("text", ["Ann", "Bob"], "9" * 5000, "cannot be chosen"),
        ("text", ["Ann", "Bob"], "bbo", "Did you mean Bob"),
        ("text", ["a", "A "], "a ", "cannot be chosen"),
    ],
)
def test_what_is_typed_and_is_none_says_what_would_be(type, choices, typed, says):
    with pytest.raises(CheckError) as wrong:
        parse_answer(Question("n", "?", type, choices), typed)
    assert says in str(wrong.value)
    assert len(str(wrong.value)) < 200


FILE = """\
phloem: 1
nodes:
  fine:
    kind: human.approve@1
    set: {about: Send the letter?, value: the letter}
  who:
    kind: human.choose@1
    set: {about: To whom?, choices: [Ann, Bob]}
outputs:
  sent: fine.approved
  to: who.choice
"""


def phloem(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "phloem.runtime.cli", *words], cwd=folder, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_is_answered_and_resumed_from_other_processes(tmp_path):
    (tmp_path / "a.flow.yaml").write_text(FILE)
    first = phloem("run", "a.flow.yaml", "--json", folder=tmp_path)
    assert first.returncode == 4
    told = json.loads(first.stdout)
    assert told["status"] == "waiting"
    assert {one["node"] for one in told["questions"]} == {"fine", "who"}
    assert f"phloem runs answer {told['run']} who" in first.stderr or told["questions"]
    (tmp_path / "a.flow.yaml").write_text("changed since")
    wrong = phloem("runs", "answer", "last", "who", "Cid", folder=tmp_path)
    assert wrong.returncode == 2 and "cannot be chosen" in wrong.stderr
    assert phloem("runs", "answer", "last", "who", "bob", folder=tmp_path).returncode == 0
    twice = phloem("runs", "answer", "last", "who", "Ann", folder=tmp_path)
    assert twice.returncode == 2 and "answered already" in twice.stderr
    last = phloem("runs", "answer", "last", "fine", "yes", "--resume", "--json", folder=tmp_path)
    assert (last.returncode, json.loads(last.stdout)["outputs"]) == (0, {"sent": "the letter", "to": "Bob"})
    over = phloem("run", "--resume", "last", folder=tmp_path)
    assert over.returncode == 2 and "is done" in over.stderr
    mixed = phloem("run", "a.flow.yaml", "--resume", "last", "--seed", "3", folder=tmp_path)
    assert mixed.returncode == 2 and "FILE and --seed cannot be given" in mixed.stderr


@pytest.mark.slow
def test_at_a_terminal_questions_come_one_after_the_other(tmp_path):
    (tmp_path / "a.flow.yaml").write_text(FILE)
    with phloem_at_a_terminal(["run", "a.flow.yaml", "--progress", "off"], tmp_path) as terminal:
        for _ in range(2):
            terminal.expect(" asks: ")
            question = terminal.screen.rpartition(" asks: ")[2]
            terminal.expect(": ")
            terminal.type("y\n" if question.startswith("Send") or "Send" in terminal.screen.splitlines()[-2] else "2\n")
        terminal.expect("Bob")
        assert terminal.ended() == 0


@pytest.mark.slow
def test_killed_while_it_waits_it_goes_on(tmp_path, home):
    (tmp_path / "a.flow.yaml").write_text(FILE)
    process = subprocess.Popen(
        [sys.executable, "-m", "phloem.runtime.cli", "run", "a.flow.yaml", "--stay"], cwd=tmp_path,
        stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    journal = Journal(Home(home.path).journal)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        runs = journal.runs()
        if runs and len(journal.run().questions) == 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert journal.run().summary.status in ("interrupted", "waiting")
    journal.answer("last", "fine", store(True))
    journal.answer("last", "who", store("Ann"))
    last = phloem("runs", "resume", "last", "--json", folder=tmp_path)
    assert json.loads(last.stdout)["outputs"] == {"sent": "the letter", "to": "Ann"}
