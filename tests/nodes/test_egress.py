"""Every way out is asked about before, connects to what was asked about, and is told of after."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from phloem.nodes.services.http.service import Http
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.egress import Egress, bare_url
from phloem.runtime.errors import InputError, PermissionDenied, PermissionNeeded, PhloemError, ServiceError
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.services import Request, current_gate
from support.gates import OpenGate, gate
from support.hosted import KEY, Peer, run, set_provider, whole
from support.model_server import serving_models
from support.openai_server import OpenAIServer
from support.web_server import Answer, WebServer, serving

pytestmark = pytest.mark.slow

pytest_plugins = ["support.hosted_fixtures"]


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving({"/": Answer(b"0123456789", headers={"X-A": "b"})}) as server:
        yield server


def ask(gate: OpenGate, url: str, **changes: Any) -> Any:
    async def exchange() -> Any:
        http = Http()
        asked: dict[str, Any] = {"headers": {}, "body": None, "timeout": 5.0, "limit": 1000, **changes}
        try:
            return await http.request(gate, asked.pop("method", "GET"), url, **asked)
        finally:
            await http.close()

    return asyncio.run(exchange())


class Lookups:
    """A name server under test control: what it answers for each name, one after the other."""

    def __init__(self, patch: pytest.MonkeyPatch, **answers: list[str]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []
        self.real = socket.getaddrinfo
        patch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        self.asked.append(host)
        found = self.answers.get(host)
        return self.real(found.pop(0) if found else host, port, *rest, **named)


# What is told


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("https://me:secret@example.org/a/b?key=secret&q=x#frag", "https://example.org/a/b?key=…&q=…"),
        ("http://[::1]:8080/?secret", "http://[::1]:8080/?…"), ("https://example.org", "https://example.org"),
        ("http://[::1", ""), ("https://example.org/?" + "a=b&" * 1000, None),
    ],
)  # fmt: skip
def test_an_address_is_kept_without_what_may_be_secret(url: str, bare: str | None) -> None:
    found = bare_url(url)
    assert found == bare if bare is not None else len(found) <= 500
    assert "secret" not in found.replace("?secret", "?…")


def test_an_exchange_is_told_with_all_that_it_was(server: WebServer) -> None:
    asked = gate(server.grant)
    ask(asked, server.url("/?key=secret"), method="POST", body=b"abc")
    (told,) = asked.heard
    assert (told.node, told.host, told.port, told.address) == ("", "localhost", server.port, "127.0.0.1")
    assert (told.method, told.url, told.status, told.error) == ("POST", server.url("/?key=…"), 200, "")
    assert 100 < told.sent < 400
    assert 100 < told.received < 400
    assert told.at > 1e9
    assert 0 < told.seconds < 60


def test_every_redirect_is_an_exchange_and_a_refused_one_too(server: WebServer) -> None:
    server.answers["/a"] = Answer(status=302, headers={"Location": "/b"})
    server.answers["/b"] = Answer(status=302, headers={"Location": server.url("/", host="127.0.0.1")})
    asked = gate(server.grant)
    with pytest.raises(PermissionNeeded):
        ask(asked, server.url("/a"))
    assert [(one.url, one.status, bool(one.address)) for one in asked.heard] == [
        (server.url("/a"), 302, True), (server.url("/b"), 302, True), (server.url("/", host="127.0.0.1"), None, False),
    ]  # fmt: skip
    assert "may not connect to 127.0.0.1" in asked.heard[-1].error


def test_what_is_broken_off_is_told(server: WebServer) -> None:
    server.answers["/"] = Answer([b"a"] * 100, pause=0.1)
    asked = gate(server.grant)
    with pytest.raises(ServiceError):
        ask(asked, server.url(), timeout=0.3)
    (told,) = asked.heard
    assert told.error == "it was broken off"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        asked = gate("net=127.0.0.1")
        with pytest.raises(ServiceError):
            ask(asked, f"http://127.0.0.1:{port}/")
    assert (asked.heard[0].status, asked.heard[0].address, asked.heard[0].sent) == (None, "", 0)
    assert "connection refused" in asked.heard[0].error


def test_the_node_that_asked_is_named(server: WebServer) -> None:
    told: list[Egress] = []

    async def main() -> None:
        http = Http()
        scope = Scope(
            "run", Services({"http": lambda: http}), Permissions([Grant.parse(server.grant)]), on_egress=told.append
        )
        await Context(scope, "each/3/read").http.request(server.url())
        await http.close()

    asyncio.run(main())
    assert [(one.node, one.status) for one in told] == [("each/3/read", 200)]


def test_a_log_that_fails_does_not_take_the_node_with_it(server: WebServer) -> None:
    def full(egress: Egress) -> None:
        raise OSError("the disk is full")

    async def main() -> tuple[int, list[Any]]:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about["exception"]))
        http = Http()
        scope = Scope("run", Services({"http": lambda: http}), Permissions([Grant.parse(server.grant)]), on_egress=full)
        answer = await Context(scope, "read").http.request(server.url())
        await http.close()
        return answer.status, complaints

    status, (complaint,) = asyncio.run(main())
    assert (status, str(complaint)) == (200, "the disk is full")


# What is asked before


def test_a_host_without_a_grant_is_not_even_looked_up(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/"] = Answer(status=302, headers={"Location": "http://tells.evil.net/"})
    lookups = Lookups(monkeypatch)
    for asked in (gate(server.grant), gate(server.grant, "net=*", deny=("net=*.evil.net",))):
        with pytest.raises(PermissionNeeded, match=r"tells\.evil\.net"):
            ask(asked, server.url())
    assert lookups.asked == []


def test_this_machine_is_found_without_a_name_server(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = Lookups(monkeypatch, localhost=["10.0.0.5"])
    assert ask(gate(server.grant), server.url()).status == 200
    assert ask(gate(f"net=my.localhost:{server.port}"), server.url(host="my.localhost.")).status == 200
    assert lookups.asked == []


def test_a_name_server_that_does_not_answer_holds_up_nobody(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither other look-ups, however many, nor the end of the program."""
    answers = threading.Event()
    waiting: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host.startswith("slow"):
            waiting.append(host)
            answers.wait(10)
            waiting.remove(host)
        return real("127.0.0.1", port, *rest, **named)

    async def exchanges() -> int:
        http = Http()
        asked = {"headers": {}, "body": None, "timeout": 5.0, "limit": 1000}
        slow = [
            asyncio.create_task(http.request(gate("net=*"), "GET", f"http://slow{number}.net/", **asked))
            for number in range(40)
        ]
        while len(waiting) < 6:
            await asyncio.sleep(0.01)
        answer = await http.request(gate("net=quick.local"), "GET", server.url(host="quick.local"), **asked)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await http.close()
        return answer.status

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        assert asyncio.run(exchanges()) == 200
        assert waiting
    finally:
        answers.set()


