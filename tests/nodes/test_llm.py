"""Language-model kinds, on the bundled models, called as the engine calls them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes.services.models import make
from phloem.nodes.services.models.service import LocalModels
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.errors import InputError, PermissionNeeded, SettingError
from phloem.runtime.grants import Permissions
from phloem.runtime.home import Home
from phloem.runtime.kinds import Example, NodeKind
from phloem.runtime.ports import expect
from phloem.runtime.values import Message
from support.kinds import agree, family_of, find
from support.model_files import DEMO

KINDS = family_of("llm")
EXAMPLES = [(kind, example) for kind in KINDS for example in kind.examples]
BOLAN = (
    "Answer the question using only the context.\n\n"
    "Context:\nThe price of Bolan is 12 euros. The color of Bolan is red.\n\nQuestion: What is the {} of Bolan?"
)
STORY = "The river is long and the market is old. " * 5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalModels]:
    service = make(Home(tmp_path_factory.mktemp("home")))
    asyncio.run(service.embed("local:minilm", ["warm"]))
    asyncio.run(_warm(service))
    yield service
    asyncio.run(service.close())


async def _warm(service: LocalModels) -> None:
    async for _ in service.generate("local:demo", "warm", {"max_tokens": 1}, lambda read, wrote: None):
        pass


@pytest.fixture
def ctx(models: LocalModels, tmp_path: Path) -> Context:
    scope = Scope(run="test", services=Services({"models": lambda: models}), permissions=Permissions(folder=tmp_path))
    return Context(scope, node="node")


def result_of(kind: NodeKind, context: Context, inputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs by name, with what is missing in `inputs` taking its default."""
    given = {name: inputs.get(name, port.default) for name, port in kind.inputs.items()}

    async def run() -> Any:
        if kind.streams is None:
            return await kind.function(context, **given)
        async with aclosing(kind.function(context, **given)) as pieces:
            return "".join([piece async for piece in pieces])

    result = asyncio.run(run())
    return dict(zip(kind.outputs, result if len(kind.outputs) > 1 else [result], strict=True))


def call(id: str, context: Context, **inputs: Any) -> Any:
    found = result_of(find(id), context, inputs)
    return next(iter(found.values())) if len(found) == 1 else found


def stamp_of(id: str, context: Context, **inputs: Any) -> str | None:
    stamp: Callable[..., Any] | None = find(id).stamp
    assert stamp is not None
    found: str | None = asyncio.run(stamp(context, inputs))
    return found


@pytest.mark.parametrize(("kind", "example"), EXAMPLES, ids=[f"{kind.id}" for kind, _ in EXAMPLES])
def test_an_example_shows_what_the_kind_does(ctx: Context, kind: NodeKind, example: Example) -> None:
    found = result_of(kind, ctx, dict(example.inputs))
    assert agree(dict(example.outputs), found), found
    for name, value in found.items():
        assert expect(value, kind.outputs[name]) == value


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_a_kind_has_words_for_people(kind: NodeKind) -> None:
    assert len(kind.about.split()) > 20
    assert all(port.about and not port.about.endswith(".") for port in kind.inputs.values())
    assert [need.word for need in kind.needs] == ["model"]


def test_the_ports_that_files_rely_on_are_there() -> None:
    fixed = {
        "llm.generate": ({"prompt", "model", "max_tokens", "temperature", "seed", "stop"}, {"text": "text"}),
        "llm.chat": ({"messages", "prompt", "system", "model"}, {"text": "text", "messages": "list[message]"}),
        "llm.structured": ({"prompt", "schema", "pattern", "choices", "model"}, {"value": "json"}),
        "llm.embed": ({"text", "model"}, {"vector": "vector"}),
    }
    for id, (inputs, outputs) in fixed.items():
        kind = find(id)
        assert inputs <= set(kind.inputs)
        assert {name: str(type) for name, type in kind.outputs.items()} == outputs


def test_loading_the_kinds_loads_nothing_heavy() -> None:
    heavy = ["llama_cpp", "numpy", "chromadb", "jinja2", "jsonschema", "regex", "asyncio"]
    code = f"import sys, phloem.nodes.llm, phloem.nodes.store; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['asyncio']")


def test_text_streams_from_generate(ctx: Context) -> None:
    assert find("llm.generate").streams == "text"
    assert call("llm.generate", ctx, prompt=BOLAN.format("price")) == "12 euros"
    assert ctx.tokens_in > 20
    assert ctx.tokens_out >= 2


