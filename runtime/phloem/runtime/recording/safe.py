"""What of a request may be kept: no key, no password, no cookie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["HIDDEN", "safe_answer_headers", "safe_headers", "safe_url"]

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
        "x-auth-token", "x-csrf-token", "x-xsrf-token",
    }
)  # fmt: skip

SECRET_PARAMETERS: Final = frozenset(
    {
        "access_key", "access_token", "accesskey", "api_key", "api-key", "apikey", "appid", "auth", "auth_token",
        "authorization", "awsaccesskeyid", "client_secret", "code", "credential", "id_token", "jwt", "key", "pass",
        "passwd", "password", "private_token", "pwd", "refresh_token", "secret", "session", "sessionid", "sid", "sig",
        "signature", "token", "x-amz-credential", "x-amz-security-token", "x-amz-signature", "x-goog-credential",
        "x-goog-signature",
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
    return {name: HIDDEN if name.lower() in SECRET_ANSWER_HEADERS else value for name, value in headers.items()}


def safe_url(url: str) -> str:
    """The address without a name and password in it, and with `…` for the value of parameters that are keys."""
    try:
        parts = urlsplit(url)
        asked = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return url.partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    hidden = [(name, HIDDEN if name.lower() in SECRET_PARAMETERS else value) for name, value in asked]
    query = parts.query if hidden == asked else urlencode(hidden, safe=HIDDEN)
    return urlunsplit((parts.scheme, host, parts.path, query, parts.fragment))
