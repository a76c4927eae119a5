"""Language-model kinds: writing, conversing, answering in a form, and turning text into vectors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, NamedTuple

from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Json, ModelName, Vector
from phloem.runtime.services import Sampling
from phloem.runtime.values import Message

Model = Annotated[ModelName, Setting("The model, such as local:demo; the run's own if empty")]
MaxTokens = Annotated[int, Setting("Stop after this many tokens (a token is about four letters)", ge=1, le=100_000)]
Temperature = Annotated[float, Setting("Chance in the choice of words: 0 none, 1 much", ge=0, le=5)]
TopK = Annotated[int, Setting("Choose among this many likeliest tokens; 0 among all", ge=0, le=100_000)]
TopP = Annotated[float, Setting("Choose among the likeliest tokens that make up this share", ge=0, le=1)]
MinP = Annotated[float, Setting("Leave out tokens below this share of the likeliest one's chance", ge=0, le=1)]
Penalty = Annotated[float, Setting("Above 1: use a token less readily again", ge=0.1, le=10)]
Seed = Annotated[int | None, Setting("Makes chance repeatable: the same seed, the same text")]
Stop = Annotated[Sequence[str], Setting("End before any of these texts")]


async def _stamp(context: Context, inputs: Mapping[str, Any]) -> str | None:
    """The model's content; None where the answer is left to chance."""
    if float(inputs.get("temperature", 0)) > 0 and inputs.get("seed") is None:
        return None
    return await context.models.identity(inputs.get("model", ""))


async def _vector_stamp(context: Context, inputs: Mapping[str, Any]) -> str:
    return await context.models.identity(inputs.get("model", ""), embedding=True)


def _sampling(
    context: Context, max_tokens: int, temperature: float, top_k: int, top_p: float, min_p: float,
    repeat_penalty: float, seed: int | None, stop: Sequence[str] = (),
) -> Sampling:  # fmt: skip
    """The settings as the service takes them. Without a seed chance comes from the run's own seed."""
    return Sampling(
        max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repeat_penalty=repeat_penalty, seed=context.seed if seed is None else seed, stop=stop,
    )  # fmt: skip


