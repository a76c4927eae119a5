"""What a GGUF file says about itself, read without llama.cpp.

The native library trusts a file that it loads, and ends the process over some that are damaged. So
every file passes here first: its parts must lie inside it, and its shape must make sense. It is read, not
mapped into memory: a mapped file that gets shorter meanwhile would end the process too.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from phloem.runtime.errors import ServiceError

__all__ = ["Header", "read_header"]

Scalar = int | float | bool | str

MAX_TENSORS: Final = 100_000
MAX_ENTRIES: Final = 10_000
MAX_KEY: Final = 1_000
MAX_NAME: Final = 64
KEPT_TEXT: Final = 1_000_000
"""Bytes of a text that are kept: what is longer, as a whole tokenizer in JSON is, nobody asks for."""
MAX_TEXTS: Final = 4_000_000
"""Texts in one list: the largest vocabularies have a few hundred thousand."""
MAX_TOKEN: Final = 10_000
"""Bytes of a token's text."""


@dataclass(frozen=True, slots=True)
class Header:
    """The metadata of a model file: its single values, and how many items each of its lists has.

    `weights` counts the numbers in its tensors by the type in which they are stored (ggml.h, ggml_type).
    """

    values: dict[str, Scalar] = field(default_factory=dict)
    lists: dict[str, int] = field(default_factory=dict)
    weights: dict[int, int] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained to take in."""
        return int(self.of_architecture("context_length") or 0)

    @property
    def makes_vectors(self) -> bool:
        """True for an embedding model, which pools its tokens into one vector or looks both ways."""
        pooling, causal = self.of_architecture("pooling_type"), self.of_architecture("attention.causal")
        return bool(pooling) or causal is False

    @property
    def ranks(self) -> bool:
        """True for a reranker, which gives a pair of texts one number."""
        return self.of_architecture("pooling_type") == _RANK

    @property
    def parameters(self) -> int:
        """How many numbers the model has learned."""
        return sum(self.weights.values())

    @property
    def quantisation(self) -> str:
        """How most of its numbers are stored, as llama.cpp calls it (`Q8_0`); empty for a type not known here."""
        most = max(self.weights, key=lambda kind: self.weights[kind], default=-1)
        return _NAMES.get(most, "")

    @property
    def memory_per_token(self) -> int:
        """Bytes that each token of context takes while the model runs, with keys and values of 16 bits.

        For a model with layers of several kinds, of which the header has lists, it is rather too high.
        """
        if self.makes_vectors:
            return 0
        heads = self._count("attention.head_count") or 1
        shared = self._count("attention.head_count_kv") or heads
        width = self._count("embedding_length") // heads
        key, value = self._count("attention.key_length") or width, self._count("attention.value_length") or width
        return 2 * self._count("block_count") * shared * (key + value)

    @property
    def chat_template(self) -> str:
        """The Jinja template that writes a conversation as this model learned it; empty if there is none."""
        return str(self.values.get("tokenizer.chat_template", ""))

    def of_architecture(self, key: str) -> Scalar | None:
        """The value of `ARCHITECTURE.key`, if there is one."""
        return self.values.get(f"{self.architecture}.{key}")

    def _count(self, key: str) -> int:
        found = self.of_architecture(key)
        return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def read_header(path: Path) -> Header:
    """The header of the GGUF file at `path`.

    ServiceError when the file cannot be read, is no GGUF file, or is cut short, damaged or misshapen.
    """
    try:
        with path.open("rb") as file:
            _check_magic(file.read(8))
            header = _Reader(file).header()
    except OSError as error:
        raise ServiceError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except _Damaged as error:
        raise ServiceError(
            f"{path} cannot be used as a model: {error}",
            hint="Choose a GGUF file made for llama.cpp; if it should be one, copy or download it again.",
        ) from None
    return header


class _Damaged(Exception):
    """Says what is wrong with the file, as the end of a sentence."""


def _check_magic(start: bytes) -> None:
    if start[:4] != b"GGUF":
        raise _Damaged("it is not a GGUF file" if start else "it is empty")
    if len(start) < 8:
        raise _Damaged("it is cut short")
    (version,) = struct.unpack("<I", start[4:])
    if version not in (2, 3):
        turned = version & 0xFFFF == 0
        raise _Damaged("it is for machines of the other byte order" if turned else f"it is of GGUF version {version}")


_FORMATS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9

_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66),
    39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""For each type of tensor, how many values a block holds and how many bytes it takes (ggml.c, type_traits)."""

_NAMES: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0",
    39: "MXFP4",
}  # fmt: skip
_RANK: Final = 4
"""Of llama_pooling_type."""


