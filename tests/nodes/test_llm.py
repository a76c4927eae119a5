"""Language-model kinds, on the bundled models, called as the engine calls them. Conversations that must fit are in
test_llm_messages."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes.llm.answers import tools_of
from phloem.nodes.services.models import make
from phloem.nodes.services.models.models import Models
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.errors import InputError, PermissionNeeded, ServiceError, SettingError
from phloem.runtime.grants import Permissions
from phloem.runtime.home import Home
from phloem.runtime.kinds import Example, NodeKind
from phloem.runtime.ports import expect
from phloem.runtime.services import Ending, Meter, ModelInfo, Request
from phloem.runtime.values import Blob, Message, ToolCall
from support.kinds import agree, family_of, find, ports_of
from support.model_files import DEMO

KINDS = family_of("llm")
EXAMPLES = [(kind, example) for kind in KINDS if kind.id != "llm.rerank" for example in kind.examples]
BOLAN = (
    "Answer the question using only the context.\n\n"
    "Context:\nThe price of Bolan is 12 euros. The color of Bolan is red.\n\nQuestion: What is the {} of Bolan?"
)
STORY = "The river is long and the market is old. " * 5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    service = make(Home(tmp_path_factory.mktemp("home")))
    for model in ("local:demo", "local:minilm"):
        asyncio.run(service.count(model, "warm"))
    yield service
    asyncio.run(service.close())


@pytest.fixture
def ctx(models: Models, tmp_path: Path) -> Context:
    return context(models, tmp_path)


def context(models: Any, folder: Path) -> Context:
    scope = Scope(run="test", services=Services({"models": lambda: models}), permissions=Permissions(folder=folder))
    return Context(scope, node="node")


def result_of(kind: NodeKind, context: Context, inputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs by name, with what is missing in `inputs` taking its default."""
    given = {name: inputs.get(name, port.default) for name, port in kind.inputs.items()}
    result = asyncio.run(kind.function(context, **given))
    names = ports_of(kind, given).outputs
    if isinstance(result, tuple):
        return dict(zip(names, result, strict=True))
    return result if len(names) > 1 else dict(zip(names, [result], strict=True))


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
    assert [need.word for need in kind.needs] == ["embedding" if kind.id == "llm.embed" else "model"]


