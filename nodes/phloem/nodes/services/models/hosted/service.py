"""The backend for hosted models: what a Context asks for, asked of a provider's server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from phloem.nodes.services.models.hosted.endpoints import (
    QUICK,
    Endpoint,
    endpoint_of,
    keyless_endpoint_of,
    provider_names,
)
from phloem.nodes.services.models.hosted.prices import Price, context_of, price_of
from phloem.nodes.services.models.hosted.tokens import about_tokens, tokens_of
from phloem.runtime.errors import InputError, PhloemError, SettingError
from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Meter, ModelInfo, Request
from phloem.runtime.settings import Settings
from phloem.runtime.values import Message

if TYPE_CHECKING:
    import ssl

    from phloem.nodes.services.models.hosted.clients import Connection
    from phloem.nodes.services.models.hosted.conversation import Conversation
    from phloem.nodes.services.models.hosted.holding import Held
    from phloem.nodes.services.models.hosted.sampling import Fit
    from phloem.nodes.services.models.hosted.structured import Answered

__all__ = ["HostedModels"]

MOST_REMEMBERED: Final = 1_000


class HostedModels:
    """All models that are elsewhere. The methods are those of ModelsService; a model is given by its full name.

    It belongs to no event loop and no thread: connections are kept for each loop. `tls` replaces the
    system's authorities for https.
    """

    def __init__(self, home: Home, *, tls: ssl.SSLContext | None = None) -> None:
        self._home = home
        self._tls = tls
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, Connection]]
        self._connections = WeakKeyDictionary()
        self._fits: dict[tuple[str, str], Fit] = {}
        self._held: dict[tuple[str, str, str], str] = {}
        self._told: dict[tuple[str, str], ModelInfo] = {}
        self._lock = threading.Lock()

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        """The answer, piece by piece, and one Ending at the end.

        Nothing is asked again once a piece was given out. With a form the answer comes in one piece, when it
        is known to fit.
        """
        if request.form is not None:
            value = await self.structured(model, request, meter)
            yield _written(value) if "schema" in request.form else value
            yield Ending()
            return
        conversation = await self._conversation(model)
        async with aclosing(conversation.answer(_messages(request), request, meter)) as pieces:
            async for piece in pieces:
                yield piece

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        """The value that the answer to a request with a form stands for: it is complete, and fits.

        The server is made to keep to the form in its provider's best way, else in the next one that it accepts, which
        is remembered.
        """
        conversation = await self._conversation(model)
        from phloem.nodes.services.models.hosted.endings import CutCall
        from phloem.nodes.services.models.hosted.holding import ways_to_hold
        from phloem.nodes.services.models.hosted.structured import Answered, held_answer

        assert request.form is not None
        if request.tools:
            raise SettingError("an answer in a form calls no tools", hint="Leave out the tools, or the form.")
        endpoint = conversation.connection.endpoint
        ways = await asyncio.to_thread(ways_to_hold, request.form, endpoint)
        place = (endpoint.url, endpoint.model, _written(request.form))
        names: list[str] = [held.way for held in ways]
        known = names.index(self._held[place]) if self._held.get(place) in names else 0

        async def ask(messages: Sequence[Message], held: Held) -> Answered:
            texts: list[str] = []
            ending = Ending()
            try:
                async with aclosing(conversation.answer(messages, request, meter, held)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, str):
                            texts.append(piece)
                        else:
                            ending = piece
            except CutCall as cut:
                # The only tool is the form, so this is the answer.
                return Answered(cut.written, Ending("length"))
            if held.by_tool and ending.calls:
                return Answered(_written(ending.calls[0].arguments), replace(ending, finish="stop"))
            return Answered("".join(texts), ending)

        value, held = await held_answer(_messages(request), ways[known:], ask, endpoint, close=request.close)
        if len(self._held) < MOST_REMEMBERED:
            self._held[place] = held.way
        return value

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        """One vector of unit length per text, asked for in batches, one after the other."""
        connection = await self._connect(model)
        endpoint = connection.endpoint
        if endpoint.preset.protocol == "anthropic":
            raise InputError(
                "anthropic has no models that make vectors", hint="Choose an embedding model, such as local:minilm."
            )
        from phloem.nodes.services.models.hosted.vectors import batches, vectors_of

        settings = await asyncio.to_thread(Settings.load, self._home)
        found: list[list[float]] = []
        for batch in batches(texts):
            for text in batch:
                meter.sent(model, text)
            vectors, read = await vectors_of(connection, batch)
            found += vectors
            read = sum(map(about_tokens, batch)) if read is None else read
            price = price_of(endpoint, settings, read)
            meter.spend(read=read, money=price.of(read, 0) if price else 0.0)
        return found

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        """InputError: no provider here ranks texts."""
        raise InputError(
            f"{model} cannot rank texts: hosted models write, or make vectors",
            hint="Choose a reranking model, such as sentence-transformers:cross-encoder/ms-marco-MiniLM-L6-v2.",
        )

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        """About how many tokens the model reads when it is asked this, rather too many. Nothing is sent.

        It is an estimate: the tokenizers of hosted models are not here.
        """
        return tokens_of(asked)

    async def about(self, model: str) -> ModelInfo:
        """What is known of the model: by the table of well-known ones, else by its server, if that answers at once.

        `priced` among the details says whether its price is known; where it is not, its answers count as free.
        """
        settings = await asyncio.to_thread(Settings.load, self._home)
        endpoint = keyless_endpoint_of(model, settings)
        price, context = await asyncio.to_thread(lambda: (price_of(endpoint, settings), context_of(endpoint)))
        info = None if context else await self._listed(model, endpoint)
        if info is None:
            makes: Any = "vectors" if "embed" in endpoint.model.lower() else "text"
            info = ModelInfo(name=model, provider=endpoint.provider, makes=makes, context=context)
        details: dict[str, Any] = {"server": endpoint.host, "priced": price is not None}
        if price is not None:
            details["dollars_per_million"] = {"in": price.read, "out": price.written, "cached": price.cached}
        return replace(info, name=model, details={**info.details, **details})

    async def identity(self, model: str) -> str:
        """The provider, its address and the model's name: a text that changes when the model's answers may.

        A provider can change what is behind a name without telling, so this promises less than the digest of a
        file. It is enough for the cache all the same: what is kept is an answer that this model gave to this
        very question, with no chance wanted (temperature 0) or chance made repeatable (a seed), and asking
        again costs money. Names with a date (`gpt-4o-2024-08-06`) do not change; whoever wants a new answer
        from one without runs without the cache.
        """
        endpoint = keyless_endpoint_of(model, await asyncio.to_thread(Settings.load, self._home))
        return f"{endpoint.provider} {endpoint.url} {endpoint.model}"

    def price(self, model: str) -> Price | None:
        """What the model's tokens cost; None if nobody knows. Takes half a second the first time."""
        settings = Settings.load(self._home)
        return price_of(keyless_endpoint_of(model, settings), settings)

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        """What so many tokens of the model cost in US dollars; None if nobody knows. Nothing is sent."""
        settings = await asyncio.to_thread(Settings.load, self._home)
        price = await asyncio.to_thread(price_of, keyless_endpoint_of(model, settings), settings, read)
        return None if price is None else price.of(read, written)

    async def remote(self, provider: str) -> list[ModelInfo]:
        """The models that a provider lists; none if it has no key, or does not answer within a few seconds."""
        with suppress(PhloemError, TimeoutError):
            # What is ours to load first is not the provider's time.
            connection = await self._connect(f"{provider}:", quick=True)
            from phloem.nodes.services.models.hosted.listing import models_of

            async with asyncio.timeout(2 * QUICK.total):
                return await models_of(connection)
        return []

    async def list(self) -> list[ModelInfo]:
        """The models of every provider that has a key, and of servers on this machine that answer at once.

        All are asked at the same time, for a few seconds; one that fails has none.
        """
        settings = await asyncio.to_thread(Settings.load, self._home)
        found = await asyncio.gather(*(self.remote(name) for name in provider_names(settings)))
        return [info for one in found for info in one]

    async def close(self) -> None:
        """Close the connections of the running loop, and drop those of loops that have ended."""
        with self._lock:
            made = self._connections.pop(asyncio.get_running_loop(), {})
            for ended in [loop for loop in self._connections if loop.is_closed()]:
                del self._connections[ended]
        for connection in made.values():
            await connection.close()

    async def _conversation(self, model: str) -> Conversation:
        connection = await self._connect(model)
        from phloem.nodes.services.models.hosted.conversation import Conversation
        from phloem.nodes.services.models.hosted.sampling import Fit

        endpoint = connection.endpoint
        fit = self._fits.setdefault((endpoint.url, endpoint.model), Fit())
        return Conversation(connection, fit, await asyncio.to_thread(Settings.load, self._home))

    async def _connect(self, model: str, *, quick: bool = False) -> Connection:
        """The connection to the server of a model, kept for this loop; a `quick` one does not wait for it long."""
        endpoint = await asyncio.to_thread(self._endpoint, model)
        if quick:
            endpoint = replace(endpoint, seconds=QUICK)
        elif not endpoint.model:
            raise InputError(f"{model!r} names no model", hint=f"Write {endpoint.provider}:NAME.")
        from phloem.nodes.services.models.hosted.clients import connect

        # One client serves all models of a server.
        server = (endpoint.preset.name, endpoint.url, endpoint.version, endpoint.key, endpoint.seconds)
        loop = asyncio.get_running_loop()
        with self._lock:
            kept = self._connections.setdefault(loop, {})
            if server not in kept:
                kept[server] = connect(endpoint, self._tls)
            return replace(kept[server], endpoint=endpoint)

    def _endpoint(self, model: str) -> Endpoint:
        """Where the model is asked. Runs in a thread, with all that takes its time: keyring, SDK, price table."""
        from phloem.nodes.services.models.hosted.clients import load

        settings = Settings.load(self._home)
        endpoint = endpoint_of(model, settings)
        load(endpoint.preset.protocol)
        price_of(endpoint, settings)
        return endpoint

    async def _listed(self, model: str, endpoint: Endpoint) -> ModelInfo | None:
        """What the server's own list says of one model, if it answers at once and has it. Asked for once."""
        place = (endpoint.url, endpoint.model)
        names = (f"{endpoint.provider}:{endpoint.model}", f"{endpoint.url}#{endpoint.model}")
        with suppress(PhloemError, TimeoutError):
            if place not in self._told:
                connection = await self._connect(model, quick=True)
                from phloem.nodes.services.models.hosted.listing import models_of

                found = await models_of(connection)
                self._told.update((place, info) for info in found if info.name in names)
        return self._told.get(place)


def _messages(request: Request) -> tuple[Message, ...]:
    asked = (Message("user", request.asked),) if isinstance(request.asked, str) else tuple(request.asked)
    if not any(message.content.strip() or message.images or message.calls for message in asked):
        raise InputError("there is nothing to answer", hint="Give a prompt.")
    return asked


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
