"""llama.cpp: the one file that imports it. A model file in memory, with one context of several streams.

It runs in a process of its own, which `worker` starts: a bad file or grammar can end the process. The
high-level `Llama` class is not used: its streaming takes quadratic time, it sets up chat templates and
buffers that nobody asked for, and it has one sequence.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, Final

from phloem.nodes.services.models.local.gguf import Header
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["Aborted", "Entry", "Loaded", "Shape", "last_words", "library", "supports_gpu"]

_ABORTED, _NO_ROOM = 2, 1
"""What llama_decode gives back besides 0 for success."""
_ERROR: Final = 4
_MOST_LINES: Final = 50


class Aborted(Exception):
    """The computation was stopped on request. What it had begun must be cut off its streams."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a model is run: `streams` sequences of `context` tokens each, at most `batch` tokens computed at once.

    `gpu_layers` of its layers are computed by a GPU, -1 stands for all.
    """

    streams: int
    context: int
    batch: int
    threads: int
    gpu_layers: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One token to compute, at a position of a stream; its results are kept if `wanted`."""

    token: int
    position: int
    stream: int
    wanted: bool


class Loaded:
    """A model in memory. It belongs to the thread that made it, but for `stop`, which any thread may call.

    ServiceError when llama.cpp does not take the file.
    """

    def __init__(self, name: str, path: Path, header: Header, shape: Shape, **options: Any) -> None:
        self.name = name
        self.header = header
        self.shape = shape
        self.llama = llama = library()
        self._free = contextlib.ExitStack()
        wanted = llama.llama_model_default_params()
        wanted.n_gpu_layers = shape.gpu_layers
        self.model = llama.llama_model_load_from_file(os.fsencode(path), wanted)
        if not self.model:
            raise _refused(path)
        self._free.callback(llama.llama_model_free, self.model)
        settings = llama.llama_context_default_params()
        options = {
            "n_ctx": shape.context * shape.streams, "n_seq_max": shape.streams, "kv_unified": False,
            "n_batch": shape.batch, "n_ubatch": shape.batch, "n_threads": shape.threads, "no_perf": True,
            "n_threads_batch": shape.threads, "flash_attn_type": _flash_attention(llama, shape), **options,
        }  # fmt: skip
        for key, value in options.items():
            setattr(settings, key, value)
        self.context = llama.llama_init_from_model(self.model, settings)
        if not self.context:
            self.close()
            raise _refused(path)
        self._free.callback(llama.llama_free, self.context)
        self._batch = llama.llama_batch_init(shape.batch, 0, 1)
        self._free.callback(llama.llama_batch_free, self._batch)
        self._memory = llama.llama_get_memory(self.context)
        self.vocabulary = llama.llama_model_get_vocab(self.model)
        self._stop_flag = ctypes.create_string_buffer(2)
        self._watch_stop_flag()

    @functools.cached_property
    def vocabulary_size(self) -> int:
        size: int = self.llama.llama_vocab_n_tokens(self.vocabulary)
        return size

    @functools.cached_property
    def shares(self) -> bool:
        """Whether a stream can be cut in the middle, so that its beginning can be used again."""
        changes = self.llama.llama_model_is_recurrent(self.model) or self.llama.llama_model_is_hybrid(self.model)
        return self._memory is not None and not changes

    def stop(self) -> None:
        """Make what is computed now raise Aborted, within one step of the computation. From any thread.

        Without effect on a model whose streams cannot be cut: what was begun could not be taken back.
        """
        if self.shares:
            self._stop_flag[0] = b"\1"

    def resume(self) -> None:
        """Take back a `stop`."""
        self._stop_flag[0] = b"\0"

    def close(self) -> None:
        """Free the memory. Nothing else may be called afterwards."""
        self._free.close()

    def tokens(self, text: str, *, marks: bool, ends: bool) -> list[int]:
        """The tokens of `text`; `marks` reads control tokens in it, `ends` adds those that stand at the ends."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 16
        while True:
            found = (self.llama.llama_token * size)()
            count = self.llama.llama_tokenize(self.vocabulary, data, len(data), found, size, ends, marks)
            if count >= 0:
                return list(found[:count])
            if -count <= size:
                raise InputError(f"the text of {len(data):,} bytes is too long to be read by a model")
            size = -count

    def decode(self, entries: Sequence[Entry]) -> None:
        """Compute these. Several of one stream ascend, and streams come in the order of their numbers.

        Aborted after `stop`; ServiceError if llama.cpp cannot do it.
        """
        batch = self._batch
        batch.n_tokens = len(entries)
        for index, entry in enumerate(entries):
            batch.token[index] = entry.token
            batch.pos[index] = entry.position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = entry.stream
            batch.logits[index] = entry.wanted
        result = self.llama.llama_decode(self.context, batch)
        if result == 0:
            return
        if result == _ABORTED:
            raise Aborted
        if result == _NO_ROOM:
            raise ServiceError(f"{self.name} has no room left in its context of {self.shape.context:,} tokens")
        raise ServiceError(f"llama.cpp failed on {self.name} (llama_decode gave {result}) {last_words()}".rstrip())

    def scores(self, index: int) -> Any:
        """The logits after the entry at `index`, as a ctypes array in llama.cpp's memory, valid until `decode`."""
        found = self.llama.llama_get_logits_ith(self.context, index)
        return (ctypes.c_float * self.vocabulary_size).from_address(ctypes.addressof(found.contents))

    def cut(self, stream: int, keep: int) -> None:
        """Forget what a stream has from position `keep` on."""
        if self._memory is not None and not self.llama.llama_memory_seq_rm(self._memory, stream, keep, -1):
            self.llama.llama_memory_seq_rm(self._memory, stream, -1, -1)

    def copy(self, source: int, target: int, keep: int) -> None:
        """Make stream `target` the beginning of stream `source`. Streams can only be copied as a whole."""
        self.llama.llama_memory_seq_rm(self._memory, target, -1, -1)
        self.llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self.llama.llama_memory_seq_rm(self._memory, target, keep, -1)

    def _watch_stop_flag(self) -> None:
        """Let llama.cpp look at the flag before each step of a computation.

        A callback into Python would wait for the interpreter's lock hundreds of times a token (measured:
        27 times slower beside a busy thread), so the C library's strlen does it: the length of the flag,
        as a text, is 1 once it is set, which is true.
        """
        found = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
        self._look = ctypes.cast(found.strlen, self.llama.ggml_abort_callback)
        flag = ctypes.c_void_p(ctypes.addressof(self._stop_flag))
        self.llama.llama_set_abort_callback(self.context, self._look, flag)


