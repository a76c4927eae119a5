"""One answer of a hosted model: the request put together, asked for until it comes, and paid for."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from phloem.nodes.services.models.hosted import anthropic_words, openai_words
from phloem.nodes.services.models.hosted.anthropic_answer import anthropic_pieces
from phloem.nodes.services.models.hosted.clients import Connection
from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.exchange import events
from phloem.nodes.services.models.hosted.failures import NoModel, Refused
from phloem.nodes.services.models.hosted.heard import Heard
from phloem.nodes.services.models.hosted.listing import models_of, nearest
from phloem.nodes.services.models.hosted.openai_answer import openai_pieces
from phloem.nodes.services.models.hosted.patience import patiently
from phloem.nodes.services.models.hosted.prices import price_of
from phloem.nodes.services.models.hosted.sampling import Fit, sampling_fields
from phloem.nodes.services.models.hosted.tokens import about_tokens, tokens_of
from phloem.runtime.errors import LimitReached, NodeError
from phloem.runtime.services import Ending, Meter, Request
from phloem.runtime.settings import Settings
from phloem.runtime.values import Message

if TYPE_CHECKING:
    from phloem.nodes.services.models.hosted.holding import Held

__all__ = ["Conversation"]

MOST_FITTINGS: Final = 12
"""Fields that a server may refuse, one after the other, before its refusal counts."""

Pieces = AsyncGenerator[str | Ending, None]


@dataclass(frozen=True, slots=True)
class _Begun:
    """An answer of which the first piece has come."""

    first: str | Ending
    rest: Pieces
    heard: Heard


@dataclass(frozen=True, slots=True)
class Conversation:
    """With one model on one connection. `fit` is what was learned about it, `settings` has the user's prices."""

    connection: Connection
    fit: Fit
    settings: Settings

    async def answer(
        self, messages: Sequence[Message], request: Request, meter: Meter, held: Held | None = None
    ) -> Pieces:
        """The pieces of the answer to `messages`, and its Ending; what it costs is told to the meter.

        It is asked for again while nothing of it has come. An answer that is given up has its cost estimated.
        `request` has the settings and the tools.
        """
        body = self._body(messages, request, meter.left(), held)
        meter.sent(self._endpoint.full, _shown(body))
        asked = tokens_of(messages, request.tools)
        begun = await patiently(lambda: self._begin(body, request, meter))
        piece = begun.first
        try:
            async with aclosing(begun.rest):
                while isinstance(piece, str):
                    yield piece
                    piece = await anext(begun.rest)
        except BaseException as failure:
            heard = begun.heard
            heard.written = max(heard.written or 0, about_tokens("".join(heard.said)))
            self._pay(failure, meter, heard, asked)
            raise
        self._spend(meter, begun.heard, asked)
        yield piece

    @property
    def _endpoint(self) -> Endpoint:
        return self.connection.endpoint

    def _body(
        self, messages: Sequence[Message], request: Request, left: int | None, held: Held | None
    ) -> dict[str, Any]:
        """What to send: the conversation, the settings, and what holds the answer to a form."""
        claude = self._endpoint.preset.protocol == "anthropic"
        words = anthropic_words.anthropic_body if claude else openai_words.openai_body
        body = words(self._endpoint, messages, request.tools)
        return body | sampling_fields(self._endpoint, request.sampling, left) | dict(held.fields if held else {})

    async def _begin(self, body: dict[str, Any], request: Request, meter: Meter) -> _Begun:
        """The answer with its first piece, after leaving out the fields that the server refuses."""
        endpoint, refused = self._endpoint, None
        for _ in range(MOST_FITTINGS):
            heard = Heard()
            sent = self.fit.fitted(body, endpoint, request.sampling)
            rest = self._pieces(sent, heard)
            try:
                return _Begun(await anext(rest), rest, heard)
            except Refused as failure:
                if not self.fit.learn(failure, sent, endpoint, request.sampling):
                    raise
                refused = failure
            except NoModel as failure:
                raise await self._with_nearest(failure) from None
            except BaseException as failure:
                if heard.read is not None:
                    # An answer without text that cannot be used is paid for like any other.
                    self._pay(failure, meter, heard, heard.read)
                raise
        assert refused is not None
        raise refused

    async def _pieces(self, body: dict[str, Any], heard: Heard) -> Pieces:
        """What one request is answered with."""
        claude = self._endpoint.preset.protocol == "anthropic"
        hear = anthropic_pieces if claude else openai_pieces
        path = anthropic_words.PATH if claude else openai_words.PATH
        async with (
            aclosing(events(self.connection, path, body)) as coming,
            aclosing(hear(coming, self._endpoint, heard)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    async def _with_nearest(self, failure: NoModel) -> NoModel:
        """The error for a model that is not there, with the name of the one that was probably meant."""
        with suppress(NodeError):
            found = nearest(self._endpoint.model, await models_of(self.connection))
            if found:
                return NoModel(failure.message, hint=f"Did you mean {found}?")
        return NoModel(failure.message, hint=failure.hint)

    def _pay(self, failure: BaseException, meter: Meter, heard: Heard, asked: int) -> None:
        """`_spend` for an answer that failed. LimitReached goes before another error, but not before a cancel."""
        try:
            self._spend(meter, heard, asked)
        except LimitReached:
            if isinstance(failure, NodeError):
                raise

    def _spend(self, meter: Meter, heard: Heard, asked: int) -> None:
        """Tell the meter what an answer cost: what the provider says, else an estimate."""
        read = asked if heard.read is None else heard.read
        written = about_tokens("".join(heard.said)) if heard.written is None else heard.written
        money = heard.money
        if money is None:
            price = price_of(self._endpoint, self.settings, read)
            money = price.of(read, written, heard.cached) if price is not None else 0.0
        meter.spend(read=read, written=written, cached=heard.cached, money=money)


def _shown(body: dict[str, Any]) -> str:
    """What is sent, as a person may read it: without the bytes of images."""
    return json.dumps(_without_images(body), ensure_ascii=False, indent=2)


def _without_images(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_images(one) for one in value]
    if isinstance(value, dict):
        if value.get("type") == "base64" and isinstance(value.get("data"), str):
            return {**value, "data": _size(value["data"])}
        return {key: _without_images(one) for key, one in value.items()}
    if isinstance(value, str) and value.startswith("data:image/"):
        head, _, data = value.partition(",")
        return f"{head},{_size(data)}"
    return value


def _size(data: str) -> str:
    return f"… ({len(data) * 3 // 4:,} bytes)"
