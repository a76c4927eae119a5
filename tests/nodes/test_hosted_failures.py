"""What providers and networks do wrong, over real HTTP, and what we make of it."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.nodes.services.models.hosted import exchange, network, patience
from phloem.nodes.services.models.hosted.anthropic_answer import anthropic_pieces
from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.heard import Heard
from phloem.nodes.services.models.hosted.openai_answer import openai_pieces
from phloem.nodes.services.models.hosted.presets import PRESETS
from phloem.nodes.services.models.hosted.service import HostedModels
from phloem.nodes.services.outgoing import Outgoing
from phloem.runtime.errors import InputError, NodeError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Request
from support.anthropic_server import anthropic_error
from support.hosted import KEY, Bill, Peer, run, set_provider, whole
from support.model_server import Failure, Said, serving_models
from support.openai_server import OpenAIServer, error

pytest_plugins = ["support.hosted_fixtures"]

AT_ONCE = {"retry-after-ms": "1"}


def failure_of(peer: Peer, message: str, kind: str = "invalid_request_error", **fields: Any) -> Any:
    """The body of an error in the peer's protocol."""
    if peer.model.startswith("openai"):
        return error(message, kind, fields.get("code"), fields.get("param"))
    return anthropic_error(kind, message)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits as they are, but a thousand times as fast."""
    monkeypatch.setattr(patience, "FIRST", 0.001)


@pytest.mark.slow
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_busy_provider_is_asked_again(peer: Peer, status: int) -> None:
    peer.server.failures += [Failure(status, failure_of(peer, "Busy"), AT_ONCE)] * 3
    assert peer.ask("Hi")[0] == "Hello"
    assert len(peer.server.asked) == 4
    assert peer.bill.read == 11


@pytest.mark.slow
def test_a_provider_that_stays_busy_is_given_up(peer: Peer) -> None:
    peer.server.failures += [Failure(503, failure_of(peer, "Busy as ever"), AT_ONCE)] * 50
    with pytest.raises(ServiceError, match=r"failed \(503\): Busy as ever") as caught:
        peer.ask("Hi")
    assert caught.value.retryable
    assert len(peer.server.asked) == patience.ATTEMPTS
    assert peer.bill.read == 0


@pytest.mark.slow
def test_the_wait_is_as_long_as_the_server_says(peer: Peer) -> None:
    peer.server.failures.append(Failure(429, failure_of(peer, "Slow down"), {"retry-after-ms": "300"}))
    peer.server.failures.append(Failure(429, failure_of(peer, "Slow down"), {"Retry-After": "1"}))
    begun = time.monotonic()
    assert peer.ask("Hi")[0] == "Hello"
    assert time.monotonic() - begun >= 1.3


@pytest.mark.slow
def test_the_wait_may_be_told_as_a_date(peer: Peer, impatient: None) -> None:
    at = time.time() + 2
    peer.server.failures.append(
        Failure(429, failure_of(peer, "Slow"), {"Retry-After": email.utils.formatdate(at, usegmt=True)})
    )
    assert peer.ask("Hi")[0] == "Hello"
    # Dates are told in whole seconds.
    assert time.time() >= int(at)


def test_a_wait_that_is_too_long_is_no_wait(peer: Peer) -> None:
    peer.server.failures.append(Failure(429, failure_of(peer, "Come back tomorrow"), {"Retry-After": "86400"}))
    with pytest.raises(ServiceError, match="asked too often") as caught:
        peer.ask("Hi")
    assert caught.value.retryable
    assert len(peer.server.asked) == 1


@pytest.mark.parametrize(
    "header", ["soon", "-5", "nan", "inf", "", "Fri, 99 Foo 2026", "Fri, 01 Jan 99999999999 00:00:00 GMT"]
)
def test_a_wait_that_makes_no_sense_is_ours(peer: Peer, impatient: None, header: str) -> None:
    peer.server.failures.append(Failure(503, failure_of(peer, "Busy"), {"Retry-After": header}))
    assert peer.ask("Hi")[0] == "Hello"


def test_what_is_said_is_never_asked_for_again(peer: Peer) -> None:
    peer.server.model = lambda body: Said(["Once ", "upon "], cut_after=1)
    with pytest.raises(ServiceError, match="broke off") as caught:
        peer.ask("Tell")
    assert caught.value.retryable
    assert len(peer.server.asked) == 1
    assert peer.bill.written > 0


def test_a_stream_that_breaks_before_its_first_word_is_asked_for_again(peer: Peer, impatient: None) -> None:
    answers = [Said(["a"], cut_after=0), Said("Hello")]
    peer.server.model = lambda body: answers.pop(0)
    assert peer.ask("Hi")[0] == "Hello"
    assert len(peer.server.asked) == 2


def test_an_error_in_the_stream_is_an_error(peer: Peer, impatient: None) -> None:
    kind = "server_error" if peer.model.startswith("openai") else "overloaded_error"
    answers = [
        Said(error_after={"type": kind, "message": "Out of breath"}),
        Said(["Hel"], error_after={"type": kind, "message": "Out again"}),
    ]
    peer.server.model = lambda body: answers.pop(0)
    with pytest.raises(ServiceError, match=r"failed.*Out again") as caught:
        peer.ask("Hi")
    assert caught.value.retryable
    assert len(peer.server.asked) == 2


def test_a_connection_that_cannot_be_made(home: Home, bare: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        model = f"http://127.0.0.1:{taken.getsockname()[1]}/v1#any"
        with pytest.raises(ServiceError, match=r"cannot connect to 127\.0\.0\.1") as caught:
            run(home, lambda models: whole(models, model, Request(asked="Hi"), Bill()))
    assert caught.value.retryable
    assert "Is the server running" in str(caught.value)


def test_a_name_that_nobody_has(home: Home, bare: pytest.MonkeyPatch, impatient: None) -> None:
    with pytest.raises(ServiceError, match=r"cannot connect to nobody\.invalid") as caught:
        run(home, lambda models: whole(models, "https://nobody.invalid/v1#any", Request(asked="Hi"), Bill()))
    assert caught.value.retryable
    assert "HTTPS_PROXY" in str(caught.value)


@pytest.mark.slow
def test_a_server_that_falls_silent(peer: Peer, impatient: None) -> None:
    peer.server.model = lambda body: Said(["One ", "two"], pause=1.0)
    provider = peer.model.partition(":")[0]
    url = peer.server.url if provider == "openai" else peer.server.origin
    set_provider(peer.home, provider, {"url": url, "timeout": 0.2})
    with pytest.raises(ServiceError, match=r"said nothing for 0\.2 seconds"):
        peer.ask("Count")


@pytest.mark.slow
def test_a_server_that_never_ends(peer: Peer) -> None:
    peer.server.model = lambda body: Said(["again "], endless=True, pause=0.01)
    provider = peer.model.partition(":")[0]
    url = peer.server.url if provider == "openai" else peer.server.origin
    set_provider(peer.home, provider, {"url": url, "total": 0.5})
    with pytest.raises(ServiceError, match=r"did not finish within 0\.5 seconds"):
        peer.ask("Count")
    assert peer.server.hung_up.wait(10)


def test_a_model_that_is_not_there(peer: Peer) -> None:
    provider, _, name = peer.model.partition(":")
    wrong = Peer(peer.server, f"{provider}:{name}s", peer.home)
    with pytest.raises(ServiceError, match=f"{provider} has no model called '{name}s'") as caught:
        wrong.ask("Hi")
    assert f"Did you mean {peer.model}?" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.", "context_length_exceeded"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", None),
        (400, "the request exceeds the available context size. try increasing the context size", "exceed_context_size_error"),
        (400, "Requested tokens (9001) exceed context window of 512", None),
        (413, "Input is too long for requested model", None),
    ],
)  # fmt: skip
def test_a_prompt_that_is_too_long(peer: Peer, status: int, message: str, code: str | None) -> None:
    peer.server.failures.append(Failure(status, failure_of(peer, message, code=code)))
    with pytest.raises(InputError, match="longer than") as caught:
        peer.ask("x" * 10_000)
    assert "choose a model with a longer context" in str(caught.value)
    assert len(peer.server.asked) == 1


def test_a_content_filter_refuses(openai: Peer) -> None:
    openai.server.failures.append(Failure(400, error("The response was filtered", code="content_filter")))
    with pytest.raises(ServiceError, match="content filter") as caught:
        openai.ask("x")
    assert not caught.value.retryable


@pytest.mark.parametrize(("status", "code"), [(429, "insufficient_quota"), (402, None)])
def test_an_empty_account_is_not_asked_again(openai: Peer, status: int, code: str | None) -> None:
    openai.server.failures.append(Failure(status, error("You exceeded your current quota", "x", code)))
    with pytest.raises(ServiceError, match="no credit") as caught:
        openai.ask("x")
    assert not caught.value.retryable
    assert len(openai.server.asked) == 1


def test_any_other_refusal_is_told_in_the_servers_words(peer: Peer) -> None:
    peer.server.failures.append(Failure(400, failure_of(peer, "Something\nis \x1b[31mwrong" + "!" * 1000)))
    with pytest.raises(ServiceError, match=r"refused the request \(400\): Something is  ?\[31mwrong!+…") as caught:
        peer.ask("x")
    assert len(str(caught.value)) < 500


# Keys.


def test_a_wrong_key_is_told_without_a_letter_of_it(
    peer: Peer, bare: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = peer.model.partition(":")[0]
    variable = f"{provider.upper()}_API_KEY"
    bare.setenv(variable, "sk-ant-WrongKey-0123456789abcdef")
    with pytest.raises(ServiceError, match=f"{provider} does not take the key") as caught:
        peer.ask("Hi")
    assert variable in str(caught.value)
    assert f"phloem models key set {provider}" in str(caught.value)
    assert_without("sk-ant-WrongKey-0123456789abcdef", caught.value, caplog)


def test_a_key_that_the_server_repeats_is_hidden(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for message in (f"Bad header: Bearer {KEY} there", f"Your key {KEY[:12]}…{KEY[-8:]} is odd", f"<{KEY[3:20]}>"):
        peer.server.failures.append(Failure(400, failure_of(peer, message), {"X-Echo": KEY}))
        with pytest.raises(NodeError) as caught:
            peer.ask("Hi")
        assert_without(KEY, caught.value, caplog)


def test_a_key_that_is_repeated_where_no_error_is_expected(peer: Peer) -> None:
    peer.server.failures.append(Failure(200, f"{KEY}".encode(), {"Content-Type": "application/json"}))
    with pytest.raises(NodeError) as caught:
        peer.ask("Hi")
    assert_without(KEY, caught.value)


def test_logs_tell_what_happened_and_no_key(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert peer.ask("Hi")[0] == "Hello"
    assert any("POST" in record.getMessage() for record in caplog.records)
    assert_without(KEY, None, caplog)


def test_no_repr_shows_a_key(peer: Peer) -> None:
    async def look(models: HostedModels) -> str:
        connection = await models._connect(peer.model)
        return repr(connection) + repr(models) + repr(connection.endpoint) + str(connection.sdk)

    assert KEY[:10] not in run(peer.home, look)


def assert_without(secret: str, failure: BaseException | None, caplog: pytest.LogCaptureFixture | None = None) -> None:
    """No six letters in a row of `secret` in the error, in anything it refers to, or in the log."""
    seen: list[BaseException] = []
    texts = (
        [record.getMessage() + str(record.exc_text) + str(record.exc_info) for record in caplog.records]
        if caplog
        else []
    )
    while failure is not None and failure not in seen:
        seen.append(failure)
        texts += [str(failure), repr(failure), repr(failure.args), repr(vars(failure))]
        failure = failure.__cause__ or failure.__context__
    assert all(isinstance(one, NodeError | KeyError | StopAsyncIteration) for one in seen), seen
    whole = "\n".join(texts)
    for at in range(len(secret) - 5):
        assert secret[at : at + 6] not in whole, secret[at : at + 6]


# Servers that lie.


def test_redirects_are_not_followed(peer: Peer) -> None:
    with serving_models(OpenAIServer) as other:
        for status in (301, 302, 307, 308):
            peer.server.failures.append(Failure(status, {}, {"Location": f"{other.url}/chat/completions"}))
            with pytest.raises(ServiceError, match="redirects elsewhere"):
                peer.ask("Hi")
        assert other.asked == []


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
STREAM = HEAD % b"text/event-stream" + b"Connection: close\r\n\r\n"
JSON = HEAD % b"application/json" + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        HEAD % b"text/html" + b"Connection: close\r\n\r\n<html>Log in</html>",
        JSON + b"<html>",
        JSON + b"[]",
        JSON + b"null",
        JSON + b"{}",
        JSON + b'{"choices": "none"}',
        JSON + b"[" * 200_000,
        JSON + b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
        STREAM + b"data: {\n\n",
        STREAM + b"data: \xff\xfe\n\n",
        STREAM + b"event: x\ndata: 17\n\n",
        STREAM + b"\0" * 1000,
        STREAM + b"data: " + b"[" * 200_000 + b"\n\n",
        STREAM + b"data: NaN\n\ndata: [DONE]\n\n",
    ],
    ids=lambda raw: repr(raw[40:90]),
)
def test_what_is_not_the_protocol_is_one_error(peer: Peer, raw: bytes) -> None:
    peer.server.failures.append(Failure(raw=[raw]))
    with pytest.raises(ServiceError, match=r"that is not (OpenAI|Anthropic)'s protocol") as caught:
        peer.ask("Hi")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "raw", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"], ids=["nothing", "garbage", "short"]
)  # fmt: skip
def test_what_is_not_http_is_asked_for_again(peer: Peer, impatient: None, raw: bytes) -> None:
    peer.server.failures.append(Failure(raw=[raw]))
    assert peer.ask("Hi")[0] == "Hello"


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"delta": 5}]},
        {"choices": [{"delta": {"content": {"a": 1}, "tool_calls": [3, {"index": -1}, {"function": 7}]}, "finish_reason": []}]},
        {"choices": [{"message": {"content": [{"type": "text"}, 5]}, "logprobs": {"content": [None, {"logprob": "x"}]}}]},
        {"choices": [None], "usage": {"prompt_tokens": "many", "completion_tokens": -5, "prompt_tokens_details": []}},
        {"choices": [[]], "usage": {"prompt_tokens": 1e400, "completion_tokens": 10**400}},
    ],
)  # fmt: skip
def test_wrong_types_are_passed_over(openai: Peer, impatient: None, body: Any) -> None:
    openai.server.failures.append(Failure(200, body))
    # None of them ever says that it has ended.
    assert openai.ask("Hi")[0] == "Hello"


WORDS = st.sampled_from(
    ["choices", "delta", "message", "content", "tool_calls", "function", "arguments", "index", "finish_reason", "usage",
     "logprobs", "top_logprobs", "token", "error", "type", "text", "content_block", "message_start", "message_delta",
     "content_block_start", "content_block_delta", "tool_use", "input", "text_delta", "input_json_delta", "partial_json",
     "stop", "length", "refusal", "prompt_tokens", "completion_tokens", "input_tokens", "stop_reason", "id", "name"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(st.sampled_from(["openai", "anthropic"]), st.lists(ANYTHING, max_size=6))
def test_any_events_are_words_or_one_error(protocol: str, said: list[Any]) -> None:
    endpoint = Endpoint("x:y", "x", "y", "http://localhost/v1", PRESETS[protocol])
    hear = openai_pieces if protocol == "openai" else anthropic_pieces

    async def events() -> AsyncIterator[Any]:
        for one in said:
            yield one

    async def listen() -> None:
        heard = Heard()
        try:
            found = [piece async for piece in hear(events(), endpoint, heard)]
        except NodeError:
            return
        assert all(isinstance(piece, str) and piece for piece in found[:-1])
        assert isinstance(found[-1], Ending)
        "".join(heard.said).encode()
        assert heard.cached <= (heard.read or 0)

    asyncio.run(listen())


def test_half_a_character_is_replaced(peer: Peer) -> None:
    peer.server.model = lambda body: Said("a\ud83db")
    assert peer.ask("Hi")[0] == "a\ufffdb"


def test_a_stream_that_says_nothing_is_followed_by_the_question_unstreamed(peer: Peer) -> None:
    peer.server.failures.append(Failure(raw=[STREAM]))
    assert peer.ask("Hi")[0] == "Hello"
    assert [asked.body.get("stream", False) for asked in peer.server.asked] == [True, False]
    peer.server.failures += [Failure(raw=[STREAM]), Failure(400, failure_of(peer, "prompt is too long"))]
    with pytest.raises(InputError, match="prompt is too long"):
        peer.ask("Hi")


def endless(piece: bytes, head: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield piece


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "piece"),
    [(STREAM, b"x" * 65_536), (STREAM, b"data: x\n" * 8_000), (JSON, b" " * 65_536), (STREAM, b": ping\n\n" * 8_000)],
    ids=["one line", "one event", "one body", "pings"],
)
def test_an_answer_without_end_is_cut(peer: Peer, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes) -> None:
    monkeypatch.setattr(network, "LARGEST", 3_000_000)
    monkeypatch.setattr(network, "LARGEST_EVENT", 1_000_000)
    peer.server.failures.append(Failure(raw=endless(piece, head)))
    with pytest.raises(ServiceError, match="answers with more than"):
        peer.ask("Hi")
    assert peer.server.hung_up.wait(10)


@pytest.mark.parametrize("end", [[b"\n", b"\n"], [b"\r\n", b"\r\n"], [b"\r\n\r", b"\n"], [b"\r", b"\r"]])
def test_the_end_of_an_event_may_lie_across_two_chunks(monkeypatch: pytest.MonkeyPatch, end: list[bytes]) -> None:
    monkeypatch.setattr(network, "LARGEST_EVENT", 1_000)

    class Chunks(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(100):
                for chunk in (b"data: {}" * 10 + end[0], end[1]):
                    yield chunk

    heard = Outgoing(None, "POST", "https://host/")

    async def read() -> int:
        return sum([len(chunk) async for chunk in network._BoundedStream(Chunks(), "host", True, heard)])

    assert asyncio.run(read()) > 8_000


def test_an_answer_that_is_packed_is_refused(peer: Peer) -> None:
    peer.server.failures.append(Failure(200, b"\x1f\x8b" * 100, {"Content-Encoding": "gzip"}))
    with pytest.raises(ServiceError, match="answered packed"):
        peer.ask("Hi")


def test_a_bug_of_ours_stays_one(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "aiter", lambda stream: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        peer.ask("Hi")


# Ways through the network.


class Proxy:
    """A forward proxy on loopback: CONNECT for https, absolute addresses for http. `seen` are its request lines."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65_536)
        line = head.split(b"\r\n")[0].decode()
        self.seen.append(line)
        method, target, _ = line.split(" ")
        # Whatever host is named, the one server of the test is reached.
        port = int(target.rpartition(":")[2]) if method == "CONNECT" else int(target.split("/")[2].rpartition(":")[2])
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(head)
            other = threading.Thread(target=_pump, args=(server, client), daemon=True)
            other.start()
            _pump(client, server)
            other.join(5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


def test_a_proxy_of_the_environment_is_used(home: Home, bare: pytest.MonkeyPatch, proxy: Proxy) -> None:
    with serving_models(OpenAIServer) as server:
        bare.setenv("HTTP_PROXY", proxy.url)

        def ask(host):
            return run(
                home,
                lambda models: whole(models, f"http://{host}:{server.port}/v1#gpt-test", Request(asked="Hi"), Bill()),
            )

        assert ask("model.internal")[0] == "Hello"
        assert proxy.seen == [f"POST http://model.internal:{server.port}/v1/chat/completions HTTP/1.1"]
        # This machine is asked directly, and so is what NO_PROXY names.
        assert ask("localhost")[0] == "Hello"
        bare.setenv("NO_PROXY", "127.0.0.1,.internal")
        with pytest.raises(ServiceError, match=r"cannot connect to model\.internal"):
            bare.setattr(patience, "ATTEMPTS", 1)
            ask("model.internal")
        assert len(proxy.seen) == 1


def test_a_tunnel_and_an_authority_of_ones_own(
    home: Home, bare: pytest.MonkeyPatch, proxy: Proxy, tmp_path: Any
) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("models.example").configure_cert(tls)
    with serving_models(OpenAIServer, KEY, tls) as server:
        set_provider(home, "lab", {"url": f"https://models.example:{server.port}/v1", "key": "LAB_KEY"})
        bare.setenv("LAB_KEY", KEY)
        bare.setenv("HTTPS_PROXY", proxy.url)
        ask = lambda: run(home, lambda models: whole(models, "lab:gpt-test", Request(asked="Hi"), Bill()))  # noqa: E731
        with pytest.raises(ServiceError, match=r"certificate of models\.example.* is not to be trusted") as caught:
            ask()
        assert "SSL_CERT_FILE" in str(caught.value)
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        bare.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert ask()[0] == "Hello"
        assert proxy.seen[-1] == f"CONNECT models.example:{server.port} HTTP/1.1"
        assert server.asked[-1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("proxy", ["gopher://proxy.example", "http://me:pass/word@proxy.example:3128"])
def test_a_proxy_that_is_no_address(home: Home, bare: pytest.MonkeyPatch, proxy: str) -> None:
    from phloem.runtime.errors import ConfigError

    bare.setenv("HTTPS_PROXY", proxy)
    bare.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ConfigError, match=r"the proxy for api\.openai\.com cannot be used") as caught:
        run(home, lambda models: whole(models, "openai:x", Request(asked="Hi"), Bill()))
    assert "pass" not in str(caught.value)


def test_only_what_is_needed_is_sent(openai: Peer, bare: pytest.MonkeyPatch, home: Home) -> None:
    bare.setenv("OPENAI_ORG_ID", "org-mine")
    openai.ask("Hi")
    assert openai.server.asked[-1].headers["openai-organization"] == "org-mine"
    set_provider(home, "lab", openai.server.url)
    bare.setenv("LAB_API_KEY", KEY)
    Peer(openai.server, "lab:gpt-test", home).ask("Hi")
    headers = openai.server.asked[-1].headers
    assert "openai-organization" not in headers
    assert not [name for name in headers if name.startswith("x-stainless")]
    assert headers["user-agent"].startswith("phloem/")


def test_headers_of_the_environment_go_to_whom_they_are_meant_for(peer: Peer, bare: pytest.MonkeyPatch) -> None:
    module = peer.model.partition(":")[0]
    other = "other-key-0123456789"
    bare.setenv("OPENAI_ORG_ID", "org-mine")
    bare.setenv(f"{module.upper()}_CUSTOM_HEADERS", "X-Team: mine")
    peer.ask("Hi")
    assert peer.server.asked[-1].headers["x-team"] == "mine"
    bare.setenv(f"{module.upper()}_CUSTOM_HEADERS", f"X-Team: mine\nX-Api-Key: {other}")
    url = peer.server.url if module == "openai" else peer.server.origin
    set_provider(peer.home, "lab", {"url": url, "like": module})
    bare.setenv("LAB_API_KEY", KEY)
    assert Peer(peer.server, f"lab:{peer.model.partition(':')[2]}", peer.home).ask("Hi")[0] == "Hello"
    headers = peer.server.asked[-1].headers
    assert not {"x-team", "openai-organization"} & headers.keys()
    assert other not in headers.values()
