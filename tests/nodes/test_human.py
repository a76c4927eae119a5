"""Kinds that ask people: what they give when somebody answers, when nobody does, and what they refuse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phloem.nodes import human
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.declare import kinds_in
from phloem.runtime.engine import Engine
from phloem.runtime.journal import Question
from phloem.runtime.people import NOBODY
from support import kinds_for_tests as kinds
from support.kinds import call, family_of, ports_of
from support.playing import Played, box, drawn, play


class Somebody:
    """Answers by node, or has gone."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[Question] = []

    async def answer(self, question: Question) -> Any:
        self.asked.append(question)
        return self.answers.get(question.node, NOBODY)


@pytest.fixture
def engine(home):
    engine = Engine(home, catalogue=Catalogue([*kinds_in(kinds), *kinds_in(human)]))
    yield engine
    asyncio.run(engine.close())


def asked(engine: Engine, kind: str, set: dict[str, Any], answer: Any, *ports: str) -> Played:
    outputs = {port: f"n.{port}" for port in ports}
    return play(engine, drawn({"n": box(kind, set=set)}, **outputs), person=Somebody(n=answer))


def test_every_kind_keeps_to_its_examples(tmp_path):
    for kind in family_of("human"):
        for example in kind.examples:
            given = call(kind, example.inputs, tmp_path)
            outputs = list(ports_of(kind, example.inputs, value="text").outputs)
            assert (given if isinstance(given, dict) else {outputs[0]: given}) == dict(example.outputs)


@pytest.mark.parametrize(("type", "answer"), [("text", "blue"), ("number", 3), ("json", {"a": [1]})])
def test_an_answer_has_the_type_that_was_asked_for(engine, type, answer):
    played = asked(engine, "human.ask", {"about": "Which?", "type": type}, answer, "answer")
    assert played.outputs == {"answer": answer}


@pytest.mark.parametrize(("type", "default", "given"), [("text", 3, "3"), ("number", 2.5, 2.5), ("json", [1], [1])])
def test_a_default_has_the_type_that_was_asked_for_too(engine, type, default, given):
    settings = {"about": "Which?", "type": type, "timeout": "0s", "default": default}
    assert asked(engine, "human.ask", settings, None, "answer").outputs == {"answer": given}


def test_an_answer_of_another_type_fails_the_node(engine):
    played = asked(engine, "human.ask", {"about": "Which?", "type": "number"}, "blue", "answer")
    assert type(played.result.failures["n"]).__name__ == "InputError"


@pytest.mark.parametrize(("answer", "lit"), [(True, "approved"), (False, "refused")])
def test_one_of_two_ways_is_lit_with_the_value(engine, answer, lit):
    played = asked(engine, "human.approve", {"about": "Send it?", "value": "the letter"}, answer, "approved", "refused")
    other = {"approved": "refused", "refused": "approved"}[lit]
    assert played.outputs == {lit: "the letter", other: None}


def test_a_choice_is_one_of_those_there_are(engine):
    settings = {"about": "Which?", "choices": ["Looms", "Weaving"]}
    assert asked(engine, "human.choose", settings, "Weaving", "choice").outputs == {"choice": "Weaving"}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("human.choose", {"about": "?", "choices": []}, "nothing to choose"),
        ("human.choose", {"about": "?", "choices": ["a"], "default": "b"}, "none of the choices"),
        ("human.ask", {"about": "?", "timeout": "soon"}, "not a length of time"),
        ("human.ask", {"about": "?", "timeout": "0s"}, "nobody answered in time"),
        ("human.ask", {"about": "?", "type": "number", "default": "blue"}, "default: expected number, got text"),
        ("human.approve", {"about": "?", "timeout": "0s", "default": "fail"}, "nobody answered in time"),
    ],
)
def test_what_cannot_be_is_said(engine, kind, settings, message):
    played = play(engine, drawn({"n": box(kind, set=settings)}), person=Somebody())
    assert message in str(played.result.failures["n"])
