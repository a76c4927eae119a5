"""Vectors of one embedding model, for several requests in turn."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from phloem.nodes.services.models.local.gguf import Header
from phloem.nodes.services.models.local.llama import Aborted, Entry, Loaded
from phloem.runtime.errors import ServiceError

__all__ = ["VectorEngine", "VectorListener", "options_for"]

_MEAN: Final = 1
"""Of llama_pooling_type."""


def options_for(header: Header) -> dict[str, Any]:
    """How a context that makes vectors is set up."""
    pooled = {} if header.of_architecture("pooling_type") else {"pooling_type": _MEAN}
    return {"embeddings": True, **pooled}


class VectorListener:
    """Told what becomes of the requests of an engine, by their keys."""

    def vectors(self, key: int, vectors: list[bytes], tokens: int) -> None:
        """Its vectors, as 64-bit floats, and how many tokens were read for them."""

    def failed(self, key: int, error: Exception) -> None:
        """There will be none."""


@dataclass(slots=True)
class _Job:
    key: int
    texts: deque[str]
    vectors: list[bytes] = field(default_factory=list)
    tokens: int = 0
    windows: deque[Sequence[int]] = field(default_factory=deque)
    total: Any = None


class VectorEngine:
    """The requests of one loaded model. It belongs to the thread that made the model.

    Each step computes one window of text, of one request after another. A text that is longer than the
    model's context is cut into windows of equal size, and gets the mean of their vectors. Each window is
    computed by itself: several in one computation gain a quarter at best, and only for texts of a few words,
    and they change one another's vectors (measured: by 1e-4 in the cosine).
    """

    def __init__(self, loaded: Loaded, listener: VectorListener) -> None:
        self.loaded = loaded
        self._listener = listener
        self._jobs: deque[_Job] = deque()
        self._width: int = loaded.llama.llama_model_n_embd_out(loaded.model)

    @property
    def busy(self) -> bool:
        """True while there is something to compute."""
        return bool(self._jobs)

    def add(self, key: int, texts: Sequence[str]) -> None:
        """A request for the vectors of these texts has come."""
        self._jobs.append(_Job(key, deque(texts)))

    def cancel(self, key: int) -> None:
        """Nobody wants them any more."""
        self._jobs = deque(job for job in self._jobs if job.key != key)

    def close(self) -> None:
        """Drop all requests."""
        self._jobs.clear()

    def step(self) -> None:
        """Compute the next window of the request whose turn it is. What `Loaded.stop` interrupts has not happened."""
        job = self._jobs[0]
        try:
            self._next_window(job)
        except Aborted:
            return
        except Exception as error:
            self._jobs.popleft()
            self._listener.failed(job.key, error)
            return
        if job.texts or job.windows:
            self._jobs.rotate(-1)
        else:
            self._jobs.popleft()
            self._listener.vectors(job.key, job.vectors, job.tokens)

    def _next_window(self, job: _Job) -> None:
        import numpy as np

        if not job.windows:
            job.windows = deque(self._windows(job.texts[0]))
            job.total = np.zeros(self._width, np.float64)
        window = job.windows[0]
        job.total += self._vector(window) * len(window)
        job.tokens += len(window)
        job.windows.popleft()
        if job.windows:
            return
        length = float(np.linalg.norm(job.total))
        if not length or not math.isfinite(length):
            raise ServiceError(f"{self.loaded.name} computes no usable vector: the model file is damaged")
        job.texts.popleft()
        job.vectors.append((job.total / length).tobytes())

    def _vector(self, window: Sequence[int]) -> Any:
        """The vector of one window, of unit length."""
        import numpy as np

        self.loaded.cut(0, 0)
        self.loaded.decode([Entry(token, at, 0, True) for at, token in enumerate(window)])
        found = self.loaded.llama.llama_get_embeddings_seq(self.loaded.context, 0)
        if not found:
            raise ServiceError(f"{self.loaded.name} gave no vector")
        vector = np.ctypeslib.as_array(found, (self._width,)).astype(np.float64)
        return vector / (np.linalg.norm(vector) or 1)

    def _windows(self, text: str) -> list[list[int]]:
        """The tokens of `text`, in as few windows as it takes, each with what stands at its ends."""
        context = self.loaded.shape.context
        whole = self.loaded.tokens(text, marks=False, ends=True)
        if len(whole) <= context:
            return [whole or [max(0, self.loaded.llama.llama_vocab_bos(self.loaded.vocabulary))]]
        body = self.loaded.tokens(text, marks=False, ends=False)
        before = next((at for at in range(len(whole) - len(body) + 1) if whole[at : at + len(body)] == body), 0)
        head, tail = whole[:before], whole[before + len(body) :]
        count = math.ceil(len(body) / (context - len(head) - len(tail)))
        cuts = [len(body) * index // count for index in range(count + 1)]
        return [head + body[start:end] + tail for start, end in itertools.pairwise(cuts)]
