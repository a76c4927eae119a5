"""The models service with a span for each call, by OpenTelemetry's conventions for generative models."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from phloem.runtime.grants import LOCAL_PROVIDERS, host_of, names_server, provider_of
from phloem.runtime.grants.hosts import without_port
from phloem.runtime.grants.models import names_path
from phloem.runtime.services import Ending, Meter, ModelInfo, ModelsService, Request
from phloem.runtime.values import Message

if TYPE_CHECKING:
    from phloem.runtime.tracing.runs import RunTrace

__all__ = ["TracedModels"]

LONGEST: Final = 100_000
"""Characters of a prompt or an answer, where they are told at all."""
_REQUEST: Final = {
    "max_tokens": "gen_ai.request.max_tokens", "temperature": "gen_ai.request.temperature",
    "top_k": "gen_ai.request.top_k", "top_p": "gen_ai.request.top_p", "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
}  # fmt: skip
_FINISH: Final = {"calls": "tool_call", "refused": "content_filter"}
_PROVIDERS: Final = {"azure": "azure.ai.openai", "gemini": "gcp.gemini", "mistral": "mistral_ai"}
"""What the conventions call a provider, where that is not what we call it."""


class TracedModels:
    """A ModelsService that makes a span of each call of one node, and asks another service to do it."""

    def __init__(self, service: ModelsService, trace: RunTrace, node: str) -> None:
        self._service = service
        self._trace = trace
        self._node = node

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        with self._call(_operation(model, request), model, meter, request) as call:
            call.span.set_attribute("gen_ai.request.stream", True)
            async with aclosing(self._service.answer(model, request, call)) as pieces:
                async for piece in pieces:
                    call.came(piece)
                    yield piece

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        with self._call(_operation(model, request), model, meter, request) as call:
            value = await self._service.structured(model, request, call)
            if self._trace.content:
                call.tell_answer(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), "stop")
            return value

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        with self._call("embeddings", model, meter) as call:
            call.span.set_attribute("phloem.texts", len(texts))
            vectors = await self._service.embed(model, texts, call)
            if vectors:
                call.span.set_attribute("gen_ai.embeddings.dimension.count", len(vectors[0]))
            return vectors

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        with self._call("rerank", model, meter) as call:
            call.span.set_attribute("phloem.texts", len(texts))
            return await self._service.rerank(model, query, texts, call)

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        return await self._service.count(model, asked)

    async def about(self, model: str) -> ModelInfo:
        return await self._service.about(model)

    async def list(self) -> list[ModelInfo]:
        return await self._service.list()

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        return await self._service.estimate(model, read, written)

    async def identity(self, model: str) -> str:
        return await self._service.identity(model)

    @contextmanager
    def _call(self, operation: str, model: str, meter: Meter, request: Request | None = None) -> Iterator[_Call]:
        """A call that is under way: a span that ends with it, and tells its error."""
        name, attributes = _named(model)
        attributes |= {"gen_ai.operation.name": operation, "phloem.node": self._node}
        if request is not None:
            attributes |= _asked(request)
        kind = SpanKind.INTERNAL if _is_here(model) else SpanKind.CLIENT
        span = self._trace.tracer.start_span(f"{operation} {name}", self._trace.around(self._node), kind, attributes)
        call = _Call(span, meter, content=self._trace.content)
        if request is not None and self._trace.content:
            span.set_attribute("gen_ai.input.messages", _messages(request.asked))
        try:
            yield call
        except GeneratorExit:
            # Whoever asked has read enough.
            raise
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, str(getattr(error, "message", error))[:2_000]))
            raise
        finally:
            call.end()


class _Call:
    """One call of a model: a Meter that counts for its span, and hands on to that of the node."""

    def __init__(self, span: Span, meter: Meter, *, content: bool) -> None:
        self.span = span
        self._meter = meter
        self._began = time.perf_counter()
        self._first = True
        self._read = self._written = self._cached = 0
        self._money = 0.0
        self._pieces: list[str] | None = [] if content else None

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        self._read += read
        self._written += written
        self._cached += cached
        self._money += money
        self._meter.spend(read=read, written=written, cached=cached, money=money)

    def left(self) -> int | None:
        return self._meter.left()

    def sent(self, model: str, text: str) -> None:
        self._meter.sent(model, text)

    def came(self, piece: str | Ending) -> None:
        if self._first:
            self._first = False
            self.span.set_attribute("gen_ai.response.time_to_first_chunk", time.perf_counter() - self._began)
        if isinstance(piece, Ending):
            finish = _FINISH.get(piece.finish, piece.finish)
            self.span.set_attribute("gen_ai.response.finish_reasons", [finish])
            if piece.model:
                self.span.set_attribute("gen_ai.response.model", piece.model)
            if self._pieces is not None:
                self.tell_answer("".join(self._pieces), finish, piece)
        elif self._pieces is not None:
            self._pieces.append(piece)

    def tell_answer(self, text: str, finish: str, ending: Ending | None = None) -> None:
        parts: list[dict[str, Any]] = [{"type": "text", "content": text[:LONGEST]}] if text else []
        for one in ending.calls if ending else ():
            parts.append({"type": "tool_call", "id": one.id, "name": one.name, "arguments": one.arguments})
        message = {"role": "assistant", "parts": parts, "finish_reason": finish}
        self.span.set_attribute("gen_ai.output.messages", json.dumps([message], ensure_ascii=False, default=str))

    def end(self) -> None:
        spent = {
            "gen_ai.usage.input_tokens": self._read, "gen_ai.usage.output_tokens": self._written,
            "gen_ai.usage.cache_read.input_tokens": self._cached, "phloem.cost.usd": self._money,
        }  # fmt: skip
        self.span.set_attributes({name: amount for name, amount in spent.items() if amount})
        self.span.end()


def _is_here(model: str) -> bool:
    """True for a model that runs on this machine, in a process of ours."""
    return not names_server(model) and provider_of(model) in LOCAL_PROVIDERS


def _operation(model: str, request: Request) -> str:
    """Servers are asked for the next turn of a conversation, whatever form the prompt has."""
    return "text_completion" if isinstance(request.asked, str) and _is_here(model) else "chat"


def _named(model: str) -> tuple[str, dict[str, Any]]:
    """A model's name as its provider has it, and what says whose it is."""
    if names_server(model):
        address, _, name = model.partition("#")
        host = host_of(address)
        bare = without_port(host)
        usual = "443" if address.startswith("https:") else "80"
        place = {"server.address": bare.strip("[]"), "server.port": int(host[len(bare) + 1 :] or usual)}
        return name or bare, {"gen_ai.provider.name": "openai", "gen_ai.request.model": name, **place}
    provider = provider_of(model)
    name = model.removeprefix(f"{provider}:")
    if provider in LOCAL_PROVIDERS and names_path(provider, name):
        # A path tells who works here.
        name = PureWindowsPath(name).name
    return name, {"gen_ai.provider.name": _PROVIDERS.get(provider, provider), "gen_ai.request.model": name}


def _asked(request: Request) -> dict[str, Any]:
    """How an answer was asked for, without what was asked."""
    found: dict[str, Any] = {}
    for key, attribute in _REQUEST.items():
        value: Any = request.sampling.get(key)
        if value is not None and value != ():
            found[attribute] = list(value) if key == "stop" else value
    if request.form:
        form = next(iter(request.form))
        found["gen_ai.output.type"] = "json" if form == "schema" else "text"
        found["phloem.form"] = form
    return found


def _messages(asked: str | tuple[Message, ...]) -> str:
    """What was asked, as the conventions have it."""
    messages = [Message("user", asked)] if isinstance(asked, str) else asked
    told: list[dict[str, Any]] = []
    for one in messages:
        if one.role == "tool":
            answer = {"type": "tool_call_response", "id": one.call_id, "response": one.content[:LONGEST]}
            told.append({"role": "tool", "parts": [answer]})
            continue
        parts: list[dict[str, Any]] = [{"type": "text", "content": one.content[:LONGEST]}] if one.content else []
        parts += [
            {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments} for call in one.calls
        ]
        told.append({"role": one.role, "parts": parts})
    return json.dumps(told, ensure_ascii=False, default=str)
