"""Model files for tests: the bundled ones, changed byte by byte where a test wants another model."""

from __future__ import annotations

import struct
from pathlib import Path

from phloem.nodes.services.models.local.catalogue import DATA

DEMO = DATA / "demo.gguf"
MINILM = DATA / "minilm.gguf"


def changed(target: Path, **values: int | float | str) -> Path:
    """The demo model with other metadata, as a file at `target`; `__` in a key stands for a dot.

    Numbers keep their type; a text is filled up with spaces, so it may not be longer than the one there.
    """
    data = bytearray(DEMO.read_bytes())
    for key, value in values.items():
        at = _value_at(data, key.replace("__", "."))
        if isinstance(value, str):
            (length,) = struct.unpack_from("<Q", data, at)
            text = value.encode()
            assert len(text) <= length
            data[at + 8 : at + 8 + length] = text.ljust(length)
        else:
            struct.pack_into("<f" if isinstance(value, float) else "<I", data, at, value)
    target.write_bytes(data)
    return target


def renamed(target: Path, key: str, other: str) -> Path:
    """The demo model with one key of its metadata called something else of the same length."""
    assert len(key) == len(other)
    data = DEMO.read_bytes()
    assert data.count(key.encode()) == 1
    target.write_bytes(data.replace(key.encode(), other.encode()))
    return target


def talkative(target: Path) -> Path:
    """The demo model with room for 4,096 tokens, in which hardly ever a token ends the text."""
    ends = {f"tokenizer__ggml__{name}_token_id": 0 for name in ("eos", "eot", "padding")}
    changed(target, llama__context_length=4096, **ends)
    # llama.cpp also knows the ends of turns by their names.
    target.write_bytes(target.read_bytes().replace(b"<|end|>", b"<|fin|>"))
    return target


def _value_at(data: bytes | bytearray, key: str) -> int:
    """Where the value of a key begins: behind the key's length and text and the four bytes of its type."""
    name = struct.pack("<Q", len(key)) + key.encode()
    at = data.find(name)
    assert at > 0, key
    return at + len(name) + 4
