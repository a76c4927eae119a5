"""The model that a conversation is for, reached through the context of a node."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from json import dumps
from typing import Final

from phloem.nodes.llm.conversations.building import Reader
from phloem.runtime.context import Context
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.services import Tool
from phloem.runtime.values import Message

__all__ = ["reader_of"]


async def reader_of(
    context: Context, model: str, *, max_tokens: int, budget: int | None = None, tools: Sequence[Tool] = ()
) -> Reader:
    """The model with the room that it has for a conversation.

    That is what it reads, without `max_tokens` for the answer and without the `tools`, and at most `budget`.
    Where nobody knows how much it reads there is no bound but the budget. InputError for a model that writes
    no text.
    """

    async def count(messages: Sequence[Message]) -> int:
        return await context.models.count(messages, model=model)

    async def ask(messages: Sequence[Message], longest: int) -> str:
        asked = context.models.chat(messages, model=model, max_tokens=longest, temperature=0.0)
        async with aclosing(asked) as pieces:
            return "".join([piece async for piece in pieces])

    about = await context.models.about(model)
    if about.makes != "text":
        raise InputError(f"{about.name} makes {about.makes}; it does not write text", hint="Choose a text model.")
    room, why = budget, f"budget allows {budget:,} tokens" if budget is not None else ""
    if about.context is not None and (budget is None or budget > about.context - max_tokens):
        room = about.context - max_tokens
        why = f"{about.name} reads {about.context:,} tokens, of which max_tokens keeps {max_tokens:,} for the answer"
        if room <= 0:
            raise SettingError(
                f"max_tokens is {max_tokens:,}, and {about.name} reads and writes {about.context:,} tokens in all",
                hint="Lower max_tokens.",
            )
    if room is not None and tools:
        room -= await count([Message("system", _told(tools))])
        why += ", and the tools take a part of it"
    return Reader(None if room is None else max(room, 0), why, about.context or room or 0, count, ask)


def _told(tools: Sequence[Tool]) -> str:
    """About what a chat template says of tools: how it does so is its own affair, so this is rather too long."""
    described = [{"name": one.name, "description": one.description, "parameters": one.parameters} for one in tools]
    forms = "\n".join(dumps({"type": "function", "function": one}, indent=1) for one in described)
    return f"{_INTRODUCTION}\n{forms}"


_INTRODUCTION: Final = """
You may call one or more functions to assist with the user query. You are provided with function signatures within
<tools></tools> XML tags. For each function call, return a json object with function name and arguments within
<tool_call></tool_call> XML tags: <tool_call> {"name": <function-name>, "arguments": <args-json-object>} </tool_call>
Do not make up arguments. Call nothing that is not listed here, and answer in words where no call is needed.
"""
"""As long as what the templates of Qwen and Hermes say, which are the longest of those known."""
