"""The http service reaches what was allowed, in the time and size that were allowed, and says why when it does not."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from phloem.nodes.services.http import make
from phloem.nodes.services.http.service import Http
from phloem.runtime.errors import InputError, PermissionNeeded, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.services import Gate, HttpAnswer
from support.gates import OpenGate, gate
from support.web_server import Answer, WebServer, page, serving


async def get(http: Http, gate: Gate, url: str, **changes: Any) -> HttpAnswer:
    method = changes.pop("method", "GET")
    asked: dict[str, Any] = {"headers": {}, "body": None, "timeout": 5.0, "limit": 1_000_000, **changes}
    return await http.request(gate, method, url, **asked)


def ask(gate: Gate, url: str, *, tls: ssl.SSLContext | None = None, **changes: Any) -> HttpAnswer:
    """One exchange of a service of its own."""

    async def exchange() -> HttpAnswer:
        http = Http(tls)
        try:
            return await get(http, gate, url, **changes)
        finally:
            await http.close()

    return asyncio.run(exchange())


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": to})


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving({}) as server:
        yield server


def refused(server: WebServer, **changes: Any) -> ServiceError:
    """The error that asking for `/` ends in."""
    with pytest.raises(ServiceError) as caught:
        ask(gate(server.grant), server.url(), **changes)
    return caught.value


# What comes back


def test_an_answer_has_its_status_headers_body_and_address(server: WebServer) -> None:
    server.answers["/a"] = page("<p>hello", **{"X-Thing": "1"})
    answer = ask(gate(server.grant), server.url("/a?b=c"))
    assert (answer.status, answer.body, answer.url) == (200, b"<p>hello", server.url("/a?b=c"))
    assert answer.headers["x-thing"] == "1"
    assert answer.media_type == "text/html"


def test_a_bad_status_is_an_answer_like_another(server: WebServer) -> None:
    assert ask(gate(server.grant), server.url("/nothing")).status == 404


def test_method_headers_and_body_arrive(server: WebServer) -> None:
    server.answers["/"] = Answer(b"ok")
    ask(gate(server.grant), server.url(), method="put", headers={"X-Ab": " c d "}, body=b"\x00\xff")
    (asked,) = server.asked
    assert (asked.method, asked.body, asked.headers["x-ab"]) == ("PUT", b"\x00\xff", "c d")


def test_it_says_who_asks_and_lets_the_user_say_otherwise(server: WebServer) -> None:
    server.answers["/"] = Answer()
    ask(gate(server.grant), server.url())
    ask(gate(server.grant), server.url(), headers={"user-agent": "mine"})
    assert "phloem/" in server.asked[0].headers["user-agent"]
    assert server.asked[1].headers["user-agent"] == "mine"


@pytest.mark.parametrize("packing", ["gzip", "deflate", "raw deflate", "identity"])
def test_packed_bodies_are_unpacked(server: WebServer, packing: str) -> None:
    text = b"looms weave " * 1000
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(text),
        "deflate": zlib.compress(text),
        "raw deflate": bare.compress(text) + bare.flush(),
        "identity": text,
    }
    server.answers["/"] = Answer(packed[packing], headers={"Content-Encoding": packing.rpartition(" ")[2]})
    assert ask(gate(server.grant), server.url()).body == text


def test_a_head_request_has_no_body(server: WebServer) -> None:
    server.answers["/"] = Answer(b"0123456789", headers={"Content-Length": "10"})
    answer = ask(gate(server.grant), server.url(), method="HEAD", limit=5)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "10")


# Limits


def test_a_body_larger_than_the_limit_is_refused_at_once(server: WebServer) -> None:
    server.answers["/"] = Answer(b"x" * 1001)
    error = refused(server, limit=1000)
    assert "more than 1,000 bytes" in error.message
    assert not error.retryable


def test_a_body_of_exactly_the_limit_is_taken(server: WebServer) -> None:
    server.answers["/"] = Answer(b"x" * 1000)
    assert len(ask(gate(server.grant), server.url(), limit=1000).body) == 1000


def test_an_endless_body_is_cut_off(server: WebServer) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    server.answers["/"] = Answer(endless())
    assert "more than 500,000 bytes" in refused(server, limit=500_000).message


@pytest.mark.slow
def test_a_small_packed_body_cannot_unpack_past_the_limit(server: WebServer) -> None:
    bomb = gzip.compress(bytes(300_000_000), 9)
    assert len(bomb) < 400_000
    server.answers["/"] = Answer(bomb, headers={"Content-Encoding": "gzip"})
    before = peak_memory()
    assert "more than 1,000,000 bytes" in refused(server, limit=1_000_000).message
    assert peak_memory() - before < 50_000_000


def peak_memory() -> int:
    """The most memory this process has had, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_packed_body_twice_packed_is_refused(server: WebServer) -> None:
    server.answers["/"] = Answer(b"x", headers={"Content-Encoding": "gzip, gzip"})
    assert "packed as gzip, gzip" in refused(server).message


