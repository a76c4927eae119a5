"""The models of a run that is recorded or replayed."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from phloem.runtime.recording.answers import Answers
from phloem.runtime.services import Chance, Ending, Meter, ModelInfo, ModelsService, Request
from phloem.runtime.values import Message, ToolCall

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["RecordedModels"]

Result = TypeVar("Result")


class RecordedModels:
    """A ModelsService for one node: `outside` gives the one to ask for a model, if it is to be asked."""

    def __init__(self, answers: Answers, context: Context, outside: Callable[[str], Awaitable[ModelsService]]) -> None:
        self._answers = answers
        self._context = context
        self._outside = outside

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        async def ask(listening: Meter) -> AsyncGenerator[str | Ending, None]:
            service = await self._outside(model)
            async with aclosing(service.answer(model, request, listening)) as pieces:
                async for piece in pieces:
                    yield piece

        question = self._request(model, request)
        stream = self._answers.stream(self._context, "answer", question, ask, turn=_ending_data, back=_ending)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                yield piece

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        question = self._request(model, request)
        return await self._ask("structured", model, question, lambda one, told: one.structured(model, request, told))

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        question = {"model": self._name(model), "texts": list(texts)}
        return await self._ask("embed", model, question, lambda one, told: one.embed(model, texts, told))

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        question = {"model": self._name(model), "query": query, "texts": list(texts)}
        return await self._ask("rerank", model, question, lambda one, told: one.rerank(model, query, texts, told))

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        question = {"model": self._name(model), **_asked(asked)}
        return await self._ask("count", model, question, lambda one, _: one.count(model, asked), fact=True)

    async def about(self, model: str) -> ModelInfo:
        async def ask(service: ModelsService, _: Meter) -> dict[str, Any]:
            return self._info_data(await service.about(model))

        return _info(await self._ask("about", model, {"model": self._name(model)}, ask, fact=True))

    async def list(self) -> list[ModelInfo]:
        async def ask(service: ModelsService, _: Meter) -> list[dict[str, Any]]:
            return [self._info_data(one) for one in await service.list()]

        return [_info(one) for one in await self._ask("list", "", {}, ask, fact=True)]

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        question = {"model": self._name(model), "read": read, "written": written}
        return await self._ask(
            "estimate", model, question, lambda one, _: one.estimate(model, read, written), fact=True
        )

    async def identity(self, model: str) -> str:
        question = {"model": self._name(model)}
        return await self._ask("identity", model, question, lambda one, _: one.identity(model), fact=True)

    async def _ask(
        self,
        call: str,
        model: str,
        question: Mapping[str, Any],
        ask: Callable[[ModelsService, Meter], Awaitable[Result]],
        *,
        fact: bool = False,
    ) -> Result:
        async def outside(listening: Meter) -> Result:
            return await ask(await self._outside(model), listening)

        return await self._answers.ask(self._context, call, question, outside, fact=fact)

    def _name(self, model: str) -> str:
        return self._answers.portable_model(model)

    def _request(self, model: str, request: Request) -> dict[str, Any]:
        """What is asked of a text model, in the words of the settings."""
        question = {"model": self._name(model), **_asked(request.asked)}
        question |= {name: value for name, value in request.sampling.items() if value is not None and value != ()}
        if request.form is not None:
            question |= dict(request.form)
        if request.close:
            question["close"] = True
        if request.tools:
            question["tools"] = [dataclasses.asdict(one) for one in request.tools]
        return question

    def _info_data(self, info: ModelInfo) -> dict[str, Any]:
        data = {one.name: getattr(info, one.name) for one in dataclasses.fields(info)}
        path = info.path and self._answers.portable(info.path)
        return {**data, "path": path, "details": dict(info.details)}


def _asked(asked: str | Sequence[Message]) -> dict[str, Any]:
    if isinstance(asked, str):
        return {"prompt": asked}
    fields = ("role", "content", "images", "calls", "call_id")
    return {"messages": [{name: value for name in fields if (value := getattr(one, name))} for one in asked]}


def _ending_data(ending: Ending) -> dict[str, Any]:
    data: dict[str, Any] = {"finish": ending.finish, "model": ending.model, "calls": list(ending.calls)}
    data["chances"] = [[one.text, one.logprob, [list(other) for other in one.others]] for one in ending.chances]
    return {name: value for name, value in data.items() if value}


def _ending(data: Mapping[str, Any]) -> Ending:
    calls = tuple(one for one in data.get("calls", ()) if isinstance(one, ToolCall))
    chances = tuple(
        Chance(str(text), float(logprob), tuple((str(other), float(chance)) for other, chance in others))
        for text, logprob, others in data.get("chances", ())
    )
    return Ending(data.get("finish", "stop"), calls, chances, str(data.get("model", "")))


def _info(data: Mapping[str, Any]) -> ModelInfo:
    known = {one.name for one in dataclasses.fields(ModelInfo)}
    return ModelInfo(**{name: value for name, value in data.items() if name in known})
