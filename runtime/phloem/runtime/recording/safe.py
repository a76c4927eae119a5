"""What of a request may be kept: no key, no password, no cookie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["safe_answer_headers", "safe_headers", "safe_url"]

SAFE_HEADERS: Final = frozenset(
    {
        "accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "content-encoding",
        "content-language", "content-length", "content-type", "date", "expect", "host", "if-match",
        "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "pragma", "prefer",
        "range", "te", "user-agent", "x-requested-with",
    }
)  # fmt: skip
"""The headers of a request that say what is asked; every other may hold a key, so it is no part of the question."""

SECRET_ANSWER_HEADERS: Final = frozenset(
    {
        "authentication-info", "authorization", "proxy-authenticate", "proxy-authentication-info",
        "proxy-authorization", "set-cookie", "set-cookie2", "www-authenticate", "x-amz-security-token",
        "x-api-key", "x-auth-token", "x-csrf-token", "x-xsrf-token",
    }
)  # fmt: skip

ADDRESS_HEADERS: Final = frozenset({"content-location", "location"})

SECRET_PARAMETERS: Final = frozenset(
    {
        "access_key", "access_token", "accesskey", "accesstoken", "api_key", "api-key", "api_token", "apikey",
        "app_key", "appid", "appkey", "auth", "auth_key", "auth_token", "authorization", "awsaccesskeyid",
        "client_secret", "code", "credential", "id_token", "jwt", "key", "oauth_token", "pass", "passphrase",
        "passwd", "password", "private_token", "pwd", "refresh_token", "secret", "secret_key", "session", "sessionid",
        "sid", "sig", "signature", "subscription-key", "token", "x-amz-credential", "x-amz-security-token",
        "x-amz-signature", "x-api-key", "x-goog-credential", "x-goog-signature",
    }
)  # fmt: skip
"""The parameters of an address behind which keys stand, in lower case."""

HIDDEN: Final = "…"


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request that may be kept, in lower case and in order of the alphabet."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: lower[name] for name in sorted(SAFE_HEADERS & lower.keys())}


def safe_answer_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer, with `…` for the value of what opens a door."""
    return {name: _safe_value(name.lower(), value) for name, value in headers.items()}


def _safe_value(name: str, value: str) -> str:
    if name in SECRET_ANSWER_HEADERS:
        return HIDDEN
    return safe_url(value) if name in ADDRESS_HEADERS else value


def safe_url(url: str) -> str:
    """The address without a name and password in it, and with `…` for the value of parameters that are keys, also of
    those behind a `#`."""
    try:
        parts = urlsplit(url)
        query, fragment = _safe_parameters(parts.query), _safe_parameters(parts.fragment)
    except ValueError:
        start, slashes, rest = url.partition("?")[0].partition("#")[0].partition("//")
        return f"{start}{slashes}{rest.rpartition('@')[2]}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, query, fragment))


def _safe_parameters(text: str) -> str:
    """`name=value&…` without what is a key; as it stands if nothing is."""
    given = parse_qsl(text, keep_blank_values=True)
    hidden = [(name, HIDDEN if name.lower() in SECRET_PARAMETERS else value) for name, value in given]
    return text if hidden == given else urlencode(hidden)
