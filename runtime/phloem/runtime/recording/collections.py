"""The collections of a run that is recorded or replayed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from phloem.runtime.recording.answers import Answers
from phloem.runtime.services import CollectionsService, Meter
from phloem.runtime.values import Collection, Hit

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["RecordedCollections"]

Result = TypeVar("Result")


class RecordedCollections:
    """A CollectionsService for one node: `outside` gives the real one, if it is to be asked.

    A replay changes no collection, unless it may ask outside: then it changes them as any run does, and what it
    changed it asks itself.
    """

    def __init__(self, answers: Answers, context: Context, outside: Callable[[], CollectionsService]) -> None:
        self._answers = answers
        self._context = context
        self._outside = outside

    async def add(
        self,
        name: str,
        model: str,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadata: Sequence[Mapping[str, Any]],
    ) -> Collection:
        asked = {
            "collection": name, "model": self._answers.portable_model(model), "ids": list(ids), "texts": list(texts),
            "metadata": [dict(one) for one in metadata],
        }  # fmt: skip
        await self._change(
            "collection.add", name, asked, lambda one: _done(one.add(name, model, ids, texts, vectors, metadata))
        )
        return Collection(name, model)

    async def search(self, name: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None) -> list[Hit]:
        asked = {"collection": name, "vector": list(vector), "k": k, "where": where}
        return await self._look("collection.search", name, asked, lambda one: one.search(name, vector, k, where))

    async def about(self, name: str) -> Collection | None:
        async def model(service: CollectionsService) -> str | None:
            found = await service.about(name)
            return None if found is None else self._answers.portable_model(found.model)

        found = await self._look("collection.about", name, {"collection": name}, model)
        return None if found is None else Collection(name, self._context.models.full_name(found))

    async def state(self, name: str) -> str:
        return await self._look("collection.state", name, {"collection": name}, lambda one: one.state(name))

    async def note(self, name: str) -> str:
        return await self._look("collection.note", name, {"collection": name}, lambda one: one.note(name))

    async def keep_note(self, name: str, note: str) -> None:
        asked = {"collection": name, "note": note}
        await self._change("collection.keep_note", name, asked, lambda one: one.keep_note(name, note))

    async def keep_only(self, name: str, ids: Sequence[str]) -> int:
        asked = {"collection": name, "ids": list(ids)}
        return await self._change("collection.keep_only", name, asked, lambda one: one.keep_only(name, ids))

    async def clear(self, name: str) -> int:
        return await self._change("collection.clear", name, {"collection": name}, lambda one: one.clear(name))

    async def digest(self, name: str, ids: Sequence[str]) -> str:
        asked = {"collection": name, "ids": list(ids)}
        return await self._look("collection.digest", name, asked, lambda one: one.digest(name, ids))

    async def _look(
        self, call: str, name: str, asked: Mapping[str, Any], ask: Callable[[CollectionsService], Awaitable[Result]]
    ) -> Result:
        async def outside(_: Meter) -> Result:
            return await ask(self._outside())

        return await self._answers.ask(self._context, call, asked, outside, anew=name in self._answers.changed)

    async def _change(
        self, call: str, name: str, asked: Mapping[str, Any], ask: Callable[[CollectionsService], Awaitable[Result]]
    ) -> Result:
        if self._answers.asks:
            self._answers.changed.add(name)
        return await self._look(call, name, asked, ask)


async def _done(change: Awaitable[Any]) -> None:
    await change
