"""Vector-store kinds: texts kept by what they mean, and found again by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from phloem.nodes.checks import whole
from phloem.nodes.llm.conversations.passages import documents_of
from phloem.nodes.llm.estimates import embedding, searching
from phloem.nodes.same_model import check_model, note_model
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Json, ModelName, PortType
from phloem.runtime.values import Collection, Document, Hit

AT_ONCE: Final = 64
"""Texts that are turned into vectors and kept in one go."""
MOST_HITS: Final = 1_000

CollectionName = Annotated[str, Setting("The name of the collection; it is made if there is none")]


async def _add_stamp(context: Context, inputs: Mapping[str, Any]) -> str:
    return await context.models.identity(inputs.get("model", ""), embedding=True)


@node(
    "store.add",
    "Keep texts",
    needs=["embedding:model"],
    effect="writes",
    stamp=_add_stamp,
    estimate=embedding("texts", "documents"),
    examples=[
        Example(
            {"texts": ["Refunds are paid within 30 days.", "The tower is 40 meters high."], "collection": "notes"},
            {"collection": Collection("notes", "local:minilm")},
        )
    ],
)
async def add(
    ctx: Context,
    collection: CollectionName,
    texts: Annotated[Sequence[str], In("Texts to keep", many=True)] = (),
    documents: Annotated[Sequence[Document], In("Documents to keep, with title, source and metadata", many=True)] = (),
    model: Annotated[ModelName, Setting("The embedding model; the run's own if empty")] = "",
    only: Annotated[bool, Setting("Remove whatever else the collection holds")] = False,
) -> Collection:
    """Keep texts in a collection, where a search finds them by their meaning.

    Give texts, documents or both. Long ones are found better when they are split first. What the
    collection has already is not added again: a text, or a document with its source, is there once, and
    adding it again replaces its metadata. With `only`, the collection then holds these texts and no others:
    right for a workflow that reads the same source anew each time. A collection lives in Phloem's own
    folder until store.clear empties it. It remembers the embedding model that it was begun with, and takes no
    other's vectors, since they cannot be compared.
    """
    items = _items(texts, documents)
    if not items:
        raise InputError("there is nothing to keep: no texts and no documents came", hint="Link texts or documents.")
    name = await ctx.models.permitted(model, embedding=True)
    known = await ctx.collections.about(collection)
    if known is not None:
        await check_model(ctx, known, name)
    kept = Collection(collection, name)
    for start in range(0, len(items), AT_ONCE):
        ctx.progress(start / len(items), f"{start} of {len(items)}")
        some = items[start : start + AT_ONCE]
        vectors = await ctx.models.embed([text for _, text, _ in some], model=model)
        kept = await ctx.collections.add(
            collection,
            [id for id, _, _ in some],
            [text for _, text, _ in some],
            vectors,
            [metadata for _, _, metadata in some],
            model=name,
        )
        if known is None and start == 0:
            await note_model(ctx, collection, name)
    if only:
        await ctx.collections.keep_only(collection, [id for id, _, _ in items])
    ctx.progress(1.0, f"{len(items)} kept")
    return kept


def _items(texts: Sequence[str], documents: Sequence[Document]) -> list[tuple[str, str, dict[str, Any]]]:
    """Id, text and metadata of each that has any text, once."""
    found: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for one in [*map(Document, texts), *documents]:
        if one.text.strip():
            named = {key: value for key, value in (("title", one.title), ("source", one.source)) if value}
            digest = hashlib.blake2b(f"{one.source}\0{one.text}".encode("utf-8", "surrogatepass"), digest_size=16)
            found[digest.hexdigest()] = (digest.hexdigest(), one.text, {**one.metadata, **named})
    return list(found.values())


async def _search_stamp(context: Context, inputs: Mapping[str, Any]) -> str:
    asked = inputs["collection"]
    if isinstance(asked, list | tuple):
        return await context.models.identity(inputs.get("model", ""), embedding=True)
    known = await context.collections.about(_name_of(asked))
    if known is None:
        return ""
    return f"{await context.collections.state(known.name)} {await context.models.identity(known.model, embedding=True)}"


@node(
    "store.search",
    "Search by meaning",
    needs=["embedding:model"],
    effect="reads",
    stamp=_search_stamp,
    estimate=searching,
    examples=[
        Example(
            {
                "query": "How do I get my money back?",
                "collection": ["The tower is 40 meters high.", "Refunds are paid within 30 days."],
                "k": 1,
            },
            {"hits": ...},
        )
    ],
)
async def search(
    ctx: Context,
    query: Annotated[str, In("What to look for")],
    collection: Annotated[
        Collection | str | list[Any],
        PortType("any"),
        In("A collection, its name, or texts or documents to look through"),
    ],
    k: Annotated[int, Setting("How many hits at most", ge=1, le=MOST_HITS)] = 5,
    where: Annotated[Json, Setting("Only texts whose metadata fits this filter", multiline=True)] = None,
    min_score: Annotated[
        float | None, Setting("Only hits at least this alike (1 the same, 0 unrelated)", ge=-1, le=1)
    ] = None,
    model: Annotated[ModelName, Setting("The embedding model; a collection has its own, else the run's if empty")] = "",
) -> Annotated[list[Hit], Out("hits")]:
    """Find the texts of a collection that mean what a query says, the most alike first.

    Instead of a collection, texts or documents can be given, to look through them once without keeping
    them. A hit has the text, its source and metadata, and a score: 1 for the same meaning, about 0 for
    none in common. The query is embedded with the model that the collection was begun with.

    where compares fields of the metadata, such as {"source": "looms.html"} or {"page": {"$gte": 3}}; it
    knows $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin and $contains, joins with $and and $or, and reaches
    into objects with a dot: "author.name".
    """
    if not query.strip():
        raise InputError("the query is empty", hint="Say what to look for.")
    most = whole("k", k, least=1, most=MOST_HITS)
    if isinstance(collection, list | tuple):
        hits = await _look_through(ctx, query, collection, most, where, model)
    else:
        name = _name_of(collection)
        known = await ctx.collections.about(name)
        if known is None:
            raise InputError(f"there is no collection {name!r:.200}", hint="Fill it first, with store.add.")
        await check_model(ctx, known, await ctx.models.permitted(model or known.model, embedding=True))
        (vector,) = await ctx.models.embed([query], model=known.model)
        hits = await ctx.collections.search(name, vector, most, where)
    return [hit for hit in hits if min_score is None or hit.score >= min_score]


def _name_of(collection: object) -> str:
    """The name of a collection that was given as itself, by its name, or as JSON."""
    if isinstance(collection, Collection):
        return collection.name
    if isinstance(collection, Mapping):
        collection = collection.get("name")
    if not isinstance(collection, str):
        raise InputError(
            "that is no collection", hint="Link the collection of store.add, or write a collection's name."
        )
    return collection


async def _look_through(
    context: Context, query: str, texts: Sequence[Any], k: int, where: Any, model: str
) -> list[Hit]:
    """The `k` of these texts that are nearest to the query."""
    if where:
        raise InputError("a filter needs a collection", hint="Keep the texts with store.add first.")
    items = _items([], documents_of(texts))
    vectors = await context.models.embed([query, *(text for _, text, _ in items)], model=model)
    hits = [
        Hit(
            text,
            sum(a * b for a, b in zip(vectors[0], vector, strict=True)),
            id,
            str(metadata.get("source", "")),
            metadata,
        )
        for (id, text, metadata), vector in zip(items, vectors[1:], strict=True)
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:k]


class Cleared(NamedTuple):
    """What store.clear gives: the name it was given, to link on, and how many texts it removed."""

    name: str
    removed: int


@node(
    "store.clear",
    "Empty a collection",
    effect="writes",
    examples=[Example({"collection": "notes"}, {"name": "notes", "removed": 0})],
)
async def clear(
    ctx: Context,
    collection: Annotated[Collection | str, PortType("any"), In("A collection, or its name")],
) -> Cleared:
    """Remove a collection with everything in it.

    To begin anew each time, link the output name to the collection of store.add: then it is emptied
    first. There is no way back. A collection that does not exist counts as empty.
    """
    name = _name_of(collection)
    return Cleared(name, await ctx.collections.clear(name))
