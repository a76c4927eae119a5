"""The network of a run that is recorded or replayed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from phloem.runtime.recording.answers import Answers
from phloem.runtime.recording.safe import safe_answer_headers, safe_headers, safe_url
from phloem.runtime.services import Gate, HttpAnswer, HttpService, Meter

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["RecordedHttp"]


class RecordedHttp:
    """An HttpService for one node: `outside` gives the one to ask for an address, if it is to be asked."""

    def __init__(self, answers: Answers, context: Context, outside: Callable[[str], Awaitable[HttpService]]) -> None:
        self._answers = answers
        self._context = context
        self._outside = outside

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
        whole: HttpAnswer | None = None

        async def ask(_: Meter) -> dict[str, Any]:
            nonlocal whole
            service = await self._outside(url)
            whole = await service.request(gate, method, url, headers=headers, body=body, timeout=timeout, limit=limit)
            return _data(whole)

        question: dict[str, Any] = {"method": method, "url": safe_url(url)}
        if kept := safe_headers(headers):
            question["headers"] = kept
        if body is not None:
            question["body"] = body
        data = await self._answers.ask(self._context, "request", question, ask)
        # Now the node gets what the server said, cookies and all; only a replay lacks them.
        return whole or HttpAnswer(data["url"], data["status"], dict(data["headers"]), data["body"])


def _data(answer: HttpAnswer) -> dict[str, Any]:
    return {
        "url": safe_url(answer.url),
        "status": answer.status,
        "headers": safe_answer_headers(answer.headers),
        "body": bytes(answer.body),
    }
