"""A request in the words of Anthropic's protocol: the JSON for `/v1/messages`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.openai_words import image_type
from phloem.runtime.errors import InputError
from phloem.runtime.services import Tool
from phloem.runtime.values import Message

__all__ = ["anthropic_body"]

PATH = "/v1/messages"


def anthropic_body(endpoint: Endpoint, messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Any]:
    """What to send, but for the settings and what holds the answer to a form.

    What the system says stands apart from the conversation, and turns of the same role in a row become one.
    """
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise InputError("there is nothing to answer", hint="Give a prompt.")
    body: dict[str, Any] = {"model": endpoint.model, "messages": turns, "stream": True}
    system = "\n\n".join(one.content for one in messages if one.role == "system" and one.content.strip())
    if system:
        body["system"] = system
    if tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in tools
        ]
    return body


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.call_id, "content": message.content}]
    if message.images and message.role != "user":
        raise InputError(f"a message of the role {message.role} has images; only the user's may")
    blocks: list[dict[str, Any]] = [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": image_type(one), "data": b64encode(one.data).decode()},
        }
        for one in message.images
    ]
    if message.content.strip():
        blocks.append({"type": "text", "text": message.content})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in message.calls
    ]
    return blocks
