"""The http service with the trace told to the servers that nodes speak to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from phloem.runtime.services import Gate, HttpAnswer, HttpService

if TYPE_CHECKING:
    from phloem.runtime.tracing.runs import RunTrace

__all__ = ["TracedHttp"]


class TracedHttp:
    """An HttpService whose requests carry the header traceparent, unless the node gives one itself."""

    def __init__(self, service: HttpService, trace: RunTrace, node: str) -> None:
        self._service = service
        self._trace = trace
        self._node = node

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
        given = {name.lower() for name in headers}
        more = {} if "traceparent" in given else self._trace.headers(self._node)
        return await self._service.request(
            gate, method, url, headers={**headers, **more}, body=body, timeout=timeout, limit=limit
        )
