"""How a node reaches language and embedding models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from phloem.runtime.services import Ending, ModelInfo, ModelsService, Request, Sampling
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
