"""Nodes that do what they should not, on workers: each costs itself, and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime import events as e
from phloem.runtime.asking import Answer, Question
from support import web_server
from support.dask_kit import Kit
from support.web_server import serving

pytest.importorskip("distributed", reason="needs the extra dask")
pytest_plugins = ["support.dask_fixtures"]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["progress", "log", "text", "error"])
def test_what_no_message_can_carry_costs_only_the_call(kit: Kit, how: str) -> None:
    text = f"""\
phloem: 1
nodes:
  odd: {{kind: weft.odd@1, set: {{how: {how}}}, on_error: skip}}
  ask: {{kind: weft.ask@1, set: {{prompt: all the others, seconds: 0.3}}}}
outputs: {{t: ask.text}}
"""
    result, events = kit.run(text)
    assert result.outputs == {"t": "all the others is answered"}
    assert {name: str(error).partition(" (on")[0] for name, error in result.failures.items()} == (
        {"odd": "an error in an error\n  7"} if how == "error" else {}
    )
    assert not [one for one in events if isinstance(one, e.NodeRetrying)]


class Person:
    """Answers as told. Without an answer left it never comes to one."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def ask(self, questions: Sequence[Question]) -> Answer:
        self.asked += [str(one.grant) for one in questions]
        if not self.answers:
            await asyncio.sleep(60)
        return self.answers.pop(0)


def story(kit: Kit, text: str, person: Person, *, here: bool) -> Any:
    """What a run gives, what it asks for, and what it tells."""
    result, events = kit.run(text, here=here, ask=person)
    return result.outputs, person.asked, [type(one).__name__ for one in events]


def test_refusal_is_for_what_was_refused_and_nothing_else(kit: Kit, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
    paths = " ".join(str(tmp_path / name) for name in "abac")
    text = f"phloem: 1\nnodes: {{p: {{kind: weft.paths@1, set: {{paths: '{paths}'}}}}}}\noutputs: {{t: p.text}}\n"
    here, there = (story(kit, text, Person("no", "once", "once"), here=here) for here in (True, False))
    assert here == there
    assert there[0] == {"t": "refused b refused c"}
    assert there[1] == [f"read={tmp_path}/{name}" for name in "abc"]


HOSTS = """\
phloem: 1
inputs: {hosts: {type: "list[text]", value: [localhost, "127.0.0.1", localhost]}}
nodes:
  where: {kind: text.template@1, in: {host: input.hosts}, set: {template: "http://{{ host }}:PORT/"}}
  fetch: {kind: weft.fetches@1, in: {urls: where.text}}
outputs: {t: fetch.text}
"""


@pytest.mark.parametrize("answers", [("once", "once"), ("no", "once"), ("no", "no")])
def test_missing_net_grants_are_asked_for_as_in_a_run_without_workers(kit: Kit, answers: tuple[Answer, ...]) -> None:
    with serving({"/": web_server.Answer(b"a page")}) as server:
        text = HOSTS.replace("PORT", str(server.port))
        here, there = (story(kit, text, Person(*answers), here=here) for here in (True, False))
    assert here == there
    assert len(there[1]) == 2 and there[2].count("NodeWaiting") == 2


def test_thread_that_asks_is_let_go_when_its_node_is_cancelled(kit: Kit, tmp_path: Path) -> None:
    text = f"phloem: 1\nnodes: {{a: {{kind: weft.asks@1, set: {{path: {tmp_path}/x}}}}}}\n"

    async def cancel(run: Any) -> None:
        while not kit.notes("asks"):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        run.cancel()

    result, _ = kit.run(text, ask=Person(), during=cancel)
    assert result.status == "cancelled"
    deadline = time.monotonic() + 5
    while not kit.notes("asked no more"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_not_to_be_kept_is_not(kit: Kit) -> None:
    text = "phloem: 1\nnodes: {o: {kind: weft.once@1, set: {n: 77}}}\noutputs: {n: o.number}\n"
    for _ in range(2):
        result, _ = kit.run(text, cache=True)
        assert result.outputs == {"n": 77}
        assert kit.notes("once")
