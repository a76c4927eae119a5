"""Which token comes next: by chance as the settings say, and only one that the grammar allows."""

from __future__ import annotations

import contextlib
import ctypes
import time
from typing import TYPE_CHECKING, Any, Final

from phloem.nodes.services.models.local.llama import Loaded, last_words
from phloem.nodes.services.models.local.sampling import Wording
from phloem.nodes.services.models.local.vocabulary import Vocabulary, unfinished
from phloem.runtime.errors import ServiceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Candidates = npt.NDArray[np.void]

__all__ = ["Chooser", "HeldChooser"]

REPEAT_WINDOW: Final = 64
"""Tokens that repeat_penalty looks back on."""
SLOWEST: Final = 2.0
"""Seconds that a grammar may take over one token; usually it takes a few thousandths."""
COLDEST: Final = 0.001
"""A temperature below which the likeliest token is as good as certain, and the arithmetic overflows."""


class Chooser:
    """Chooses the tokens of one answer. Whoever made it closes it."""

    def __init__(self, loaded: Loaded, wording: Wording) -> None:
        self._loaded = loaded
        self._llama = llama = loaded.llama
        self._freed = contextlib.ExitStack()
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        self._freed.callback(llama.llama_sampler_free, self._chain)
        for step in _steps(llama, loaded.vocabulary_size, wording):
            llama.llama_sampler_chain_add(self._chain, step)

    def next(self, index: int) -> int | None:
        """The token after the entry at `index` of what was computed last; None if none may follow."""
        token: int = self._llama.llama_sampler_sample(self._chain, self._loaded.context, index)
        return token

    def is_complete(self) -> bool:
        """Whether nothing may follow but the end."""
        return False

    def close(self) -> None:
        self._freed.close()


class HeldChooser(Chooser):
    """Chooses only what a grammar, in the notation of llama.cpp, allows. It must have been checked."""

    def __init__(self, loaded: Loaded, wording: Wording, vocabulary: Vocabulary, gbnf: str) -> None:
        super().__init__(loaded, wording)
        try:
            self._grammar = _native_grammar(self._llama, loaded.vocabulary, gbnf, self._freed)
        except ServiceError:
            self.close()
            raise
        self._words = vocabulary
        self._half = b""

    def next(self, index: int) -> int | None:
        """The next token; None if the grammar allows none.

        Most often the token that would be chosen anyway is allowed, so that one is tried first. Choosing
        again among all that are allowed, if it is not, gives the same chances.
        """
        import numpy as np

        began = time.perf_counter()
        scores = np.ctypeslib.as_array(self._loaded.scores(index))
        candidates = self._candidates(scores + self._words.unwritable)
        token = self._chosen(candidates.copy())
        if not self._allowed(candidates[token : token + 1].copy()).size:
            allowed = self._allowed(candidates)
            if not allowed.size:
                return None
            token = self._chosen(allowed)
        # Accepting a token that the grammar does not allow would end the process.
        for sampler in (self._grammar, self._chain):
            self._llama.llama_sampler_accept(sampler, token)
        self._half = unfinished(self._half + (self._words.bytes_of(token) or b"")) or b""
        if time.perf_counter() - began > SLOWEST:
            raise ServiceError(
                "what the model wrote so far can be read in too many ways at once",
                hint="Let the alternatives of the schema differ at their beginning: put what tells them apart first.",
            )
        return token

    def is_complete(self) -> bool:
        allowed = self._allowed(self._candidates(self._words.unwritable))["id"]
        return all(self._words.bytes_of(int(token)) is None for token in allowed)

    def _candidates(self, scores: Floats) -> Candidates:
        """Every token with its score, as llama.cpp's samplers want them."""
        import numpy as np

        found = np.zeros(len(scores), dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        found["id"] = np.arange(len(scores))
        found["logit"] = scores
        return found

    def _allowed(self, candidates: Candidates) -> Candidates:
        """Those that the grammar allows next, and that go on as UTF-8: llama.cpp takes characters that are written
        with more bytes than they need for right ones, which are none to anybody else."""
        import numpy as np

        candidates = candidates[np.isfinite(candidates["logit"])]
        if candidates.size:
            self._llama.llama_sampler_apply(self._grammar, ctypes.byref(self._array(candidates)))
        allowed: Candidates = candidates[np.isfinite(candidates["logit"])]
        broken = np.flatnonzero(self._words.broken[allowed["id"]])
        wrong = [place for place in broken if not self._goes_on(int(allowed["id"][place]))]
        return np.delete(allowed, wrong) if wrong else allowed

    def _goes_on(self, token: int) -> bool:
        """Whether the text so far and this token are, or begin, whole characters."""
        return unfinished(self._half + (self._words.bytes_of(token) or b"")) is not None

    def _chosen(self, candidates: Candidates) -> int:
        array = self._array(candidates)
        self._llama.llama_sampler_apply(self._chain, ctypes.byref(array))
        token: int = array.data[array.selected].id
        return token

    def _array(self, candidates: Candidates) -> Any:
        """What llama.cpp works on: the candidates' own memory."""
        data = candidates.ctypes.data_as(ctypes.POINTER(self._llama.llama_token_data))
        return self._llama.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)


def _native_grammar(llama: Any, vocabulary: Any, gbnf: str, freed: contextlib.ExitStack) -> Any:
    """llama.cpp's sampler for a grammar. ServiceError if it refuses it, which it does by giving nothing back."""
    last_words()
    made = llama.llama_sampler_init_grammar(vocabulary, gbnf.encode(), b"root")
    if not made:
        raise ServiceError(f"llama.cpp refuses the form: {last_words()}")
    freed.callback(llama.llama_sampler_free, made)
    return made


def _steps(llama: Any, size: int, wording: Wording) -> list[Any]:
    """The samplers that these settings need, in llama.cpp's usual order."""
    steps = []
    if wording.repeat_penalty != 1:
        steps.append(llama.llama_sampler_init_penalties(size, REPEAT_WINDOW, wording.repeat_penalty, 0.0, 0.0))
    if wording.temperature < COLDEST:
        return [*steps, llama.llama_sampler_init_greedy()]
    if wording.top_k:
        steps.append(llama.llama_sampler_init_top_k(wording.top_k))
    return [
        *steps,
        llama.llama_sampler_init_top_p(wording.top_p, 1),
        llama.llama_sampler_init_min_p(wording.min_p, 1),
        llama.llama_sampler_init_temp(wording.temperature),
        llama.llama_sampler_init_dist(wording.seed),
    ]
