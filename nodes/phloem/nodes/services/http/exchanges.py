"""Requests as they may be sent, and those that a redirect leads to."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.grants import host_of

if TYPE_CHECKING:
    import httpx

__all__ = ["first_request", "next_request", "shown"]

_METHOD: Final = re.compile(r"[A-Za-z]{1,20}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS: Final = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that say how a message is carried and to whom: a false one would lead past the gate."""
_LONGEST_ADDRESS: Final = 20_000


def shown(url: httpx.URL) -> str:
    """The host of an address, as an error may name it: nothing of what may be secret in the rest."""
    return host_of(str(url.copy_with(username=None, password=None))) or "the web server"


def first_request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Request:
    """The request to send first; InputError for an address, method or header that cannot be sent.

    A user name and password in the address become an Authorization header.
    """
    import httpx

    if not _METHOD.fullmatch(method):
        raise InputError(f"{method[:40]!r} is not a method of HTTP", hint="Use GET, POST, PUT, PATCH, DELETE or HEAD.")
    address = _address(url)
    sent = httpx.Headers({"Accept": "*/*", "User-Agent": _agent()})
    for name, value in headers.items():
        sent[name] = _checked(name, value)
    sent["Accept-Encoding"] = "gzip, deflate"
    if (address.username or address.password) and "authorization" not in sent:
        pair = f"{address.username}:{address.password}".encode()
        sent["Authorization"] = f"Basic {b64encode(pair).decode()}"
    bare = address.copy_with(username=None, password=None)
    return httpx.Request(method.upper(), bare, headers=sent, content=body, extensions={_COOKIES: sent.get("cookie")})


def next_request(request: httpx.Request, answer: httpx.Response, cookies: httpx.Cookies) -> httpx.Request:
    """The request that a redirect asks for; ServiceError if it leads anywhere but to the web.

    As in browsers, a POST becomes a GET except by 307 and 308. To another server go none of the headers
    that might hold a secret. `cookies` are those that were set on the way.
    """
    import httpx

    address = _target(request, answer)
    same = _same_server(request.url, address)
    method = request.method
    if (answer.status_code == 303 and method != "HEAD") or (answer.status_code in (301, 302) and method == "POST"):
        method = "GET"
    keeps_body = method == request.method
    headers = httpx.Headers(request.headers)
    for name in list(headers):
        foreign = name not in _FOR_ANYONE and not same
        if foreign or name in ("host", "content-length", "cookie") or (name == "content-type" and not keeps_body):
            del headers[name]
    content = request.content if keeps_body else None
    given = request.extensions.get(_COOKIES) if same else None
    following = httpx.Request(
        method, address, headers=headers, content=content, cookies=cookies, extensions={_COOKIES: given}
    )
    if given:
        set_on_the_way = following.headers.get("cookie")
        following.headers["cookie"] = f"{given}; {set_on_the_way}" if set_on_the_way else given
    return following


_COOKIES: Final = "phloem.cookies"
"""Under which extension a request carries the cookies that the user gave."""
_FOR_ANYONE: Final = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})


def _target(request: httpx.Request, answer: httpx.Response) -> httpx.URL:
    import httpx

    try:
        address = request.url.join(answer.headers["location"][:_LONGEST_ADDRESS])
    except (httpx.InvalidURL, ValueError) as error:
        raise ServiceError(f"{shown(request.url)} redirects to an address that is not one") from error
    if not _is_on_the_web(address):
        raise ServiceError(f"{shown(request.url)} redirects to a {address.scheme} address that is not on the web")
    return address.copy_with(username=None, password=None)


def _same_server(one: httpx.URL, other: httpx.URL) -> bool:
    """True if what was meant for `one` may go to `other`: the same, or the same with TLS."""
    safer = one.scheme == "http" and other.scheme == "https" and _port(one) == 80 and _port(other) == 443
    return one.host == other.host and (safer or (one.scheme == other.scheme and _port(one) == _port(other)))


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _address(url: str) -> httpx.URL:
    import httpx

    try:
        address = httpx.URL(url.strip()[:_LONGEST_ADDRESS])
    except (httpx.InvalidURL, ValueError) as error:
        raise _not_an_address() from error
    if not _is_on_the_web(address) or len(url) > _LONGEST_ADDRESS:
        raise _not_an_address()
    return address


def _is_on_the_web(address: httpx.URL) -> bool:
    return address.scheme in ("http", "https") and address.host != "" and 0 < _port(address) < 65536


def _not_an_address() -> InputError:
    # The address itself may hold a password or a key.
    return InputError("the web address cannot be read", hint="It looks like https://example.org/page.")


def _checked(name: str, value: str) -> str:
    """The value of a header that may be sent; InputError for one that may not."""
    if not _HEADER_NAME.fullmatch(name):
        raise InputError(f"{name[:60]!r} is not the name of a header")
    if name.lower() in _OURS:
        raise InputError(f"the header {name} is set by Phloem itself", hint="Leave it out.")
    if _UNSENDABLE.search(value):
        raise InputError(f"the header {name} holds a line break or another character that a header may not hold")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"the header {name} holds a character that cannot be sent") from error
    return value.strip(" \t")


@cache
def _agent() -> str:
    from importlib.metadata import version

    return f"Mozilla/5.0 (compatible; phloem/{version('phloem')})"
