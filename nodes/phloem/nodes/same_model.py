"""Whether a collection's vectors are of the model that is at hand: of its name, and of what it computes.

A file may be replaced by another under the same name, and a provider may change what stands behind one.
So a collection has noted which content its model had (the identity), and the vector that it made of a
text of ours. When the identity is another, for instance because the library that runs the model was
updated, the vector tells whether the model still is the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from phloem.runtime.context import Context
from phloem.runtime.errors import InputError
from phloem.runtime.values import Collection

__all__ = ["check_model", "note_model"]

SAMPLE: Final = "A ship brought wool, salt and eleven letters into the harbor before the winter came."
ALIKE: Final = 0.98
"""The cosine from which on two vectors count as the same model's: MiniLM in float32 and in 8 bits agree to 0.999,
and what other models make of the same text has nothing in common."""


async def check_model(context: Context, collection: Collection, model: str) -> None:
    """InputError if the vectors of the collection and those that `model`, a full name, makes now cannot be compared."""
    if collection.model != model:
        raise InputError(
            f"the collection {collection.name!r} was begun with {collection.model}, whose vectors cannot be compared "
            f"with those of {model}",
            hint="Choose that model, another collection, or empty this one with store.clear.",
        )
    identity, vector = _read(await context.collections.note(collection.name))
    if identity == await context.models.identity(model, embedding=True):
        return
    if vector and not _same(vector, await _sample(context, model)):
        raise InputError(
            f"the collection {collection.name!r} was begun with {model}, which is another model now",
            hint="Empty it with store.clear and fill it anew, or give the earlier model its name back.",
        )
    await note_model(context, collection.name, model)


async def note_model(context: Context, collection: str, model: str) -> None:
    """Have the collection remember what its model is."""
    identity = await context.models.identity(model, embedding=True)
    vector = [round(number, 5) for number in await _sample(context, model)]
    await context.collections.keep_note(collection, json.dumps({"identity": identity, "vector": vector}))


async def _sample(context: Context, model: str) -> list[float]:
    (vector,) = await context.models.embed([SAMPLE], model=model)
    return vector


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and sum(a * b for a, b in zip(one, other, strict=True)) >= ALIKE


def _read(note: str) -> tuple[str, list[float]]:
    """What was noted; nothing if that cannot be read."""
    try:
        found = json.loads(note)
        return str(found["identity"]), [float(number) for number in found["vector"]]
    except (ValueError, TypeError, KeyError):
        return "", []
