"""A model of sentence-transformers in memory: one that makes vectors, and one that compares texts in pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from phloem.nodes.services.models.sentence.folders import UNBOUNDED, ModelFolder
from phloem.nodes.services.models.sentence.owner import Stopped
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["LoadedModel", "ScoreModel", "VectorModel", "load"]

BATCH: Final = 32
"""Texts that go through the model in one computation; it can be stopped between two."""


def load(folder: ModelFolder) -> LoadedModel:
    """The model of a folder. ServiceError if it cannot be loaded. Nothing in the folder is run as a program."""
    return (ScoreModel if folder.makes == "scores" else VectorModel)(folder)


class LoadedModel:
    """What the two have in common. It belongs to one thread, but for `stop`."""

    def __init__(self, folder: ModelFolder) -> None:
        self.name = folder.name
        self._stopped = False
        try:
            self._model = self._loaded(str(folder.path))
        except (ServiceError, InputError):
            raise
        except Exception as error:
            raise ServiceError(f"sentence-transformers cannot load {self.name}: {str(error)[:300]}") from error
        longest = self._model.max_seq_length or folder.context
        self._longest = longest if longest and longest < UNBOUNDED else folder.context

    def stop(self) -> None:
        """Make what runs now raise Stopped after the texts at hand. From any thread."""
        self._stopped = True

    def resume(self) -> None:
        """Take back a `stop`."""
        self._stopped = False

    def close(self) -> None:
        """Free the memory."""
        self._model = None

    def count(self, *texts: str) -> int:
        """How many tokens a text is, or a pair of texts, with what the model sets around it."""
        tokenizer = self._model.tokenizer
        if callable(tokenizer):
            return len(tokenizer(*texts, truncation=False, verbose=False)["input_ids"])
        return sum(len(tokenizer.encode(text).ids) for text in texts)

    def _loaded(self, path: str) -> Any:
        """The model, in the class of sentence-transformers that is right for it."""
        raise NotImplementedError

    def _computed(self, compute: Callable[..., Iterable[Any]], items: Sequence[Any]) -> list[Any]:
        """What `compute` gives for the items, a batch at a time. ServiceError for whatever the library raises."""
        found: list[Any] = []
        for start in range(0, len(items), BATCH):
            if self._stopped:
                raise Stopped
            try:
                found += list(compute(items[start : start + BATCH], show_progress_bar=False))
            except Exception as error:
                raise ServiceError(f"{self.name} failed: {str(error)[:300] or type(error).__name__}") from error
        return found

    def _parts(self, text: str, length: Callable[[str], int]) -> list[tuple[str, int]]:
        """`text` in halves, quarters and so on until the model can read each whole, and how long each is."""
        tokens = length(text)
        if self._longest is None or tokens <= self._longest or len(text) < 2:
            return [(text, tokens)]
        middle = len(text) // 2
        before, after = text.rfind(" ", 0, middle), text.find(" ", middle)
        near = [at for at in (before, after) if at > 0]
        cut = min(near, key=lambda at: abs(at - middle)) if near else middle
        return [*self._parts(text[:cut], length), *self._parts(text[cut:], length)]


class VectorModel(LoadedModel):
    """Turns texts into vectors."""

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """One vector of unit length per text, and how many tokens were read.

        A text that is longer than the model reads gets the mean of the vectors of its parts, as with models
        of llama.cpp.
        """
        import numpy as np

        parts = [self._parts(text, self.count) for text in texts]
        flat = [part for parts_of_one in parts for part in parts_of_one]
        vectors = iter(self._computed(self._model.encode, [part for part, _ in flat]))
        found = []
        for parts_of_one in parts:
            of_parts = [(np.asarray(next(vectors), np.float64), tokens) for _, tokens in parts_of_one]
            total: Any = sum(vector / (np.linalg.norm(vector) or 1) * max(tokens, 1) for vector, tokens in of_parts)
            norm = float(np.linalg.norm(total))
            if not norm or not math.isfinite(norm):
                raise ServiceError(f"{self.name} computes no usable vector: its files are damaged")
            found.append([float(number) for number in total / norm])
        return found, sum(tokens for _, tokens in flat)

    def _loaded(self, path: str) -> Any:
        from sentence_transformers import SentenceTransformer

        _be_quiet()
        return SentenceTransformer(path, local_files_only=True, trust_remote_code=False)


class ScoreModel(LoadedModel):
    """Tells how well texts answer a query, reading each together with it (a cross-encoder)."""

    def rank(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        """A score per text, higher is better, and how many tokens were read.

        A text that is longer than the model reads has the score of its best part (MaxP: Dai and Callan,
        Deeper Text Understanding for IR, 2019). InputError for a query that leaves no room for a text.
        """
        if self._longest is not None and self.count(query) > self._longest // 2:
            raise InputError(
                f"the query is {self.count(query):,} tokens long, and {self.name} reads {self._longest:,} in all",
                hint="Ask for it in a sentence or two.",
            )
        parts = [self._parts(text, lambda part: self.count(query, part)) for text in texts]
        flat = [part for parts_of_one in parts for part in parts_of_one]
        pairs = [(query, part) for part, _ in flat]
        scores = [float(score) for score in self._computed(self._model.predict, pairs)]
        if not all(map(math.isfinite, scores)):
            raise ServiceError(f"{self.name} computes no usable score: its files are damaged")
        ends = list(itertools.accumulate(map(len, parts)))
        best = [max(scores[end - len(of_one) : end]) for of_one, end in zip(parts, ends, strict=True)]
        return best, sum(tokens for _, tokens in flat)

    def _loaded(self, path: str) -> Any:
        from sentence_transformers import CrossEncoder

        _be_quiet()
        model = CrossEncoder(path, local_files_only=True, trust_remote_code=False)
        if model.num_labels != 1:
            raise InputError(
                f"{self.name} sorts pairs of texts into {model.num_labels} classes; it gives no one score",
                hint="Choose a cross-encoder made for reranking: cross-encoder/ms-marco-MiniLM-L6-v2",
            )
        return model


def _be_quiet() -> None:
    """Show no progress bar while weights are loaded: the terminal is the run's."""
    from transformers.utils import logging  # type: ignore[import-not-found, unused-ignore]

    logging.disable_progress_bar()