def _flash_attention(llama: Any, shape: Shape) -> Any:
    """Whether attention is computed without its matrix: on a GPU, if it can.

    On a processor it reads prompts a tenth faster at best, and writes at half the speed from some 600 tokens of context
    on (measured with llama-cpp-python 0.3.36). And several threads cut its sums at places that depend on what is
    computed together, which changes the last bits.
    """
    return llama.LLAMA_FLASH_ATTN_TYPE_AUTO if shape.gpu_layers else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED


def supports_gpu() -> bool:
    """Whether llama.cpp was built for a GPU."""
    return bool(library().llama_supports_gpu_offload())


def last_words() -> str:
    """What llama.cpp reported as errors since this was last asked; empty if nothing."""
    lines = [*_said]
    _said.clear()
    return " ".join(lines)[-300:].strip().removesuffix(".")


def _refused(path: Path) -> ServiceError:
    return ServiceError(
        f"llama.cpp cannot use {path}: {last_words() or 'it gives no reason'}",
        hint="The file may be damaged, or of a kind of model that this version of llama.cpp does not know.",
    )


@functools.cache
def library() -> Any:
    """llama.cpp, set up on first use."""
    # Without this an abort of llama.cpp makes a stack trace, which can hang for minutes.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    with _without_package():
        import llama_cpp.llama_cpp as llama

    _kept_alive.append(llama.llama_log_callback(_listen))
    llama.llama_log_set(_kept_alive[0], ctypes.c_void_p(0))
    llama.llama_backend_init()
    return llama


@contextlib.contextmanager
def _without_package() -> Iterator[None]:
    """Let the bindings be imported without what their package imports besides: four times as fast."""
    found = None if "llama_cpp" in sys.modules else find_spec("llama_cpp")
    if found is None:
        yield
        return
    sys.modules["llama_cpp"] = module_from_spec(found)
    try:
        yield
    finally:
        # Whoever wants the package after us gets the whole of it.
        del sys.modules["llama_cpp"]


def _listen(level: int, text: bytes, data: object) -> None:
    """Called by llama.cpp with everything that it would print."""
    if level == _ERROR and len(_said) < _MOST_LINES:
        _said.append(text.decode("utf-8", "replace").strip())


_kept_alive: list[Any] = []
_said: list[str] = []
