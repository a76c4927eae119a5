"""The network under the SDKs: one HTTP client per server, which bounds what the server may do to us.

Answers are limited in size, redirects are not followed (a key would go along to whoever is named), and packed
answers are refused, which could unpack to anything. Hosted providers are reached through the proxy that
HTTPS_PROXY or HTTP_PROXY names, unless NO_PROXY excepts the host: behind a company's proxy there is no other way.
Servers on this machine are asked directly. The gate of the node that asks is asked about every name and address first,
and exactly that address is connected to; behind a proxy only the name can be asked about. SSL_CERT_FILE and
SSL_CERT_DIR name authorities of one's own.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import AsyncIterator
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import httpx2
from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.outgoing import SHORTEST_ATTEMPT, Outgoing
from phloem.runtime.errors import ConfigError, ServiceError
from phloem.runtime.grants import host_of
from phloem.runtime.services import current_gate

__all__ = ["http_client", "proxy_for"]

LARGEST: Final = 64_000_000
"""Bytes of one answer: a hundred vectors of 4,096 numbers as text are some ten million."""
LARGEST_EVENT: Final = 4_000_000
"""Bytes of one event of a stream, which holds a few words."""
CONNECTIONS: Final = 64
KEPT: Final = 16


def http_client(endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    """A client for the server of that endpoint. `tls` replaces the system's authorities."""
    proxy = proxy_for(endpoint.url)
    limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEPT)
    try:
        context = tls or _authorities(endpoint.url, proxy or "")
        inner = httpx2.AsyncHTTPTransport(verify=context, proxy=proxy, limits=limits, trust_env=False)
    except (ImportError, ValueError, OSError, httpx2.InvalidURL):
        cause = f"the proxy for {endpoint.host} cannot be used" if proxy else "the certificates cannot be read"
        hint = "HTTPS_PROXY looks like http://proxy.example:3128." if proxy else "Look at SSL_CERT_FILE."
        raise ConfigError(cause, hint=hint) from None
    seconds = endpoint.seconds
    return httpx2.AsyncClient(
        transport=_Bounded(inner, endpoint, proxy),
        timeout=httpx2.Timeout(seconds.quiet, connect=seconds.connect),
        follow_redirects=False,
        trust_env=False,
    )


def _authorities(*urls: str) -> ssl.SSLContext:
    """Whom to trust. Reading the system's list takes a while, so without TLS it is nobody."""
    if any(url.startswith("https://") for url in urls):
        return httpx2.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def proxy_for(url: str) -> str | None:
    """The proxy through which the environment wants an address to be asked; None for directly."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1":
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


_OF_KEYS: Final = frozenset({"authorization", "api-key", "x-api-key"})
_NEEDED: Final = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding",
     "user-agent", "anthropic-version"}
)  # fmt: skip
_OWN_SDK: Final = frozenset({"openai", "azure", "anthropic"})
"""Providers to whom the SDKs may tell what the environment has for them: accounts, and headers of the user's own."""


@cache
def _agent() -> str:
    from importlib.metadata import version

    return f"phloem/{version('phloem')}"


class _Bounded(httpx2.AsyncBaseTransport):
    """Carries requests, and lets no answer through that is packed or becomes too large."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, endpoint: Endpoint, proxy: str | None) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._host = endpoint.host
        self._through = host_of(proxy or "")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._tidy(request.headers)
        exchange = Outgoing(current_gate.get(), request.method, str(request.url), through=self._through)
        exchange.sent = _size(request.headers, request.headers.get("content-length", ""))
        try:
            response = await self._carried(request, exchange)
        except BaseException as error:
            exchange.over(error)
            raise
        exchange.status = response.status_code
        exchange.received = _size(response.headers)
        packed = response.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            await response.aclose()
            exchange.over()
            raise ServiceError(f"{self._host} answered packed, which was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        events = response.headers.get("content-type", "").strip().lower().startswith("text/event-stream")
        response.stream = _BoundedStream(response.stream, self._host, events, exchange)
        return response

    async def _carried(self, request: httpx2.Request, exchange: Outgoing) -> httpx2.Response:
        """The answer to a request, from the first address of its host that takes it."""
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        if self._through:
            await exchange.lookup(host, port)
            return await self._inner.handle_async_request(request)
        try:
            addresses = await exchange.addresses(host, port)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"there is no host called {host}") from error
        for address in addresses:
            last = address == addresses[-1]
            exchange.address = address
            try:
                return await self._inner.handle_async_request(_to(request, address, 0.0 if last else SHORTEST_ATTEMPT))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                exchange.address = ""
                if last:
                    raise
        raise httpx2.ConnectError(f"{host} has no address")

    def _tidy(self, headers: httpx2.Headers) -> None:
        """Send what the provider needs, and nothing that the SDKs add of themselves, the machine or the environment."""
        headers["Accept-Encoding"] = "identity"
        headers["User-Agent"] = _agent()
        key, provider = self._endpoint.key, self._endpoint.provider
        known = provider in _OWN_SDK and provider == self._endpoint.preset.name
        for name in list(headers):
            # The environment may put another server's key in the place of this one's.
            of_key = name in _OF_KEYS and key is not None and (known or key in headers[name])
            of_provider = known and name not in _OF_KEYS and not name.startswith("x-stainless-")
            if not (name in _NEEDED or of_key or of_provider):
                del headers[name]

    async def aclose(self) -> None:
        await self._inner.aclose()


def _to(request: httpx2.Request, address: str, seconds: float = 0.0) -> httpx2.Request:
    """The same request for one address of its host, which keeps its name in the request and in the certificate."""
    if request.url.host == address:
        return request
    waits = dict(request.extensions.get("timeout", {}))
    if seconds:
        waits["connect"] = min(seconds, waits.get("connect") or seconds)
    extensions = {**request.extensions, "timeout": waits, "sni_hostname": request.url.host}
    url = request.url.copy_with(host=address)
    return httpx2.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)


def _size(headers: httpx2.Headers, body: str = "") -> int:
    """Bytes of the lines of a head, and of the body that it announces."""
    return sum(len(name) + len(value) + 4 for name, value in headers.raw) + (int(body) if body.isdigit() else 0)


class _BoundedStream(httpx2.AsyncByteStream):
    """The bytes of an answer as they come; ServiceError when they, or one event among them, are too many."""

    def __init__(self, inner: httpx2.AsyncByteStream, host: str, events: bool, exchange: Outgoing) -> None:
        self._inner = inner
        self._host = host
        self._events = events
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = event = 0
        tail = b""
        async for chunk in self._inner:
            total += len(chunk)
            self._exchange.received += len(chunk)
            if self._events:
                # An empty line ends an event, and may lie across two chunks.
                seen = tail + chunk
                end = max(seen.rfind(b"\n\n"), seen.rfind(b"\r\n\r\n"), seen.rfind(b"\r\r"))
                event = event + len(chunk) if end < 0 else len(seen) - end
                tail = seen[-3:]
            if total > LARGEST or event > LARGEST_EVENT:
                most = f"{LARGEST:,} bytes" if total > LARGEST else f"{LARGEST_EVENT:,} bytes in one event"
                raise ServiceError(f"{self._host} answers with more than {most}")
            yield chunk

    async def aclose(self) -> None:
        self._exchange.over()
        await self._inner.aclose()