def test_chat_shows_its_text_while_it_is_written_and_returns_the_conversation(ctx: Context) -> None:
    shown: list[tuple[str, str]] = []
    ctx.on_text = lambda port, piece: shown.append((port, piece))
    found = call("llm.chat", ctx, prompt=BOLAN.format("price"), system="Be brief.", max_tokens=16)
    assert {port for port, _ in shown} == {"text"}
    assert "".join(piece for _, piece in shown) == found["text"]
    assert [message.role for message in found["messages"]] == ["system", "user", "assistant"]
    assert found["messages"][-1].content == found["text"]


def test_a_chat_goes_on_from_the_conversation_of_another(ctx: Context) -> None:
    first = call("llm.chat", ctx, prompt=BOLAN.format("color"))
    assert first["text"] == "red"
    second = call("llm.chat", ctx, messages=first["messages"], prompt="What is the price of Bolan?")
    assert second["text"] == "12 euros"
    assert len(second["messages"]) == 4
    assert len(first["messages"]) == 2, "a value that left a node is never changed"


def test_instructions_replace_those_of_the_conversation(ctx: Context) -> None:
    history = [Message("system", "Old."), Message("user", "Hi"), Message("assistant", "Hello")]
    found = call("llm.chat", ctx, messages=history, prompt="Go on", system="New.", max_tokens=2)
    assert [message.content for message in found["messages"]][:-1] == ["New.", "Hi", "Hello", "Go on"]


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"prompt": "  "},
        {"system": "Be brief."},
        {"messages": [Message("user", "Hi"), Message("assistant", "Hello")]},
    ],
)
def test_a_chat_with_nothing_to_answer_is_refused(ctx: Context, inputs: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="nothing to answer"):
        call("llm.chat", ctx, **inputs)


def test_an_answer_fits_its_form(ctx: Context) -> None:
    schema = {"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}, "required": ["color"]}
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), schema=schema) == {"color": "red"}
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), schema='{"enum": ["red", "blue"]}') == "red"
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), pattern="(red|blue)!") == "red!"
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), choices=["blue", "red"]) == "red"


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "none given"),
        ({"schema": {}, "pattern": "a"}, "schema and pattern given"),
        ({"pattern": "a", "choices": ["a"]}, "pattern and choices given"),
        ({"schema": "{"}, "not JSON"),
        ({"schema": "[" * 100_000}, "not JSON"),
        ({"schema": [1]}, "must be a JSON object"),
    ],
)
def test_a_form_that_is_missing_or_ambiguous_is_refused(ctx: Context, inputs: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        call("llm.structured", ctx, prompt="x", **inputs)


def test_what_leaves_nothing_to_chance_is_kept_under_the_content_of_its_model(ctx: Context) -> None:
    for id in ("llm.generate", "llm.chat", "llm.structured"):
        first = stamp_of(id, ctx, model="", temperature=0.0, seed=None)
        assert first is not None
        assert first == stamp_of(id, ctx, model="local:demo", temperature=0.9, seed=3)
        assert stamp_of(id, ctx, model="", temperature=0.9, seed=None) is None
    assert stamp_of("llm.embed", ctx, model="") == asyncio.run(ctx.models.identity("local:minilm"))


def test_without_a_seed_chance_is_that_of_the_run_and_the_node(ctx: Context) -> None:
    def chance() -> str:
        return str(call("llm.generate", ctx, prompt=STORY, temperature=1.5, max_tokens=20))

    first = chance()
    assert chance() == first
    ctx.node = "another"
    assert chance() != first
    ctx.node, ctx.scope.seed = "node", 1
    assert chance() != first
    given = call("llm.generate", ctx, prompt=STORY, temperature=1.5, max_tokens=20, seed=7)
    ctx.scope.seed = 2
    assert call("llm.generate", ctx, prompt=STORY, temperature=1.5, max_tokens=20, seed=7) == given


def test_a_model_file_beside_the_workflow_needs_no_grant_and_another_does(
    ctx: Context, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(PermissionNeeded):
        call("llm.generate", ctx, prompt="x", model=f"local:{DEMO}")
    (tmp_path / "mine.gguf").write_bytes(DEMO.read_bytes())
    assert stamp_of("llm.generate", ctx, model="local:mine.gguf") == stamp_of("llm.generate", ctx, model="local:demo")


def test_a_sampling_setting_out_of_bounds_is_refused(ctx: Context) -> None:
    with pytest.raises(SettingError, match="top_p"):
        call("llm.generate", ctx, prompt="x", top_p=2.0)


def test_a_vector_has_length_1(ctx: Context) -> None:
    vector = call("llm.embed", ctx, text="How do I get my money back?")
    assert len(vector) == 384
    assert abs(sum(number * number for number in vector) - 1) < 1e-6
