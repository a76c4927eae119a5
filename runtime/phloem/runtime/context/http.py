"""How a node reaches the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phloem.runtime.errors import InputError
from phloem.runtime.services import HttpAnswer, HttpService

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context


@dataclass(slots=True)
class Http:
    """The network."""

    context: Context

    async def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30.0,
        limit: int = 20_000_000,
    ) -> HttpAnswer:
        """One exchange with the server of `url`, redirects followed. `timeout` in seconds, `limit` in bytes."""
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url[:200]!r} is not a web address", hint="It begins with http:// or https://.")
        self.context.scope.permissions.net(url)
        service: HttpService = self.context.scope.services.get("http")
        return await service.request(
            self.context.scope.permissions, method, url, headers=headers or {}, body=body, timeout=timeout, limit=limit
        )