def test_a_damaged_packed_body_is_refused(server: WebServer) -> None:
    server.answers["/"] = Answer(b"not gzip at all", headers={"Content-Encoding": "gzip"})
    assert "damaged" in refused(server).message


def test_the_time_is_for_all_of_it_not_for_each_piece(server: WebServer) -> None:
    server.answers["/"] = Answer((b"x" for _ in range(100)), pause=0.05)
    error = refused(server, timeout=0.4)
    assert "did not answer in full within 0.4 seconds" in error.message
    assert error.retryable


def test_requests_that_ran_out_of_time_do_not_use_up_the_connections(server: WebServer) -> None:
    server.answers["/slow"] = lambda asked: Answer((b"x" for _ in range(20)), pause=0.05)
    server.answers["/"] = Answer(b"ok")

    async def many() -> HttpAnswer:
        http = Http()
        allowed = gate(server.grant)
        slow = (get(http, allowed, server.url("/slow"), timeout=0.1) for _ in range(120))
        ends = await asyncio.gather(*slow, return_exceptions=True)
        assert {type(end) for end in ends} == {ServiceError}
        answer = await get(http, allowed, server.url())
        await http.close()
        return answer

    assert asyncio.run(many()).body == b"ok"


# What may be reached


def test_a_host_without_a_grant_is_not_reached(server: WebServer) -> None:
    with pytest.raises(PermissionNeeded) as caught:
        ask(gate(), server.url())
    assert caught.value.flags == ("--allow net=localhost",)
    assert server.connections == 0


def test_a_private_address_needs_a_grant_that_names_it(server: WebServer) -> None:
    with pytest.raises(PermissionNeeded, match="private address"):
        ask(gate("net=*"), server.url())
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]", "0"])
def test_a_private_address_in_disguise_is_still_private(server: WebServer, host: str) -> None:
    with pytest.raises((PermissionNeeded, ServiceError, InputError)):
        ask(gate("net=*"), server.url(host=host))
    assert server.connections == 0


@pytest.mark.parametrize("address", ["64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.0.0.1"])
def test_an_address_that_a_gateway_would_turn_into_a_private_one_is_refused(address: str) -> None:
    with pytest.raises(PermissionNeeded, match="private address"):
        ask(gate("net=*"), f"http://[{address}]/", timeout=1)


def test_a_redirect_to_a_host_without_a_grant_is_not_followed(server: WebServer) -> None:
    with serving({"/secret": Answer(b"secret")}) as other:
        server.answers["/"] = redirect(other.url("/secret", host="127.0.0.1"))
        with pytest.raises(PermissionNeeded) as caught:
            ask(gate(server.grant), server.url())
        assert caught.value.flags == ("--allow net=127.0.0.1",)
        assert other.connections == 0


def test_a_redirect_to_another_port_of_the_same_host_needs_its_own_grant(server: WebServer) -> None:
    with serving({"/": Answer(b"secret")}) as other:
        server.answers["/"] = redirect(other.url())
        with pytest.raises(PermissionNeeded):
            ask(gate(server.grant), server.url())
        assert ask(gate(server.grant, other.grant), server.url()).body == b"secret"


