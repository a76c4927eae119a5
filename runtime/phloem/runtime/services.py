"""What stands behind a Context, as the runtime sees it: the packages that do the work implement these.

A service is found through the entry-point group `phloem.services` by its name (`models`, `http`,
`collections`), made once per process by calling the entry point with the Home, on first use.
Everything here has been allowed already, except what only the service can see (the addresses that a
name resolves to, the hosts a redirect leads to): for those it is given a `Gate` to ask.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

from phloem.runtime.values import Collection, Hit, Message

__all__ = ["CollectionsService", "Gate", "HttpAnswer", "HttpService", "ModelsService", "Sampling", "Usage"]


class Sampling(TypedDict, total=False):
    """How a model chooses its words. What is left out takes the model's default.

    `max_tokens` bounds the answer; `temperature` 0 always takes the likeliest token; `seed` makes
    chance repeatable; generation ends before any text in `stop`.
    """

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int | None
    stop: Sequence[str]


Usage = Callable[[int, int], None]
"""Told how many tokens a call read and how many it wrote."""


class ModelsService(Protocol):
    """Language and embedding models, by full name (`local:demo`). Errors are ServiceError or InputError."""

    def generate(self, model: str, prompt: str, sampling: Sampling, usage: Usage) -> AsyncIterator[str]:
        """The continuation of `prompt`, piece by piece."""
        ...

    def chat(self, model: str, messages: Sequence[Message], sampling: Sampling, usage: Usage) -> AsyncIterator[str]:
        """The next turn of a conversation, piece by piece."""
        ...

    async def structured(
        self, model: str, prompt: str, form: Mapping[str, Any], sampling: Sampling, usage: Usage
    ) -> Any:
        """An answer that fits `form`, which has one of `schema`, `pattern`, `choices`."""
        ...

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """One vector of unit length per text."""
        ...

    async def identity(self, model: str) -> str:
        """A text that changes when the model's answers may: for a file, the digest of its content."""
        ...


class Gate(Protocol):
    """Asked by the http service before every connection, redirects included."""

    def connect(self, host: str, port: int, address: str) -> None:
        """PermissionNeeded unless `address`, which `host` resolved to, may be reached."""
        ...


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered. `url` is where the last redirect led; header names are in lower case."""

    url: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class HttpService(Protocol):
    async def request(
        self,
        gate: Gate,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        limit: int,
    ) -> HttpAnswer:
        """One exchange, redirects followed. `timeout` is seconds for all of it, `limit` bytes of body.

        ServiceError when there is no answer, or one larger than `limit`.
        """
        ...


class CollectionsService(Protocol):
    """Named collections of vectors with their texts, kept in the home."""

    async def add(
        self,
        name: str,
        model: str,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadata: Sequence[Mapping[str, Any]],
    ) -> Collection:
        """Put these in, replacing what has the same id. InputError if the collection is of another model."""
        ...

    async def search(self, name: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None) -> list[Hit]:
        """The `k` nearest, nearest first. InputError if there is no such collection."""
        ...

    async def about(self, name: str) -> Collection | None:
        """The collection of that name, if there is one."""
        ...

    async def state(self, name: str) -> str:
        """A text that changes whenever the collection's content does; empty if there is none."""
        ...

    async def keep_only(self, name: str, ids: Sequence[str]) -> int:
        """Remove everything under other ids; how many items those were. InputError if there is no such collection."""
        ...

    async def clear(self, name: str) -> int:
        """Remove the collection with all it holds; how many items those were."""
        ...

    async def digest(self, name: str, ids: Sequence[str]) -> str:
        """A hash of what the collection holds under these ids; empty if any is missing."""
        ...
