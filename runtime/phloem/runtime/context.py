"""The one door from a node to the outside world.

Every node function that touches anything takes a Context first. Each of its parts asks Permissions
before it asks the service, so a grant that is missing is missed here and nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, aclosing
from dataclasses import InitVar, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, Unpack

from phloem.runtime.budget import Budget
from phloem.runtime.disk import file_digest, replace_file
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.grants import Permissions, is_url
from phloem.runtime.services import (
    CollectionsService,
    Ending,
    HttpAnswer,
    HttpService,
    ModelInfo,
    ModelsService,
    Request,
    Sampling,
)
from phloem.runtime.values import Collection, Hit, Message

__all__ = ["Collections", "Context", "Files", "Http", "Models", "Scope", "Services"]

Result = TypeVar("Result")

DEFAULT_MODEL = "local:demo"
DEFAULT_EMBEDDING = "local:minilm"


class Services:
    """The services of one process, each made when it is first asked for.

    `makers` has a function of no arguments for each name; a name without one is a ServiceError.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        if name not in self._made:
            maker = self._makers.get(name)
            if maker is None:
                raise ServiceError(f"nothing installed provides {name}", hint="Install phloem with its built-in nodes.")
            self._made[name] = maker()
        return self._made[name]

    async def close(self) -> None:
        """Let go of what the services hold (connections, models)."""
        made, self._made = self._made, {}
        async with AsyncExitStack() as stack:
            for service in made.values():
                close = getattr(service, "close", None)
                if close is not None:
                    stack.push_async_callback(close)


@dataclass(slots=True)
class Scope:
    """What the nodes of one run share."""

    run: str
    services: Services
    permissions: Permissions
    model: str = DEFAULT_MODEL
    embedding: str = DEFAULT_EMBEDDING
    seed: int = 0
    pool: Executor | None = None
    cancelled: bool = False
    trusted_models: frozenset[str] = frozenset()
    budget: Budget = field(default_factory=lambda: Budget(whose="the run"))
    prompts: bool = False