class Lookups:
    """A name server that gives the next address each time it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.left = list(addresses)
        self.real = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        return self.real(self.left.pop(0) if host == "rebinding.test" else host, port, *rest, **named)


def test_the_address_that_was_allowed_is_the_one_connected_to(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Remembering(OpenGate):
        seen: list[tuple[str, int, str]]

        def lookup(self, host: str, port: int) -> None: ...

        def connect(self, host: str, port: int, address: str) -> None:
            self.seen.append((host, port, address))
            if address != "127.0.0.1":
                raise PermissionNeeded("no", flags=[])

    server.answers["/"] = Answer(b"ok")
    lookups = Lookups("127.0.0.1", "127.0.0.2")
    monkeypatch.setattr(socket, "getaddrinfo", lookups)
    remembering = Remembering(gate().permissions)
    remembering.seen = []
    assert ask(remembering, server.url(host="rebinding.test")).body == b"ok"
    assert set(remembering.seen) == {("rebinding.test", server.port, "127.0.0.1")}
    assert lookups.left == ["127.0.0.2"]
    with pytest.raises(PermissionNeeded):
        ask(remembering, server.url(host="rebinding.test"))
    assert len(server.asked) == 1


def test_a_kept_connection_does_not_carry_a_request_without_a_grant(server: WebServer) -> None:
    server.answers["/"] = Answer(b"ok")

    async def three() -> None:
        http = Http()
        await get(http, gate(server.grant), server.url())
        with pytest.raises(PermissionNeeded):
            await get(http, gate(), server.url())
        assert len(server.asked) == 1
        await get(http, gate(server.grant), server.url())
        await http.close()

    asyncio.run(three())
    assert len(server.asked) == 2


def test_connections_are_used_again(server: WebServer) -> None:
    server.answers["/"] = Answer(b"ok")

    async def five() -> None:
        http = Http()
        for _ in range(5):
            await get(http, gate(server.grant), server.url())
        await http.close()

    asyncio.run(five())
    assert (len(server.asked), server.connections) == (5, 1)


def test_one_service_serves_one_loop_after_another(server: WebServer) -> None:
    server.answers["/"] = Answer(b"ok")
    http = make(Home.default())

    async def once() -> bytes:
        try:
            return (await get(http, gate(server.grant), server.url())).body
        finally:
            await http.close()

    assert [asyncio.run(once()) for _ in range(2)] == [b"ok", b"ok"]


def test_proxies_of_the_environment_are_not_used(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/"] = Answer(b"ok")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(gate(server.grant), server.url()).body == b"ok"


# Redirects


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"), (307, "POST", "POST"),
        (308, "PUT", "PUT"), (302, "DELETE", "DELETE"),
    ],
)  # fmt: skip
def test_redirects_are_followed_as_browsers_do(server: WebServer, status: int, method: str, then: str) -> None:
    server.answers["/"] = redirect("b?c=d", status)
    server.answers["/b"] = Answer(b"there")
    body = b"x" if method in ("POST", "PUT") else None
    answer = ask(gate(server.grant), server.url(), method=method, body=body)
    assert answer.url == server.url("/b?c=d")
    assert server.asked[1].method == then
    assert server.asked[1].body == (b"x" if then in ("POST", "PUT") else b"")


def test_a_loop_of_redirects_ends(server: WebServer) -> None:
    server.answers["/"] = redirect("/")
    assert "redirects more than 10 times" in refused(server).message
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://localhost/", "javascript:alert(1)", "http://localhost:99999/"]
)
def test_a_redirect_out_of_the_web_is_refused(server: WebServer, to: str) -> None:
    server.answers["/"] = redirect(to)
    assert "redirects to" in refused(server).message


def test_a_cookie_that_a_redirect_sets_is_brought_along_but_not_kept(server: WebServer) -> None:
    server.answers["/"] = Answer(status=302, headers={"Location": "/b", "Set-Cookie": "a=b"})
    server.answers["/b"] = Answer(b"ok")

    async def twice() -> None:
        http = Http()
        await get(http, gate(server.grant), server.url())
        await get(http, gate(server.grant), server.url("/b"))
        await http.close()

    asyncio.run(twice())
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, "a=b", None]


def test_cookies_of_the_user_stay_with_those_that_their_server_sets(server: WebServer) -> None:
    server.answers["/"] = Answer(status=302, headers={"Location": "/b", "Set-Cookie": "a=b"})
    server.answers["/b"] = redirect("/c")
    server.answers["/c"] = Answer(b"ok")
    ask(gate(server.grant), server.url(), headers={"Cookie": "mine=1"})
    assert [asked.headers["cookie"] for asked in server.asked] == ["mine=1", "mine=1; a=b", "mine=1; a=b"]


def test_headers_that_may_be_secret_stay_with_their_server(server: WebServer) -> None:
    secret = {"Authorization": "Bearer s", "X-Api-Key": "s", "Cookie": "s=s", "Accept-Language": "de"}
    with serving({"/": Answer(b"ok")}) as other:
        server.answers["/"] = redirect("/same", 307)
        server.answers["/same"] = redirect(other.url(), 307)
        ask(gate(server.grant, other.grant), server.url(), headers=secret)
        assert server.asked[1].headers["x-api-key"] == "s"
        assert {"authorization", "x-api-key", "cookie"}.isdisjoint(other.asked[0].headers)
        assert other.asked[0].headers["accept-language"] == "de"


def test_a_name_and_password_in_the_address_are_sent_but_not_shown(server: WebServer) -> None:
    server.answers["/"] = Answer(b"ok")
    answer = ask(gate(server.grant), server.url(host="me:pass%20word@localhost"))
    assert server.asked[0].headers["authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert answer.url == server.url()


# What cannot be sent


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-B: c"}, {"X-A": "a\nb"}, {"X-A": "a\0b"}, {"X A": "a"}, {"": "a"}, {"X-A\r\nX-B": "c"},
        {"Host": "other.example"}, {"Content-Length": "3"}, {"transfer-encoding": "chunked"}, {"X-A": "\ud800"},
    ],
)  # fmt: skip
def test_headers_that_would_break_the_request_are_refused(server: WebServer, headers: dict[str, str]) -> None:
    with pytest.raises(InputError):
        ask(gate(server.grant), server.url(), headers=headers)
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    ["http://", "https:///x", "http://[::1", "http://a b/", "http://localhost:99999/", "http://x:y/", "http://\0/"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises((InputError, ServiceError)):
        ask(gate("net=*"), url)


def test_a_method_that_is_none_is_refused(server: WebServer) -> None:
    with pytest.raises(InputError, match="not a method"):
        ask(gate(server.grant), server.url(), method="GET / HTTP/1.1\r\nX: ")


# When it goes wrong


def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(ServiceError, match=r"there is no host called nowhere\.invalid"):
        ask(gate("net=*"), "http://nowhere.invalid/?key=secret")


def test_a_refused_connection_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServiceError, match=f"cannot connect to localhost on port {port}: connection refused") as caught:
        ask(gate(f"net=localhost:{port}"), f"http://localhost:{port}/?key=secret")
    assert caught.value.retryable


@pytest.mark.parametrize(
    "raw",
    [b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"HTTP/1.1 " + b"x" * 200_000],
)
def test_an_answer_that_is_not_http_is_one_clear_error(server: WebServer, raw: bytes) -> None:
    server.answers["/"] = Answer(raw=raw)
    error = refused(server)
    assert f"localhost:{server.port}" in error.message
    assert error.retryable


def test_errors_do_not_tell_what_may_be_secret_in_an_address(server: WebServer) -> None:
    server.answers["/key"] = Answer(b"x" * 10)
    for change in ({"limit": 5}, {"timeout": 0.0}):
        with pytest.raises(ServiceError) as caught:
            ask(gate(server.grant), server.url("/key?token=hidden", host="me:hidden@localhost"), **change)
        assert "hidden" not in str(caught.value)
        assert "localhost" in str(caught.value)


# TLS


class Authority:
    """A certificate authority of our own, and a server certificate for some names."""

    def __init__(self) -> None:
        self.ca = trustme.CA()

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def believer(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_a_trusted_certificate_for_the_host_is_accepted(authority: Authority) -> None:
    with serving({"/": Answer(b"ok")}, tls=authority.server("localhost")) as server:
        assert ask(gate(server.grant), server.url(), tls=authority.believer()).body == b"ok"


def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    with serving({"/": Answer(b"ok")}, tls=authority.server("other.example")) as server:
        with pytest.raises(ServiceError, match="is not to be trusted"):
            ask(gate(server.grant), server.url(), tls=authority.believer())
        assert server.asked == []


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    with (
        serving({"/": Answer(b"ok")}, tls=authority.server("localhost")) as server,
        pytest.raises(ServiceError, match="is not to be trusted") as caught,
    ):
        ask(gate(server.grant), server.url())
    assert "SSL_CERT_FILE" in str(caught.value)


def test_tls_with_a_server_that_has_none_says_so(server: WebServer) -> None:
    with pytest.raises(ServiceError, match="no secure connection"):
        ask(gate(server.grant), server.url().replace("http:", "https:"))