def test_the_ports_that_files_rely_on_are_there() -> None:
    fixed = {
        "llm.generate": (
            {"prompt", "model", "max_tokens", "temperature", "seed", "stop", "images", "logprobs", "cut_off"},
            {"text": "text", "chances": "json"},
        ),
        "llm.chat": (
            {"messages", "prompt", "system", "model", "documents", "images", "tools", "overflow"},
            {"text": "text", "messages": "list[message]", "calls": "list[json]", "chances": "json"},
        ),
        "llm.structured": (
            {"prompt", "messages", "schema", "pattern", "choices", "grammar", "close_when_cut", "model"},
            {"value": "json"},
        ),
        "llm.messages": (
            {"messages", "prompt", "documents", "system", "overflow", "max_tokens", "budget", "model"},
            {"messages": "list[message]", "tokens": "number", "dropped": "number", "left_out": "number"},
        ),
        "llm.count": ({"text", "model"}, {"tokens": "number"}),
        "llm.embed": ({"text", "model"}, {"vector": "vector"}),
        "llm.rerank": ({"query", "documents", "model", "k"}, {"hits": "list[hit]"}),
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


def test_generate_shows_its_text_while_it_is_written(ctx: Context) -> None:
    shown: list[tuple[str, str]] = []
    ctx.on_text = lambda port, piece: shown.append((port, piece))
    found = call("llm.generate", ctx, prompt=BOLAN.format("price"))
    assert found == "12 euros"
    assert {port for port, _ in shown} == {"text"}
    assert "".join(piece for _, piece in shown) == "12 euros"
    assert ctx.tokens_in > 20
    assert ctx.tokens_out >= 2


def test_the_exact_text_that_a_model_reads_can_be_seen(ctx: Context) -> None:
    seen: list[tuple[str, str]] = []
    ctx.on_sent = lambda model, text: seen.append((model, text))
    call("llm.chat", ctx, prompt="Who?", documents=["Kay."], system="Be brief.", max_tokens=1)
    call("llm.embed", ctx, text="How tall?")
    (chatted, prompt), embedded = seen
    assert chatted == "local:demo"
    assert "Be brief." in prompt
    assert "Context:\n[1] Kay.\n\nWho?" in prompt
    assert len(prompt) > len("Be brief.Context:\n[1] Kay.\n\nWho?"), "with what the model's template adds"
    assert embedded == ("local:minilm", "How tall?")


@pytest.mark.parametrize("id", ["llm.generate", "llm.chat"])
def test_how_likely_each_token_was_is_told_when_asked(ctx: Context, id: str) -> None:
    found = call(id, ctx, prompt=BOLAN.format("price"), logprobs=3)
    chances = found["chances"]
    assert "".join(one["text"] for one in chances).strip() == found["text"] == "12 euros"
    for one in chances:
        assert math.isclose(one["probability"], math.exp(one["logprob"]))
        assert len(one["others"]) == 3
        assert all(other["logprob"] <= one["logprob"] for other in one["others"])
        assert all(set(other) == {"text", "logprob", "probability"} for other in one["others"])
    alone = call(id, ctx, prompt=BOLAN.format("price"), logprobs=0)["chances"]
    assert [one["others"] for one in alone] == [[]] * len(chances)


def text_of(found: Any) -> Any:
    return found["text"] if isinstance(found, dict) else found


@pytest.mark.parametrize("id", ["llm.generate", "llm.chat"])
def test_an_answer_that_is_cut_off_is_kept_or_an_error(ctx: Context, id: str) -> None:
    assert text_of(call(id, ctx, prompt=STORY, max_tokens=2))
    with pytest.raises(ServiceError, match="cut off before it was complete") as caught:
        call(id, ctx, prompt=STORY, max_tokens=2, cut_off="error")
    assert "max_tokens (now 2)" in str(caught.value.hint)
    assert text_of(call(id, ctx, prompt=BOLAN.format("color"), cut_off="error")) == "red"
    with pytest.raises(SettingError, match="cut_off is 'eror'"):
        call(id, ctx, prompt=STORY, max_tokens=2, cut_off="eror")


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


TOOLS = [
    {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
    {"name": "time"},
]


class Elsewhere:
    """A model on another machine, as far as a node can tell: it says what it is given to say."""

    def __init__(self, *said: str | Ending) -> None:
        self.said = said
        self.requests: list[Request] = []

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        self.requests.append(request)
        for one in self.said:
            yield one

    async def about(self, model: str) -> ModelInfo:
        return ModelInfo(name=model, provider="local", makes="text", context=None)

    async def count(self, model: str, asked: Any) -> int:
        return 10

    async def identity(self, model: str) -> str:
        return model


def test_calls_of_tools_are_given_and_their_results_go_on(tmp_path: Path) -> None:
    service = Elsewhere("Let me see.", Ending("calls", (ToolCall("c1", "weather", {"city": "Lyon"}),)))
    found = call("llm.chat", context(service, tmp_path), prompt="How is the weather in Lyon?", tools=TOOLS)
    assert found["calls"] == [{"id": "c1", "name": "weather", "arguments": {"city": "Lyon"}}]
    assert found["messages"][-1] == Message(
        "assistant", "Let me see.", calls=(ToolCall("c1", "weather", {"city": "Lyon"}),)
    )
    (request,) = service.requests
    assert [tool.name for tool in request.tools] == ["weather", "time"]
    assert request.tools[1].parameters == {"type": "object", "properties": {}}
    result = expect({"role": "tool", "content": "rain", "call_id": "c1"}, find("llm.chat").inputs["messages"].type.item)
    service.said = ("It rains in Lyon.", Ending())
    after = call("llm.chat", context(service, tmp_path), messages=[*found["messages"], result], tools=TOOLS)
    assert after["calls"] == []
    assert [message.role for message in after["messages"]] == ["user", "assistant", "tool", "assistant"]


def test_a_local_model_reads_the_results_of_calls(ctx: Context) -> None:
    messages = [
        Message("user", "Answer the question using only the context.\n\nQuestion: What is the color of Bolan?"),
        Message("assistant", "", calls=(ToolCall("1", "look_up", {"word": "Bolan"}),)),
        Message("tool", "Context:\nThe color of Bolan is red.", call_id="1"),
    ]
    seen: list[str] = []
    ctx.on_sent = lambda model, text: seen.append(text)
    call("llm.chat", ctx, messages=messages, max_tokens=4)
    assert "The color of Bolan is red." in seen[0]
    assert '"look_up"' in seen[0]


def test_an_answer_that_was_withheld_is_an_error(tmp_path: Path) -> None:
    for id in ("llm.generate", "llm.chat"):
        with pytest.raises(ServiceError, match="withheld"):
            call(id, context(Elsewhere("I", Ending("refused")), tmp_path), prompt="x")


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ("[", "not JSON"),
        ("{}", "must be a list"),
        ([5], "tool 1 must be an object"),
        ([{"name": "a"}, {}], "tool 2 is called None"),
        ([{"name": "a b"}], "tool 1 is called 'a b'"),
        ([{"name": "a"}, {"name": "a"}], "two tools are called a"),
        ([{"name": "a", "description": 5}], "description of the tool a"),
        ([{"name": "a", "parameters": []}, {"name": "b", "parameters": "x"}], "parameters of the tool b"),
        ([{"name": "a", "parameters": {"type": "array"}}], "JSON Schema of an object"),
        ([{"type": "function", "function": {"name": "a"}}], "'function', which means nothing"),
        ([{"name": f"t{number}"} for number in range(129)], "at most 128"),
    ],
)
def test_tools_that_make_no_sense_are_refused(tools: Any, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        tools_of(tools)


def test_tools_may_be_json_text_and_none_are_none() -> None:
    assert tools_of('[{"name": "a"}]') == tools_of([{"name": "a"}])
    assert tools_of(None) == tools_of("") == tools_of([]) == ()


def test_images_go_with_what_the_user_says(tmp_path: Path) -> None:
    image = Blob(b"\x89PNG", "a.png", "image/png")
    for id in ("llm.generate", "llm.chat"):
        service = Elsewhere("A cat.")
        assert text_of(call(id, context(service, tmp_path), prompt="What is it?", images=[image])) == "A cat."
        assert service.requests[0].asked == (Message("user", "What is it?", (image,)),)
        with pytest.raises(InputError, match="is not an image, but text/plain"):
            call(id, context(service, tmp_path), prompt="x", images=[Blob(b"x", "notes.txt", "text/plain")])


def test_a_local_model_that_sees_no_images_says_so(ctx: Context) -> None:
    with pytest.raises(InputError, match="image"):
        call("llm.generate", ctx, prompt="What is it?", images=[Blob(b"\x89PNG", "a.png", "image/png")])


def test_an_embedding_model_does_not_write_and_a_text_model_makes_no_vectors(ctx: Context) -> None:
    for id, inputs in (
        ("llm.generate", {"prompt": "x"}),
        ("llm.chat", {"prompt": "x"}),
        ("llm.chat", {"prompt": "x", "overflow": "drop"}),
        ("llm.structured", {"prompt": "x", "choices": ["a", "b"]}),
        ("llm.messages", {"prompt": "x"}),
    ):
        with pytest.raises(InputError, match="local:minilm makes vectors; it does not write text"):
            call(id, ctx, model="local:minilm", **inputs)
    with pytest.raises(InputError, match="local:demo writes text; it makes no vectors"):
        call("llm.embed", ctx, text="x", model="local:demo")
    for model in ("local:demo", "local:minilm"):
        with pytest.raises(InputError, match=model):
            call("llm.rerank", ctx, query="x", documents=["y"], model=model)


def test_tokens_are_counted_as_the_model_reads_them(ctx: Context) -> None:
    short, long = (call("llm.count", ctx, text=text, model="local:demo") for text in ("word", "word " * 100))
    assert 1 < short < 10
    assert 90 < long < 500
    call("llm.generate", ctx, prompt="word " * 100, max_tokens=1)
    assert ctx.tokens_in == long


def test_nothing_to_put_in_order_asks_no_model(ctx: Context) -> None:
    assert call("llm.rerank", ctx, query="x", documents=[" ", []], model="sentence-transformers:absent") == []
    with pytest.raises(InputError, match="query is empty"):
        call("llm.rerank", ctx, query=" ", documents=["x"], model="sentence-transformers:absent")


def test_an_answer_fits_its_form(ctx: Context) -> None:
    schema = {"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}, "required": ["color"]}
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), schema=schema) == {"color": "red"}
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), schema='{"enum": ["red", "blue"]}') == "red"
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), pattern="(red|blue)!") == "red!"
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), choices=["blue", "red"]) == "red"
    assert call("llm.structured", ctx, prompt=BOLAN.format("color"), grammar='root ::= "red" | "blue"') == "red"
    messages = [Message("user", BOLAN.format("price")), Message("assistant", "12 euros")]
    asked = "What is the color of Bolan?"
    assert call("llm.structured", ctx, messages=messages, prompt=asked, choices=["blue", "red"]) == "red"