@pytest.mark.parametrize("first", ["8.8.8.8", "2606:4700::1111"])
def test_one_private_address_among_public_ones_is_enough_to_refuse(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    def both(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in (first, "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(PermissionNeeded, match="private address"):
        ask(gate("net=*", "net=rebinding.example"), server.url(host="rebinding.example"), timeout=2)
    assert server.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "127.0.1", "0x7f000001", "0x7f.1", "0177.0.0.1", "2130706433", "0", "0.0.0.0", "127.0.0.1.", "localhost.",
        "LOCALHOST", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]", "me:you@127.0.0.1", "example.org@127.0.0.1", "example.org%2f@127.0.0.1", "①②⑦.0.0.1", "127。0。0。1",
    ],
)  # fmt: skip
def test_no_way_of_writing_this_machine_is_a_way_around(server: WebServer, host: str) -> None:
    for asked in (gate("net=*", "net=example.org"), gate("net=*", offline="--offline")):
        with pytest.raises(PhloemError):
            ask(asked, server.url(host=host), timeout=2)
    assert server.connections == 0


def test_a_denied_address_is_refused_behind_any_name(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    Lookups(monkeypatch, nas_local=["127.0.0.1"] * 4)
    assert ask(gate("net=nas.local"), server.url(host="nas.local")).status == 200
    with pytest.raises(PermissionDenied):
        ask(gate("net=nas.local", deny=("net=127.0.0.0/8",)), server.url(host="nas.local"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "0",
        "127.1",
        "0x7f.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "a.localhost",
        "nas.local",
    ],
)
def test_a_denied_machine_is_refused_however_its_address_is_written(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    Lookups(monkeypatch, nas_local=["0.0.0.0"])
    allowed = (f"net={host}", "net=127.0.0.1", "net=0.0.0.0", "net=[::1]")
    for denial in ("net=localhost", f"net=*:{server.port}"):
        with pytest.raises(PermissionDenied):
            ask(gate(*allowed, deny=(denial,)), server.url(host=host), timeout=2)
    assert server.connections == 0


def test_a_port_that_was_not_allowed_is_not_reached_by_a_redirect(server: WebServer) -> None:
    with serving({"/": Answer(b"secret")}) as other:
        server.answers["/"] = Answer(status=302, headers={"Location": other.url(host="localhost")})
        with pytest.raises(PermissionNeeded):
            ask(gate(server.grant), server.url())
        assert other.connections == 0


def test_a_redirect_cannot_have_all_hosts_asked_for(server: WebServer) -> None:
    """Somebody who says yes to `*` would allow everything."""
    for star in ("*", "*.org"):
        server.answers["/"] = Answer(status=302, headers={"Location": f"http://{star}/"})
        with pytest.raises(InputError, match="is not the name of a host"):
            ask(gate(server.grant), server.url())


def test_the_clock_stands_still_while_somebody_is_asked(server: WebServer) -> None:
    class Slow(OpenGate):
        async def allowed(self, check: Any) -> None:
            await asyncio.sleep(1.2)
            self.permissions.give([Grant.parse(server.grant)])
            check()

    assert ask(Slow(Permissions()), server.url(), timeout=1.0).status == 200


# Providers


def through(asked: OpenGate | None, peer: Peer, model: str = "") -> str:
    async def work(models: Any) -> str:
        current_gate.set(asked)
        text, _ = await whole(models, model or peer.model, Request(asked="Hello"), peer.bill)
        return text

    return run(peer.home, work)


def test_a_provider_is_asked_through_the_gate_and_told(peer: Peer) -> None:
    asked = gate(vouched=True)
    assert through(asked, peer) == "Hello"
    (told,) = asked.heard
    assert (told.host, told.address, told.method, told.status) == ("localhost", "127.0.0.1", "POST", 200)
    assert told.sent > 100
    assert told.received > 100
    assert KEY not in repr(told)


def test_denials_and_offline_hold_for_providers(peer: Peer) -> None:
    for asked in (gate(vouched=True, deny=("net=127.0.0.1",)), gate(vouched=True, offline="--offline")):
        with pytest.raises(PermissionNeeded):
            through(asked, peer)
    assert peer.server.asked == []


def test_a_model_s_server_cannot_be_rebound(home, bare: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_models(OpenAIServer, KEY) as server:
        port = server.port
        lookups = Lookups(monkeypatch, nas_lan=["127.0.0.1", "127.0.0.2", "127.0.0.1"])
        peer = Peer(server, f"http://nas.lan:{port}/v1#gpt-test", home)
        bare.setenv("OPENAI_API_KEY", KEY)
        set_provider(home, "lab", {"url": f"http://nas.lan:{port}/v1", "key": "OPENAI_API_KEY"})
        asked = gate(f"net=nas.lan:{port}", deny=("net=127.0.0.2",))
        assert through(asked, peer) == "Hello"
        with pytest.raises(PermissionDenied):
            through(asked, peer)
        assert lookups.asked == ["nas.lan", "nas.lan"]
        assert len([one for one in server.asked if one.method == "POST"]) == 1
        assert asked.heard[0].host == "nas.lan"
        assert server.asked[0].headers["host"] == f"nas.lan:{port}"
        assert (asked.heard[1].address, asked.heard[1].status) == ("", None)
