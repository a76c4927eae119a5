"""llama.cpp: the one file that imports it. Loads a model and runs it, in one thread only.

The high-level `Llama` class is not used: its streaming takes quadratic time, it sets up chat templates
and buffers that nobody asked for, and a grammar that fits no token ends the process. Everything here
belongs to the thread that made it, but for `stop`, which any thread may call.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import math
import os
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phloem.nodes.services.models.gguf import Header
from phloem.nodes.services.models.grammar import Grammar
from phloem.nodes.services.models.owner import Stopped
from phloem.nodes.services.models.sampling import Wording
from phloem.runtime.errors import InputError, ServiceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

__all__ = ["TextModel", "VectorModel"]

LONGEST_TEXT: Final = 4096
LONGEST_VECTOR_TEXT: Final = 1024
"""Tokens of context that are set up at most for either use: memory grows with it."""
CHUNK: Final = 64
"""Tokens of a prompt that are read at once. See TextModel._read."""
SMALL: Final = 256_000_000
"""Bytes below which a model gets few threads: it loses more by waiting for them than it gains."""
REPEAT_WINDOW: Final = 64
"""Tokens that repeat_penalty looks back on."""
COLDEST: Final = 0.001
"""A temperature below which the likeliest token is as good as certain, and the arithmetic overflows."""

_MEAN, _RANK = 1, 4
_CONTROL = 1 << 3
_UNWRITABLE: Final = 1 << 0 | 1 << 1 | _CONTROL
"""llama_token_attr: unknown, unused, control."""
_ABORTED, _NO_ROOM = 2, 1


class _Model:
    """A model file in memory with one context to run it in."""

    def __init__(self, name: str, path: Path, header: Header, context: int, **options: Any) -> None:
        self.name = name
        self.header = header
        self._llama = _library()
        self._free = contextlib.ExitStack()
        _said.lines = []
        self._model = self._llama.llama_model_load_from_file(os.fsencode(path), self._model_options())
        if not self._model:
            raise _refused(path)
        self._free.callback(self._llama.llama_model_free, self._model)
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        given = {"n_ctx": context, **_thread_options(path), **options}
        self._context = self._llama.llama_init_from_model(self._model, self._context_options(given))
        if not self._context:
            self._free.close()
            raise _refused(path)
        self._free.callback(self._llama.llama_free, self._context)
        self.context = context
        self._batch = self._llama.llama_batch_init(options["n_batch"], 0, 1)
        self._free.callback(self._llama.llama_batch_free, self._batch)
        self._memory = self._llama.llama_get_memory(self._context)
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

    def _check_stop(self) -> None:
        if self._stop_flag[0] != b"\0":
            raise Stopped

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
        self._check_stop()
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
        """Take everything from position `start` on out of the model's memory; False if it can only forget all."""
        if self._memory is not None:
            if start and self._llama.llama_memory_seq_rm(self._memory, 0, start, -1):
                return True
            self._llama.llama_memory_clear(self._memory, True)
        return start == 0

    def _model_options(self) -> Any:
        return self._llama.llama_model_default_params()

    def _context_options(self, given: dict[str, Any]) -> Any:
        options = self._llama.llama_context_default_params()
        for key, value in {"flash_attn_type": self._llama.LLAMA_FLASH_ATTN_TYPE_DISABLED, **given}.items():
            setattr(options, key, value)
        return options

    def _watch_stop_flag(self) -> None:
        """Let llama.cpp look at the flag before each step of a computation.

        A callback into Python would wait for the interpreter's lock hundreds of times a token (measured:
        27 times slower beside a busy thread), so the C library's strlen does it: the length of the flag,
        as a text, is 1 once it is set, which is true.
        """
        library = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
        self._strlen = ctypes.cast(library.strlen, self._llama.ggml_abort_callback)
        flag = ctypes.c_void_p(ctypes.addressof(self._stop_flag))
        self._llama.llama_set_abort_callback(self._context, self._strlen, flag)


