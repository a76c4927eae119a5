"""Kinds that have a model read: what fits it, how long a text is, what it means, which text answers best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, NamedTuple

from phloem.nodes.checks import whole
from phloem.nodes.llm import wording
from phloem.nodes.llm.answers import images_of
from phloem.nodes.llm.conversations.building import built
from phloem.nodes.llm.conversations.passages import documents_of, hits_of
from phloem.nodes.llm.conversations.reader import reader_of
from phloem.nodes.llm.conversations.turns import Talk
from phloem.nodes.llm.estimates import embedding, ranking, summarising
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import ModelName, Vector
from phloem.runtime.values import Blob, Document, Hit, Message

MOST_HITS: Final = 1_000


async def _vector_stamp(context: Context, inputs: Mapping[str, Any]) -> str:
    return await context.models.identity(inputs.get("model", ""), embedding=True)


class Conversation(NamedTuple):
    """What llm.messages gives: the conversation, its length, and how much of what was given is not in it."""

    messages: list[Message]
    tokens: int
    dropped: int
    left_out: int


@node(
    "llm.messages",
    "Build a conversation",
    needs=["model:model"],
    effect="reads",
    stamp=wording.stamp,
    estimate=summarising("messages", "prompt", "documents", "images", "system"),
    examples=[
        Example(
            {
                "system": "Answer from the context, and say where it is from.",
                "messages": [Message("user", "Hello"), Message("assistant", "Good morning.")],
                "documents": [
                    Document("The museum opens at 9 am.", "Museum", "museum.html"),
                    Document("The market is open every day."),
                ],
                "prompt": "When does the museum open?",
                "model": "local:demo",
            },
            {
                "messages": [
                    Message("system", "Answer from the context, and say where it is from."),
                    Message("user", "Hello"),
                    Message("assistant", "Good morning."),
                    Message(
                        "user",
                        "Context:\n[1] Museum (museum.html)\nThe museum opens at 9 am.\n\n"
                        "[2] The market is open every day.\n\nWhen does the museum open?",
                    ),
                ],
                "tokens": ...,
                "dropped": 0,
                "left_out": 0,
            },
        )
    ],
)
async def messages(
    ctx: Context,
    messages: Annotated[Sequence[Message], In("The conversation so far", many=True)] = (),
    prompt: Annotated[str, In("What the user says next")] = "",
    documents: Annotated[
        wording.Passages, In("Documents, hits or texts to answer from, the best first", many=True)
    ] = (),
    images: Annotated[Sequence[Blob], In("Images that go with the prompt", many=True)] = (),
    system: wording.Instructions = "",
    overflow: wording.Overflow = "error",
    cut: Annotated[bool, Setting("Cut the last document at the end of a sentence, rather than leave it out")] = True,
    model: wording.Model = "",
    max_tokens: Annotated[int, Setting("Tokens to keep free for the answer", ge=1, le=100_000)] = 256,
    budget: Annotated[
        int | None, Setting("The most tokens of the conversation; what the model reads if empty", ge=1)
    ] = None,
) -> Conversation:
    """Put a conversation together so that it fits what a model reads.

    The instructions and what the user says last always stay. Documents are numbered from [1], with title
    and source, and stand before the prompt: as many as fit, in the order in which they came. If turns and
    documents do not both fit, documents get half of the room, and more where turns need less.

    overflow says what becomes of the oldest turns if the conversation is too long: error, they are left out
    (drop), or the model puts them in short (summarise) in a turn that stands at the beginning; what is put
    in short later includes it. A turn is what the user says with all answers to it.

    The output tokens is how many tokens the model will read, dropped how many messages are not in word for
    word, and left_out how many documents are not in at all. Link messages to llm.chat or llm.structured.
    """
    reader = await reader_of(
        ctx,
        model,
        max_tokens=whole("max_tokens", max_tokens, least=1),
        budget=None if budget is None else whole("budget", budget, least=1),
    )
    talk = Talk.of(messages, prompt, system, images_of(images))
    found = await built(talk, documents_of(documents), reader, overflow=overflow, cut=cut, told=ctx.log)
    return Conversation(found.messages, found.tokens, found.dropped, found.left_out)


@node(
    "llm.count",
    "Count tokens",
    needs=["model:model"],
    effect="reads",
    stamp=wording.stamp,
    examples=[Example({"text": "The tower is 40 meters high.", "model": "local:demo"}, {"tokens": ...})],
)
async def count(
    ctx: Context, text: Annotated[str, In("The text")], model: wording.Model = ""
) -> Annotated[int, Out("tokens")]:
    """Tell how many tokens a model reads when it is asked this text.

    What the model's template sets around what a user says is counted too. For a model on another machine
    the number is an estimate that is rather too high.
    """
    return await ctx.models.count(text, model=model)


@node(
    "llm.embed",
    "Embed text",
    needs=["embedding:model"],
    effect="reads",
    stamp=_vector_stamp,
    estimate=embedding("text"),
    examples=[Example({"text": "How do I get my money back?"}, {"vector": ...})],
)
async def embed(
    ctx: Context,
    text: Annotated[str, In("The text")],
    model: Annotated[ModelName, Setting("The embedding model; the run's own if empty, local:minilm mostly")] = "",
) -> Vector:
    """Turn a text into a vector: texts that mean similar things get vectors that point in similar directions.

    The vector has length 1, so the sum of the products of two is how alike their texts are: 1 for the
    same, about 0 for unrelated ones. A text that is too long for the model gets the mean of the vectors of
    its parts; for finding passages, split it first. Only vectors of the same model can be compared.
    """
    (vector,) = await ctx.models.embed([text], model=model)
    return vector


@node(
    "llm.rerank",
    "Rank again",
    needs=["model:model"],
    effect="reads",
    stamp=wording.stamp,
    estimate=ranking,
    examples=[
        Example(
            {
                "query": "How do I get my money back?",
                "documents": ["The tower is 40 meters high.", "Refunds are paid within 30 days."],
                "model": "sentence-transformers:cross-encoder/ms-marco-MiniLM-L6-v2",
                "k": 1,
            },
            {"hits": ...},
        )
    ],
)
async def rerank(
    ctx: Context,
    query: Annotated[str, In("What is looked for")],
    documents: Annotated[wording.Passages, In("Hits, documents or texts to put in order", many=True)],
    model: Annotated[ModelName, Setting("A model that compares texts in pairs")],
    k: Annotated[int, Setting("How many hits at most", ge=1, le=MOST_HITS)] = 5,
) -> Annotated[list[Hit], Out("hits")]:
    """Put hits in a better order: a model reads each together with the query, and the best come first.

    That is slower than comparing vectors and tells more: let store.search find some twenty, and this one
    choose among them. The model is a cross-encoder of sentence-transformers that is on this machine. The
    scores are on its own scale: they order the hits of one query, and mean nothing beside those of a search
    or of another model.
    """
    if not query.strip():
        raise InputError("the query is empty", hint="Say what to look for.")
    most = whole("k", k, least=1, most=MOST_HITS)
    hits = hits_of(documents)
    if not hits:
        return []
    scores = await ctx.models.rerank(query, [hit.text for hit in hits], model=model)
    ranked = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(ranked, key=lambda hit: -hit.score)[:most]
