"""llama.cpp: the one file that imports it. A model file in memory, with one context to run it in.

The high-level `Llama` class is not used: its streaming takes quadratic time, it sets up chat templates
and buffers that nobody asked for, and a grammar that fits no token ends the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from phloem.nodes.services.models.gguf import Header
from phloem.nodes.services.models.owner import Stopped
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["Loaded", "last_words"]

SMALL: Final = 256_000_000
"""Bytes below which a model gets few threads. See _threads."""
_ABORTED, _NO_ROOM = 2, 1
"""What llama_decode gives back besides 0 for success."""


class Loaded:
    """A model in memory. It belongs to the thread that made it, but for `stop`, which any thread may call.

    `context` is how many tokens fit into it, `batch` how many are computed at once. ServiceError when
    llama.cpp does not take the file.
    """

    def __init__(self, name: str, path: Path, header: Header, *, context: int, batch: int, **options: Any) -> None:
        self.name = name
        self.header = header
        self.context = context
        self._llama = llama = _library()
        self._free = contextlib.ExitStack()
        self._model = llama.llama_model_load_from_file(os.fsencode(path), llama.llama_model_default_params())
        if not self._model:
            raise _refused(path)
        self._free.callback(llama.llama_model_free, self._model)
        threads = _threads(path)
        settings = llama.llama_context_default_params()
        options |= {"n_ctx": context, "n_batch": batch, "n_ubatch": batch, "n_threads": threads}
        options |= {"n_threads_batch": threads, "flash_attn_type": llama.LLAMA_FLASH_ATTN_TYPE_DISABLED}
        for key, value in options.items():
            setattr(settings, key, value)
        self._context = llama.llama_init_from_model(self._model, settings)
        if not self._context:
            self.close()
            raise _refused(path)
        self._free.callback(llama.llama_free, self._context)
        self._batch = llama.llama_batch_init(batch, 0, 1)
        self._free.callback(llama.llama_batch_free, self._batch)
        self._memory = llama.llama_get_memory(self._context)
        self._vocabulary = llama.llama_model_get_vocab(self._model)
        self._stop_flag = ctypes.create_string_buffer(2)
        self._watch_stop_flag()

    def stop(self) -> None:
        """Make what runs now raise Stopped, within one step of the computation. From any thread."""
        self._stop_flag[0] = b"\1"

    def resume(self) -> None:
        """Take back a `stop` before the next work begins."""
        self._stop_flag[0] = b"\0"

    def close(self) -> None:
        """Free the memory. Nothing else may be called afterwards."""
        self._free.close()

    def _tokens(self, text: str, *, marks: bool, ends: bool) -> list[int]:
        """The tokens of `text`; `marks` reads control tokens in it, `ends` adds those that stand at the ends."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 16
        while True:
            found = (self._llama.llama_token * size)()
            count = self._llama.llama_tokenize(self._vocabulary, data, len(data), found, size, ends, marks)
            if count >= 0:
                return list(found[:count])
            if -count <= size:
                raise InputError(f"the text of {len(data):,} bytes is too long to be read by a model")
            size = -count

    def _decode(self, tokens: Sequence[int], at: int, *, all_out: bool = False) -> None:
        """Compute `tokens`, which stand at position `at` and after. Stopped, or ServiceError if that fails."""
        if self._stop_flag[0] != b"\0":
            raise Stopped
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = at + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = all_out or index == len(tokens) - 1
        result = self._llama.llama_decode(self._context, batch)
        if result == _ABORTED:
            raise Stopped
        if result == _NO_ROOM:
            raise ServiceError(f"{self.name} has no room left in its context of {self.context:,} tokens")
        if result != 0:
            raise ServiceError(f"llama.cpp failed on {self.name} (llama_decode gave {result})")

    def _forget(self, start: int) -> bool:
        """Take everything from position `start` on out of the model's memory; False if it had to forget all."""
        if self._memory is not None:
            if start and self._llama.llama_memory_seq_rm(self._memory, 0, start, -1):
                return True
            self._llama.llama_memory_clear(self._memory, True)
        return start == 0

    def _watch_stop_flag(self) -> None:
        """Let llama.cpp look at the flag before each step of a computation.

        A callback into Python would wait for the interpreter's lock hundreds of times a token (measured:
        27 times slower beside a busy thread), so the C library's strlen does it: the length of the flag,
        as a text, is 1 once it is set, which is true.
        """
        library = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
        self._look = ctypes.cast(library.strlen, self._llama.ggml_abort_callback)
        flag = ctypes.c_void_p(ctypes.addressof(self._stop_flag))
        self._llama.llama_set_abort_callback(self._context, self._look, flag)


def last_words() -> str:
    """What llama.cpp reported as errors in this thread since this was last asked; empty if nothing."""
    lines, _said.lines = getattr(_said, "lines", []), []
    return " ".join(lines)[-300:].strip().removesuffix(".")


def _refused(path: Path) -> ServiceError:
    return ServiceError(
        f"llama.cpp cannot use {path}: {last_words() or 'it gives no reason'}",
        hint="The file may be damaged, or of a kind of model that this version of llama.cpp does not know.",
    )


def _library() -> Any:
    """llama.cpp, set up on first use, with the errors of this thread forgotten."""
    with _loading:
        library = _set_up()
    last_words()
    return library


@functools.cache
def _set_up() -> Any:
    # Without this an abort of llama.cpp makes a stack trace, which can hang for minutes.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    import llama_cpp.llama_cpp as llama

    _kept_alive.append(llama.llama_log_callback(_listen))
    llama.llama_log_set(_kept_alive[0], ctypes.c_void_p(0))
    llama.llama_backend_init()
    return llama


def _listen(level: int, text: bytes, data: object) -> None:
    """Called by llama.cpp with everything that it would print."""
    lines = getattr(_said, "lines", None)
    if level == _ERROR and lines is not None and len(lines) < _MOST_LINES:
        lines.append(text.decode("utf-8", "replace").strip())


_loading = threading.Lock()
_kept_alive: list[Any] = []
_said = threading.local()
_ERROR: Final = 4
_MOST_LINES: Final = 50


def _threads(path: Path) -> int:
    """How many threads a model of this size gets: all cores, or if it is small at most 4, and one less.

    Threads that wait for one another lose more than they win when a core is taken from one of them
    (measured with a model of 3 MB on two cores of which one was busy: 13 times slower than one thread).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores - 1, 4)) if path.stat().st_size < SMALL else cores
