"""What the kinds that ask models tell of themselves before a run."""

from __future__ import annotations

from typing import Any

import pytest
from phloem.runtime.budget import tokens_in
from phloem.runtime.kinds import Estimate
from phloem.runtime.ports import REQUIRED
from phloem.runtime.values import Blob, Collection, Document, Hit, Message
from support.kinds import find

TEXT = "The tower of Bolan is 40 meters high."
LONG = tokens_in(TEXT)


def estimate(id: str, *unknown: str, **inputs: Any) -> Estimate | None:
    """The estimate for these inputs; the others have their defaults, and those in `unknown` come by links."""
    kind = find(id)
    assert kind.estimate is not None
    known = {name: port.default for name, port in kind.inputs.items() if port.default is not REQUIRED}
    found = {name: value for name, value in (known | inputs).items() if name not in unknown}
    return kind.estimate(found)


def read(id: str, *unknown: str, **inputs: Any) -> int | None:
    found = estimate(id, *unknown, **inputs)
    assert found is not None
    return found.read


def test_a_prompt_is_read_and_at_most_max_tokens_are_written() -> None:
    found = estimate("llm.generate", prompt=TEXT, max_tokens=30, model="dear:one")
    assert found is not None
    assert (found.model, found.written, found.embedding) == ("dear:one", 30, False)
    assert found.read is not None
    assert LONG <= found.read <= LONG + 10
    assert estimate("llm.generate", "prompt", max_tokens=30) == Estimate("", None, 30)
    assert estimate("llm.generate", "model", "max_tokens", prompt=TEXT) == Estimate(None, found.read, None)


def test_all_that_stands_in_a_conversation_is_read() -> None:
    parts: dict[str, Any] = {
        "messages": [Message("user", TEXT), Message("assistant", TEXT)],
        "prompt": TEXT,
        "system": TEXT,
        "documents": [[Document(TEXT), Hit(TEXT, 1.0)], TEXT],
        "tools": [{"name": "look_up", "description": TEXT}],
    }
    alone = [read("llm.chat", **{name: value}) for name, value in parts.items()]
    assert all(alone)
    assert read("llm.chat", **parts) == sum(count for count in alone if count)
    assert all(read("llm.chat", name, **parts) is None for name in parts)
    assert read("llm.chat", prompt=TEXT, images=[Blob(b"", "a.png", "image/png")]) is None
    assert read("llm.structured", prompt=TEXT, messages=parts["messages"]) == 3 * (
        read("llm.structured", prompt=TEXT) or 0
    )


def test_putting_turns_in_short_costs_more() -> None:
    plain = estimate("llm.chat", prompt=TEXT, max_tokens=30)
    short = estimate("llm.chat", prompt=TEXT, max_tokens=30, overflow="summarise")
    assert plain is not None
    assert short is not None
    assert short.read == 2 * (plain.read or 0)
    assert (short.written or 0) > (plain.written or 0)
    assert estimate("llm.messages", prompt=TEXT, overflow="drop") is None
    assert estimate("llm.messages", prompt=TEXT, overflow="summarise") is not None


def test_embeddings_say_that_they_are() -> None:
    for id, inputs in (
        ("llm.embed", {"text": TEXT}),
        ("store.add", {"texts": [TEXT]}),
        ("store.add", {"documents": [Document(TEXT)]}),
        ("store.search", {"query": TEXT, "collection": "notes"}),
        ("store.search", {"query": TEXT, "collection": Collection("notes", "local:minilm")}),
    ):
        found = estimate(id, **inputs)
        assert found is not None
        assert found.embedding
        assert found.written == 0
        assert LONG <= (found.read or 0) <= LONG + 10
    assert read("store.add", "texts") is None
    assert read("store.search", query=TEXT, collection=[TEXT, Document(TEXT)]) == 3 * (
        read("llm.embed", text=TEXT) or 0
    )


def test_a_ranking_reads_the_query_with_each_text() -> None:
    one = read("llm.embed", text=TEXT) or 0
    assert read("llm.rerank", query=TEXT, documents=[TEXT, Hit(TEXT, 1.0)], model="x:y") == 4 * one
    assert read("llm.rerank", "documents", query=TEXT, model="x:y") is None


@pytest.mark.parametrize("id", ["llm.count", "store.clear"])
def test_what_spends_nothing_has_no_estimate(id: str) -> None:
    assert find(id).estimate is None
