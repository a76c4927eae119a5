"""Vectors from sentence-transformers models, with the extra of that name.

The model must be on this machine already, in the cache of Hugging Face: nothing is downloaded here,
because nothing was granted. PyTorch takes seconds to start, so `local:` models are the default.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from phloem.nodes.services.models.owner import Stopped
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["SentenceModel", "find_snapshot"]

PUBLISHER: Final = "sentence-transformers"
"""Who published the models that are named without their publisher."""
BATCH: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


def find_snapshot(name: str) -> Path:
    """The folder of the model `NAME` or `PUBLISHER/NAME` on this machine, whose own name tells its version.

    ServiceError without the extra, and when the model is not here; InputError for what is no name.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r:.100} is not a model's name", hint="Such as sentence-transformers:all-MiniLM-L6-v2")
    if find_spec("sentence_transformers") is None:
        raise ServiceError(
            f"the model sentence-transformers:{name} needs an extra", hint='pip install "phloem[sentence-transformers]"'
        )
    from huggingface_hub import snapshot_download

    full = name if "/" in name else f"{PUBLISHER}/{name}"
    try:
        return Path(snapshot_download(full, local_files_only=True))
    except (OSError, ValueError) as error:
        hint = f"Fetch it with: hf download {full}"
        raise ServiceError(f"the model {full} is not on this machine", hint=hint) from error


class SentenceModel:
    """A model of sentence-transformers in memory. It belongs to one thread, but for `stop`."""

    def __init__(self, name: str, folder: Path) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging  # type: ignore[import-not-found, unused-ignore]

        logging.disable_progress_bar()
        self.name = name
        self._stopped = False
        try:
            self._model: Any = SentenceTransformer(str(folder), local_files_only=True, trust_remote_code=False)
        except Exception as error:
            raise ServiceError(f"sentence-transformers cannot load {name}: {str(error)[:300]}") from error

    def stop(self) -> None:
        """Make what runs now raise Stopped after the texts at hand. From any thread."""
        self._stopped = True

    def resume(self) -> None:
        """Take back a `stop`."""
        self._stopped = False

    def close(self) -> None:
        """Free the memory."""
        self._model = None

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of unit length per text: for one that is too long the mean over its parts, as VectorModel does."""
        import numpy as np

        parts = [self._parts(text) for text in texts]
        flat = [part for parts_of_one in parts for part in parts_of_one]
        vectors: list[Any] = []
        for start in range(0, len(flat), BATCH):
            if self._stopped:
                raise Stopped
            vectors += list(self._model.encode(flat[start : start + BATCH], show_progress_bar=False))
        found, at = [], 0
        for parts_of_one in parts:
            mean = np.mean([vector / np.linalg.norm(vector) for vector in vectors[at : at + len(parts_of_one)]], axis=0)
            found.append((mean / np.linalg.norm(mean)).tolist())
            at += len(parts_of_one)
        return found

    def _parts(self, text: str) -> list[str]:
        """`text` in as few pieces of about equal length as the model can read whole."""
        limit = self._model.max_seq_length or 512
        tokens = len(self._model.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        if tokens <= limit:
            return [text]
        words = text.split()
        count = min(math.ceil(tokens / (limit * 0.9)), max(1, len(words)))
        cuts = [len(words) * index // count for index in range(count + 1)]
        return [" ".join(words[start:end]) for start, end in itertools.pairwise(cuts)]
