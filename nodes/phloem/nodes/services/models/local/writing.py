"""One answer in the making: from what the model computed to the next token, and from tokens to text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from phloem.nodes.services.models.local.choosing import Chooser, HeldChooser
from phloem.nodes.services.models.local.llama import Loaded
from phloem.nodes.services.models.local.sampling import Wording
from phloem.nodes.services.models.local.text import Pieces
from phloem.nodes.services.models.local.vocabulary import Vocabulary
from phloem.runtime.errors import ServiceError

__all__ = ["Chances", "Writing"]

Chances: TypeAlias = list[Any]
"""A token's text, the logarithm of its probability, and the same of others that could have stood there."""


class Writing:
    """The answer to one prompt. Whoever made it closes it.

    `at` says how many tokens are in the model's memory, `token` is the one to compute next, and `ended` is
    empty as long as the answer goes on; `failure` says why it cannot. `begun` turns true when its prompt is
    first looked at. `calls` are the tools that the answer calls, each as `packed_call` makes it.
    """

    def __init__(
        self, loaded: Loaded, words: Vocabulary, prompt: Sequence[int], wording: Wording, *,
        stop: tuple[str, ...] = (), gbnf: str = "", skip_space: bool = False,
    ) -> None:  # fmt: skip
        self.prompt = prompt
        self.at = 0
        self.token = -1
        self.begun = False
        self.ended: Literal["", "stop", "length"] = ""
        self.failure: Exception | None = None
        self.written = 0
        self.calls: list[list[str]] = []
        self._loaded = loaded
        self._words = words
        self._wording = wording
        self._room = min(wording.max_tokens, loaded.shape.context - len(prompt))
        self._pieces = Pieces(stop, skip_space=skip_space)
        self._text: list[str] = []
        self._chances: list[Chances] = []
        self._told = 0
        self._chooser = HeldChooser(loaded, wording, words, gbnf) if gbnf else Chooser(loaded, wording)

    def take(self, index: int) -> None:
        """Choose the token after the entry at `index` of what was computed last. ServiceError if that is no number."""
        if not self.written:
            self._check_numbers(index)
        token = self._next(index)
        data = None if token is None else self._words.bytes_of(token)
        if token is None or data is None:
            return self._end("stop")
        self.token = token
        self.written += 1
        if self._wording.logprobs is not None:
            self._chances.append(self._chance(token, index, self._wording.logprobs))
        self._push(token, data)
        if not self.ended and self.written >= self._room:
            self._end("stop" if self._is_complete() else "length")
        return None

    def news(self) -> tuple[str, int, list[Chances]]:
        """What has not been told yet: text, how many tokens were written, and their chances."""
        text, count, chances = "".join(self._text), self.written - self._told, self._chances
        self._text, self._told, self._chances = [], self.written, []
        return text, count, chances

    def close(self) -> None:
        """Free the memory."""
        self._chooser.close()

    def _next(self, index: int) -> int | None:
        return self._chooser.next(index)

    def _push(self, token: int, data: bytes) -> None:
        self._text.append(self._pieces.push(data))
        if self._pieces.stopped:
            self._end("stop")

    def _is_complete(self) -> bool:
        return self._chooser.is_complete()

    def _end(self, how: Literal["stop", "length"]) -> None:
        self.ended = how
        self._text.append(self._pieces.finish())

    def _check_numbers(self, index: int) -> None:
        """A damaged file makes numbers that are none, with which llama.cpp's samplers must not be called."""
        if not math.isfinite(sum(self._loaded.scores(index))):
            raise ServiceError(f"{self._loaded.name} computes no numbers: the model file is damaged")

    def _chance(self, token: int, index: int, others: int) -> Chances:
        """From the logits themselves, before temperature and the other settings."""
        import numpy as np

        scores = np.ctypeslib.as_array(self._loaded.scores(index)).astype(np.float64)
        scores -= scores.max()
        scores -= np.log(np.exp(scores).sum())
        count = min(others, len(scores))
        best = np.argpartition(scores, -count)[len(scores) - count :] if count else np.empty(0, np.int64)
        best = best[np.argsort(-scores[best], kind="stable")]
        shown = self._words.shown
        return [shown(token), float(scores[token]), [[shown(int(one)), float(scores[one])] for one in best]]
