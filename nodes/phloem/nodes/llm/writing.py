"""Kinds that have a language model write: a text, the next turn of a conversation, an answer in a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from phloem.nodes.checks import whole
from phloem.nodes.llm import wording
from phloem.nodes.llm.answers import answer, form_of, images_of, only_lit, tools_of
from phloem.nodes.llm.conversations.building import built
from phloem.nodes.llm.conversations.passages import documents_of
from phloem.nodes.llm.conversations.reader import reader_of
from phloem.nodes.llm.conversations.turns import Talk
from phloem.nodes.llm.estimates import answering
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Json, Ports, PortType
from phloem.runtime.services import Request
from phloem.runtime.values import UNLIT, Blob, Document, Message, ToolCall

BOLAN = (
    "Answer the question using only the context.\n\n"
    "Context:\nThe price of Bolan is 12 euros. The color of Bolan is red.\n\nQuestion: What is the color of Bolan?"
)
MUSEUM = (
    "Answer the question using only the context.\n\n"
    "Context:\nThe Harbor Museum opens at 9 am. Tickets for the Harbor Museum cost 12 euros.\n\n"
    "Question: How much do tickets for the Harbor Museum cost?"
)


def _ports_of_text(settings: Mapping[str, Any], types: Mapping[str, PortType]) -> Ports:
    return _ports({"text": PortType("text")}, settings)


def _ports_of_chat(settings: Mapping[str, Any], types: Mapping[str, PortType]) -> Ports:
    return _ports({"text": PortType("text"), "messages": PortType("message", 1)}, settings)


def _ports(outputs: dict[str, PortType], settings: Mapping[str, Any]) -> Ports:
    """A node has the outputs that say more only if it is asked for more."""
    if settings.get("tools"):
        outputs["calls"] = PortType("json", 1)
    if settings.get("logprobs") is not None:
        outputs["chances"] = PortType("json")
    return Ports(outputs=outputs)


class Written(NamedTuple):
    """What llm.generate gives: the answer, and with logprobs how likely its tokens were."""

    text: str
    chances: Annotated[Any, PortType("json")]


@node(
    "llm.generate",
    "Generate text",
    needs=["model:model"],
    effect="chance",
    ports=_ports_of_text,
    stamp=wording.stamp,
    estimate=answering("prompt", "images"),
    examples=[
        Example({"prompt": BOLAN, "model": "local:demo", "max_tokens": 16}, {"text": "red"}),
        Example(
            {"prompt": BOLAN, "model": "local:demo", "max_tokens": 16, "logprobs": 1}, {"text": "red", "chances": ...}
        ),
    ],
)
async def generate(
    ctx: Context,
    prompt: Annotated[str, In("What the model is asked or told")],
    images: Annotated[Sequence[Blob], In("Images that the model is to look at", many=True)] = (),
    model: wording.Model = "",
    max_tokens: wording.MaxTokens = 256,
    temperature: wording.Temperature = 0.0,
    top_k: wording.TopK = 40,
    top_p: wording.TopP = 0.95,
    min_p: wording.MinP = 0.05,
    repeat_penalty: wording.Penalty = 1.0,
    seed: wording.Seed = None,
    stop: wording.Stop = (),
    logprobs: wording.Logprobs = None,
    cut_off: wording.CutOff = "keep",
) -> Written:
    """Write what the language model answers to a prompt.

    A model that was made for conversation takes the prompt as what the user says; any other goes on
    writing where the prompt ends. The text appears while it is written.

    At temperature 0, or with a seed, the same prompt always gives the same text, which is kept and not
    computed again. At a higher temperature without a seed every run writes anew. top_k, top_p and min_p
    count only at a temperature above 0; lower top_p or raise min_p for safer words. A text that reaches
    max_tokens ends there, even in the middle of a word; with cut_off error it is an error instead.

    With logprobs the output chances has an object for each token: its text, the logprob and probability
    that the model gave it, and others, the likeliest in its place.
    """
    chosen = wording.sampling(ctx, max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed, stop, logprobs)
    asked = (Message("user", prompt, images_of(images)),) if images else prompt
    found = await answer(ctx, Request(asked=asked, sampling=chosen), model=model, cut_off=cut_off)
    return only_lit(Written(found.text, UNLIT if logprobs is None else found.chances))


class Reply(NamedTuple):
    """What llm.chat gives: the answer, and the conversation with it at its end; with tools the calls that the model
    asks for, and with logprobs how likely the tokens were."""

    text: str
    messages: list[Message]
    calls: Annotated[Any, PortType("json", 1)]
    chances: Annotated[Any, PortType("json")]


@node(
    "llm.chat",
    "Chat",
    needs=["model:model"],
    effect="chance",
    ports=_ports_of_chat,
    stamp=wording.stamp,
    estimate=answering("messages", "prompt", "documents", "images", "system", "tools"),
    examples=[
        Example(
            {"prompt": MUSEUM, "model": "local:demo", "max_tokens": 16},
            {"text": "12 euros", "messages": ...},
        ),
        Example(
            {
                "prompt": "Question: When does the Harbor Museum open?",
                "documents": [Document("The Harbor Museum opens at 9 am.", "Museum", "museum.html")],
                "system": "Answer the question using only the context.",
                "model": "local:demo",
                "max_tokens": 16,
            },
            {"text": "9 am", "messages": ...},
        ),
        Example(
            {
                "messages": [
                    Message("user", "What is the weather in Lyon?"),
                    Message("assistant", "", calls=(ToolCall("call_1", "weather", {"city": "Lyon"}),)),
                    Message("tool", "It rains.", call_id="call_1"),
                ],
                "tools": [
                    {
                        "name": "weather",
                        "description": "The weather in a city",
                        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                    }
                ],
                "model": "local:demo",
                "max_tokens": 16,
            },
            {"text": ..., "messages": ..., "calls": ...},
        ),
    ],
)
async def chat(
    ctx: Context,
    messages: Annotated[Sequence[Message], In("The conversation so far", many=True)] = (),
    prompt: Annotated[str, In("What the user says next")] = "",
    documents: Annotated[
        wording.Passages, In("Documents, hits or texts to answer from, the best first", many=True)
    ] = (),
    images: Annotated[Sequence[Blob], In("Images that go with the prompt", many=True)] = (),
    system: wording.Instructions = "",
    tools: Annotated[
        Json, Setting("Tools that the model may call: name, description, parameters", multiline=True, shapes=True)
    ] = None,
    overflow: wording.Overflow = "error",
    model: wording.Model = "",
    max_tokens: wording.MaxTokens = 256,
    temperature: wording.Temperature = 0.0,
    top_k: wording.TopK = 40,
    top_p: wording.TopP = 0.95,
    min_p: wording.MinP = 0.05,
    repeat_penalty: wording.Penalty = 1.0,
    seed: wording.Seed = None,
    stop: wording.Stop = (),
    logprobs: wording.Logprobs = None,
    cut_off: wording.CutOff = "keep",
) -> Reply:
    """Let the language model answer in a conversation.

    Give what was said so far as messages, what the user says next as a prompt, or both; without messages
    a conversation begins. The output messages is the conversation as the model read it, with the answer at
    its end: link it to the messages of the next chat. Instructions given here replace those that messages
    begin with.

    Documents stand numbered before the prompt, as many as the model has room for. They are for this answer,
    and are not in the output messages. overflow says what becomes of old turns that do not fit,
    as in llm.messages, which shows what the model will read.

    With tools the model may ask for calls instead of answering: the output calls has an object with id, name
    and arguments for each, and none for an answer. Do what they ask, and chat again with the output messages
    and one message of the role tool for each call, whose content is the result and whose call_id is the id.

    At temperature 0, or with a seed, the same conversation always gets the same answer, which is kept and
    not computed again. logprobs and cut_off are those of llm.generate.
    """
    talk = Talk.of(messages, prompt, system, images_of(images))
    offered = tools_of(tools)
    passages = documents_of(documents)
    asked = said = talk.messages
    if passages or overflow != "error":
        reader = await reader_of(ctx, model, max_tokens=whole("max_tokens", max_tokens, least=1), tools=offered)
        fitting = await built(talk, passages, reader, overflow=overflow, told=ctx.log)
        asked, said = fitting.messages, fitting.spoken
    chosen = wording.sampling(ctx, max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed, stop, logprobs)
    request = Request(asked=tuple(asked), sampling=chosen, tools=offered)
    found = await answer(ctx, request, model=model, cut_off=cut_off)
    reply = Message("assistant", found.text, calls=found.calls)
    calls, chances = found.calls_as_json if tools else UNLIT, UNLIT if logprobs is None else found.chances
    return only_lit(Reply(found.text, [*said, reply], calls, chances))


@node(
    "llm.structured",
    "Answer in a form",
    needs=["model:model"],
    effect="chance",
    stamp=wording.stamp,
    estimate=answering("prompt", "messages"),
    examples=[
        Example(
            {
                "prompt": "Text:\nThe price of Bolan is 12 euros. The color of Bolan is red.\n\n"
                "Write a JSON object with the keys price, color.",
                "schema": {
                    "type": "object",
                    "properties": {"price": {"type": "string"}, "color": {"enum": ["red", "green", "blue"]}},
                    "required": ["price", "color"],
                },
                "model": "local:demo",
                "max_tokens": 64,
            },
            {"value": {"price": "12 euros", "color": "red"}},
        ),
        Example(
            {"prompt": MUSEUM, "pattern": r"\d+ (euros|dollars|pounds)", "model": "local:demo"}, {"value": "12 euros"}
        ),
        Example(
            {"prompt": BOLAN, "grammar": 'root ::= ("red" | "green") "!"', "model": "local:demo"}, {"value": "red!"}
        ),
    ],
)
async def structured(
    ctx: Context,
    prompt: Annotated[str, In("What the model is asked or told")] = "",
    messages: Annotated[Sequence[Message], In("The conversation so far", many=True)] = (),
    schema: Annotated[Json, Setting("A JSON Schema that the answer fits", multiline=True)] = None,
    pattern: Annotated[str, Setting("A regular expression that the whole answer matches")] = "",
    choices: Annotated[Sequence[str], Setting("Texts of which the answer is one")] = (),
    grammar: Annotated[str, Setting("A grammar in llama.cpp's GBNF that the answer follows", multiline=True)] = "",
    close_when_cut: Annotated[bool, Setting("Close an answer that max_tokens cuts off in the shortest way")] = False,
    model: wording.Model = "",
    max_tokens: wording.MaxTokens = 512,
    temperature: wording.Temperature = 0.0,
    top_k: wording.TopK = 40,
    top_p: wording.TopP = 0.95,
    min_p: wording.MinP = 0.05,
    repeat_penalty: wording.Penalty = 1.0,
    seed: wording.Seed = None,
) -> Annotated[Json, Out("value")]:
    """Let the language model answer in a form that the next node can rely on.

    Give one of four: a JSON Schema, and the value is that JSON; a regular expression, and the value is a
    text that it matches; choices, and the value is one of them; or a grammar, and the value is a text that
    follows it from the rule root on. The model is held to the form at every token, so even a small one
    cannot answer in another; whether what it fills in is right is another matter. It does not see the form,
    so the prompt should say what is wanted.

    An answer that is not complete after max_tokens is an error, unless close_when_cut: then what is open is
    closed in the shortest way that fits the form, so the value is in it but says less. Objects get only the
    properties that the schema lists, unless additionalProperties says otherwise.
    """
    form = form_of(schema, pattern, choices, grammar)
    chosen = wording.sampling(ctx, max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed)
    asked = Talk.of(messages, prompt).messages if messages else prompt
    if not asked:
        raise InputError("there is nothing to answer", hint="Give a prompt, or messages that end with the user's.")
    return await ctx.models.structured(asked, model=model, close=close_when_cut, **form, **chosen)
