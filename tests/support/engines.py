"""A model of llama.cpp in the process of the test: the engine that otherwise runs in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phloem.nodes.services.models.local.asking import prompt_of
from phloem.nodes.services.models.local.calling import writing_of
from phloem.nodes.services.models.local.gguf import read_header
from phloem.nodes.services.models.local.llama import Loaded, Shape
from phloem.nodes.services.models.local.questions import Question
from phloem.nodes.services.models.local.sampling import Wording
from phloem.nodes.services.models.local.text_engine import Listener, TextEngine
from phloem.runtime.errors import PhloemError

__all__ = ["InProcess", "Told", "engine_of", "load"]


def load(path: Path, *, streams: int = 1, context: int = 0, batch: int = 64) -> Loaded:
    """The model in memory, run by one thread. Whoever loads it closes it."""
    header = read_header(path)
    context = context or min(header.context_length, 4096)
    return Loaded(path.stem, path, header, Shape(streams, context, batch, threads=1))


@dataclass
class Told(Listener):
    """What an engine told of its requests: texts, how they ended, errors, and what was read and known before."""

    texts: dict[int, str] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)
    calls: dict[int, list[Any]] = field(default_factory=dict)
    errors: dict[int, PhloemError] = field(default_factory=dict)
    reads: dict[int, tuple[int, int]] = field(default_factory=dict)
    chances: dict[int, list[Any]] = field(default_factory=dict)

    def begun(self, key: int, read: int, cached: int) -> None:
        self.reads[key] = (read, cached)

    def wrote(self, key: int, text: str, count: int, chances: list[Any]) -> None:
        self.texts[key] = self.texts.get(key, "") + text
        self.counts[key] = self.counts.get(key, 0) + count
        self.chances.setdefault(key, []).extend(chances)

    def ended(self, key: int, how: str, calls: list[Any]) -> None:
        self.ends[key] = how
        self.calls[key] = calls

    def failed(self, key: int, error: PhloemError) -> None:
        self.errors[key] = error


@dataclass
class InProcess:
    """An engine with what it told."""

    engine: TextEngine
    told: Told
    _count: int = 0

    def ask(self, asked: Any, gbnf: str = "", **wording: Any) -> int:
        """Add a request; its key."""
        self._count += 1
        engine = self.engine
        question = Question(asked, Wording(**wording), gbnf)
        prompt = prompt_of(engine.loaded, engine.words, asked)
        engine.add(self._count, writing_of(engine.loaded, engine.words, prompt, question))
        return self._count

    def finish(self) -> Told:
        """Work until nothing is left."""
        while self.engine.busy:
            self.engine.step()
        return self.told

    def text(self, asked: Any, gbnf: str = "", **wording: Any) -> str:
        """The answer to one question."""
        key = self.ask(asked, gbnf, **wording)
        return self.finish().texts.get(key, "")

    def close(self) -> None:
        """Free the model."""
        self.engine.close()
        self.engine.loaded.close()


def engine_of(path: Path, *, streams: int = 1, context: int = 0) -> InProcess:
    """An engine for the model at `path`. Whoever makes it closes it."""
    told = Told()
    return InProcess(TextEngine(load(path, streams=streams, context=context), told, chunk=64), told)