@dataclass(slots=True)
class Context:
    """What a node function is given to reach the outside world, once per call.

    `key` is the same for every attempt at the same piece of work: hand it to services that accept an
    idempotency key. `within` is the budget that the call spends from, if not one of its own.
    """

    scope: Scope
    node: str
    key: str = ""
    on_progress: Callable[[float | None, str], None] = lambda fraction, message: None
    on_text: Callable[[str, str], None] = lambda port, piece: None
    on_sent: Callable[[str, str], None] = lambda model, text: None
    within: InitVar[Budget | None] = None
    budget: Budget = field(init=False)
    written: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self, within: Budget | None) -> None:
        self.budget = within or Budget(parent=self.scope.budget)

    @property
    def tokens_in(self) -> int:
        """Tokens that models have read for this call so far."""
        return self.budget.read

    @property
    def tokens_out(self) -> int:
        """Tokens that models have written for this call so far."""
        return self.budget.written

    @property
    def money(self) -> float:
        """US dollars that this call has cost so far."""
        return self.budget.money

    @property
    def seed(self) -> int:
        """A number for nodes that use chance: it differs between nodes, and is the same in a repeated run."""
        text = f"{self.scope.seed}/{self.node}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) >> 1

    @property
    def cancelled(self) -> bool:
        """True once the run is to stop: long loops look at it."""
        return self.scope.cancelled

    @property
    def models(self) -> Models:
        return Models(self)

    @property
    def http(self) -> Http:
        return Http(self)

    @property
    def files(self) -> Files:
        return Files(self)

    @property
    def collections(self) -> Collections:
        return Collections(self)

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Show how far the node has come: a fraction of 1 if it is known, and a few words."""
        self.on_progress(fraction, message)

    def log(self, message: str) -> None:
        """Show a line beside the node."""
        self.on_progress(None, message)

    def emit_text(self, port: str, piece: str) -> None:
        """Show a piece of a text output while it is being made; the whole of it is still to be returned."""
        self.on_text(port, piece)

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        """Add to what the node costs: tokens, and US dollars. The models do it by themselves. See services.Meter.

        LimitReached when that is more than the node or the run may spend; ValueError for less than nothing.
        """
        self.budget.spend(read, written, money)

    def left(self) -> int | None:
        """How many tokens the node may still spend, and the run; None without a limit."""
        return self.budget.left()

    def sent(self, model: str, text: str) -> None:
        """Show the exact text that goes to a model, if the run was asked to. The models do it by themselves."""
        self.on_sent(model, text)

    async def in_thread(self, function: Callable[..., Result], /, *arguments: Any, **named: Any) -> Result:
        """`function(…)` without holding up the other nodes: for work of more than a few milliseconds."""
        call = partial(_without_stop_iteration, function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self.scope.pool, call)


def _without_stop_iteration(function: Callable[..., Result], /, *arguments: Any, **named: Any) -> Result:
    """A future cannot carry StopIteration, so a function that lets one escape would be waited for forever."""
    try:
        return function(*arguments, **named)
    except StopIteration as error:
        raise RuntimeError("StopIteration came out of a thread") from error


@dataclass(slots=True)
class Models:
    """Language and embedding models. An empty `model` is the run's default."""

    context: Context

    async def generate(
        self, prompt: str, *, model: str = "", **sampling: Unpack[Sampling]
    ) -> AsyncGenerator[str, None]:
        """The answer to `prompt`, piece by piece: its continuation, if the model was not made for conversation."""
        async with aclosing(self.answer(Request(asked=prompt, sampling=sampling), model=model)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece

    async def chat(
        self, messages: Sequence[Message], *, model: str = "", **sampling: Unpack[Sampling]
    ) -> AsyncGenerator[str, None]:
        """The next turn of a conversation, piece by piece."""
        async with aclosing(self.answer(Request(asked=tuple(messages), sampling=sampling), model=model)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece

    def answer(self, request: Request, *, model: str = "") -> AsyncGenerator[str | Ending, None]:
        """The answer to all that a Request can ask: pieces of text, and how it ended as the last."""
        full = self.name(model)
        if self.context.budget.bounded:
            return self._affordable_answer(full, request)
        return self._service.answer(full, request, self.context)

    async def _affordable_answer(self, model: str, request: Request) -> AsyncGenerator[str | Ending, None]:
        await self._afford(model, request.asked)
        async with aclosing(self._service.answer(model, request, self.context)) as pieces:
            async for piece in pieces:
                yield piece

    async def structured(
        self,
        asked: str | Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        pattern: str | None = None,
        choices: Sequence[str] | None = None,
        grammar: str | None = None,
        close: bool = False,
        model: str = "",
        **sampling: Unpack[Sampling],
    ) -> Any:
        """An answer that fits the one of `schema`, `pattern`, `choices` and `grammar` that is given. See Request."""
        form: dict[str, Any] = {"schema": schema, "pattern": pattern, "choices": choices, "grammar": grammar}
        given = {name: value for name, value in form.items() if value is not None}
        asked = asked if isinstance(asked, str) else tuple(asked)
        request = Request(asked=asked, sampling=sampling, form=given, close=close)
        full = self.name(model)
        if self.context.budget.bounded:
            await self._afford(full, asked)
        return await self._service.structured(full, request, self.context)

    async def embed(self, texts: Sequence[str], *, model: str = "") -> list[list[float]]:
        """One vector of unit length per text."""
        full = self.name(model, embedding=True)
        if self.context.budget.bounded:
            await self._afford(full, "\n".join(texts))
        return await self._service.embed(full, texts, self.context)

    async def rerank(self, query: str, texts: Sequence[str], *, model: str) -> list[float]:
        """How well each text answers the query: higher is better, on the model's own scale."""
        full = self.name(model)
        if self.context.budget.bounded:
            await self._afford(full, "\n".join(f"{query}\n{text}" for text in texts))
        return await self._service.rerank(full, query, texts, self.context)

    async def count(self, asked: str | Sequence[Message], *, model: str = "") -> int:
        """How many tokens the model reads when it is asked this; rather too many where it can only be estimated."""
        return await self._service.count(self.name(model), asked)

    async def about(self, model: str = "") -> ModelInfo:
        """What is known of the model, without loading it."""
        return await self._service.about(self.name(model))

    async def identity(self, model: str = "", *, embedding: bool = False) -> str:
        """A text that changes when the model's answers may: a part of what a model node's result depends on."""
        return await self._service.identity(self.name(model, embedding=embedding))

    def name(self, model: str, *, embedding: bool = False) -> str:
        """The full name of a model, if it may be used."""
        scope = self.context.scope
        full = model or (scope.embedding if embedding else scope.model)
        return scope.permissions.model(full, trusted=full in scope.trusted_models)

    async def _afford(self, model: str, asked: str | Sequence[Message]) -> None:
        """LimitReached if reading what is asked would pass a limit: then nothing is sent.

        Only the prompt is looked at: an answer stops where the limit is.
        """
        read = await self._service.count(model, asked)
        self.context.budget.afford(read, await self._service.estimate(model, read, 0))

    @property
    def _service(self) -> ModelsService:
        service: ModelsService = self.context.scope.services.get("models")
        return service


@dataclass(slots=True)
class Http:
    """The network."""

    context: Context

    async def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30.0,
        limit: int = 20_000_000,
    ) -> HttpAnswer:
        """One exchange with the server of `url`, redirects followed. `timeout` in seconds, `limit` in bytes."""
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url[:200]!r} is not a web address", hint="It begins with http:// or https://.")
        self.context.scope.permissions.net(url)
        service: HttpService = self.context.scope.services.get("http")
        return await service.request(
            self.context.scope.permissions, method, url, headers=headers or {}, body=body, timeout=timeout, limit=limit
        )


