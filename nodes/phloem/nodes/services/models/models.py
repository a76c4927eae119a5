"""The models service: each request goes to the backend that has the model, which its full name tells.

`local:` models run here in processes of their own, `sentence-transformers:` ones in this process, and the
rest is asked over the network. A backend has the same methods, and is made when it is first needed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Meter, ModelInfo, ModelsService, Request
from phloem.runtime.values import Message

__all__ = ["Models"]

LOCAL: Final = "local"
SENTENCE: Final = "sentence-transformers"


class Models:
    """All models that a program can use. The methods are those of ModelsService.

    It belongs to no event loop and no thread: several may use it at once.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._made: dict[str, Any] = {}

    def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        return self._backend(model).answer(model, request, meter)

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        return await self._backend(model).structured(model, request, meter)

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        return await self._backend(model).embed(model, texts, meter)

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        return await self._backend(model).rerank(model, query, texts, meter)

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        return await self._backend(model).count(model, asked)

    async def about(self, model: str) -> ModelInfo:
        return await self._backend(model).about(model)

    async def list(self) -> list[ModelInfo]:
        return await self.backend(LOCAL).list()

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        return await self._backend(model).estimate(model, read, written)

    async def identity(self, model: str) -> str:
        return await self._backend(model).identity(model)

    async def close(self) -> None:
        """Stop what runs, free the models and close the connections."""
        made, self._made = self._made, {}
        async with AsyncExitStack() as stack:
            for backend in made.values():
                stack.push_async_callback(backend.close)

    def backend(self, provider: str) -> ModelsService:
        """What has the models of a provider."""
        kind = provider if provider in _MAKERS else ""
        backend: ModelsService | None = self._made.get(kind)
        if backend is None:
            # Two threads may each make one, of which both then use the same.
            backend = self._made.setdefault(kind, _MAKERS.get(kind, _hosted)(self._home))
        return backend

    def _backend(self, model: str) -> ModelsService:
        return self.backend(model.partition(":")[0])


def _local(home: Home) -> Any:
    from phloem.nodes.services.models.local.service import LocalModels

    return LocalModels(home)


def _sentence(home: Home) -> Any:
    from phloem.nodes.services.models.sentence import SentenceModels

    return SentenceModels()


def _hosted(home: Home) -> Any:
    from phloem.nodes.services.models.hosted.service import HostedModels

    return HostedModels(home)


_MAKERS: Final[dict[str, Callable[[Home], Any]]] = {LOCAL: _local, SENTENCE: _sentence}
