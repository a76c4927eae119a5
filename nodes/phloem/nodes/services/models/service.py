"""The models service: what a Context asks for, handed to the thread that owns the model."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TypeVar

from phloem.nodes.services.models.answer import Question
from phloem.nodes.services.models.catalogue import Catalogue, ModelFile
from phloem.nodes.services.models.gguf import read_header
from phloem.nodes.services.models.owner import Job, Stopped
from phloem.nodes.services.models.sampling import Wording
from phloem.nodes.services.models.sentence import SentenceModel, find_snapshot
from phloem.nodes.services.models.shelf import Shelf
from phloem.nodes.services.models.text_model import TextModel
from phloem.nodes.services.models.vector_model import VectorModel
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.services import Sampling, Usage
from phloem.runtime.values import Message

__all__ = ["LocalModels"]

Result = TypeVar("Result")
Vectors = list[list[float]]

TEXTS_AT_ONCE: Final = 64
"""Texts that an embedding model works on in one turn, so that others come in between."""


class LocalModels:
    """Models that run on this machine. The methods are those of ModelsService; `close` frees the models.

    It belongs to no event loop and no thread: several may use it at once. Calls that want the same model
    wait for one another, in the order in which they came.
    """

    def __init__(self, home: Home) -> None:
        self.catalogue = Catalogue(home.models)
        self._shelf = Shelf()

    def generate(self, model: str, prompt: str, sampling: Sampling, usage: Usage) -> AsyncGenerator[str, None]:
        """The answer to `prompt`, piece by piece; its continuation, if the model was not made for conversation."""
        return self._stream(model, Question(prompt, Wording.of(sampling)), usage)

    def chat(
        self, model: str, messages: Sequence[Message], sampling: Sampling, usage: Usage
    ) -> AsyncGenerator[str, None]:
        """The assistant's next turn, piece by piece."""
        if not messages:
            raise InputError("the conversation is empty", hint="Give messages, or a prompt.")
        return self._stream(model, Question(tuple(messages), Wording.of(sampling)), usage)

    async def structured(
        self, model: str, prompt: str, form: Mapping[str, Any], sampling: Sampling, usage: Usage
    ) -> Any:
        """An answer in the given form, as the value that it stands for."""
        from phloem.nodes.services.models.forms import form_of

        wanted = await asyncio.to_thread(form_of, form)
        wording = Wording.of({**sampling, "stop": ()})
        question = Question(prompt, wording, wanted.grammar)
        pieces: list[str] = []
        try:
            ended = await self._result(self._submit_text(model, partial(_answer, question, pieces.append)))
        finally:
            usage(question.spent.read, question.spent.written)
        if not ended:
            raise ServiceError(
                f"the answer was cut off after {question.spent.written:,} tokens, before it was complete",
                hint=f"Raise max_tokens (now {wording.max_tokens:,}), or ask for less: shorter texts, fewer items.",
            )
        try:
            return await asyncio.to_thread(wanted.read, "".join(pieces))
        except ServiceError as error:
            error.retryable = wording.temperature > 0 and sampling.get("seed") is None
            raise

    async def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """One vector of unit length per text. A text that is too long for the model gets the mean of its parts."""
        if not all(isinstance(text, str) for text in texts):
            raise InputError("only texts can be turned into vectors")
        found: Vectors = []
        if not texts:
            return found
        submit = await self._vector_model(model)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            vectors: Vectors = await self._result(submit(partial(_embed, texts[start : start + TEXTS_AT_ONCE])))
            found += vectors
        return found

    async def identity(self, model: str) -> str:
        """A text that changes with the model's content, and with the library that runs it."""
        return await asyncio.to_thread(self._identity, model)

    async def close(self) -> None:
        """Stop what runs and free the models."""
        await asyncio.to_thread(self._shelf.close, 10)

    def _identity(self, model: str) -> str:
        provider, name = _parts(model)
        if provider == "local":
            return f"{self.catalogue.digest(self.catalogue.find(name))} {_version('llama-cpp-python')}"
        return f"{name} {find_snapshot(name).name} {_version('sentence-transformers')}"

    def _submit_text(self, model: str, work: Callable[[TextModel], Result]) -> Job[Result]:
        provider, name = _parts(model)
        if provider != "local":
            raise InputError(f"{model} makes vectors; it does not write text", hint="Choose a text model: local:demo.")
        file = self.catalogue.find(name)
        return self._shelf.submit(file, file.name, partial(_load, file), partial(_with_text_model, work))

    async def _vector_model(self, model: str) -> Callable[[Callable[[Any], Vectors]], Job[Vectors]]:
        """What hands work to the embedding model of that name."""
        provider, name = _parts(model)
        if provider == "local":
            file = self.catalogue.find(name)
            return partial(self._shelf.submit, file, file.name, partial(_load, file))
        folder = await asyncio.to_thread(find_snapshot, name)
        return partial(self._shelf.submit, folder, model, partial(SentenceModel, model, folder))

    async def _stream(self, model: str, question: Question, usage: Usage) -> AsyncGenerator[str, None]:
        """The pieces of the answer as they come; when nobody takes them any more the model stops."""
        arrivals = _Arrivals()
        job = self._submit_text(model, partial(_answer, question, arrivals.put))
        job.future.add_done_callback(arrivals.end)
        try:
            while not arrivals.ended:
                text = await arrivals.take()
                if text:
                    yield text
            _outcome(job)
        finally:
            job.cancel()
            usage(question.spent.read, question.spent.written)

    async def _result(self, job: Job[Result]) -> Result:
        """What the job gives; if the wait for it is cancelled, so is the job."""
        arrivals = _Arrivals()
        job.future.add_done_callback(arrivals.end)
        try:
            while not arrivals.ended:
                await arrivals.take()
        finally:
            job.cancel()
        return _outcome(job)


