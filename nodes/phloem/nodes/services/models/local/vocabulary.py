"""What the tokens of a loaded model mean."""

from __future__ import annotations

import codecs
import ctypes
import functools
from typing import TYPE_CHECKING, Final

from phloem.nodes.services.models.local.llama import Loaded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Flags = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float32]

__all__ = ["Vocabulary", "unfinished"]

_UNKNOWN, _UNUSED, _CONTROL = 1 << 0, 1 << 1, 1 << 3
"""Of llama_token_attr."""
NO_TOKEN: Final = -1


class Vocabulary:
    """The tokens of a model, by their numbers."""

    def __init__(self, loaded: Loaded) -> None:
        self._llama = loaded.llama
        self._vocabulary = loaded.vocabulary
        self.size = loaded.vocabulary_size
        self._bytes: dict[int, bytes | None] = {}

    def bytes_of(self, token: int) -> bytes | None:
        """What a token adds to the text; None for one that ends it."""
        if token not in self._bytes:
            ends = self._llama.llama_vocab_is_eog(self._vocabulary, token)
            self._bytes[token] = None if ends else self._piece(token, marks=False)
        return self._bytes[token]

    def shown(self, token: int) -> str:
        """A token as people read it, control tokens by their names."""
        return self._piece(token, marks=True).decode("utf-8", "replace")

    @property
    def first(self) -> int:
        """The token to begin with when there is no prompt."""
        begin: int = self._llama.llama_vocab_bos(self._vocabulary)
        return max(begin, 0)

    @functools.cached_property
    def marks(self) -> tuple[str, ...]:
        """The texts of the control tokens, longest first."""
        found = {self._text_of(token) for token in range(self.size) if self._attributes(token) & _CONTROL}
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
    def unwritable(self) -> Floats:
        """Minus infinity for each token whose text would not appear in the answer, 0 for the others."""
        import numpy as np

        hidden = [
            bool(self._attributes(token) & (_UNKNOWN | _UNUSED | _CONTROL)) and self.bytes_of(token) is not None
            for token in range(self.size)
        ]
        return np.where(hidden, np.float32("-inf"), np.float32(0))

    @functools.cached_property
    def broken(self) -> Flags:
        """Whether a token's bytes are not whole characters by themselves."""
        import numpy as np

        return np.array([_is_broken(self.bytes_of(token) or b"") for token in range(self.size)])

    def _attributes(self, token: int) -> int:
        attributes: int = self._llama.llama_vocab_get_attr(self._vocabulary, token)
        return attributes

    def _text_of(self, token: int) -> str:
        """What the vocabulary calls a token; empty for the number of none."""
        if token <= NO_TOKEN:
            return ""
        text: bytes = self._llama.llama_vocab_get_text(self._vocabulary, token)
        return text.decode("utf-8", "replace")

    def _piece(self, token: int, *, marks: bool) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self._llama.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, marks)
            if length >= 0:
                return buffer.raw[:length]
            size = -length


def unfinished(data: bytes) -> bytes | None:
    """The bytes at the end of `data` that only begin a character; None if no text begins with `data`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return None
    rest: bytes = decoder.getstate()[0]
    return rest


def _is_broken(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False
