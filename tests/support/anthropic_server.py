"""A server that speaks Anthropic's protocol as api.anthropic.com does: messages, models, errors."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from typing import Any

from support.model_server import Asked, ModelServer, Reply, Said

__all__ = ["AnthropicServer", "anthropic_error"]


def anthropic_error(kind: str, message: str) -> Any:
    """The body of an error."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


class AnthropicServer(ModelServer):
    """Below `origin`. It checks what api.anthropic.com checks: the headers, and that turns alternate."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.models = [
            {"type": "model", "id": "claude-test", "display_name": "Claude Test", "created_at": "2026-01-01"}
        ]
        self.refuses: dict[str, str] = {}

    def answer(self, asked: Asked, reply: Reply) -> None:
        # Either header is taken; which one the SDK sends depends on its version.
        given = asked.headers.get("x-api-key", "") or asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self.key and given != self.key:
            reply.json(anthropic_error("authentication_error", f"invalid x-api-key: {given}"), 401)
        elif "anthropic-version" not in asked.headers:
            reply.json(anthropic_error("invalid_request_error", "anthropic-version: header is required"), 400)
        elif asked.path.partition("?")[0] == "/v1/models":
            reply.json({"data": self.models, "has_more": False, "first_id": None, "last_id": None})
        elif asked.path == "/v1/messages":
            self._answer(asked.body, reply)
        else:
            reply.json(anthropic_error("not_found_error", "Not found"), 404)

    def _answer(self, body: Any, reply: Reply) -> None:
        problem = self._problem(body)
        if not any(model["id"] == body["model"] for model in self.models):
            reply.json(anthropic_error("not_found_error", f"model: {body['model']}"), 404)
        elif problem:
            reply.json(anthropic_error("invalid_request_error", problem), 400)
        elif body.get("stream") and self.streams:
            self._stream(body, self.model(body), reply)
        else:
            reply.json(_message(body, self.model(body)))

    def _problem(self, body: Any) -> str:
        for name, message in self.refuses.items():
            if name in body:
                return message
        if "max_tokens" not in body:
            return "max_tokens: Field required"
        roles = [turn["role"] for turn in body["messages"]]
        if any(one == other for one, other in itertools.pairwise(roles)) or set(roles) - {"user", "assistant"}:
            return "messages: roles must alternate between user and assistant"
        blocks = [block for turn in body["messages"] for block in turn["content"]]
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            return "messages: text content blocks must be non-empty"
        return ""

    def _stream(self, body: Any, said: Said, reply: Reply) -> None:
        def event(kind: str, **fields: Any) -> None:
            reply.event({"type": kind, **fields}, kind)

        start = _message(body, replace(said, calls=())) | {"content": [], "stop_reason": None}
        start["usage"] = start["usage"] | {"output_tokens": 1}
        reply.events()
        event("message_start", message=start)
        event("ping")
        index = itertools.count()
        if said.thought:
            at = next(index)
            event("content_block_start", index=at, content_block={"type": "thinking", "thinking": "", "signature": ""})
            event("content_block_delta", index=at, delta={"type": "thinking_delta", "thinking": said.thought})
            event("content_block_delta", index=at, delta={"type": "signature_delta", "signature": "c2ln"})
            event("content_block_stop", index=at)
        if said.pieces:
            at = next(index)
            event("content_block_start", index=at, content_block={"type": "text", "text": ""})
            endless = itertools.repeat(said.pieces[-1]) if said.endless else ()
            for number, piece in enumerate(itertools.chain(said.pieces, endless)):
                if said.cut_after == number:
                    reply.cut()
                    return
                time.sleep(said.pause)
                event("content_block_delta", index=at, delta={"type": "text_delta", "text": piece})
            event("content_block_stop", index=at)
        if said.error_after is not None:
            reply.event({"type": "error", "error": dict(said.error_after)}, "error")
            return
        for call in said.calls:
            at = next(index)
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            event("content_block_start", index=at, content_block=block)
            for start_at in range(0, len(call.arguments), 3):
                part = call.arguments[start_at : start_at + 3]
                event("content_block_delta", index=at, delta={"type": "input_json_delta", "partial_json": part})
            event("content_block_stop", index=at)
        delta = {"stop_reason": _reason(said), "stop_sequence": None}
        event("message_delta", delta=delta, usage={"output_tokens": said.written})
        event("message_stop")


def _reason(said: Said) -> str:
    return said.finish or ("tool_use" if said.calls else "end_turn")


def _message(body: Any, said: Said) -> dict[str, Any]:
    content: list[Any] = [{"type": "thinking", "thinking": said.thought, "signature": "c2ln"}] if said.thought else []
    content += [{"type": "text", "text": "".join(said.pieces)}] if said.pieces else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in said.calls
    ]
    usage = {
        "input_tokens": said.read - said.cached, "cache_read_input_tokens": said.cached,
        "cache_creation_input_tokens": 0, "output_tokens": said.written,
    }  # fmt: skip
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": f"{body['model']}-20260101",
        "content": content, "stop_reason": _reason(said), "stop_sequence": None, "usage": usage,
    }  # fmt: skip
