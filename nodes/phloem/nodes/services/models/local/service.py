"""Models that run on this machine, as the models service sees them: requests, handed to the processes of models."""

from __future__ import annotations

import array
import asyncio
import contextlib
import functools
import os
import weakref
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from phloem.nodes.services.models.local.arrivals import Arrivals
from phloem.nodes.services.models.local.catalogue import Catalogue, ModelFile
from phloem.nodes.services.models.local.gguf import Header, read_header
from phloem.nodes.services.models.local.process import LAST
from phloem.nodes.services.models.local.questions import Question, packed_asked, unpacked_call
from phloem.nodes.services.models.local.room import MOST_STREAMS, Wanted, available_memory, stream_context
from phloem.nodes.services.models.local.sampling import Wording
from phloem.nodes.services.models.local.shelf import Shelf
from phloem.nodes.services.models.local.tools import form_of_calls, style_of
from phloem.runtime.errors import InputError, NodeError, ServiceError, SettingError
from phloem.runtime.home import Home
from phloem.runtime.services import Chance, Ending, Meter, ModelInfo, Request, Tool
from phloem.runtime.settings import Settings
from phloem.runtime.values import Message

if TYPE_CHECKING:
    from phloem.nodes.services.models.forms import Form

__all__ = ["LocalModels"]

Content = list[Any]
Vectors = list[list[float]]
Scores = list[float]
Models = list[ModelInfo]
Chances = list[Chance]
# Named here: in a class with a method `list` that word is the method.

PROVIDER: Final = "local"
MOST_TEXT: Final = 10_000_000
"""Characters that one text may have: more fits into no model, and is not sent to one."""
TEXTS_AT_ONCE: Final = 256
"""Texts that are sent to an embedding model at once."""
_HALF: Final = "\ufffd"


