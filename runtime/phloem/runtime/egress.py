"""What left the machine, and for where: one record per exchange, for the log that a run keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Egress", "bare_url"]

LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Egress:
    """One exchange with a server, or an attempt at one.

    `node` is the path of the node that made it, `host` the name that was asked for and `address` where it led: empty
    if nothing was reached, and behind a proxy, which `through` then names. `url` is without user name, password and
    fragment, and every value of its query is `…`. `sent` and `received` are bytes of HTTP, headers included,
    encryption not. `status` is what the server answered, None for no answer; then `error` says why. `at` is when it
    began, in seconds since 1970.
    """

    node: str
    host: str
    port: int
    address: str
    method: str
    url: str
    sent: int = 0
    received: int = 0
    status: int | None = None
    at: float = 0.0
    seconds: float = 0.0
    error: str = ""
    through: str = ""


def bare_url(url: str) -> str:
    """`url` as it may be kept: what a query says, and who asks, may be secret. Never an error."""
    from urllib.parse import urlsplit, urlunsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    place = f"[{host}]{port}" if ":" in host else f"{host}{port}"
    names = [f"{one.partition('=')[0]}=…" if "=" in one else "…" for one in parts.query.split("&") if one]
    return urlunsplit((parts.scheme, place, parts.path, "&".join(names), ""))[:LONGEST]
