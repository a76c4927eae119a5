"""An answer in OpenAI's protocol, whole or in chunks, as pieces of text and an Ending.

What is unknown is passed over.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from phloem.nodes.services.models.hosted.endings import Finish, ending_of
from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.failures import told, unreadable
from phloem.nodes.services.models.hosted.heard import (
    MOST_CALLS,
    Heard,
    PartOfCall,
    count,
    items,
    mapping,
    number,
    text,
)
from phloem.runtime.services import Chance, Ending

__all__ = ["openai_pieces"]

_FINISHES: Final[dict[str, Finish]] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "calls",
    "function_call": "calls",
    "content_filter": "refused",
    "safety": "refused",
    "recitation": "refused",
}


async def openai_pieces(
    events: AsyncIterator[Any], endpoint: Endpoint, heard: Heard
) -> AsyncGenerator[str | Ending, None]:
    """The pieces of text as they come, and the Ending. What the answer costs is put into `heard`.

    A refusal in the model's own words is text like any other, and its Ending says `refused`.
    """
    listening = _Listening(endpoint, heard)
    async for event in events:
        for piece in listening.take(event):
            heard.said.append(piece)
            yield piece
    yield listening.ending()


class _Listening:
    """What was said so far."""

    def __init__(self, endpoint: Endpoint, heard: Heard) -> None:
        self._endpoint = endpoint
        self._heard = heard
        self._calls: dict[int, PartOfCall] = {}
        self._chances: list[Chance] = []
        self._finish: Finish | None = None
        self._refused = False
        self._model = ""
        self._understood = False

    def take(self, event: object) -> list[str]:
        """The pieces of text in one chunk, or in a whole answer."""
        chunk = mapping(event)
        if chunk.get("error") and not chunk.get("choices"):
            raise told(chunk, self._endpoint)
        self._understood = self._understood or isinstance(chunk.get("choices"), list)
        self._model = text(chunk.get("model")) or self._model
        self._take_usage(mapping(chunk.get("usage")))
        # Groq tells the usage in a field of its own.
        self._take_usage(mapping(mapping(chunk.get("x_groq")).get("usage")))
        choices = items(chunk.get("choices"))
        return self._take_choice(mapping(choices[0])) if choices else []

    def ending(self) -> Ending:
        """How it ended; an error if it did not."""
        if not self._understood:
            raise unreadable(self._endpoint)
        finish: Finish | None = "refused" if self._refused and self._finish else self._finish
        return ending_of(finish, self._calls, self._endpoint, chances=self._chances, model=self._model)

    def _take_choice(self, choice: dict[str, Any]) -> list[str]:
        said = mapping(choice.get("delta")) or mapping(choice.get("message"))
        pieces = _pieces(said.get("content"))
        refusal = text(said.get("refusal"))
        if refusal:
            self._refused = True
            pieces.append(refusal)
        for position, part in enumerate(items(said.get("tool_calls"))):
            self._take_call(position, mapping(part))
        for token in items(mapping(choice.get("logprobs")).get("content")):
            self._take_chance(mapping(token))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            if reason == "error":
                raise told(choice, self._endpoint)
            self._finish = _FINISHES.get(reason.lower(), "stop")
        return pieces

    def _take_call(self, position: int, part: dict[str, Any]) -> None:
        index = count(part.get("index"))
        at = position if index is None else index
        known, id = self._calls.get(at), text(part.get("id"))
        if known is not None and known.id and id and known.id != id:
            # Gemini gives several calls the same index.
            at = max(self._calls) + 1
        if at >= MOST_CALLS:
            raise unreadable(self._endpoint)
        call = self._calls.setdefault(at, PartOfCall())
        function = mapping(part.get("function"))
        call.id = call.id or id
        call.name = call.name or text(function.get("name"))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        call.arguments.append(text(arguments))
        self._heard.said.append(call.arguments[-1])

    def _take_chance(self, token: dict[str, Any]) -> None:
        logprob = number(token.get("logprob"))
        if logprob is None:
            return
        others = []
        for other in items(token.get("top_logprobs")):
            found = number(mapping(other).get("logprob"))
            if found is not None:
                others.append((text(mapping(other).get("token")), found))
        self._chances.append(Chance(text(token.get("token")), logprob, tuple(others)))

    def _take_usage(self, usage: dict[str, Any]) -> None:
        heard = self._heard
        read, written = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
        heard.read = heard.read if read is None else read
        heard.written = heard.written if written is None else written
        cached = count(mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
        # DeepSeek's name for it.
        cached = count(usage.get("prompt_cache_hit_tokens")) if cached is None else cached
        heard.cached = min(heard.cached if cached is None else cached, heard.read or 0)
        # OpenRouter tells what it charged, in US dollars.
        cost = number(usage.get("cost")) if self._endpoint.preset.name == "openrouter" else None
        heard.money = heard.money if cost is None else max(0.0, cost)


def _pieces(content: object) -> list[str]:
    """The text of a message: as it is, or in parts, of which some may be thoughts."""
    if isinstance(content, list):
        parts = [mapping(part) for part in content]
        return [text(part.get("text")) for part in parts if part.get("type") == "text" and text(part.get("text"))]
    return [text(content)] if text(content) else []
