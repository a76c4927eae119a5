"""Calls of tools in the words of a model: how tools are told to it, and how it asks for one.

Three families of models write a call differently, and their chat templates show which family it is:

    hermes   <tool_call>{"name": …, "arguments": {…}}</tool_call>   Hermes, Qwen and many others
    llama    {"name": …, "parameters": {…}}                         Llama 3.1 and later
    mistral  [TOOL_CALLS][{"name": …, "arguments": {…}}]            Mistral

A template that knows no tools gets them described in a system message, in the first of these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from phloem.runtime.services import Tool
from phloem.runtime.values import Message, ToolCall

__all__ = [
    "HERMES",
    "LLAMA",
    "MISTRAL",
    "Style",
    "called",
    "described",
    "form_of_calls",
    "knows_tools",
    "spoken",
    "style_of",
]

Name = Literal["hermes", "llama", "mistral"]

MOST_AT_ONCE: Final = 16
"""Calls that a model may write as one list."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a family of models writes a call: `opener` and `closer` stand around it, or only `closer` is empty.

    `arguments` is the key of the arguments. With `several` the calls stand in a list. A style with `bare` has no
    opener that every call begins with: an answer that begins with a brace is a call.
    """

    name: Name
    opener: str
    closer: str = ""
    arguments: str = "arguments"
    several: bool = False
    bare: bool = False


HERMES: Final = Style("hermes", "<tool_call>", "</tool_call>")
LLAMA: Final = Style("llama", "<|python_tag|>", arguments="parameters", bare=True)
MISTRAL: Final = Style("mistral", "[TOOL_CALLS]", several=True)


def style_of(template: str) -> Style:
    """The style that a chat template shows."""
    if not knows_tools(template) or "<tool_call>" in template:
        return HERMES
    if "[TOOL_CALLS]" in template:
        return MISTRAL
    if "<|python_tag|>" in template or '"parameters"' in template:
        return LLAMA
    return HERMES


def knows_tools(template: str) -> bool:
    """Whether a chat template tells a model about tools itself."""
    return "tools" in template


def described(tool: Tool) -> dict[str, Any]:
    """A tool as chat templates expect it."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def form_of_calls(tools: Sequence[Tool], style: Style) -> dict[str, Any]:
    """The JSON Schema of what a model writes to call one of the tools."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, style.arguments: {"$ref": f"#/$defs/{number}"}},
            "required": ["name", style.arguments],
            "additionalProperties": False,
        }
        for number, tool in enumerate(tools)
    ]
    one: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    whole = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_AT_ONCE} if style.several else one
    return {**whole, "$defs": {str(number): _moved(tool.parameters, number) for number, tool in enumerate(tools)}}


def _moved(schema: Any, number: int) -> Any:
    """A schema whose references to itself still lead there when it is one of several under `$defs`."""
    if isinstance(schema, list | tuple):
        return [_moved(one, number) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {key: one if key in _VALUES else _moved_below(key, one, number) for key, one in schema.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = f"#/$defs/{number}{reference[1:]}"
    return moved


def _moved_below(key: str, value: Any, number: int) -> Any:
    if key in _NAMED and isinstance(value, Mapping):
        return {name: _moved(one, number) for name, one in value.items()}
    return _moved(value, number)


_VALUES: Final = ("const", "enum", "default", "examples")
"""Keywords of JSON Schema whose values are no schemas."""
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
"""Keywords below which any name stands for a schema, be it that of a keyword."""


def called(value: Any, style: Style, first: int) -> list[ToolCall]:
    """The calls that a JSON value of that form stands for, numbered from `first` on."""
    found = value if style.several else [value]
    return [
        ToolCall(f"call_{first + index}", str(one["name"]), dict(one[style.arguments]))
        for index, one in enumerate(found)
        if isinstance(one, Mapping) and "name" in one and isinstance(one.get(style.arguments), Mapping)
    ]


def spoken(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """A conversation for a template that knows no tools: what is said of them, and by them, is a part of the texts."""
    found = [_said(message) for message in messages]
    if not tools:
        return found
    lines = "\n".join(json.dumps(described(tool), ensure_ascii=False, default=str) for tool in tools)
    text = _INTRODUCTION.replace("TOOLS", lines)
    if found and found[0].role == "system":
        return [Message("system", f"{found[0].content}\n\n{text}"), *found[1:]]
    return [Message("system", text), *found]


def _said(message: Message) -> Message:
    if message.role == "tool":
        return Message("user", f"<tool_response>\n{message.content}\n</tool_response>")
    if not message.calls:
        return message
    calls = [
        HERMES.opener + "\n" + json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
        + "\n" + HERMES.closer
        for call in message.calls
    ]  # fmt: skip
    return Message(message.role, "\n".join([message.content, *calls] if message.content else calls))


_INTRODUCTION: Final = """You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
TOOLS
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""
"""The words of Qwen's and Hermes's own templates."""