class LocalModels:
    """Models that run on this machine. The methods are those of ModelsService; `close` frees the models.

    It belongs to no event loop and no thread: several may use it at once, and so may a process forked from
    the one that made it, which starts processes of its own.
    """

    def __init__(self, home: Home) -> None:
        self.catalogue = Catalogue(home.models)
        self._home = home
        self._shelf = Shelf(self._memory)
        _services.add(self)

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        """The answer, piece by piece, and one Ending at the end."""
        form = await _form_of(request)
        told = ""
        broken = ""
        async with contextlib.aclosing(self._written(model, request, form, meter, _Count())) as pieces:
            async for piece in pieces:
                if form is None or not request.close:
                    yield piece
                elif isinstance(piece, str):
                    # Half a character at the end is left out where the form is closed without it.
                    whole = (broken + piece).rstrip(_HALF)
                    broken = (broken + piece)[len(whole) :]
                    told += whole
                    if whole:
                        yield whole
                else:
                    closed = told + broken
                    if piece.finish == "length":
                        closed = await asyncio.to_thread(form.close, closed)
                    if closed != told:
                        yield closed.removeprefix(told)
                    yield piece

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        """The value that the answer to a request with a form stands for: it is complete, and fits."""
        form = await _form_of(request)
        if form is None:
            raise InputError("a structured answer needs a form")
        pieces: list[str] = []
        finish, count = "stop", _Count()
        async for piece in self._written(model, request, form, meter, count):
            if isinstance(piece, str):
                pieces.append(piece)
            else:
                finish = piece.finish
        text = "".join(pieces)
        if finish == "length":
            if not request.close:
                most = Wording.of(request.sampling).max_tokens
                raise ServiceError(
                    f"the answer was cut off after {count.written:,} tokens, before it was complete",
                    hint=f"Raise max_tokens (now {most:,}), or ask for less: shorter texts, fewer items.",
                )
            text = await asyncio.to_thread(form.close, text)
        try:
            return await asyncio.to_thread(form.read, text)
        except ServiceError as error:
            chance = Wording.of(request.sampling).temperature > 0 and request.sampling.get("seed") is None
            error.retryable = chance
            raise

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> Vectors:
        """One vector of unit length per text. A text that is too long for the model gets the mean of its parts."""
        if not all(isinstance(text, str) for text in texts):
            raise InputError("only texts can be turned into vectors")
        if not texts:
            return []
        for text in texts:
            _check_size(len(text))
            meter.sent(model, text)
        found: Vectors = []
        for some in _portions(texts):
            async for kind, *content in self._asked(model, "embed", [some]):
                if kind == "vectors":
                    vectors, tokens = content
                    meter.spend(read=tokens)
                    found += [array.array("d", vector).tolist() for vector in vectors]
        return found

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> Scores:
        """InputError: no local model compares texts in pairs."""
        self._file(model)
        raise InputError(
            f"{model} cannot rerank", hint="Choose a cross-encoder, such as sentence-transformers:cross-encoder/NAME."
        )

    async def count(self, model: str, asked: str | Sequence[Message]) -> int:
        """How many tokens the model reads when it is asked this."""
        whole = asked if isinstance(asked, str) else tuple(asked)
        _check_asked(model, whole)
        found = 0
        async for kind, *content in self._asked(model, "count", [packed_asked(whole)]):
            if kind == "count":
                (found,) = content
        return found

    async def about(self, model: str) -> ModelInfo:
        """What the model's file tells."""
        return await asyncio.to_thread(self._about, self._file(model))

    async def list(self) -> Models:
        """The models of the home and those that come with Phloem. Files that are no models are left out."""
        return await asyncio.to_thread(self._list)

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        """Nothing: what runs here costs no money."""
        return 0.0

    async def identity(self, model: str) -> str:
        """A text that changes with the file's content, and with the library that runs it."""
        file = self._file(model)
        digest = await asyncio.to_thread(self.catalogue.digest, file)
        return f"{digest} {_library_version()}"

    async def close(self) -> None:
        """Stop what runs and free the models. The service can be used again afterwards."""
        await asyncio.to_thread(self._shelf.close)

    async def _written(
        self, model: str, request: Request, form: Form | None, meter: Meter, count: _Count
    ) -> AsyncGenerator[str | Ending, None]:
        """The answer, without regard to whether it fits the form; what it costs is told to `meter`."""
        _check_asked(model, request.asked)
        question = await self._question(model, request, form)
        chances: Chances = []
        answer = self._asked(model, "write", [question.packed()])
        async with contextlib.aclosing(answer):
            async for kind, *content in answer:
                if kind == "prompt":
                    meter.sent(model, content[0])
                elif kind == "begun":
                    read, cached = content
                    meter.spend(read=read, cached=cached)
                elif kind == "wrote":
                    text, tokens, some = content
                    count.written += tokens
                    chances += [Chance(token, logprob, tuple(map(tuple, others))) for token, logprob, others in some]
                    if text:
                        yield text
                    meter.spend(written=tokens)
                elif kind == "ended":
                    yield _ending(content[0], content[1], chances, model)

    async def _question(self, model: str, request: Request, form: Form | None) -> Question:
        sampling = request.sampling
        if form is not None:
            # A text that ends a form early would leave it open.
            sampling = {**sampling, "stop": ()}
        wording = Wording.of(sampling)
        if not request.tools:
            return Question(request.asked, wording, "" if form is None else form.grammar.gbnf)
        if form is not None:
            raise SettingError("an answer is held to a form, or may call tools, not both")
        calls = await asyncio.to_thread(_calls_grammar, self._file(model), request.tools)
        return Question(request.asked, wording, tools=request.tools, call_gbnf=calls)

    async def _asked(self, model: str, kind: str, content: Content) -> AsyncGenerator[Content, None]:
        """Ask the model's process; its messages, up to the last. Whoever stops listening cancels the request."""
        arrivals = Arrivals()
        file, wanted = self._file(model), self._wanted()
        load = ["load", file.name, os.fsencode(file.path), wanted.packed()]
        process, key = self._shelf.ask((file, wanted), file.name, load, kind, content, arrivals)
        try:
            last = False
            while not last:
                for message in await arrivals.take():
                    last = message[0] in LAST
                    yield message
        finally:
            process.cancel(key)

    def _start_anew(self) -> None:
        """In a fork: the processes belong to the program that was forked, and so do threads that hold a lock."""
        self.catalogue = Catalogue(self._home.models)
        self._shelf = Shelf(self._memory)

    def _file(self, model: str) -> ModelFile:
        provider, _, name = model.partition(":")
        if provider != PROVIDER:
            raise InputError(
                f"the model {model!r:.100} cannot be reached",
                hint="They are named local:NAME or local:/PATH.gguf.",
            )
        return self.catalogue.find(name)

    def _wanted(self) -> Wanted:
        settings = Settings.load(self._home)
        context, parallel = settings.whole("models", "context", 64), settings.whole("models", "parallel", 1)
        layers, threads = settings.whole("models", "gpu_layers", 0), settings.whole("models", "threads", 1)
        if parallel is not None and parallel > MOST_STREAMS:
            raise settings.wrong("models", "parallel", f"must be at most {MOST_STREAMS}")
        return Wanted(_memory(settings), context, parallel, layers, threads)

    def _memory(self) -> int:
        return _memory(Settings.load(self._home))

    def _about(self, file: ModelFile) -> ModelInfo:
        header, wanted = _header(file), self._wanted()
        process = self._shelf.find((file, wanted))
        details = {
            "architecture": header.architecture,
            "quantisation": header.quantisation,
            "trained context": header.context_length,
            "chat template": bool(header.chat_template),
            "dimensions": header.of_architecture("embedding_length") if header.makes_vectors else None,
            "licence": header.values.get("general.license"),
        }
        return ModelInfo(
            name=file.name,
            provider=PROVIDER,
            makes="scores" if header.ranks else "vectors" if header.makes_vectors else "text",
            context=stream_context(header, wanted),
            size=file.size,
            parameters=header.parameters,
            path=str(file.path),
            loaded=process is not None and process.ready is not None,
            details={name: value for name, value in details.items() if value not in (None, "")},
        )

    def _list(self) -> Models:
        found = []
        for name in self.catalogue.names():
            with contextlib.suppress(NodeError):
                found.append(self._about(self.catalogue.find(name)))
        return found