class _Reader:
    """Reads a header front to back; _Damaged as soon as something does not lie inside the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._at = 8

    def header(self) -> Header:
        tensors, entries = self._number(8), self._number(8)
        if tensors > MAX_TENSORS or entries > MAX_ENTRIES:
            raise _Damaged("its header is damaged")
        header = Header()
        for _ in range(entries):
            self._entry(header)
        self._check_tensors(tensors, header)
        _check_shape(header)
        return header

    def _entry(self, header: Header) -> None:
        key, kind = self._text(MAX_KEY), self._number(4)
        if key in header.values or key in header.lists:
            raise _Damaged(f"it has two entries {key[:80]!r}")
        if kind == _LIST:
            header.lists[key] = self._skip_list(key)
        elif kind == _TEXT:
            header.values[key] = self._long_text()
        else:
            header.values[key] = self._scalar(kind)

    def _scalar(self, kind: int) -> Scalar:
        if kind not in _FORMATS:
            raise _Damaged("its header is damaged")
        (value,) = struct.unpack("<" + _FORMATS[kind], self._take(struct.calcsize("<" + _FORMATS[kind])))
        known: Scalar = value
        return known

    def _skip_list(self, key: str) -> int:
        kind, length = self._number(4), self._number(8)
        if kind == _TEXT:
            self._skip_texts(length, distinct=key == _TOKENS)
        elif kind in _FORMATS:
            self._skip(length * struct.calcsize("<" + _FORMATS[kind]))
        else:
            raise _Damaged("its header is damaged")
        return length

    def _skip_texts(self, count: int, *, distinct: bool) -> None:
        if count > self._size // 8:
            raise _Damaged("it is cut short")
        if count > MAX_TEXTS:
            raise _Damaged("its header is damaged")
        known: set[bytes] = set()
        for _ in range(count):
            if not distinct:
                self._skip(self._number(8))
                continue
            text = self._bytes(MAX_TOKEN).partition(b"\0")[0]
            if text in known:
                raise _Damaged("its vocabulary has the same token twice")
            if text:
                known.add(text)

    def _check_tensors(self, count: int, header: Header) -> None:
        ends = []
        for _ in range(count):
            name, dimensions = self._text(MAX_NAME), self._number(4)
            if dimensions > 4:
                raise _Damaged(f"its tensor {name!r} is damaged")
            shape = [self._number(8) for _ in range(dimensions)]
            kind, offset = self._number(4), self._number(8)
            ends.append((offset + _tensor_size(name, shape, kind), name))
            header.weights[kind] = header.weights.get(kind, 0) + math.prod(shape)
        alignment = header.values.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise _Damaged("its alignment is not a power of two")
        start = -(-self._at // alignment) * alignment
        end, name = max(ends, default=(0, ""))
        if start + end > self._size:
            raise _Damaged(f"it is cut short: {name!r} ends at byte {start + end:,}, the file at {self._size:,}")

    def _text(self, limit: int) -> str:
        return self._bytes(limit).decode("utf-8", "replace")

    def _bytes(self, limit: int) -> bytes:
        length = self._number(8)
        if length > limit:
            raise _Damaged("its header is damaged")
        return self._take(length)

    def _long_text(self) -> str:
        """A text of any length, of which the beginning is kept."""
        length = self._number(8)
        text = self._take(min(length, KEPT_TEXT))
        self._skip(length - len(text))
        return text.decode("utf-8", "replace")

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _take(self, length: int) -> bytes:
        found = self._file.read(length)
        if len(found) < length:
            raise _Damaged("it is cut short")
        self._at += length
        return found

    def _skip(self, length: int) -> None:
        if length > self._size - self._at:
            raise _Damaged("it is cut short")
        self._at += length
        self._file.seek(length, os.SEEK_CUR)


def _tensor_size(name: str, shape: list[int], kind: int) -> int:
    """Bytes of a tensor; 0 for a type that this table does not know, which llama.cpp then judges."""
    count = math.prod(shape)
    if count >= 2**62 or 0 in shape:
        raise _Damaged(f"its tensor {name!r} is damaged")
    values, size = _BLOCKS.get(kind, (1, 0))
    if shape and shape[0] % values:
        raise _Damaged(f"its tensor {name!r} is damaged")
    return count // values * size


_COUNTS: Final = {
    "context_length": 2**31, "embedding_length": 2**20, "block_count": 512, "attention.head_count": 2**16,
}  # fmt: skip
"""Sizes that a model cannot do without, and more than any has."""
_LISTED: Final = "attention.head_count"
"""The one of them that may differ from layer to layer."""
_TOKENS: Final = "tokenizer.ggml.tokens"


def _check_shape(header: Header) -> None:
    """_Damaged where llama.cpp would divide by nothing, run out of room, or open further files."""
    if header.values.get("split.count", 1) not in (0, 1):
        raise _Damaged("it is one of several parts; join them first with llama-gguf-split --merge")
    for key, value in header.values.items():
        if isinstance(value, float) and (not math.isfinite(value) or (key.endswith("epsilon") and value < 0)):
            raise _Damaged(f"its {key} is {value}")
    if not header.architecture:
        raise _Damaged("it does not say of which architecture it is")
    if header.values.get("tokenizer.ggml.model") in (None, "none", "no_vocab") or not header.lists.get(_TOKENS):
        raise _Damaged("it has no vocabulary")
    for key, most in _COUNTS.items():
        count = header.of_architecture(key)
        listed = key == _LISTED and f"{header.architecture}.{key}" in header.lists
        if not listed and (not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= most):
            raise _Damaged(f"its {key.replace('_', ' ').replace('.', ' ')} is {count}")
    heads, shared = header.of_architecture("attention.head_count"), header.of_architecture("attention.head_count_kv")
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise _Damaged(f"its {heads} heads cannot share {shared}")
