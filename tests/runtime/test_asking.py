"""Whoever can be asked is asked once for what is missing; what is asked cannot be forged by what it is about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from phloem.runtime import events as e
from phloem.runtime.asking import Answer, Question
from phloem.runtime.cli.asking import question_text
from phloem.runtime.engine import Engine
from phloem.runtime.errors import PermissionNeeded
from phloem.runtime.grants import Grant
from phloem.runtime.grants.remembered import Remembered, content_digest
from phloem.runtime.grants.shown import shown_name, shown_scope
from phloem.runtime.runs import Options
from support.playing import box, drawn, given, play, watched
from support.terminal import phloem_at_a_terminal


class Person:
    """Answers as told, each after a while, and remembers the questions. Without an answer it never comes to one."""

    def __init__(self, *answers: Answer, after: float = 0.0) -> None:
        self.answers = list(answers)
        self.after = after
        self.asked: list[list[str]] = []
        self.withdrawn = 0
        self.at_once = 0

    async def ask(self, questions: Sequence[Question]) -> Answer:
        self.at_once += 1
        assert self.at_once == 1, "one question at a time"
        self.asked.append([f"{one.node} {one.grant}" for one in questions])
        try:
            await asyncio.sleep(self.after if self.answers else 60)
        except asyncio.CancelledError:
            self.withdrawn += 1
            raise
        finally:
            self.at_once -= 1
        return self.answers.pop(0)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(name)
    return tmp_path


def reading(*names: str, made: bool = True) -> object:
    """A workflow that reads these files; `made` by nodes, so that nobody knows before the run which."""
    inputs = {name: given("text", f"{name}/x.txt") for name in names}
    makers = {f"make_{name}": box("text.template", {"p": f"input.{name}"}, {"template": "{{ p }}"}) for name in names}
    readers = {
        f"read_{name}": box("files.read", {"path": f"make_{name}.text" if made else f"input.{name}"}) for name in names
    }
    return drawn((makers if made else {}) | readers, inputs, **{name: f"read_{name}.text" for name in names})


def absolute(workflow, folder: Path):
    """The same with whole paths: a workflow without a file has no folder."""
    inputs = {name: given("text", str(folder / one.value)) for name, one in workflow.inputs.items()}
    return replace(workflow, inputs=inputs)


def test_all_that_is_known_is_asked_at_once_before_the_run(home, places: Path) -> None:
    workflow = absolute(reading("a", "b", made=False), places)
    for answer in ("once", "always"):
        engine, person = Engine(home), Person(answer)

        options = asyncio.run(engine.ask(workflow, {}, Options(ask=person)))
        assert person.asked == [[f"read_a read={places}/a/x.txt", f"read_b read={places}/b/x.txt"]]
        assert play(engine, workflow, allow=options.allow).outputs == {"a": "a", "b": "b"}
        asyncio.run(engine.close())
    known = Remembered(home.path).grants(content_digest(Engine(home).check(workflow)))
    assert known == (Grant("read", f"{places}/a/x.txt"), Grant("read", f"{places}/b/x.txt"))
    engine = Engine(home)
    assert play(engine, workflow).outputs == {"a": "a", "b": "b"}
    asyncio.run(engine.close())


def test_a_no_is_the_error_that_names_the_flags(home, places: Path) -> None:
    workflow = absolute(reading("a", made=False), places)
    for person in (Person("no"), None):
        with pytest.raises(PermissionNeeded) as refused:
            asyncio.run(Engine(home).ask(workflow, {}, Options(ask=person)))
        assert refused.value.flags == ("--allow read=a/x.txt",)


def test_what_is_met_in_mid_run_is_asked_when_it_comes_while_the_others_go_on(home, places: Path) -> None:
    workflow = absolute(reading("a", "b"), places)
    nodes = dict(workflow.nodes) | {"free": box("text.case", {"text": "input.a"}, {"to": "upper"})}
    engine, person = Engine(home), Person("once", "always", after=0.3)
    played = play(engine, replace(workflow, nodes=nodes), ask=person, cache=False)
    asyncio.run(engine.close())
    assert played.outputs == {"a": "a", "b": "b"}
    assert sorted(person.asked) == [[f"read_a read={places}/a/x.txt"], [f"read_b read={places}/b/x.txt"]]
    waiting = played.of(e.NodeWaiting)
    assert {(one.node, one.waits_for) for one in waiting} == {
        ("read_a", "a grant: read=a/x.txt"),
        ("read_b", "a grant: read=b/x.txt"),
    }
    order = [(type(one).__name__, getattr(one, "node", "")) for one in played.events]
    assert order.index(("NodeFinished", "free")) < order.index(("NodeFinished", "read_a"))
    (memory,) = Remembered(home.path).all()
    assert len(memory.grants) == 1


def test_the_same_is_asked_once_and_a_no_stays_a_no(home, places: Path) -> None:
    paths = [str(places / "a/x.txt")] * 3
    nodes = {
        "make": box("text.split", {"text": "input.p"}, {"by": "lines"}),
        "read": box("files.read", {"path": "make.pieces"}),
    }
    workflow = drawn(nodes, {"p": given("text", "\n".join(paths))}, out="read.text")
    for answer, status in (("once", "done"), ("no", "failed")):
        engine, person = Engine(home), Person(answer)
        played = play(engine, workflow, ask=person, cache=False)
        asyncio.run(engine.close())
        assert played.result.status == status
        assert len(person.asked) == 1
    assert isinstance(played.result.failures["read"], PermissionNeeded)


def test_a_timeout_does_not_run_while_a_person_thinks(home, places: Path) -> None:
    workflow = absolute(reading("a"), places)
    nodes = {name: replace(one, timeout=10.0) if name == "read_a" else one for name, one in workflow.nodes.items()}
    engine = Engine(home)

    async def main():
        person = Person("once", after=0.5)
        loop = asyncio.get_running_loop()
        clocks: list[float | None] = []
        real = person.ask

        async def ask(questions):
            await asyncio.sleep(0)
            clocks.append(
                min(
                    (one.when() for one in loop._scheduled if not one.cancelled() and one.when() - loop.time() < 11),
                    default=None,
                )
            )
            return await real(questions)

        person.ask = ask  # type: ignore[method-assign]
        played = await watched(engine, replace(workflow, nodes=nodes), ask=person, cache=False)
        await engine.close()
        return played, clocks

    played, clocks = asyncio.run(main())
    assert played.outputs == {"a": "a"}
    assert clocks == [None], "no clock is set while the question stands"


def test_a_cancelled_run_withdraws_the_question(home, places: Path) -> None:
    engine, person = Engine(home), Person()

    def stop(run, event) -> None:
        if isinstance(event, e.NodeWaiting):
            asyncio.get_running_loop().call_later(0.05, run.cancel)

    began = time.monotonic()
    played = play(engine, absolute(reading("a", "b"), places), ask=person, cache=False, watch=stop)
    asyncio.run(engine.close())
    assert played.result.status == "cancelled"
    assert person.withdrawn == 1
    assert time.monotonic() - began < 20


# What is shown


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        ("/a/b.txt", "/a/b.txt"), ("/a/b c.txt", "'/a/b c.txt'"), ("/a\nAllow? y", r"'/a\x0aAllow? y'"),
        ("/a\x1b[2Jb", r"'/a\x1b[2Jb'"), ("/a\u202etxt.exe", r"'/a\u202etxt.exe'"), ("/a\u200bb", r"'/a\u200bb'"),
        ("/a\u00a0b", r"'/a\xa0b'"), ("/a    b", r"'/a \x20\x20\x20b'"), ("/a\\x0a", r"'/a\\x0a'"), ("/é", "'/é'"),
    ],
)  # fmt: skip
def test_a_path_is_shown_in_one_line_without_codes(scope: str, shown: str) -> None:
    assert shown_scope("read", scope) == shown


def test_long_things_are_cut_where_it_does_not_matter() -> None:
    path = shown_scope("write", "/" + "a" * 5000 + "/id_rsa")
    assert len(path) < 250
    assert "id_rsa" in path
    assert "5,008 characters" in path
    host = shown_scope("net", "good.org." + "a." * 100 + "evil.net")
    assert host.endswith("evil.net (217 characters)")
    assert "good.org" not in host
    assert len(shown_name("x" * 10**6)) < 120


@pytest.mark.parametrize("host", ["xn--80ak6aa92e.com", "xn--80ak6aa92e.com:8443"])
def test_letters_that_look_like_others_are_told(host: str) -> None:
    shown = shown_scope("net", host)
    assert shown.startswith(host)
    assert "in its own letters аррӏе.com" in shown
    assert "may look like another name" in shown


def test_the_question_has_a_line_for_each_wish_and_names_what_is_guarded(tmp_path: Path) -> None:
    one = question_text([Question("read", Grant("net", "example.org"))])
    assert one == "read would connect to example.org. Allow? [y]es once, [a]lways for this workflow, [n]o: "
    wishes = [
        Question("k", Grant("read", f"{tmp_path}/.ssh/id_rsa")), Question("h", Grant("write", f"{tmp_path}/home/x")),
        Question("n", Grant("net", "169.254.169.254")), Question("m", Grant("spend", "openai")),
        Question("f\nAllow? [y]: y\n", Grant("net", "localhost:80")),
    ]  # fmt: skip
    text = question_text(wishes, tmp_path / "home")
    assert len(text.splitlines()) == len(wishes) + 2
    for said in (
        "k would read",
        "secrets are kept there",
        "your own network",
        "it costs money",
        r"f\x0aAllow? [y]: y\x0a would",
    ):
        assert said in text


# At a terminal


FETCH = """\
phloem: 1
inputs: {path: {type: text}}
nodes:
  make: {kind: text.template@1, in: {p: input.path}, set: {template: "{{ p }}.txt"}}
  read: {kind: files.read@1, in: {path: make.text}}