class _Arrivals:
    """Text on its way from the thread of a model to the event loop that made this.

    What has piled up while the loop was busy arrives as one piece.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[str] = deque()
        self._ready = asyncio.Event()
        self._told = False
        self._over = False

    @property
    def ended(self) -> bool:
        """True when nothing is left and nothing more will come."""
        return self._over and not self._pieces

    def put(self, piece: str) -> None:
        """Add a piece, from the model's thread. Stopped if the loop is gone."""
        if piece:
            self._pieces.append(piece)
            self._tell()

    def end(self, future: object) -> None:
        """Nothing more will come; from any thread."""
        self._over = True
        try:
            self._tell()
        except Stopped:
            return

    async def take(self) -> str:
        """Wait until there is something, or the end; all that there is."""
        await self._ready.wait()
        self._ready.clear()
        # Before the pieces are taken: what is added from now on tells again.
        self._told = False
        taken = []
        while self._pieces:
            taken.append(self._pieces.popleft())
        if self._over:
            self._ready.set()
        return "".join(taken)

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            raise Stopped from None


@functools.cache
def _version(package: str) -> str:
    return f"{package} {version(package)}"


def _outcome(job: Job[Result]) -> Result:
    """What a finished job gave. ServiceError if it was stopped, which here was not the caller's doing."""
    try:
        return job.future.result()
    except Stopped:
        raise ServiceError("the model was stopped", hint="The program is ending.") from None


def _parts(model: str) -> tuple[str, str]:
    """The provider and the name in a full name. InputError for a provider that is not known here."""
    provider, _, name = model.partition(":")
    if provider not in ("local", "sentence-transformers"):
        raise InputError(
            f"the model {model!r:.100} cannot be reached",
            hint="Models are named local:NAME, local:/path/to/FILE.gguf or, for vectors, sentence-transformers:NAME.",
        )
    return provider, name


def _load(file: ModelFile) -> TextModel | VectorModel:
    header = read_header(file.path)
    return (VectorModel if header.makes_vectors else TextModel)(file.name, file.path, header)


def _answer(question: Question, show: Callable[[str], None], model: TextModel) -> bool:
    return question.answer(model, show)


def _with_text_model(work: Callable[[TextModel], Result], model: TextModel | VectorModel) -> Result:
    if not isinstance(model, TextModel):
        raise InputError(
            f"{model.name} makes vectors; it does not write text", hint="Choose a text model, such as local:demo."
        )
    return work(model)


def _embed(texts: Sequence[str], model: TextModel | VectorModel | SentenceModel) -> Vectors:
    if isinstance(model, TextModel):
        raise InputError(
            f"{model.name} writes text; it makes no vectors", hint="Choose an embedding model, such as local:minilm."
        )
    return model.embed(texts)