def _memory(settings: Settings) -> int:
    """Bytes that all models may take together."""
    return settings.bytes("models", "memory") or available_memory()


def _portions(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in lists that can be sent: none is longer, or has more characters, than one may."""
    some: list[str] = []
    size = 0
    for text in texts:
        if some and (len(some) == TEXTS_AT_ONCE or size + len(text) > MOST_TEXT):
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    yield some


def _after_fork() -> None:
    for service in list(_services):
        service._start_anew()


_services: weakref.WeakSet[LocalModels] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(slots=True)
class _Count:
    """How many tokens an answer has so far."""

    written: int = 0


def _ending(how: str, calls: list[Any], chances: list[Chance], model: str) -> Ending:
    asked = tuple(unpacked_call(call) for call in calls)
    finish: Literal["stop", "length", "calls"] = "length" if how == "length" else "calls" if asked else "stop"
    return Ending(finish, asked, tuple(chances), model)


async def _form_of(request: Request) -> Form | None:
    """The form of a request, made in a thread: a large one takes a while."""
    if request.form is None:
        return None
    from phloem.nodes.services.models.forms import form_of

    return await asyncio.to_thread(form_of, request.form)


def _check_asked(model: str, asked: str | tuple[Message, ...]) -> None:
    """InputError for what no local model can be asked."""
    if isinstance(asked, str):
        return _check_size(len(asked))
    if not asked:
        raise InputError("the conversation is empty", hint="Give messages, or a prompt.")
    if any(message.images for message in asked):
        raise InputError(f"{model} cannot see images", hint="Leave them out, or choose a provider's model that can.")
    return _check_size(sum(len(message.content) for message in asked))


def _check_size(characters: int) -> None:
    if characters > MOST_TEXT:
        raise InputError(f"a text of {characters:,} characters is too long to be read by a model")


def _calls_grammar(file: ModelFile, tools: Sequence[Tool]) -> str:
    """What holds a call of a tool to its schema. SettingError says what is wrong with a schema."""
    from phloem.nodes.services.models.forms import form_of

    style = style_of(_header(file).chat_template)
    return form_of({"schema": form_of_calls(tools, style)}).grammar.gbnf


@functools.lru_cache(maxsize=32)
def _header(file: ModelFile) -> Header:
    return read_header(file.path)


@functools.cache
def _library_version() -> str:
    from importlib.metadata import version

    return f"llama-cpp-python {version('llama-cpp-python')}"
