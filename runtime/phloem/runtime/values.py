"""The values that travel along links, beyond the plain ones (text, numbers, booleans, JSON, lists).

A value is never changed once it has left the node that made it: links pass it by reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = ["UNLIT", "Blob", "Collection", "Document", "Hit", "Message", "ToolCall", "Unlit"]

QUIET: Final = {"quiet": True}
"""Marks a field that the JSON form leaves out when it is empty."""


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of text that knows where it came from.

    `source` is a path or URL; `metadata` holds JSON values, such as the author, the date or the page.
    """

    text: str
    title: str = ""
    source: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search. `score` is 1 for the same direction and 0 for an unrelated one (cosine)."""

    text: str
    score: float
    id: str = ""
    source: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with a name and a media type: what a `file`, `image` or `audio` port carries."""

    data: bytes
    name: str = ""
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model asks to have done: the tool `name` called with `arguments`. `id` tells which call is answered."""

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    The user's may have `images`; the assistant's may have `calls` of tools, each of which a message of the
    role `tool` answers, whose `call_id` is the id of the call.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    images: tuple[Blob, ...] = field(default=(), metadata=QUIET)
    calls: tuple[ToolCall, ...] = field(default=(), metadata=QUIET)
    call_id: str = field(default="", metadata=QUIET)


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of vectors with their texts, and the model that made the vectors."""

    name: str
    model: str


class Unlit:
    """The type of UNLIT, which a node returns on an output that it does not light."""

    _only: Unlit | None = None

    def __new__(cls) -> Unlit:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "UNLIT"


UNLIT = Unlit()
