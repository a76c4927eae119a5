"""The models of a run that is recorded or replayed."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from phloem.runtime.recording.answers import Answers
from phloem.runtime.services import Chance, Ending, Meter, ModelInfo, ModelsService, Request
from phloem.runtime.values import Message, ToolCall

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["RecordedModels"]


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
        async def ask(listening: Meter) -> Any:
            return await (await self._outside(model)).structured(model, request, listening)

        return await self._answers.ask(self._context, "structured", self._request(model, request), ask)

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        async def ask(listening: Meter) -> list[list[float]]:
            return await (await self._outside(model)).embed(model, texts, listening)

        question = {"model": self._name(model), "texts": list(texts)}
        return await self._answers.ask(self._context, "embed", question, ask)

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        async def ask(listening: Meter) -> list[float]:
            return await (await self._outside(model)).rerank(model, query, texts, listening)

        question = {"model": self._name(model), "query": query, "texts": list(texts)}
        return await self._answers.ask(self._context, "rerank", question, ask)

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        async def ask(_: Meter) -> int:
            return await (await self._outside(model)).count(model, asked)

        question = {"model": self._name(model), **_asked(asked)}
        return await self._answers.ask(self._context, "count", question, ask, fact=True)

    async def about(self, model: str) -> ModelInfo:
        async def ask(_: Meter) -> dict[str, Any]:
            return self._info_data(await (await self._outside(model)).about(model))

        question = {"model": self._name(model)}
        return _info(await self._answers.ask(self._context, "about", question, ask, fact=True))

    async def list(self) -> list[ModelInfo]:
        async def ask(_: Meter) -> list[dict[str, Any]]:
            return [self._info_data(one) for one in await (await self._outside("")).list()]

        return [_info(one) for one in await self._answers.ask(self._context, "list", {}, ask, fact=True)]

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        async def ask(_: Meter) -> float | None:
            return await (await self._outside(model)).estimate(model, read, written)

        question = {"model": self._name(model), "read": read, "written": written}
        return await self._answers.ask(self._context, "estimate", question, ask, fact=True)

    async def identity(self, model: str) -> str:
        async def ask(_: Meter) -> str:
            return await (await self._outside(model)).identity(model)

        return await self._answers.ask(self._context, "identity", {"model": self._name(model)}, ask, fact=True)

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