@node(
    "llm.generate",
    "Generate text",
    needs=["model:model"],
    effect="chance",
    stamp=_stamp,
    examples=[
        Example(
            {
                "prompt": "Answer the question using only the context.\n\n"
                "Context:\nThe price of Bolan is 12 euros. The color of Bolan is red.\n\n"
                "Question: What is the color of Bolan?",
                "model": "local:demo",
                "max_tokens": 16,
            },
            {"text": "red"},
        )
    ],
)
async def generate(
    ctx: Context,
    prompt: Annotated[str, In("What the model is asked or told")],
    model: Model = "",
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    top_k: TopK = 40,
    top_p: TopP = 0.95,
    min_p: MinP = 0.05,
    repeat_penalty: Penalty = 1.0,
    seed: Seed = None,
    stop: Stop = (),
) -> Annotated[AsyncIterator[str], Out("text")]:
    """Write what the language model answers to a prompt.

    A model that was made for conversation takes the prompt as what the user says; any other goes on
    writing where the prompt ends. The text appears while it is written.

    At temperature 0, or with a seed, the same prompt always gives the same text, which is kept and not
    computed again. At a higher temperature without a seed every run writes anew. top_k, top_p and min_p
    count only at a temperature above 0; lower top_p or raise min_p for safer words. A text that reaches
    max_tokens ends there, even in the middle of a word.
    """
    sampling = _sampling(ctx, max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed, stop)
    async with aclosing(ctx.models.generate(prompt, model=model, **sampling)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            yield piece


class Reply(NamedTuple):
    """What llm.chat gives: the answer, and the conversation with it at its end."""

    text: str
    messages: list[Message]


@node(
    "llm.chat",
    "Chat",
    needs=["model:model"],
    effect="chance",
    stamp=_stamp,
    examples=[
        Example(
            {
                "prompt": "Answer the question using only the context.\n\n"
                "Context:\nThe Harbor Museum opens at 9 am. Tickets for the Harbor Museum cost 12 euros.\n\n"
                "Question: How much do tickets for the Harbor Museum cost?",
                "model": "local:demo",
                "max_tokens": 16,
            },
            {"text": "12 euros", "messages": ...},
        )
    ],
)
async def chat(
    ctx: Context,
    messages: Annotated[Sequence[Message], In("The conversation so far", many=True)] = (),
    prompt: Annotated[str, In("What the user says next")] = "",
    system: Annotated[str, Setting("Instructions that hold for the whole conversation", multiline=True)] = "",
    model: Model = "",
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    top_k: TopK = 40,
    top_p: TopP = 0.95,
    min_p: MinP = 0.05,
    repeat_penalty: Penalty = 1.0,
    seed: Seed = None,
    stop: Stop = (),
) -> Reply:
    """Let the language model answer in a conversation.

    Give what was said so far as messages, what the user says next as a prompt, or both; without messages
    a conversation begins. The output messages is the whole conversation with the answer at its end: link
    it to the messages of the next chat. Instructions given here replace those that messages begin with.

    At temperature 0, or with a seed, the same conversation always gets the same answer, which is kept and
    not computed again. top_k, top_p and min_p count only at a temperature above 0.
    """
    said = _conversation(messages, prompt, system)
    sampling = _sampling(ctx, max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed, stop)
    parts = []
    async with aclosing(ctx.models.chat(said, model=model, **sampling)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            parts.append(piece)
            ctx.emit_text("text", piece)
    text = "".join(parts)
    return Reply(text, [*said, Message("assistant", text)])


def _conversation(messages: Sequence[Message], prompt: str, system: str) -> list[Message]:
    said = list(messages)
    if system.strip():
        said = [Message("system", system), *(said[1:] if said and said[0].role == "system" else said)]
    if prompt.strip():
        said.append(Message("user", prompt))
    if not said or said[-1].role in ("assistant", "system"):
        raise InputError("there is nothing to answer", hint="Give a prompt, or messages that end with the user's.")
    return said


@node(
    "llm.structured",
    "Answer in a form",
    needs=["model:model"],
    effect="chance",
    stamp=_stamp,
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
            {
                "prompt": "Answer the question using only the context.\n\n"
                "Context:\nThe Harbor Museum opens at 9 am. Tickets for the Harbor Museum cost 12 euros.\n\n"
                "Question: How much do tickets for the Harbor Museum cost?",
                "pattern": r"\d+ (euros|dollars|pounds)",
                "model": "local:demo",
            },
            {"value": "12 euros"},
        ),
    ],
)
async def structured(
    ctx: Context,
    prompt: Annotated[str, In("What the model is asked or told")],
    schema: Annotated[Json, Setting("A JSON Schema that the answer fits", multiline=True)] = None,
    pattern: Annotated[str, Setting("A regular expression that the whole answer matches")] = "",
    choices: Annotated[Sequence[str], Setting("Texts of which the answer is one")] = (),
    model: Model = "",
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.0,
    top_k: TopK = 40,
    top_p: TopP = 0.95,
    min_p: MinP = 0.05,
    repeat_penalty: Penalty = 1.0,
    seed: Seed = None,
) -> Annotated[Json, Out("value")]:
    """Let the language model answer in a form that the next node can rely on.

    Give one of three: a JSON Schema, and the value is that JSON; a regular expression, and the value is a
    text that it matches; or choices, and the value is one of them. The model is held to the form at every
    token, so even a small one cannot answer in another; whether what it fills in is right is another
    matter. It does not see the form, so the prompt should say what is wanted.

    An answer that is not complete after max_tokens is an error. Objects get only the properties that the
    schema lists, unless additionalProperties says otherwise.
    """
    form = _form(schema, pattern, choices)
    sampling = _sampling(ctx, max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed)
    return await ctx.models.structured(prompt, model=model, **form, **sampling)


def _form(schema: Any, pattern: str, choices: Sequence[str]) -> dict[str, Any]:
    """The one form that is given; SettingError if that is none or several."""
    if isinstance(schema, str) and schema.strip():
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise SettingError(f"the schema is not JSON: {error}") from None
    has_schema = schema is not None and schema != ""
    given = {"schema": schema} if has_schema else {}
    given |= {"pattern": pattern} if pattern else {}
    given |= {"choices": list(choices)} if choices else {}
    if len(given) != 1:
        raise SettingError(
            f"one of schema, pattern and choices is needed, and {' and '.join(given) or 'none'} given",
            hint="They are three ways to say what the answer must look like.",
        )
    return given


@node(
    "llm.embed",
    "Embed text",
    needs=["model:model"],
    effect="reads",
    stamp=_vector_stamp,
    examples=[Example({"text": "How do I get my money back?"}, {"vector": ...})],
)
async def embed(
    ctx: Context,
    text: Annotated[str, In("The text")],
    model: Annotated[ModelName, Setting("The embedding model; local:minilm if empty")] = "",
) -> Vector:
    """Turn a text into a vector: texts that mean similar things get vectors that point in similar directions.

    The vector has length 1, so the sum of the products of two is how alike their texts are: 1 for the
    same, about 0 for unrelated ones. A text that is too long for the model gets the mean of the vectors of
    its parts; for finding passages, split it first. Only vectors of the same model can be compared.
    """
    (vector,) = await ctx.models.embed([text], model=model)
    return vector
