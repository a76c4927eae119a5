"""Vectors from OpenAI's protocol: `/embeddings`, in batches, of unit length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from phloem.nodes.services.models.hosted.clients import Connection
from phloem.nodes.services.models.hosted.exchange import fetch
from phloem.nodes.services.models.hosted.failures import unreadable
from phloem.nodes.services.models.hosted.heard import count, items, mapping, number
from phloem.nodes.services.models.hosted.patience import patiently
from phloem.nodes.services.models.hosted.tokens import about_tokens
from phloem.runtime.errors import ServiceError

__all__ = ["batches", "vectors_of"]

MOST_TEXTS: Final = 96
"""Texts of one request: Gemini takes 100 at most, others more."""
MOST_TOKENS: Final = 100_000
"""Tokens of one request, by our estimate: OpenAI takes 300,000 at most."""
LONGEST: Final = 65_536
"""Numbers of one vector."""


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in their order, as many at a time as one request may have."""
    batch: list[str] = []
    tokens = 0
    for text in texts:
        more = about_tokens(text)
        if batch and (len(batch) == MOST_TEXTS or tokens + more > MOST_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += more
    if batch:
        yield batch


async def vectors_of(connection: Connection, texts: list[str]) -> tuple[list[list[float]], int | None]:
    """One vector of unit length per text, and how many tokens they were, if the server tells."""
    endpoint = connection.endpoint
    # Some servers refuse an empty text, and some only one among others.
    body = {"model": endpoint.model, "input": [text or " " for text in texts], "encoding_format": "float"}
    answer = mapping(await patiently(lambda: fetch(connection, "/embeddings", body)))
    found: dict[int, list[float]] = {}
    for position, entry in enumerate(items(answer.get("data"))):
        index = count(mapping(entry).get("index"))
        vector = _unit(mapping(entry).get("embedding"))
        if vector is None:
            raise unreadable(endpoint)
        found[position if index is None else index] = vector
    if found.keys() != set(range(len(texts))) or len({len(vector) for vector in found.values()}) != 1:
        raise ServiceError(f"{endpoint.full} made {len(found)} vectors of {len(texts)} texts, or of unequal lengths")
    return [found[at] for at in range(len(texts))], count(mapping(answer.get("usage")).get("prompt_tokens"))


def _unit(value: Any) -> list[float] | None:
    """A vector of length 1 in the same direction; None if `value` is no vector, or has no direction."""
    numbers = [number(one) for one in items(value)[: LONGEST + 1]]
    vector = [one for one in numbers if one is not None]
    if not vector or len(vector) != len(numbers) or len(vector) > LONGEST:
        return None
    length = math.hypot(*vector)
    if not math.isfinite(length) or length == 0:
        return None
    return [one / length for one in vector]
