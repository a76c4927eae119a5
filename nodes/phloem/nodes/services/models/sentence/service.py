"""Vectors and scores from models of sentence-transformers, each in a thread of its own in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from phloem.nodes.services.models.sentence.folders import ModelFolder, find, folders
from phloem.nodes.services.models.sentence.loaded import LoadedModel, ScoreModel, VectorModel
from phloem.nodes.services.models.sentence.owner import Job, Stopped
from phloem.nodes.services.models.sentence.shelf import Shelf
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.services import Ending, Meter, ModelInfo, Request
from phloem.runtime.values import Message

__all__ = ["SentenceModels"]

Result = TypeVar("Result")

TEXTS_AT_ONCE: Final = 64
"""Texts that a model works on in one turn, so that others come in between."""


class SentenceModels:
    """The models that are named `sentence-transformers:…`. The methods are those of ModelsService.

    It belongs to no event loop and no thread: several may use it at once. Calls that want the same model
    wait for one another, in the order in which they came. PyTorch takes seconds to start.
    """

    def __init__(self) -> None:
        self._shelf = Shelf()

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        """InputError: these models write no text."""
        _refuse_to_write(await asyncio.to_thread(find, model))
        yield Ending()

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        """InputError: these models write no text."""
        _refuse_to_write(await asyncio.to_thread(find, model))

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        """One vector of unit length per text. A text that is too long for the model gets the mean of its parts."""
        folder = await self._folder(model, texts)
        if folder.makes != "vectors":
            raise InputError(
                f"{model} compares texts in pairs; it makes no vectors", hint="Choose an embedding model: local:minilm"
            )
        found: list[list[float]] = []
        for some in _turns(texts):
            for text in some:
                meter.sent(model, text)
            vectors, read = await self._result(folder, partial(_embed, some))
            meter.spend(read=read)
            found += vectors
        return found

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        """How well each text answers the query, on the model's own scale. See ScoreModel."""
        folder = await self._folder(model, [query, *texts])
        if folder.makes != "scores":
            raise InputError(
                f"{model} makes vectors; it does not compare texts in pairs",
                hint="Choose a cross-encoder: sentence-transformers:cross-encoder/ms-marco-MiniLM-L6-v2",
            )
        found: list[float] = []
        for some in _turns(texts):
            for text in some:
                meter.sent(model, f"{query}\n\n{text}")
            scores, read = await self._result(folder, partial(_rank, query, some))
            meter.spend(read=read)
            found += scores
        return found

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        """How many tokens a text is to the model. InputError for a conversation, which none of them reads."""
        folder = await asyncio.to_thread(find, model)
        if not isinstance(asked, str):
            _refuse_to_write(folder)
        return await self._result(folder, partial(_count, asked))

    async def about(self, model: str) -> ModelInfo:
        """What is known of the model, without loading it."""
        folder = await asyncio.to_thread(find, model)
        return await asyncio.to_thread(folder.about, loaded=folder in self._shelf)

    async def list(self) -> list[ModelInfo]:
        """The models in the cache of Hugging Face."""
        return await asyncio.to_thread(lambda: [one.about(loaded=one in self._shelf) for one in folders()])

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        """Nothing: they run here."""
        return 0.0

    async def identity(self, model: str) -> str:
        """A text that changes with the model's content, and with the library that runs it."""
        return await asyncio.to_thread(lambda: find(model).identity())

    async def close(self) -> None:
        """Stop what runs and free the models."""
        await asyncio.to_thread(self._shelf.close, 10)

    async def _folder(self, model: str, texts: Sequence[str]) -> ModelFolder:
        if not all(isinstance(text, str) for text in texts):
            raise InputError("a model reads texts, and something else came")
        return await asyncio.to_thread(find, model)

    async def _result(self, folder: ModelFolder, work: Callable[[Any], Result]) -> Result:
        """What the work with the model gives; if the wait for it is cancelled, so is the work."""
        job: Job[Result] = self._shelf.submit(folder, work)
        try:
            # Shielded, because the thread still has to settle a future that nobody waits for any more.
            return await asyncio.shield(asyncio.wrap_future(job.future))
        except Stopped:
            raise ServiceError("the model was stopped", hint="The program is ending.") from None
        finally:
            job.cancel()


def _turns(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]


def _refuse_to_write(folder: ModelFolder) -> NoReturn:
    does = "makes vectors" if folder.makes == "vectors" else "compares texts in pairs"
    raise InputError(f"{folder.name} {does}; it does not write text", hint="Choose a text model, such as local:demo.")


def _embed(texts: Sequence[str], model: VectorModel) -> tuple[list[list[float]], int]:
    return model.embed(texts)


def _rank(query: str, texts: Sequence[str], model: ScoreModel) -> tuple[list[float], int]:
    return model.rank(query, texts)


def _count(text: str, model: LoadedModel) -> int:
    return model.count(text)
