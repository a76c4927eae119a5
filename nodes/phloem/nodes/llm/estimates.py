"""What the kinds that ask models would have them read and write, told before a run from the inputs known by then.

Each of these gives an Estimator for a kind, and is given the names of the inputs that the model reads. An
input that is missing is one that only the run will tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from phloem.nodes.llm.conversations.building import LONGEST_SUMMARY
from phloem.nodes.llm.conversations.passages import documents_of
from phloem.runtime.budget import tokens_in
from phloem.runtime.kinds import Estimate, Estimator
from phloem.runtime.values import Message

__all__ = ["answering", "embedding", "ranking", "searching", "summarising"]

AROUND: Final = 8
"""Tokens that a chat template writes around a message, about: between 3 and 10 in the usual ones."""

Inputs = Mapping[str, Any]


def answering(*parts: str) -> Estimator:
    """For a kind that has a model write: it reads these, and writes at most max_tokens."""

    def estimate(inputs: Inputs) -> Estimate:
        read, written = _read(inputs, parts), inputs.get("max_tokens")
        if inputs.get("overflow") == "summarise":
            # What is put in short is read for that, and what is left of it again.
            read = None if read is None else 2 * read
            written = None if written is None else written + LONGEST_SUMMARY
        return Estimate(inputs.get("model"), read, written)

    return estimate


def summarising(*parts: str) -> Estimator:
    """For a kind that asks a model for nothing but to put turns in short, if at all."""

    def estimate(inputs: Inputs) -> Estimate | None:
        if inputs.get("overflow", "summarise") != "summarise":
            return None
        return Estimate(inputs.get("model"), _read(inputs, parts), LONGEST_SUMMARY)

    return estimate


def embedding(*parts: str) -> Estimator:
    """For a kind that makes vectors of these."""
    return lambda inputs: Estimate(inputs.get("model"), _read(inputs, parts), embedding=True)


def searching(inputs: Inputs) -> Estimate:
    """For a search through a collection, of which the query is read, or through texts, all of which are."""
    through = ("collection",) if isinstance(inputs.get("collection"), list | tuple) else ()
    return Estimate(inputs.get("model"), _read(inputs, ("query", *through)), embedding=True)


def ranking(inputs: Inputs) -> Estimate:
    """For a ranking, in which each document is read together with the query."""
    query, documents = _read(inputs, ("query",)), _read(inputs, ("documents",))
    if query is None or documents is None:
        return Estimate(inputs.get("model"), None)
    return Estimate(inputs.get("model"), documents + query * len(documents_of(inputs["documents"])))


def _read(inputs: Inputs, parts: tuple[str, ...]) -> int | None:
    """Tokens of what stands in these inputs; None if one of them is not known, or is images."""
    if not all(name in inputs for name in parts) or inputs.get("images"):
        return None
    return sum(_tokens(inputs[name]) for name in parts)


def _tokens(value: object) -> int:
    """Tokens of a text, of messages, documents, hits or texts in lists, or of JSON."""
    if value is None or value == "" or value == () or value == []:
        return 0
    if isinstance(value, str):
        return AROUND + tokens_in(value)
    if isinstance(value, Message):
        return AROUND + tokens_in(value.content)
    if isinstance(value, list | tuple):
        return sum(map(_tokens, value))
    text = getattr(value, "text", None)
    return AROUND + tokens_in(text if isinstance(text, str) else json.dumps(value))
