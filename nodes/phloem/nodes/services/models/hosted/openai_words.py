"""A request in the words of OpenAI's protocol: the JSON for `/chat/completions`."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.runtime.errors import InputError
from phloem.runtime.services import Tool
from phloem.runtime.values import Blob, Message

__all__ = ["image_type", "openai_body"]

PATH = "/chat/completions"


def openai_body(endpoint: Endpoint, messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Any]:
    """What to send, but for the settings and what holds the answer to a form."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [_message(message) for message in messages],
        "stream": True,
    }
    if endpoint.preset.usage:
        body["stream_options"] = {"include_usage": True}
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in tools
        ]
    return body


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    content: Any = message.content
    if message.images:
        if message.role != "user":
            raise InputError(f"a message of the role {message.role} has images; only the user's may")
        content = [{"type": "text", "text": content}] if content else []
        content += [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in message.images]
    said: dict[str, Any] = {"role": message.role, "content": content}
    if message.calls:
        said["content"] = content or None
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in message.calls
        ]
    return said


def _data_url(image: Blob) -> str:
    return f"data:{image_type(image)};base64,{b64encode(image.data).decode()}"


def image_type(image: Blob) -> str:
    """The media type of an image; InputError for what is none, or has no bytes."""
    media_type = image.media_type.partition(";")[0].strip().lower()
    if (
        not media_type.startswith("image/")
        or not media_type.removeprefix("image/").replace("+", "-").replace(".", "-").replace("-", "").isalnum()
    ):
        raise InputError(f"{image.name or 'a file'} is not an image but {image.media_type[:60]}")
    if not image.data:
        raise InputError(f"{image.name or 'an image'} is empty")
    return media_type
