"""The http service: one exchange with a web server, bounded in time and size, every connection allowed first.

Requests go straight to the servers they name. Proxies that the environment mentions are not used: a
proxy would look names up and connect in our place, out of the gate's sight.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from phloem.nodes.services.http.bodies import read_body, too_large
from phloem.nodes.services.http.exchanges import first_request, next_request, shown
from phloem.runtime.errors import ServiceError
from phloem.runtime.services import Gate, HttpAnswer

if TYPE_CHECKING:
    import httpcore
    import httpx
    from phloem.nodes.services.outgoing import Outgoing

__all__ = ["Http"]

MAX_REDIRECTS: Final = 10
_CONNECTIONS: Final = 100
_KEPT: Final = 20
_KEPT_SECONDS: Final = 15.0
_BODILESS: Final = frozenset({204, 304})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Http:
    """Implements `phloem.runtime.services.HttpService`; connections are kept for a while and used again.

    `tls` says whose certificates are believed: without it Mozilla's list, or the file or folder that
    SSL_CERT_FILE or SSL_CERT_DIR names.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._pools: dict[asyncio.AbstractEventLoop, httpcore.AsyncConnectionPool] = {}

    async def request(
        self,
        gate: Gate,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        limit: int,
    ) -> HttpAnswer:
        """One exchange, redirects followed. `timeout` is seconds for all of it, `limit` bytes of decoded body.

        InputError for an address or header that cannot be sent, ServiceError when no whole answer comes back;
        PermissionNeeded as the gate raises it.
        """
        request = first_request(method, url, headers, body)
        host = shown(request.url)
        try:
            async with asyncio.timeout(timeout) as clock:
                return await self._follow(gate, request, limit, clock)
        except TimeoutError:
            raise ServiceError(
                f"{host} did not answer in full within {timeout:g} seconds",
                hint="Allow more time, or try again later.",
                retryable=True,
            ) from None

    async def close(self) -> None:
        """Close the connections that are kept."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()

    async def _follow(self, gate: Gate, request: httpx.Request, limit: int, clock: asyncio.Timeout) -> HttpAnswer:
        """The answer to a request, or to the last one that it is redirected to; the gate is told of each."""
        import httpx
        from phloem.nodes.services.http.gated import current_exchange
        from phloem.nodes.services.outgoing import Outgoing

        cookies = httpx.Cookies()
        for _ in range(MAX_REDIRECTS + 1):
            exchange = Outgoing(gate, request.method, str(request.url), clock)
            token = current_exchange.set(exchange)
            try:
                answer = await self._exchange(request, limit, cookies, exchange)
            except BaseException as error:
                exchange.over(error)
                raise
            finally:
                current_exchange.reset(token)
            exchange.over()
            if isinstance(answer, HttpAnswer):
                return answer
            request = answer
        raise ServiceError(f"{shown(request.url)} redirects more than {MAX_REDIRECTS} times in a row")

    async def _exchange(
        self, request: httpx.Request, limit: int, cookies: httpx.Cookies, exchange: Outgoing
    ) -> HttpAnswer | httpx.Request:
        """One request over one connection: the answer, or the request to make instead."""
        import httpcore
        import httpx

        host = shown(request.url)
        url = request.url
        parts = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        plain = httpcore.Request(request.method, parts, headers=request.headers.raw, content=request.content)
        try:
            response = await self._pool().handle_async_request(plain)
            try:
                answer = httpx.Response(response.status, headers=response.headers, request=request)
                exchange.status = answer.status_code
                cookies.extract_cookies(answer)
                if answer.status_code in _REDIRECTS and "location" in answer.headers:
                    return next_request(request, answer, cookies)
                data = await _read(host, request.method, answer, response, limit)
            finally:
                await response.aclose()
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise _explained(host, error) from error
        address = str(request.url.copy_with(username=None, password=None))
        return HttpAnswer(address, answer.status_code, {name: answer.headers[name] for name in answer.headers}, data)

    def _pool(self) -> httpcore.AsyncConnectionPool:
        """The kept connections of the running loop."""
        import httpcore
        from phloem.nodes.services.http.gated import GatedBackend

        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            self._pools = {one: pool for one, pool in self._pools.items() if not one.is_closed()}
            self._pools[loop] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls or _default_tls(),
                max_connections=_CONNECTIONS,
                max_keepalive_connections=_KEPT,
                keepalive_expiry=_KEPT_SECONDS,
                network_backend=GatedBackend(),
            )
        return self._pools[loop]


@cache
def _default_tls() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


async def _read(
    host: str, method: str, answer: httpx.Response, response: httpcore.Response, limit: int
) -> bytes:  # fmt: skip
    """The body of an answer, of at most `limit` bytes."""
    if method == "HEAD" or answer.status_code in _BODILESS:
        return b""
    announced = answer.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise too_large(host, limit)
    chunks = response.aiter_stream()
    return await read_body(chunks, answer.headers.get("content-encoding", ""), limit, host)


def _explained(host: str, error: Exception) -> ServiceError:
    """What went wrong between us and a server, in a sentence."""
    import httpcore

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ServiceError(
            f"the certificate of {host} is not to be trusted: {cause.verify_message}",
            hint="If its authority is your own, name its file in SSL_CERT_FILE.",
        )
    if isinstance(cause, ssl.SSLError):
        return ServiceError(f"no secure connection to {host} could be made", hint="Is it http:// rather than https://?")
    if isinstance(error, httpcore.ProtocolError):
        return ServiceError(f"{host} broke off, or answered with something that is not HTTP", retryable=True)
    return ServiceError(f"the connection to {host} broke", retryable=True)
