"""What goes over the pipe for one request, and back as errors: plain values that MessagePack can carry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from phloem.nodes.services.models.local.sampling import Wording
from phloem.runtime.errors import InputError, NodeError, ServiceError, SettingError
from phloem.runtime.services import Tool
from phloem.runtime.values import Message, ToolCall

__all__ = [
    "Asked",
    "Question",
    "error_of",
    "packed_asked",
    "packed_call",
    "packed_error",
    "unpacked_asked",
    "unpacked_call",
]

Asked = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What a text model is asked. `gbnf` holds the answer to a form, `call_gbnf` each call of a tool to its schema.

    Both were checked before, for llama.cpp trusts them.
    """

    asked: Asked
    wording: Wording = Wording()  # noqa: RUF009 a frozen value
    gbnf: str = ""
    tools: tuple[Tool, ...] = ()
    call_gbnf: str = ""

    def packed(self) -> list[Any]:
        tools = [[tool.name, tool.description, json.dumps(dict(tool.parameters))] for tool in self.tools]
        return [packed_asked(self.asked), asdict(self.wording), self.gbnf, tools, self.call_gbnf]

    @classmethod
    def unpacked(cls, data: Sequence[Any]) -> Question:
        asked, wording, gbnf, tools, call_gbnf = data
        wording["stop"] = tuple(wording["stop"])
        known = tuple(Tool(name, description, json.loads(parameters)) for name, description, parameters in tools)
        return cls(unpacked_asked(asked), Wording(**wording), gbnf, known, call_gbnf)


def packed_asked(asked: Asked) -> Any:
    """A prompt, or a conversation without its images."""
    if isinstance(asked, str):
        return asked
    return [[one.role, one.content, [packed_call(call) for call in one.calls], one.call_id] for one in asked]


def unpacked_asked(data: Any) -> Asked:
    if isinstance(data, str):
        return data
    return tuple(
        Message(role, content, (), tuple(unpacked_call(call) for call in calls), call_id)
        for role, content, calls, call_id in data
    )


def packed_call(call: ToolCall) -> list[str]:
    """A call of a tool. Its arguments go as JSON: numbers in it may be larger than any that MessagePack has."""
    return [call.id, call.name, json.dumps(call.arguments)]


def unpacked_call(data: Sequence[str]) -> ToolCall:
    key, name, arguments = data
    return ToolCall(key, name, json.loads(arguments))


_KINDS: Final[Mapping[str, type[NodeError]]] = {
    kind.__name__: kind for kind in (InputError, SettingError, ServiceError)
}


def packed_error(error: Exception) -> list[Any]:
    """An error, as one that the other side can raise."""
    if not isinstance(error, NodeError):
        return ["ServiceError", f"the model's process failed: {type(error).__name__}: {str(error)[:300]}", None, False]
    return [type(error).__name__, error.message, error.hint, error.retryable]


def error_of(data: Sequence[Any]) -> NodeError:
    """The error that came over the pipe."""
    kind, message, hint, retryable = data
    if kind not in _KINDS or kind == "ServiceError":
        return ServiceError(message, hint=hint, retryable=bool(retryable))
    return _KINDS[kind](message, hint=hint)
