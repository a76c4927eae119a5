"""The part that servers of language models share: HTTP on loopback, a script of failures, and what was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

__all__ = ["Asked", "Call", "Failure", "ModelServer", "Said", "serving_models"]


@dataclass
class Asked:
    """One request that came in; `body` is its JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Call:
    """A tool that the model wants called; `arguments` is text, since a model may write anything."""

    name: str
    arguments: str
    id: str = "call_1"


@dataclass
class Said:
    """What the model behind the server answers: its text in pieces, its calls, and how it ends."""

    text: str | Sequence[str] = ""
    calls: Sequence[Call] = ()
    finish: str = ""
    refusal: str = ""
    thought: str = ""
    read: int = 11
    written: int = 7
    cached: int = 0
    pause: float = 0.0
    """Seconds before each piece."""
    endless: bool = False
    """Say the last piece again and again until nobody listens."""
    cut_after: int | None = None
    """Close the connection after so many pieces."""
    error_after: Mapping[str, Any] | None = None
    """Send this as an error in the middle of the stream."""

    @property
    def pieces(self) -> list[str]:
        return [self.text] if isinstance(self.text, str) and self.text else list(self.text)


@dataclass
class Failure:
    """An answer that does not come from the model: a status with a body, or raw bytes instead of HTTP."""

    status: int = 500
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Iterable[bytes] | None = None


class Gone(Exception):
    """The one who asked has closed the connection."""


class ModelServer:
    """Answers what `model` says to the body of a request; before that, the `failures` in their order.

    `asked` are the requests; `hung_up` is set when somebody closes the connection in mid-answer.
    """

    def __init__(self, key: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.key = key
        self.model: Callable[[Any], Said] = lambda body: Said("Hello")
        self.models: list[dict[str, Any]] = []
        self.failures: deque[Failure] = deque()
        self.asked: list[Asked] = []
        self.hung_up = threading.Event()
        self.streams = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"outer": self}))
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "http" if tls is None else "https"
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def origin(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked, reply: Reply) -> None:
        """Answer one request in the protocol of the server."""
        raise NotImplementedError


class Reply:
    """The way back to the one who asked."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler

    def json(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.head(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})})
        self.write(data)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def events(self) -> None:
        """Begin a stream of events."""
        self._handler.close_connection = True
        self.head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Connection": "close"})

    def event(self, data: Any, name: str = "") -> None:
        written = data if isinstance(data, str) else json.dumps(data)
        self.write(((f"event: {name}\n" if name else "") + f"data: {written}\n\n").encode())

    def write(self, data: bytes) -> None:
        try:
            self._handler.wfile.write(data)
            self._handler.wfile.flush()
        except OSError:
            self._handler.close_connection = True
            raise Gone from None

    def cut(self) -> None:
        """Close the connection without a word."""
        self._handler.close_connection = True

    def fail(self, failure: Failure) -> None:
        if failure.raw is not None:
            self._handler.close_connection = True
            for piece in failure.raw:
                self.write(piece)
        elif isinstance(failure.body, bytes):
            self.head(failure.status, {"Content-Length": str(len(failure.body)), **failure.headers})
            self.write(failure.body)
        else:
            self.json(failure.body, failure.status, failure.headers)


class _Handler(BaseHTTPRequestHandler):
    outer: ModelServer
    protocol_version = "HTTP/1.1"
    timeout = 20

    def take(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, json.loads(data) if data else None)
        self.outer.asked.append(asked)
        reply = Reply(self)
        try:
            if self.outer.failures:
                reply.fail(self.outer.failures.popleft())
            else:
                self.outer.answer(asked, reply)
        except Gone:
            self.outer.hung_up.set()

    do_GET = do_POST = take

    def log_message(self, format: str, *args: object) -> None: ...


Kind = TypeVar("Kind", bound=ModelServer)


@contextmanager
def serving_models(kind: type[Kind], key: str = "", tls: ssl.SSLContext | None = None) -> Iterator[Kind]:
    """A server of that kind while the block runs."""
    server = kind(key, tls)
    try:
        yield server
    finally:
        server.close()
