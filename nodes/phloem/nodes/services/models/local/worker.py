"""The process of one model: it loads the file, answers what comes over a pipe, and ends when the pipe does.

Started by `process`, with the pipe as its standard input and output. The first message says what to load, which
is done when the word `go` comes; each later one is a request, or the cancelling of one. A thread reads the pipe,
so that a cancelled request stops in the middle of a computation; everything else happens in the main thread, to
which the model belongs.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from phloem.nodes.services.models.local.asking import prompt_of
from phloem.nodes.services.models.local.calling import writing_of
from phloem.nodes.services.models.local.chat import prepare
from phloem.nodes.services.models.local.frames import arriving, packed, write_all
from phloem.nodes.services.models.local.gguf import Header, read_header
from phloem.nodes.services.models.local.llama import Loaded, Shape, supports_gpu
from phloem.nodes.services.models.local.questions import Question, packed_error, unpacked_asked
from phloem.nodes.services.models.local.room import Room, Wanted
from phloem.nodes.services.models.local.text_engine import Listener, TextEngine
from phloem.nodes.services.models.local.vector_engine import VectorEngine, VectorListener, options_for
from phloem.runtime.errors import InputError, ServiceError

__all__ = ["main"]

CHUNK: Final = 64
"""Tokens of a prompt that are read at once: no faster with more on a processor, and what others wait for at most."""
CHUNK_OF_GPU: Final = 512
PACE: Final = 0.003
"""Seconds between two pieces of text at least: a small model writes a token in a tenth of that."""
_PARENT_DIED: Final = 1
"""PR_SET_PDEATHSIG, of prctl(2)."""


def main(parent: int) -> None:
    """Serve until the pipe ends, as the child of the process `parent`."""
    requests, answers = os.dup(0), os.dup(1)
    # What native code prints goes where errors go.
    os.dup2(2, 1)
    os.close(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    inbox: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    server = _Server(answers, inbox)
    threading.Thread(target=_listen, args=(requests, inbox, server), daemon=True).start()
    try:
        server.serve()
    except OSError:
        os._exit(0)  # Nobody reads the answers any more.


def _listen(pipe: int, inbox: queue.SimpleQueue[list[Any]], server: _Server) -> None:
    """Take what comes until the process has to end; what must not wait for a computation is done at once."""
    code = 1
    try:
        for message in arriving(pipe):
            if message[0] == "ping":
                server.tell(["pong"])
            elif message[0] == "go":
                server.may_load.set()
            else:
                inbox.put(message)
                if message[0] == "cancel":
                    server.interrupt()
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    """Have the system end this process when the one that started it is gone, even if it could not say so."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    elif os.name == "posix":
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    """Its pipe may stay open in a copy of it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


class _Server(Listener, VectorListener):
    """The model and the requests for it."""

    def __init__(self, answers: int, inbox: queue.SimpleQueue[list[Any]]) -> None:
        self._answers = answers
        self._inbox = inbox
        self.may_load = threading.Event()
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._written: dict[int, list[Any]] = {}
        self._sent = 0.0
        self._loaded: Loaded | None = None
        self._engine: TextEngine | VectorEngine | None = None

    def serve(self) -> None:
        try:
            self._load(self._inbox.get())
        except Exception as error:
            self.tell(["failed", packed_error(error)])
            return
        assert self._loaded is not None and self._engine is not None
        while True:
            self._loaded.resume()
            self._take_messages()
            if self._engine.busy:
                self._engine.step()
            self._flush()

    def interrupt(self) -> None:
        """Stop the computation at hand, to look at what came. From any thread."""
        if self._loaded is not None:
            self._loaded.stop()

    def tell(self, message: list[Any]) -> None:
        """Send a message now. From any thread."""
        with self._lock:
            write_all(self._answers, packed(message))

    def _load(self, message: list[Any]) -> None:
        """Say how much memory the model takes, wait for the word to load it, and do."""
        _, name, path, wanted = message
        file = Path(os.fsdecode(path))
        header = read_header(file)
        room = Room.of(name, header, file.stat().st_size, Wanted(*wanted))
        self.tell(["needs", room.need])
        if header.chat_template:
            threading.Thread(target=prepare, args=(header.chat_template,), daemon=True).start()
        self.may_load.wait()
        layers = wanted[3] if wanted[3] is not None else -1 if supports_gpu() else 0
        self._start(name, file, header, room, layers)
        self.tell(["ready", room.need, room.streams, room.context])

    def _start(self, name: str, file: Path, header: Header, room: Room, layers: int) -> None:
        chunk = room.context if header.makes_vectors else CHUNK_OF_GPU if layers else CHUNK
        shape = Shape(room.streams, room.context, max(chunk, room.streams), room.threads, layers)
        if header.makes_vectors:
            if header.ranks:
                raise InputError(
                    f"{name} compares texts in pairs; it makes no vectors", hint="Choose an embedding model."
                )
            self._loaded = Loaded(name, file, header, shape, **options_for(header))
            self._engine = VectorEngine(self._loaded, self)
            return
        self._loaded = loaded = Loaded(name, file, header, shape)
        if loaded.llama.llama_model_has_encoder(loaded.model):
            raise ServiceError(f"{name} has an encoder before its decoder, as T5 does, which Phloem cannot run")
        self._engine = TextEngine(loaded, self, chunk=chunk)

    def _take_messages(self) -> None:
        """Everything that has come; waits for something if there is nothing to do."""
        assert self._engine is not None
        wait = not self._engine.busy
        while True:
            try:
                message = self._inbox.get(block=wait)
            except queue.Empty:
                return
            wait = False
            kind, key, *rest = message
            if kind == "cancel":
                self._engine.cancel(key)
                self._written.pop(key, None)
                self._send(["gone", key])
            else:
                self._begin(_KINDS[kind], key, rest)

    def _begin(self, work: Callable[[_Server, int, list[Any]], None], key: int, rest: list[Any]) -> None:
        try:
            work(self, key, rest)
        except Exception as error:
            self._send(["error", key, packed_error(error)])

    def _write(self, key: int, rest: list[Any]) -> None:
        engine = self._text_engine()
        question = Question.unpacked(rest[0])
        prompt = prompt_of(engine.loaded, engine.words, question.asked, question.tools)
        prompt.check(engine.loaded.name, engine.loaded.shape.context)
        self._send(["prompt", key, prompt.text])
        engine.add(key, writing_of(engine.loaded, engine.words, prompt, question))

    def _embed(self, key: int, rest: list[Any]) -> None:
        if not isinstance(self._engine, VectorEngine):
            assert self._loaded is not None
            raise InputError(
                f"{self._loaded.name} writes text; it makes no vectors",
                hint="Choose an embedding model, such as local:minilm.",
            )
        self._engine.add(key, rest[0])

    def _count(self, key: int, rest: list[Any]) -> None:
        if isinstance(self._engine, VectorEngine):
            count = len(self._engine.loaded.tokens(str(rest[0]), marks=False, ends=True))
        else:
            engine = self._text_engine()
            count = len(prompt_of(engine.loaded, engine.words, unpacked_asked(rest[0])).tokens)
        self._send(["count", key, count])

    def _text_engine(self) -> TextEngine:
        if not isinstance(self._engine, TextEngine):
            assert self._loaded is not None
            raise InputError(
                f"{self._loaded.name} makes vectors; it does not write text",
                hint="Choose a text model, such as local:demo.",
            )
        return self._engine

    def begun(self, key: int, read: int, cached: int) -> None:
        self._send(["begun", key, read, cached])

    def wrote(self, key: int, text: str, count: int, chances: list[Any]) -> None:
        before = self._written.get(key, ["", 0, []])
        self._written[key] = [before[0] + text, before[1] + count, before[2] + chances]

    def ended(self, key: int, how: str, calls: list[list[str]]) -> None:
        self._send_written(key)
        self._send(["ended", key, how, calls])

    def failed(self, key: int, error: Exception) -> None:
        self._send_written(key)
        self._send(["error", key, packed_error(error)])

    def vectors(self, key: int, vectors: list[bytes], tokens: int) -> None:
        self._send(["vectors", key, vectors, tokens])

    def _send(self, message: list[Any]) -> None:
        """Keep a message until the end of the step: what is told together is written together."""
        self._unsent += packed(message)

    def _send_written(self, key: int) -> None:
        if key in self._written:
            self._send(["wrote", key, *self._written.pop(key)])

    def _flush(self) -> None:
        """Send what was told since the last time. Pieces of text that come faster than PACE are sent together."""
        now = time.monotonic()
        if not self._unsent and now - self._sent < PACE and self._engine is not None and self._engine.busy:
            return
        for key in list(self._written):
            self._send_written(key)
        if self._unsent:
            self._sent = now
            data, self._unsent = bytes(self._unsent), bytearray()
            with self._lock:
                write_all(self._answers, data)


_KINDS: Final[dict[str, Callable[[_Server, int, list[Any]], None]]] = {
    "write": _Server._write,
    "embed": _Server._embed,
    "count": _Server._count,
}
