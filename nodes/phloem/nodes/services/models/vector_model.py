"""A model that turns a text into a vector."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from phloem.nodes.services.models.gguf import Header
from phloem.nodes.services.models.llama import Loaded
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["VectorModel"]

LONGEST_CONTEXT: Final = 1024
"""Tokens of context that are set up at most: memory grows with its square."""

_MEAN, _RANK = 1, 4
"""Of llama_pooling_type."""


class VectorModel(Loaded):
    """An embedding model in memory. It belongs to one thread, as Loaded says."""

    def __init__(self, name: str, path: Path, header: Header) -> None:
        pooling = header.of_architecture("pooling_type")
        if pooling == _RANK:
            raise InputError(f"{name} compares texts in pairs; it makes no vectors", hint="Choose an embedding model.")
        options: dict[str, Any] = {} if pooling else {"pooling_type": _MEAN}
        context = min(header.context_length, LONGEST_CONTEXT)
        super().__init__(name, path, header, context=context, batch=context, embeddings=True, **options)
        self._width = self._llama.llama_model_n_embd_out(self._model)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of unit length per text.

        A text that is longer than the model's context is cut into windows of equal size, and gets the
        mean of their vectors. Each window is computed by itself: putting several into one computation is
        slower on a CPU (measured: 1.2 to 4 times), and makes a vector depend on its neighbours.
        """
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        import numpy as np

        total = np.zeros(self._width, np.float64)
        for window in self._windows(text):
            self._forget(0)
            self._decode(window, 0, all_out=True)
            found = self._llama.llama_get_embeddings_seq(self._context, 0)
            if not found:
                raise ServiceError(f"{self.name} gave no vector")
            vector = np.ctypeslib.as_array(found, (self._width,)).astype(np.float64)
            total += vector / (np.linalg.norm(vector) or 1) * len(window)
        length = float(np.linalg.norm(total))
        if not length or not math.isfinite(length):
            raise ServiceError(f"{self.name} computes no usable vector: the model file is damaged")
        return [float(number) for number in total / length]

    def _windows(self, text: str) -> list[list[int]]:
        """The tokens of `text`, in as few windows as it takes, each with what stands at its ends."""
        whole = self._tokens(text, marks=False, ends=True)
        if len(whole) <= self.context:
            return [whole] if whole else [[max(0, self._llama.llama_vocab_bos(self._vocabulary))]]
        body = self._tokens(text, marks=False, ends=False)
        before = next((at for at in range(len(whole)) if whole[at : at + len(body)] == body), 0)
        head, tail = whole[:before], whole[before + len(body) :]
        count = math.ceil(len(body) / (self.context - len(head) - len(tail)))
        cuts = [len(body) * index // count for index in range(count + 1)]
        return [head + body[start:end] + tail for start, end in itertools.pairwise(cuts)]
