"""How a node reaches the vector stores of the home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phloem.runtime.services import CollectionsService
from phloem.runtime.values import Collection, Hit

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context


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
        if self._leaves_traces:
            left = await self._outside().digest(name, ids)
            self.context.written.append(("collection", "\n".join([name, *ids]), left))
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
        if self._leaves_traces:
            self.context.written.append(("contents", name, await self._outside().state(name)))
        return removed

    async def clear(self, name: str) -> int:
        """Remove the collection with all it holds; how many items those were."""
        return await self._service.clear(name)

    @property
    def _service(self) -> CollectionsService:
        answers = self.context.scope.answers
        if answers is None:
            return self._outside()
        from phloem.runtime.recording.collections import RecordedCollections

        return RecordedCollections(answers, self.context, self._outside)

    @property
    def _leaves_traces(self) -> bool:
        """True if a later run may rely on what this one wrote: not of a replay, which keeps no such results."""
        answers = self.context.scope.answers
        return answers is None or not answers.replays

    def _outside(self) -> CollectionsService:
        service: CollectionsService = self.context.scope.services.get("collections")
        return service
