"""A web server on loopback for tests: it says exactly what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Answer", "Asked", "WebServer", "page", "serving"]


@dataclass
class Asked:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What to say: a body, whole or piece by piece with a pause before each, or raw bytes instead of all."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    raw: bytes | None = None


Answering = Answer | Callable[[Asked], Answer]


class WebServer:
    """Answers by path (without the query). `asked` are the requests, `connections` how many were opened."""

    def __init__(self, answers: Mapping[str, Answering], tls: ssl.SSLContext | None, host: str) -> None:
        self.answers = dict(answers)
        self.asked: list[Asked] = []
        self.connections = 0
        self._server = ThreadingHTTPServer((host, 0), self._handler(), bind_and_activate=True)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )  # fmt: skip
        self.scheme = "http" if tls is None else "https"
        self.port: int = self._server.server_address[1]
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, path: str = "/", host: str = "localhost") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    @property
    def grant(self) -> str:
        """The grant that exactly this server needs."""
        return f"net=localhost:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[_Handler]:
        return type("Handler", (_Handler,), {"outer": self})


class _Handler(BaseHTTPRequestHandler):
    """One connection to a WebServer."""

    outer: WebServer
    protocol_version = "HTTP/1.1"
    timeout = 10

    def setup(self) -> None:
        super().setup()
        self.outer.connections += 1

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, self.rfile.read(length))
        self.outer.asked.append(asked)
        found = self.outer.answers.get(self.path.partition("?")[0], Answer(b"no such page", 404))
        self.say(found(asked) if callable(found) else found)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

    def say(self, answer: Answer) -> None:
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        pieces = [answer.body] if isinstance(answer.body, bytes) else answer.body
        if not isinstance(answer.body, bytes):
            self.send_header("Connection", "close")
        elif "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        for piece in pieces if self.command != "HEAD" else ():
            time.sleep(answer.pause)
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(
    answers: Mapping[str, Answering], *, tls: ssl.SSLContext | None = None, host: str = "localhost"
) -> Iterator[WebServer]:
    """A server that answers like this while the block runs."""
    server = WebServer(answers, tls, host)
    try:
        yield server
    finally:
        server.close()


def page(html: str, **headers: str) -> Answer:
    """A page in UTF-8."""
    return Answer(html.encode(), headers={"Content-Type": "text/html; charset=utf-8", **headers})
