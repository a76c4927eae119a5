"""HTTP for fetching models: redirects followed with care, failures told in words.

The proxies that the environment names are used, and SSL_CERT_FILE is believed: here it is the user who asks
for an address, not a workflow.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import httpx
from phloem.runtime.errors import ConfigError, InputError, ServiceError

__all__ = ["Answer", "Cut", "Secret", "Web", "origin_of"]

MAX_REDIRECTS: Final = 10
CONNECT_SECONDS: Final = 15.0
SILENT_SECONDS: Final = 40.0
"""Seconds without a byte after which a connection is given up."""
_LONGEST_WAIT: Final = 300.0
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Cut(Exception):
    """The exchange broke off in a way that may be over when it is tried again, at the soonest in `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Secret:
    """The value of an Authorization header, which only the server of that address is told."""

    origin: str
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.origin})"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says. `linked` is the SHA-256 that the hub, on the way, gave for the file behind an address."""

    response: httpx.Response
    linked: str = ""

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def server(self) -> str:
        return self.response.url.host

    def header(self, name: str) -> str:
        return str(self.response.headers.get(name, "")).strip()

    def read(self, limit: int) -> bytes:
        """The body, or its first `limit` bytes."""
        found = bytearray()
        for chunk in self.response.iter_raw():
            found += chunk
            if len(found) > limit:
                break
        return bytes(found[:limit])


class Web:
    """Connections for one fetch; to be closed, as a context manager does."""

    def __init__(self) -> None:
        try:
            limits = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
            self._client = httpx.Client(timeout=limits, headers={"User-Agent": _agent()}, follow_redirects=False)
        except (ImportError, OSError) as error:
            raise _not_set_up(f": {error}") from error
        except (ValueError, httpx.InvalidURL):
            # In words of its own: what is wrong with an address may be a piece of the password in it.
            raise _not_set_up() from None

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @contextlib.contextmanager
    def get(self, url: str, headers: Mapping[str, str] | None = None, secret: Secret | None = None) -> Iterator[Answer]:
        """The answer to a GET while the block runs, its body as the server sent it (no content encoding).

        Cut when trying again may help (the connection breaks, 429, 5xx), which covers what the block reads;
        ServiceError otherwise. Answers of 400 to 499 that are not worth another try are given as they are.
        """
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
        address, secret = _first(url, secret)
        linked = ""
        with _explained(address):
            for _ in range(MAX_REDIRECTS + 1):
                request = self._client.build_request("GET", address, headers=sent)
                if secret and _origin(address) == secret.origin:
                    request.headers["Authorization"] = secret.value
                response = self._client.send(request, stream=True)
                with contextlib.closing(response):
                    linked = linked or _linked(response)
                    if response.status_code not in _REDIRECTS or "location" not in response.headers:
                        _check(response)
                        yield Answer(response, linked)
                        return
                    address = _next(response)
        raise ServiceError(f"{address.host} redirects more than {MAX_REDIRECTS} times in a row")


def _not_set_up(reason: str = "") -> ConfigError:
    return ConfigError(
        f"the network cannot be set up{reason}",
        hint="Look at HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE. A proxy looks like http://proxy.example:3128.",
    )


def _first(url: str, secret: Secret | None) -> tuple[httpx.URL, Secret | None]:
    """The address without a user name and password in it, and those as what only its server may be told."""
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        # The address itself may hold a password.
        raise InputError("the web address cannot be read", hint="It looks like https://example.org/m.gguf.") from error
    if address.scheme == "http":
        _check_plain(address)
    if address.username or address.password:
        basic = httpx.BasicAuth(address.username, address.password)
        request = next(basic.auth_flow(httpx.Request("GET", address)))
        secret = secret or Secret(_origin(address), request.headers["Authorization"])
        address = address.copy_with(username=None, password=None)
    return address, secret


def _next(response: httpx.Response) -> httpx.URL:
    """Where a redirect leads. ServiceError if that is not the web, or less safe than where it started."""
    before = response.url
    try:
        after = before.join(response.headers["location"]).copy_with(username=None, password=None, fragment=None)
    except (httpx.InvalidURL, ValueError) as error:
        raise ServiceError(f"{before.host} redirects to an address that is not one") from error
    if after.scheme not in ("http", "https") or not after.host:
        raise ServiceError(f"{before.host} redirects to a {after.scheme} address that is not on the web")
    if after.scheme == "http":
        if before.scheme == "https":
            raise ServiceError(
                f"{before.host} redirects to {after.host} without encryption", hint="Nothing was fetched from there."
            )
        _check_plain(after)
    return after


def _check_plain(address: httpx.URL) -> None:
    """InputError unless the host of an http address is on this machine or in its own network."""
    host = address.host
    try:
        found = {host} if _is_address(host) else {str(one[4][0]) for one in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        found = set()
    if not found or not all(_is_private(one) for one in found):
        raise InputError(
            f"http://{host} is not encrypted: what it sends could be changed on the way",
            hint="Use https://; plain http is for servers on this machine or in its own network.",
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_private(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.is_private or address.is_loopback or address.is_link_local


def _origin(address: httpx.URL) -> str:
    return f"{address.scheme}://{address.host}:{address.port or (443 if address.scheme == 'https' else 80)}"


def origin_of(url: str) -> str:
    """The server of an address: scheme, host and port."""
    return _origin(httpx.URL(url))


def _linked(response: httpx.Response) -> str:
    """The SHA-256 that the hub gives as X-Linked-ETag for a large file; empty if there is none."""
    found = response.headers.get("x-linked-etag", "").strip().removeprefix("W/").strip('"').lower()
    return found if len(found) == 64 and set(found) <= set("0123456789abcdef") else ""


def _check(response: httpx.Response) -> None:
    """Cut or ServiceError for an answer that carries nothing."""
    status, host = response.status_code, response.url.host
    if status in _AGAIN:
        told = response.headers.get("retry-after", "").strip()
        wait = min(float(told), _LONGEST_WAIT) if told.isascii() and told.isdigit() else 0.0
        raise Cut(f"{host} answers with {status} {response.reason_phrase}".rstrip(), wait)
    if status >= 500 or 300 <= status < 400 or status < 200:
        raise ServiceError(f"{host} answers with {status} {response.reason_phrase}".rstrip())
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if status < 400 and coding not in ("", "identity"):
        raise ServiceError(f"{host} sends the file in an encoding that was not asked for ({coding[:40]})")


@contextlib.contextmanager
def _explained(address: httpx.URL) -> Iterator[None]:
    """What httpx raises while the block runs, as a Cut or a ServiceError."""
    try:
        yield
    except (httpx.HTTPError, httpx.StreamError) as error:
        # The redirects may have led on; what failed last knows where.
        request = getattr(error, "_request", None)
        host = request.url.host if request is not None else address.host
        raise _failure(host, error) from error


def _failure(host: str, error: Exception) -> Exception:
    cause: BaseException | None = error
    chain: list[BaseException] = []
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    tls = next((one for one in chain if isinstance(one, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return ServiceError(
            f"the certificate of {host} is not to be trusted: {tls.verify_message}",
            hint="If its authority is your own, name its file in SSL_CERT_FILE.",
        )
    if isinstance(error, httpx.ConnectError) and tls is not None:
        return ServiceError(f"no secure connection to {host} could be made", hint="Is it http:// rather than https://?")
    if isinstance(error, httpx.ProxyError):
        return ServiceError(f"the proxy refuses {host}: {error}", hint="Look at HTTPS_PROXY and NO_PROXY.")
    if isinstance(error, httpx.TimeoutException):
        return Cut(f"{host} sends nothing")
    if any(isinstance(one, socket.gaierror) for one in chain):
        return Cut(f"there is no host called {host}, or no network")
    if isinstance(error, httpx.ConnectError):
        number = next((one.errno for one in chain if isinstance(one, OSError) and one.errno), None)
        return Cut(f"cannot connect to {host}" + (f": {os.strerror(number).lower()}" if number else ""))
    return Cut(f"the connection to {host} broke")


@cache
def _agent() -> str:
    from importlib.metadata import version

    return f"phloem/{version('phloem')}"
