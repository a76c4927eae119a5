"""A server that speaks OpenAI's protocol as api.openai.com does: chat completions, embeddings, models, errors."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from support.model_server import Asked, ModelServer, Reply, Said

__all__ = ["OpenAIServer", "error"]


def error(message: str, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None) -> Any:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class OpenAIServer(ModelServer):
    """Below `url`. `refuses` are fields that lead to an error, by the message; `vectors` makes the embeddings."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.models = [{"id": "gpt-test", "object": "model", "created": 1, "owned_by": "test"}]
        self.refuses: dict[str, str] = {}
        self.vectors: Callable[[str], list[float]] = lambda text: [float(len(text)), 1.0]
        self.usage = True

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    def answer(self, asked: Asked, reply: Reply) -> None:
        given = asked.headers.get("authorization", "").removeprefix("Bearer ") or asked.headers.get("api-key", "")
        path = asked.path.partition("?")[0]
        if self.key and given != self.key:
            # Like api.openai.com, which repeats the key it was given.
            reply.json(error(f"Incorrect API key provided: {given}.", code="invalid_api_key"), 401)
        elif path.endswith("/models"):
            reply.json({"object": "list", "data": self.models})
        elif path.endswith("/chat/completions"):
            self._complete(asked.body, reply)
        elif path.endswith("/embeddings"):
            self._embed(asked.body, reply)
        else:
            reply.json(error(f"Unknown request URL: {asked.method} {path}."), 404)

    def _complete(self, body: Any, reply: Reply) -> None:
        if not any(model["id"] == body["model"] for model in self.models):
            message = f"The model `{body['model']}` does not exist or you do not have access to it."
            reply.json(error(message, code="model_not_found"), 404)
            return
        for name, message in self.refuses.items():
            if _has(body, name):
                reply.json(error(message, param=name, code="unsupported_parameter"), 400)
                return
        said = self.model(body)
        if body.get("stream") and self.streams:
            self._stream(body, said, reply)
        else:
            reply.json(self._whole(body, said))

    def _whole(self, body: Any, said: Said) -> Any:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(said.pieces) or None}
        if said.refusal:
            message["refusal"] = said.refusal
        if said.thought:
            message["reasoning_content"] = said.thought
        if said.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in said.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": _finish(said), "logprobs": None}
        if body.get("logprobs"):
            choice["logprobs"] = _logprobs(said.pieces, body["top_logprobs"])
        return {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": f"{body['model']}-2026-01-01",
            "choices": [choice], "usage": _usage(said), "system_fingerprint": "fp_1",
        }  # fmt: skip

    def _stream(self, body: Any, said: Said, reply: Reply) -> None:
        def chunk(delta: Any, finish: str | None = None, logprobs: Any = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
            reply.event({**head, "choices": [choice]})

        head = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": f"{body['model']}-2026-01-01",
        }
        reply.events()
        chunk({"role": "assistant", "content": "", "refusal": None})
        if said.thought:
            chunk({"reasoning_content": said.thought})
        pieces = said.pieces
        for at, piece in enumerate(itertools.chain(pieces, itertools.repeat(pieces[-1]) if said.endless else ())):
            if said.cut_after == at:
                reply.cut()
                return
            time.sleep(said.pause)
            chunk(
                {"content": piece}, logprobs=_logprobs([piece], body["top_logprobs"]) if body.get("logprobs") else None
            )
        if said.error_after is not None:
            reply.event({"error": dict(said.error_after)})
            return
        if said.refusal:
            chunk({"refusal": said.refusal})
        for index, call in enumerate(said.calls):
            function = {"name": call.name, "arguments": ""}
            chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
            for part in _threes(call.arguments):
                chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        chunk({}, _finish(said))
        if self.usage and (body.get("stream_options") or {}).get("include_usage"):
            reply.event({**head, "choices": [], "usage": _usage(said)})
        reply.event("[DONE]")

    def _embed(self, body: Any, reply: Reply) -> None:
        data = [
            {"object": "embedding", "index": at, "embedding": self.vectors(text)}
            for at, text in enumerate(body["input"])
        ]
        # The order is told by the index, and by nothing else.
        usage = {"prompt_tokens": 3 * len(data), "total_tokens": 3 * len(data)}
        reply.json({"object": "list", "data": data[::-1], "model": body["model"], "usage": usage})


def _threes(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def _has(body: Any, name: str) -> bool:
    """True if a field is given; `response_format.json_schema` is one whose type that is."""
    field, _, kind = name.partition(".")
    return field in body and (not kind or body[field].get("type") == kind)


def _finish(said: Said) -> str:
    return said.finish or ("tool_calls" if said.calls else "stop")


def _usage(said: Said) -> Any:
    return {
        "prompt_tokens": said.read, "completion_tokens": said.written, "total_tokens": said.read + said.written,
        "prompt_tokens_details": {"cached_tokens": said.cached, "audio_tokens": 0},
    }  # fmt: skip


def _logprobs(pieces: list[str], others: int) -> Any:
    def token(text: str, logprob: float) -> Any:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {
        "content": [
            {**token(piece, -0.25), "top_logprobs": [token(f"{piece}{at}", -1.0 - at) for at in range(others)]}
            for piece in pieces
        ]
    }
