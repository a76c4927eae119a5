"""Language-model kinds in workflows: what the ports take, lists of prompts, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime.engine import Engine
from phloem.runtime.events import NodePrompt
from phloem.runtime.values import Message
from support.playing import box, drawn, given, play

FACTS = ["The color of Bolan is red.", "The color of Mira is blue.", "The color of Tavo is green."]
CONTEXT = "Answer the question using only the context."


@pytest.fixture
def engine(home: Any) -> Iterator[Engine]:
    engine = Engine(home)
    yield engine
    asyncio.run(engine.close())


def prompts_of(played: Any) -> list[str]:
    return [event.text for event in played.of(NodePrompt)]


def test_documents_come_from_links_of_every_kind(engine: Engine, tmp_path: Path) -> None:
    workflow = drawn(
        {
            "search": box("store.search", set={"query": "the color of Bolan", "collection": FACTS, "k": 1}),
            "chat": box(
                "llm.chat",
                {"documents": ["search.hits", "input.text", "input.texts", "input.json"]},
                {"prompt": "Question: What is the color of Bolan?", "system": CONTEXT, "max_tokens": 8},
            ),
        },
        {
            "text": given("text", "The lake is deep."),
            "texts": given("list[text]", ["The market is old.", "The tower is high."]),
            "json": given("json", {"text": "The gate is shut.", "title": "Gate"}),
        },
        answer="chat.text",
    )
    played = play(engine, workflow, prompts=True)
    assert played.outputs["answer"] == "red"
    assert (
        "Context:\n[1] The color of Bolan is red.\n\n[2] The lake is deep.\n\n[3] The market is old.\n\n"
        "[4] The tower is high.\n\n[5] Gate\nThe gate is shut.\n\nQuestion:"
    ) in prompts_of(played)[-1]


def test_each_prompt_of_a_list_has_all_documents(engine: Engine) -> None:
    names = ["Bolan", "Mira", "Tavo"] * 4
    workflow = drawn(
        {
            "chat": box(
                "llm.chat",
                {"prompt": "input.prompts", "documents": "input.facts"},
                {"system": CONTEXT, "max_tokens": 8, "overflow": "drop"},
            )
        },
        {
            "prompts": given("list[text]", [f"Question: What is the color of {name}?" for name in names]),
            "facts": given("list[text]", FACTS),
        },
        texts="chat.text",
        messages="chat.messages",
    )
    played = play(engine, workflow, prompts=True)
    assert played.outputs["texts"] == played.outputs["texts"][:3] * 4
    assert all("[3] The color of Tavo is green." in text for text in prompts_of(played))
    assert [messages[1].content for messages in played.outputs["messages"]] == [
        f"Question: What is the color of {name}?" for name in names
    ]


def test_a_conversation_can_be_json(engine: Engine) -> None:
    said = [
        {"role": "user", "content": "What is Bolan?"},
        {"role": "assistant", "content": "", "calls": [{"id": "1", "name": "look_up", "arguments": {"word": "Bolan"}}]},
        {"role": "tool", "content": "A village.", "call_id": "1"},
    ]
    workflow = drawn(
        {
            "fit": box("llm.messages", {"messages": "input.said"}, {"overflow": "drop"}),
            "answer": box("llm.structured", {"messages": "fit.messages"}, {"choices": ["a village", "a river"]}),
        },
        {"said": given("json", said)},
        messages="fit.messages",
        answer="answer.value",
    )
    played = play(engine, workflow)
    assert played.outputs["answer"] in ("a village", "a river")
    assert played.outputs["messages"][2] == Message("tool", "A village.", call_id="1")
    assert played.outputs["messages"][1].calls[0].arguments == {"word": "Bolan"}


def test_what_was_built_counted_and_answered_is_kept(engine: Engine) -> None:
    workflow = drawn(
        {
            "fit": box(
                "llm.messages", {"documents": "input.facts"}, {"prompt": "Question: What is the color of Bolan?"}
            ),
            "count": box("llm.count", {"text": "input.facts"}),
            "answer": box("llm.chat", {"messages": "fit.messages"}, {"max_tokens": 8, "logprobs": 1}),
        },
        {"facts": given("list[text]", FACTS)},
        text="answer.text",
        chances="answer.chances",
        counts="count.tokens",
    )
    first, second = play(engine, workflow), play(engine, workflow)
    assert first.outputs == second.outputs
    assert len(first.outputs["counts"]) == 3
    assert set(second.states.values()) == {"cached"}