@dataclass(slots=True)
class Files:
    """The disk. Paths are relative to the workflow's folder; these calls block, so they belong in a thread."""

    context: Context

    def read(self, path: str, *, limit: int = 200_000_000) -> bytes:
        """The bytes of a file of at most `limit` bytes. InputError if there is none, or a larger one."""
        real = self._readable(path)
        try:
            if real.exists() and not real.is_file():
                raise InputError(f"{path} is not a file")
            with real.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise InputError(f"cannot read {path}: {_reason(error)}") from error
        if len(data) > limit:
            raise InputError(f"{path} is larger than {limit:,} bytes", hint="Split it, or raise the limit.")
        return data

    def list(self, folder: str, pattern: str = "*") -> list[str]:
        """The files below `folder` whose path in it matches the glob `pattern`, sorted, as absolute paths."""
        real = self._readable(folder)
        if not real.is_dir():
            raise InputError(f"{folder} is not a folder")
        if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise InputError(
                f"{pattern[:200]!r} is not a pattern for the files in a folder", hint="Write *.txt or **/*.md"
            )
        found = []
        for one in real.glob(pattern):
            inside = one.is_file() and one.resolve().is_relative_to(real)
            if inside:
                found.append(str(one))
        return sorted(found)

    def write(self, path: str, data: bytes, *, mode: Literal["replace", "append", "new"] = "replace") -> str:
        """Write a file, making its folders; the absolute path. A reader never sees half of a replaced file."""
        real = self.context.scope.permissions.write(path)
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
            if mode == "replace":
                replace_file(real, data)
            else:
                with real.open("ab" if mode == "append" else "xb") as file:
                    file.write(data)
        except OSError as error:
            if isinstance(error, FileExistsError) and real.exists():
                raise InputError(f"{path} is already there", hint="Choose mode replace or append.") from error
            raise ServiceError(f"cannot write {path}: {_reason(error)}") from error
        self.context.written.append(("file", str(real), file_digest(real)))
        return str(real)

    def digest(self, path: str) -> str:
        """A hash of the file's content; empty if it cannot be read."""
        return file_digest(self._readable(path))

    def _readable(self, path: str) -> Path:
        if is_url(path):
            raise InputError(f"{path[:200]!r} is a web address, not a file")
        if "\0" in path:
            raise InputError("a path cannot hold the character NUL")
        return self.context.scope.permissions.read(path)


@dataclass(slots=True)
class Collections:
    """The vector stores of the home. See CollectionsService for the errors."""

    context: Context

    async def add(
        self,
        name: str,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadata: Sequence[Mapping[str, Any]],
        *,
        model: str,
    ) -> Collection:
        """Put texts with their vectors in, replacing what has the same id; the collection is made if need be."""
        collection = await self._service.add(name, model, ids, texts, vectors, metadata)
        self.context.written.append(("collection", "\n".join([name, *ids]), await self._service.digest(name, ids)))
        return collection

    async def search(
        self, name: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The `k` nearest to `vector`, nearest first; `where` filters by metadata as Chroma does."""
        return await self._service.search(name, vector, k, where)

    async def about(self, name: str) -> Collection | None:
        """The collection of that name, if there is one."""
        return await self._service.about(name)

    async def state(self, name: str) -> str:
        """A text that changes whenever the collection's content does."""
        return await self._service.state(name)

    async def note(self, name: str) -> str:
        """What was noted of the collection, besides its content; empty if nothing was."""
        return await self._service.note(name)

    async def keep_note(self, name: str, note: str) -> None:
        """Note something of the collection, in place of what was noted: it is no part of its content."""
        await self._service.keep_note(name, note)

    async def keep_only(self, name: str, ids: Sequence[str]) -> int:
        """Remove everything under other ids; how many items those were."""
        removed = await self._service.keep_only(name, ids)
        self.context.written.append(("contents", name, await self._service.state(name)))
        return removed

    async def clear(self, name: str) -> int:
        """Remove the collection with all it holds; how many items those were."""
        return await self._service.clear(name)

    @property
    def _service(self) -> CollectionsService:
        service: CollectionsService = self.context.scope.services.get("collections")
        return service


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