def test_an_answer_that_is_cut_off_is_closed_if_asked(ctx: Context) -> None:
    schema = {
        "type": "object",
        "properties": {"story": {"type": "string"}, "end": {"const": True}},
        "required": ["story", "end"],
    }
    with pytest.raises(ServiceError, match="cut off"):
        call("llm.structured", ctx, prompt=STORY, schema=schema, max_tokens=8)
    closed = call("llm.structured", ctx, prompt=STORY, schema=schema, max_tokens=8, close_when_cut=True)
    assert set(closed) == {"story", "end"}
    assert closed["end"] is True


def test_a_form_without_anything_to_answer_is_refused(ctx: Context) -> None:
    with pytest.raises(InputError, match="nothing to answer"):
        call("llm.structured", ctx, choices=["a"])


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "none given"),
        ({"schema": {}, "pattern": "a"}, "schema and pattern given"),
        ({"pattern": "a", "choices": ["a"]}, "pattern and choices given"),
        ({"schema": "{"}, "not JSON"),
        ({"schema": "[" * 100_000}, "not JSON"),
        ({"schema": [1]}, "must be a JSON object"),
        ({"grammar": "a", "choices": ["a"]}, "choices and grammar given"),
        ({"grammar": "root ::= ("}, "grammar"),
    ],
)
def test_a_form_that_is_missing_or_ambiguous_is_refused(ctx: Context, inputs: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        call("llm.structured", ctx, prompt="x", **inputs)


def test_a_node_has_more_outputs_if_more_is_asked_for() -> None:
    chat = find("llm.chat")
    for settings, outputs in (
        ({}, ["text", "messages"]),
        ({"tools": [], "logprobs": None}, ["text", "messages"]),
        ({"tools": TOOLS}, ["text", "messages", "calls"]),
        ({"logprobs": 0}, ["text", "messages", "chances"]),
        ({"tools": TOOLS, "logprobs": 2}, ["text", "messages", "calls", "chances"]),
    ):
        assert list(ports_of(chat, settings).outputs) == outputs
    assert list(ports_of(find("llm.generate"), {}).outputs) == ["text"]
    assert list(ports_of(find("llm.generate"), {"logprobs": 0}).outputs) == ["text", "chances"]


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
