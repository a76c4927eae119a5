"""A model that goes on writing from a prompt."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phloem.nodes.services.models.choosing import Chooser, HeldChooser
from phloem.nodes.services.models.forms.grammar import Grammar
from phloem.nodes.services.models.gguf import Header
from phloem.nodes.services.models.llama import Loaded
from phloem.nodes.services.models.sampling import Wording
from phloem.runtime.errors import InputError, ServiceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

__all__ = ["TextModel"]

LONGEST_CONTEXT: Final = 4096
"""Tokens of context that are set up at most: memory grows with it."""
CHUNK: Final = 64
"""Tokens of a prompt that are read at once. See TextModel._read."""

_UNKNOWN, _UNUSED, _CONTROL = 1 << 0, 1 << 1, 1 << 3
"""Of llama_token_attr."""


class TextModel(Loaded):
    """A language model in memory. It belongs to one thread, as Loaded says."""

    def __init__(self, name: str, path: Path, header: Header) -> None:
        super().__init__(name, path, header, context=min(header.context_length, LONGEST_CONTEXT), batch=CHUNK)
        if self._llama.llama_model_has_encoder(self._model):
            self.close()
            raise ServiceError(f"{name} has an encoder before its decoder, as T5 does, which Phloem cannot run")
        self._read_before: list[int] = []
        self._bytes: dict[int, bytes | None] = {}

    def prompt(self, text: str, *, marks: bool) -> list[int]:
        """The tokens of a prompt. With `marks` it is a conversation, whose control tokens are already in it.

        InputError when it leaves no room to write in.
        """
        tokens = self._tokens(text, marks=marks, ends=not marks)
        if len(tokens) >= self.context:
            raise InputError(
                f"the prompt has {len(tokens):,} tokens, and {self.name} reads at most {self.context - 1:,}",
                hint="Shorten it, give it fewer or smaller passages, or choose a model with a longer context.",
            )
        return tokens or [self._first]

    def write(
        self, prompt: Sequence[int], wording: Wording, grammar: Grammar | None = None
    ) -> Generator[bytes, None, bool]:
        """The bytes of one token after another; at the end whether the model ended by itself.

        It did not if it came to `max_tokens`, or to the end of the context. With a grammar it writes
        nothing else, and has ended as soon as nothing more may follow.
        """
        room = min(wording.max_tokens, self.context - len(prompt))
        with contextlib.ExitStack() as freed:
            chooser = self._chooser(wording, grammar, freed)
            self._read(prompt)
            token: int | None = None
            for place in range(len(prompt), len(prompt) + room):
                if token is not None:
                    self._decode([token], place - 1)
                token = chooser.next()
                data = None if token is None else self._bytes_of(token)
                if data is None:
                    return True
                yield data
            return chooser.is_complete()

    @functools.cached_property
    def marks(self) -> tuple[str, ...]:
        """The texts of the control tokens, longest first."""
        found = {self._text_of(token) for token in range(self._size) if self._attributes(token) & _CONTROL}
        return tuple(sorted(found, key=lambda mark: (-len(mark), mark)))

    @property
    def ends(self) -> tuple[str, str]:
        """The texts of the tokens that begin and end everything; empty where there are none."""
        begin = self._llama.llama_vocab_bos(self._vocabulary)
        end = self._llama.llama_vocab_eos(self._vocabulary)
        return self._text_of(begin), self._text_of(end)

    @property
    def begins_with_space(self) -> bool:
        """True where the vocabulary puts a space before the first word of a text."""
        return bool(self._llama.llama_vocab_type(self._vocabulary) == self._llama.LLAMA_VOCAB_TYPE_SPM)

    @functools.cached_property
    def _size(self) -> int:
        size: int = self._llama.llama_vocab_n_tokens(self._vocabulary)
        return size

    @property
    def _first(self) -> int:
        """The token to begin with when there is no prompt."""
        begin: int = self._llama.llama_vocab_bos(self._vocabulary)
        return max(begin, 0)

    def _chooser(self, wording: Wording, grammar: Grammar | None, freed: contextlib.ExitStack) -> Chooser:
        if grammar is None:
            return Chooser(self._llama, self._context, self._size, wording, freed)
        return HeldChooser(
            self._llama, self._context, wording, freed, vocabulary=self._vocabulary, grammar=grammar,
            scores=self._scores, unwritable=self._unwritable, ends=lambda token: self._bytes_of(token) is None,
        )  # fmt: skip

    def _read(self, prompt: Sequence[int]) -> None:
        """Put the prompt into the model's memory, in chunks of a fixed size, keeping those that are there.

        Only whole chunks are kept: what a chunk computes then never depends on what was asked before,
        to the last bit, and so neither does the answer.
        """
        same = next(
            (index for index, (old, new) in enumerate(zip(self._read_before, prompt, strict=False)) if old != new),
            min(len(self._read_before), len(prompt)),
        )
        start = min(same, len(prompt) - 1) // CHUNK * CHUNK
        self._read_before = []
        if not self._forget(start):
            start = 0
        for at in range(start, len(prompt), CHUNK):
            self._decode(prompt[at : at + CHUNK], at)
        self._read_before = list(prompt[: len(prompt) // CHUNK * CHUNK])
        if not math.isfinite(float(self._scores().sum())):
            raise ServiceError(f"{self.name} computes no numbers: the model file is damaged")

    def _scores(self) -> Floats:
        """The logits after the last token, in llama.cpp's own memory, valid until the next token."""
        import numpy as np

        return np.ctypeslib.as_array(self._llama.llama_get_logits_ith(self._context, -1), (self._size,))

    @functools.cached_property
    def _unwritable(self) -> Floats:
        """Minus infinity for each token whose text would not appear in the answer, 0 for the others."""
        import numpy as np

        hidden = [
            bool(self._attributes(token) & (_UNKNOWN | _UNUSED | _CONTROL)) and self._bytes_of(token) is not None
            for token in range(self._size)
        ]
        return np.where(hidden, np.float32("-inf"), np.float32(0))

    def _attributes(self, token: int) -> int:
        attributes: int = self._llama.llama_vocab_get_attr(self._vocabulary, token)
        return attributes

    def _text_of(self, token: int) -> str:
        """What the vocabulary calls a token; empty for the number of none."""
        if token < 0:
            return ""
        text: bytes = self._llama.llama_vocab_get_text(self._vocabulary, token)
        return text.decode("utf-8", "replace")

    def _bytes_of(self, token: int) -> bytes | None:
        """What a token adds to the text; None for one that ends it."""
        if token not in self._bytes:
            ends = self._llama.llama_vocab_is_eog(self._vocabulary, token)
            self._bytes[token] = None if ends else self._piece(token)
        return self._bytes[token]

    def _piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self._llama.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, False)
            if length >= 0:
                return buffer.raw[:length]
            size = -length
