"""How a node reaches language and embedding models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from phloem.runtime.context.gate import NodeGate
from phloem.runtime.grants import LOCAL_PROVIDERS, names_server, provider_of
from phloem.runtime.grants.models import names_path
from phloem.runtime.services import Ending, ModelInfo, ModelsService, Request, Sampling, current_gate
from phloem.runtime.values import Message

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context


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

    async def answer(self, request: Request, *, model: str = "") -> AsyncGenerator[str | Ending, None]:
        """The answer to all that a Request can ask: pieces of text, and how it ended as the last."""
        full = await self.permitted(model)
        if self.context.budget.bounded:
            await self._afford(full, request.asked)
        async with aclosing(self._service.answer(full, request, self.context)) as pieces:
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
        full = await self.permitted(model)
        if self.context.budget.bounded:
            await self._afford(full, asked)
        return await self._service.structured(full, request, self.context)

    async def embed(self, texts: Sequence[str], *, model: str = "") -> list[list[float]]:
        """One vector of unit length per text."""
        full = await self.permitted(model, embedding=True)
        if self.context.budget.bounded:
            await self._afford(full, "\n".join(texts))
        return await self._service.embed(full, texts, self.context)

    async def rerank(self, query: str, texts: Sequence[str], *, model: str) -> list[float]:
        """How well each text answers the query: higher is better, on the model's own scale."""
        full = await self.permitted(model)
        if self.context.budget.bounded:
            await self._afford(full, "\n".join(f"{query}\n{text}" for text in texts))
        return await self._service.rerank(full, query, texts, self.context)

    async def count(self, asked: str | Sequence[Message], *, model: str = "") -> int:
        """How many tokens the model reads when it is asked this; rather too many where it can only be estimated."""
        return await self._service.count(await self.permitted(model), asked)

    async def about(self, model: str = "") -> ModelInfo:
        """What is known of the model, without loading it."""
        return await self._service.about(await self.permitted(model))

    async def identity(self, model: str = "", *, embedding: bool = False) -> str:
        """A text that changes when the model's answers may: a part of what a model node's result depends on."""
        return await self._service.identity(await self.permitted(model, embedding=embedding))

    def name(self, model: str, *, embedding: bool = False) -> str:
        """The full name of a model, if it may be used. In a replay any may: nothing is asked that was recorded."""
        scope = self.context.scope
        chosen = model or (scope.embedding if embedding else scope.model)
        if scope.answers is not None and scope.answers.replays:
            return self.full_name(chosen)
        return scope.permissions.model(chosen, trusted=chosen in scope.trusted_models)

    def full_name(self, model: str) -> str:
        """`provider:name`, a path in it made absolute, whether or not the model may be used."""
        if names_server(model):
            return model
        provider = provider_of(model)
        rest = model.removeprefix(f"{provider}:")
        if provider in LOCAL_PROVIDERS and names_path(provider, rest):
            rest = str(self.context.scope.permissions.path(rest))
        return f"{provider}:{rest}"

    async def permitted(self, model: str, *, embedding: bool = False) -> str:
        """`name`, for which a missing grant may be asked. Who connects for this model asks on behalf of this node."""
        full = await self.context.permitted(lambda: self.name(model, embedding=embedding))
        current_gate.set(NodeGate(self.context, vouched=not names_server(full)))
        return full

    async def _outside(self, model: str) -> ModelsService:
        """The service, to ask `model` what a replay has no answer to: for that it has to be allowed after all."""
        scope = self.context.scope
        if model and scope.answers is not None and scope.answers.replays:
            trusted = model in scope.trusted_models
            await self.context.permitted(lambda: scope.permissions.model(model, trusted=trusted))
        service: ModelsService = scope.services.get("models")
        return service

    async def _afford(self, model: str, asked: str | Sequence[Message]) -> None:
        """LimitReached if reading what is asked would pass a limit: then nothing is sent.

        Only the prompt is looked at: an answer stops where the limit is.
        """
        read = await self._service.count(model, asked)
        self.context.budget.afford(read, await self._service.estimate(model, read, 0))

    @property
    def _service(self) -> ModelsService:
        scope = self.context.scope
        service: ModelsService
        if scope.answers is None:
            service = scope.services.get("models")
        else:
            from phloem.runtime.recording.models import RecordedModels

            service = RecordedModels(scope.answers, self.context, self._outside)
        return service if scope.trace is None else scope.trace.models(service, self.context.node)