class TextModel(_Model):
    """A model that goes on writing from a prompt."""

    def __init__(self, name: str, path: Path, header: Header) -> None:
        super().__init__(name, path, header, min(header.context_length, LONGEST_TEXT), n_batch=CHUNK, n_ubatch=CHUNK)
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
        if not tokens:
            first = max(self._llama.llama_vocab_bos(self._vocabulary), self._llama.llama_vocab_nl(self._vocabulary), 0)
            return [first]
        return tokens

    def write(
        self, prompt: Sequence[int], wording: Wording, grammar: Grammar | None = None
    ) -> Generator[bytes, None, bool]:
        """The bytes of one token after another; at the end whether the model ended by itself.

        It did not if it came to `max_tokens`, or to the end of the context. With a grammar it writes
        nothing else, and has ended as soon as nothing more may follow.
        """
        room = min(wording.max_tokens, self.context - len(prompt))
        with contextlib.ExitStack() as freed:
            chain = self._chain(wording, freed)
            held = self._held(grammar, freed) if grammar else None
            self._read(prompt)
            token: int | None = None
            for place in range(len(prompt), len(prompt) + room):
                if token is not None:
                    self._decode([token], place - 1)
                token = self._next_free(chain) if held is None else self._next_held(chain, held)
                data = None if token is None else self._bytes_of(token)
                if data is None:
                    return True
                yield data
            return held is not None and self._is_complete(held)

    @functools.cached_property
    def marks(self) -> tuple[str, ...]:
        """The texts of the control tokens, longest first."""
        text, attributes = self._llama.llama_vocab_get_text, self._llama.llama_vocab_get_attr
        found = {
            text(self._vocabulary, token).decode("utf-8", "replace")
            for token in range(self._size)
            if attributes(self._vocabulary, token) & _CONTROL
        }
        return tuple(sorted(found, key=lambda mark: (-len(mark), mark)))

    @property
    def begins_with_space(self) -> bool:
        """True where the vocabulary puts a space before the first word of a text."""
        return bool(self._llama.llama_vocab_type(self._vocabulary) == self._llama.LLAMA_VOCAB_TYPE_SPM)

    def ends(self) -> tuple[str, str]:
        """The texts of the tokens that begin and end everything; empty where there are none."""
        tokens = (self._llama.llama_vocab_bos(self._vocabulary), self._llama.llama_vocab_eos(self._vocabulary))
        begin, end = (
            self._llama.llama_vocab_get_text(self._vocabulary, token).decode("utf-8", "replace") if token >= 0 else ""
            for token in tokens
        )
        return begin, end

    @functools.cached_property
    def _size(self) -> int:
        size: int = self._llama.llama_vocab_n_tokens(self._vocabulary)
        return size

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
        """The logits after the last token, as llama.cpp's own memory, valid until the next token."""
        import numpy as np

        return np.ctypeslib.as_array(self._llama.llama_get_logits_ith(self._context, -1), (self._size,))

    def _chain(self, wording: Wording, freed: contextlib.ExitStack) -> Any:
        """The samplers that choose a token, in llama.cpp's usual order."""
        llama = self._llama
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        freed.callback(llama.llama_sampler_free, chain)
        steps = []
        if wording.repeat_penalty != 1:
            penalty = wording.repeat_penalty
            steps.append(llama.llama_sampler_init_penalties(self._size, REPEAT_WINDOW, penalty, 0.0, 0.0))
        if wording.temperature < COLDEST:
            steps.append(llama.llama_sampler_init_greedy())
        else:
            steps += [llama.llama_sampler_init_top_k(wording.top_k)] if wording.top_k else []
            steps += [
                llama.llama_sampler_init_top_p(wording.top_p, 1),
                llama.llama_sampler_init_min_p(wording.min_p, 1),
                llama.llama_sampler_init_temp(wording.temperature),
                llama.llama_sampler_init_dist(wording.seed),
            ]
        for step in steps:
            llama.llama_sampler_chain_add(chain, step)
        return chain

    def _held(self, grammar: Grammar, freed: contextlib.ExitStack) -> Any:
        """A sampler that leaves only what the grammar allows next."""
        return native_grammar(self._llama, self._vocabulary, grammar.gbnf, freed)

    def _next_free(self, chain: Any) -> int:
        token: int = self._llama.llama_sampler_sample(chain, self._context, -1)
        return token

    def _next_held(self, chain: Any, held: Any) -> int | None:
        """A token that the grammar allows; None if there is none.

        Most often the token that would be chosen anyway is allowed, so that one is tried first. Choosing
        again among all that are allowed, if it is not, gives the same chances.
        """
        candidates = self._candidates()
        candidates["logit"] = self._scores() + self._unwritable
        token = self._chosen(chain, candidates.copy())
        if not self._allowed(held, candidates[token : token + 1].copy()).size:
            allowed = self._allowed(held, candidates)
            if not allowed.size:
                return None
            token = self._chosen(chain, allowed)
        for sampler in (held, chain):
            self._llama.llama_sampler_accept(sampler, token)
        return token

    def _is_complete(self, held: Any) -> bool:
        """Whether the grammar allows nothing more."""
        candidates = self._candidates()
        candidates["logit"] = self._unwritable
        allowed = self._allowed(held, candidates)["id"]
        return all(self._bytes_of(int(token)) is None for token in allowed)

    def _candidates(self) -> npt.NDArray[np.void]:
        import numpy as np

        found = np.zeros(self._size, dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        found["id"] = np.arange(self._size)
        return found

    @functools.cached_property
    def _unwritable(self) -> Floats:
        """Minus infinity for each token whose text would not appear in the answer, 0 for the others."""
        import numpy as np

        llama, vocabulary = self._llama, self._vocabulary
        hidden = [
            bool(llama.llama_vocab_get_attr(vocabulary, token) & _UNWRITABLE)
            and not llama.llama_vocab_is_eog(vocabulary, token)
            for token in range(self._size)
        ]
        return np.where(hidden, np.float32("-inf"), np.float32(0))

    def _allowed(self, held: Any, candidates: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """Those of `candidates` that the grammar allows next."""
        import numpy as np

        candidates = candidates[np.isfinite(candidates["logit"])]
        if candidates.size:
            self._llama.llama_sampler_apply(held, ctypes.byref(self._array(candidates)))
        allowed: npt.NDArray[np.void] = candidates[np.isfinite(candidates["logit"])]
        return allowed

    def _chosen(self, chain: Any, candidates: npt.NDArray[np.void]) -> int:
        array = self._array(candidates)
        self._llama.llama_sampler_apply(chain, ctypes.byref(array))
        token: int = array.data[array.selected].id
        return token

    def _array(self, candidates: npt.NDArray[np.void]) -> Any:
        """What llama.cpp's samplers work on: the candidates' own memory."""
        data = candidates.ctypes.data_as(ctypes.POINTER(self._llama.llama_token_data))
        return self._llama.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)

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


class VectorModel(_Model):
    """A model that turns a text into a vector."""

    def __init__(self, name: str, path: Path, header: Header) -> None:
        pooling = header.of_architecture("pooling_type")
        if pooling == _RANK:
            raise InputError(f"{name} compares texts in pairs; it makes no vectors", hint="Choose an embedding model.")
        context = min(header.context_length, LONGEST_VECTOR_TEXT)
        options = {"embeddings": True, "n_batch": context, "n_ubatch": context}
        if not pooling:
            options["pooling_type"] = _MEAN
        super().__init__(name, path, header, context, **options)
        self._width = self._llama.llama_model_n_embd_out(self._model)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of unit length per text.

        A text that is longer than the model's context is cut into windows of equal size, and gets the
        mean of their vectors. Each window is computed by itself: putting several into one computation is
        slower on a CPU (measured: 1.2 to 4 times), and makes a vector depend on its neighbours.
        """
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        import numpy as np

        total = np.zeros(self._width, np.float64)
        for window in self._windows(text):
            self._forget(0)
            self._decode(window, 0, all_out=True)
            found = self._llama.llama_get_embeddings_seq(self._context, 0)
            if not found:
                raise ServiceError(f"{self.name} gave no vector")
            vector = np.ctypeslib.as_array(found, (self._width,)).astype(np.float64)
            total += vector / (np.linalg.norm(vector) or 1) * len(window)
        length = float(np.linalg.norm(total))
        if not length or not math.isfinite(length):
            raise ServiceError(f"{self.name} gave no usable vector for a text of {len(text):,} characters")
        vector_of_text: list[float] = (total / length).tolist()
        return vector_of_text

    def _windows(self, text: str) -> list[list[int]]:
        """The tokens of `text`, in as few windows as it takes, each with what stands at its ends."""
        whole = self._tokens(text, marks=False, ends=True)
        if len(whole) <= self.context:
            return [whole]
        body = self._tokens(text, marks=False, ends=False)
        before = next((at for at in range(len(whole)) if whole[at : at + len(body)] == body), 0)
        head, tail = whole[:before], whole[before + len(body) :]
        count = math.ceil(len(body) / (self.context - len(head) - len(tail)))
        cuts = [len(body) * index // count for index in range(count + 1)]
        return [head + body[start:end] + tail for start, end in itertools.pairwise(cuts)]


def native_grammar(llama: Any, vocabulary: Any, gbnf: str, freed: contextlib.ExitStack) -> Any:
    """llama.cpp's sampler for a grammar. ServiceError if it refuses it, which it does by giving nothing back."""
    _said.lines = []
    made = llama.llama_sampler_init_grammar(vocabulary, gbnf.encode(), b"root")
    if not made:
        raise ServiceError(f"llama.cpp refuses the form: {' '.join(_said.lines)[-300:].strip()}")
    freed.callback(llama.llama_sampler_free, made)
    return made


def _refused(path: Path) -> ServiceError:
    """The error for a file that llama.cpp gives nothing for, with llama.cpp's own last words."""
    said = " ".join(_said.lines)[-300:].strip().removesuffix(".")
    return ServiceError(
        f"llama.cpp cannot use {path}: {said or 'it gives no reason'}",
        hint="The file may be damaged, or of a kind of model that this version of llama.cpp does not know.",
    )


_said = threading.local()
"""`lines`: what llama.cpp reported as errors in this thread since they were last cleared."""
_loading = threading.Lock()
_ERROR: Final = 4
_FULL: Final = [""] * 50


def _library() -> Any:
    """llama.cpp, set up on first use: quiet, and without the stack traces whose making can hang for minutes."""
    with _loading:
        return _set_up()


@functools.cache
def _set_up() -> Any:
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    import llama_cpp.llama_cpp as llama

    def listen(level: int, text: bytes, data: Any) -> None:
        if level == _ERROR and len(getattr(_said, "lines", _FULL)) < len(_FULL):
            _said.lines.append(text.decode("utf-8", "replace").strip())

    _kept_alive.append(llama.llama_log_callback(listen))
    llama.llama_log_set(_kept_alive[0], ctypes.c_void_p(0))
    llama.llama_backend_init()
    return llama


_kept_alive: list[Any] = []


def _thread_options(path: Path) -> dict[str, int]:
    """Threads for a model of this size, leaving one core to the rest of the program if it is small.

    Threads that wait for one another lose more than they win when a core is taken from one of them
    (measured with a model of 3 MB on two cores of which one was busy: 13 times slower than one thread).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, min(cores - 1, 4)) if path.stat().st_size < SMALL else cores
    return {"n_threads": threads, "n_threads_batch": threads}