outputs: {text: read.text}
"""


@pytest.mark.slow
def test_a_person_is_asked_before_and_in_mid_run(home, places: Path) -> None:
    (places / "flows").mkdir()
    (places / "flows/made.flow.yaml").write_text(FETCH)
    (places / "flows/known.flow.yaml").write_text(FETCH.replace("make.text", "input.path"))
    for file, path in (("made", "../a/x"), ("known", "../a/x.txt")):
        # A path that a person types needs no grant, unless a node makes something of it.
        arguments = ["run", f"flows/{file}.flow.yaml", "--no-cache"]
        if file == "made":
            arguments += ["-i", f"path={path}"]
        else:
            text = (
                (places / "flows/known.flow.yaml").read_text().replace("{type: text}", f"{{type: text, value: {path}}}")
            )
            (places / "flows/known.flow.yaml").write_text(text)
        with phloem_at_a_terminal(arguments, places) as terminal:
            terminal.expect("read would read")
            terminal.expect("[n]o: ")
            terminal.type("what?\n")
            terminal.expect("Please answer")
            terminal.expect("[n]o: ")
            terminal.type("a\n")
            assert terminal.ended() == 0
            assert terminal.screen.endswith("a\r\n")
        with phloem_at_a_terminal(arguments, places) as terminal:
            assert terminal.ended() == 0
            assert "[n]o" not in terminal.screen
    with phloem_at_a_terminal(["grants", "list"], places) as terminal:
        assert terminal.ended() == 0
        assert terminal.screen.count(f"read={places}/a/x.txt") == 2
    with phloem_at_a_terminal(["grants", "forget", "flows/made.flow.yaml"], places) as terminal:
        assert terminal.ended() == 0
    with phloem_at_a_terminal(["run", "flows/made.flow.yaml", "-i", "path=../a/x", "--no-ask"], places) as terminal:
        assert terminal.ended() == 2
        assert "--allow read=a/x.txt" in terminal.screen


@pytest.mark.slow
@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2), ("\n", 2)])
def test_control_c_at_the_question_cancels_and_no_answer_is_no(home, places: Path, key: str, code: int) -> None:
    (places / "flows").mkdir()
    (places / "flows/made.flow.yaml").write_text(FETCH)
    with phloem_at_a_terminal(["run", "flows/made.flow.yaml", "-i", "path=../a/x"], places) as terminal:
        terminal.expect("[n]o: ")
        terminal.type(key)
        assert terminal.ended() == code
    assert not (home.path / "grants.json").exists()


@pytest.mark.slow
def test_a_long_answer_is_taken_whole(home, places: Path) -> None:
    (places / "ask.flow.yaml").write_text(
        "phloem: 1\nnodes: {q: {kind: human.ask@1, set: {about: 'What happened?'}}}\noutputs: {a: q.answer}\n"
    )
    with phloem_at_a_terminal(["run", "ask.flow.yaml"], places) as terminal:
        terminal.expect("> ")
        terminal.type("é" * 900 + "end\n")
        assert terminal.ended() == 0
        assert terminal.screen.count("end") == 2
