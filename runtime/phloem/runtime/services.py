"""What stands behind a Context, as the runtime sees it: the packages that do the work implement these.

A service is found through the entry-point group `phloem.services` by its name (`models`, `http`,
`collections`), made once per process by calling the entry point with the Home, on first use.
Everything here has been allowed already, except what only the service can see (the addresses that a
name resolves to, the hosts a redirect leads to): for those it is given a `Gate` to ask.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict

from phloem.runtime.values import Collection, Hit, Message, ToolCall

if TYPE_CHECKING:
    from phloem.runtime.egress import Egress

__all__ = [
    "Chance",
    "CollectionsService",
    "Ending",
    "Gate",
    "HttpAnswer",
    "HttpService",
    "Meter",
    "ModelInfo",
    "ModelsService",
    "Request",
    "Sampling",
    "Tool",
    "current_gate",
]


class Sampling(TypedDict, total=False):
    """How a model chooses its words. What is left out takes the model's default.

    `max_tokens` bounds the answer; `temperature` 0 always takes the likeliest token; `seed` makes
    chance repeatable; generation ends before any text in `stop`. With `logprobs` the ending of an answer
    tells how likely each token was, beside that many others that could have stood there.
    """

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int | None
    stop: Sequence[str]
    logprobs: int


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a model may ask to have done: `parameters` is the JSON Schema of the arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a text model is asked.

    `asked` is a conversation, or one prompt: what the user says, which a model that was not made for
    conversation goes on writing. `form` has exactly one of `schema`, `pattern`, `choices` and `grammar`
    (GBNF), and the answer fits it; with `close` one that max_tokens cuts off is closed in the shortest
    way that fits, instead of being an error.
    """

    asked: str | tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    form: Mapping[str, Any] | None = None
    close: bool = False
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Chance:
    """One token of an answer: the natural logarithm of its probability, and the likeliest others in its place."""

    text: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended.

    `finish` is `stop` for one that is complete, `length` for one that was cut off, `calls` for one that asks
    for tools, and `refused` when the provider withheld it. `model` is what the provider says answered.
    """

    finish: Literal["stop", "length", "calls", "refused"] = "stop"
    calls: tuple[ToolCall, ...] = ()
    chances: tuple[Chance, ...] = ()
    model: str = ""


class Meter(Protocol):
    """Told what a call costs while it goes on."""

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        """Add tokens read and written, those of the read ones that were read before and cost less, and US dollars.

        LimitReached when a limit is passed: whoever is told lets it through and frees what it holds.
        """
        ...

    def left(self) -> int | None:
        """How many tokens may still be spent; None without a limit.

        It may bound an answer: one that is cut off there has passed the limit, since its prompt counts too.
        """
        ...

    def sent(self, model: str, text: str) -> None:
        """The exact text that goes to a model, for those who asked to see it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a model: None for what is not. `size` is bytes, `context` tokens.

    `details` are more facts, as JSON values, in the order in which to show them.
    """

    name: str
    provider: str
    makes: Literal["text", "vectors", "scores"]
    context: int | None = None
    size: int | None = None
    parameters: int | None = None
    path: str = ""
    loaded: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


class ModelsService(Protocol):
    """Language and embedding models, by full name (`local:demo`). Errors are ServiceError or InputError."""

    def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        """The answer, piece by piece, and one Ending at the end."""
        ...

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        """The value that the answer to a request with a form stands for: it is complete, and fits."""
        ...

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        """One vector of unit length per text."""
        ...

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        """How well each text answers the query: higher is better, on the model's own scale."""
        ...

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        """How many tokens the model reads when it is asked this; an estimate that is rather too high where the
        model is elsewhere."""
        ...

    async def about(self, model: str) -> ModelInfo:
        """What is known of the model, without loading it."""
        ...

    async def list(self) -> list[ModelInfo]:
        """The models that are there without asking anyone outside."""
        ...

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        """What that many tokens cost, in US dollars; None if nobody knows the price."""
        ...

    async def identity(self, model: str) -> str:
        """A text that changes when the model's answers may: for a file, the digest of its content."""
        ...


class Gate(Protocol):
    """Asked before every look-up and every connection, redirects included, and told of each exchange afterwards."""

    def lookup(self, host: str, port: int) -> None:
        """PermissionNeeded unless the name may be looked up: asking for it tells a name server that it is asked for."""
        ...

    def connect(self, host: str, port: int, address: str) -> None:
        """PermissionNeeded unless `address`, which `host` resolved to, may be reached."""
        ...

    async def allowed(self, check: Callable[[], None]) -> None:
        """Return when `check`, a call of the two above that was refused, is allowed after all: somebody may be asked.

        It raises what `check` raises if nobody allows it. Waiting for a person takes as long as it takes.
        """
        ...

    def told(self, egress: Egress) -> None:
        """An exchange is over, or did not come about. Its `node` is still empty."""
        ...


current_gate: Final[ContextVar[Gate | None]] = ContextVar("current_gate", default=None)
"""The gate of the node for which a model is asked. None: the user asks, by a command of their own."""


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

    async def note(self, name: str) -> str:
        """What was noted of the collection, besides its content; empty if nothing was."""
        ...

    async def keep_note(self, name: str, note: str) -> None:
        """Note something of the collection, in place of what was noted. InputError if there is no such collection."""
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
