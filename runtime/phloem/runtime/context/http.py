"""How a node reaches the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phloem.runtime.context.gate import NodeGate
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
        scope = self.context.scope
        service: HttpService
        if scope.answers is None:
            service = await self._outside(url)
        else:
            from phloem.runtime.recording.http import RecordedHttp

            service = RecordedHttp(scope.answers, self.context, self._outside)
        if scope.trace is not None:
            service = scope.trace.http(service, self.context.node)
        return await service.request(
            NodeGate(self.context), method, url, headers=headers or {}, body=body, timeout=timeout, limit=limit
        )

    async def permitted(self, url: str) -> None:
        """Return if the server of `url` may be asked, which is found out first if it can be; else PermissionNeeded.

        For a `stamp`: what was fetched with a grant is not for a run without one, though it lies in the cache.
        """
        await self.context.permitted(lambda: self.context.scope.permissions.net(url))

    async def _outside(self, url: str) -> HttpService:
        """The service, if the address may be asked."""
        await self.permitted(url)
        service: HttpService = self.context.scope.services.get("http")
        return service
