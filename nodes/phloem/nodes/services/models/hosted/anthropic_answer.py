"""An answer in Anthropic's protocol, whole or in events, as pieces of text and an Ending. Thoughts are passed over."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from phloem.nodes.services.models.hosted.endings import Finish, ending_of
from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.failures import told, unreadable
from phloem.nodes.services.models.hosted.heard import MOST_CALLS, Heard, PartOfCall, count, items, mapping, text
from phloem.runtime.services import Ending

__all__ = ["anthropic_pieces"]

_FINISHES: Final[dict[str, Finish]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "calls",
    "refusal": "refused",
}


async def anthropic_pieces(
    events: AsyncIterator[Any], endpoint: Endpoint, heard: Heard
) -> AsyncGenerator[str | Ending, None]:
    """The pieces of text as they come, and the Ending. What the answer costs is put into `heard`."""
    listening = _Listening(endpoint, heard)
    async for event in events:
        piece = listening.take(event)
        if piece:
            heard.said.append(piece)
            yield piece
    yield listening.ending()


class _Listening:
    """What was said so far."""

    def __init__(self, endpoint: Endpoint, heard: Heard) -> None:
        self._endpoint = endpoint
        self._heard = heard
        self._calls: dict[int, PartOfCall] = {}
        self._finish: Finish | None = None
        self._model = ""
        self._understood = False

    def take(self, event: object) -> str:
        """The text in one event, or in a whole answer."""
        said = mapping(event)
        kind = said.get("type")
        if kind == "error":
            raise told(said, self._endpoint)
        if kind == "message_start":
            self._start(mapping(said.get("message")))
        elif kind == "message":
            return self._whole(said)
        elif kind == "content_block_start":
            return self._block(_index(said), mapping(said.get("content_block")), whole=False)
        elif kind == "content_block_delta":
            return self._delta(_index(said), mapping(said.get("delta")))
        elif kind == "message_delta":
            self._end(mapping(said.get("delta")).get("stop_reason"))
            self._take_usage(mapping(said.get("usage")))
        return ""

    def ending(self) -> Ending:
        """How it ended; an error if it did not."""
        if not self._understood:
            raise unreadable(self._endpoint)
        return ending_of(self._finish, self._calls, self._endpoint, model=self._model)

    def _start(self, message: dict[str, Any]) -> None:
        self._understood = True
        self._model = text(message.get("model"))
        self._take_usage(mapping(message.get("usage")))

    def _whole(self, message: dict[str, Any]) -> str:
        self._start(message)
        pieces = [self._block(at, mapping(block), whole=True) for at, block in enumerate(items(message.get("content")))]
        self._end(message.get("stop_reason"))
        return "".join(pieces)

    def _block(self, at: int, block: dict[str, Any], *, whole: bool) -> str:
        if block.get("type") == "tool_use":
            if at >= MOST_CALLS:
                raise unreadable(self._endpoint)
            call = PartOfCall(text(block.get("id")), text(block.get("name")))
            # In a stream the input begins empty, and comes in deltas.
            if whole or mapping(block.get("input")):
                call.arguments.append(json.dumps(block.get("input")))
            self._calls[at] = call
        return text(block.get("text")) if block.get("type") == "text" else ""

    def _delta(self, at: int, delta: dict[str, Any]) -> str:
        kind = delta.get("type")
        if kind == "input_json_delta" and at in self._calls:
            self._calls[at].arguments.append(text(delta.get("partial_json")))
            self._heard.said.append(self._calls[at].arguments[-1])
        return text(delta.get("text")) if kind == "text_delta" else ""

    def _end(self, reason: object) -> None:
        if isinstance(reason, str) and reason:
            self._finish = _FINISHES.get(reason, "stop")

    def _take_usage(self, usage: dict[str, Any]) -> None:
        """The counts so far. What was read from the cache, or put into it, is not in `input_tokens`."""
        heard = self._heard
        parts = [count(usage.get(name)) for name in _READ]
        if parts[0] is not None:
            heard.read = sum(part or 0 for part in parts)
            heard.cached = parts[1] or 0
        written = count(usage.get("output_tokens"))
        heard.written = heard.written if written is None else written


_READ: Final = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def _index(event: dict[str, Any]) -> int:
    return count(event.get("index")) or 0
