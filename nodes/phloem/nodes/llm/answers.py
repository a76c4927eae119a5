"""What the kinds ask a model and what it answers: forms, tools and images on the way there, text, calls and chances
on the way back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, cast

from phloem.nodes.checks import one_of
from phloem.runtime.context import Context
from phloem.runtime.errors import InputError, ServiceError, SettingError
from phloem.runtime.services import Chance, Ending, Request, Tool
from phloem.runtime.values import UNLIT, Blob, ToolCall

__all__ = ["Answer", "answer", "form_of", "images_of", "only_lit", "tools_of"]

Outputs = TypeVar("Outputs", bound=NamedTuple)

MOST_TOOLS: Final = 128
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What every provider takes as the name of a tool."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `chances` tells of each token, if that was asked for."""

    text: str
    calls: tuple[ToolCall, ...]
    chances: list[dict[str, Any]]

    @property
    def calls_as_json(self) -> list[dict[str, Any]]:
        return [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in self.calls]


async def answer(context: Context, request: Request, *, model: str, cut_off: str) -> Answer:
    """Ask the model, and show the text as the node's output `text` while it comes.

    ServiceError for an answer that was withheld, and with `cut_off` "error" for one that was cut off. SettingError
    for any other `cut_off` than that and "keep".
    """
    one_of("cut_off", cut_off, ("keep", "error"))
    parts: list[str] = []
    ending = Ending()
    async with aclosing(context.models.answer(request, model=model)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Ending):
                ending = piece
            else:
                parts.append(piece)
                context.emit_text("text", piece)
    if ending.finish == "refused":
        raise ServiceError("the provider withheld the answer", hint="Word it differently, or ask another model.")
    if ending.finish == "length" and cut_off == "error":
        most = request.sampling.get("max_tokens")
        raise ServiceError(
            "the answer was cut off before it was complete",
            hint=f"Raise max_tokens (now {most:,}), choose a model that reads more, or let cut_off be keep.",
        )
    return Answer("".join(parts), ending.calls, _chances(ending.chances))


def only_lit(outputs: Outputs) -> Outputs:
    """The outputs without those that are UNLIT, as the engine takes them: by name, or the only one by itself."""
    lit = {name: value for name, value in outputs._asdict().items() if value is not UNLIT}
    return cast("Outputs", lit if len(lit) > 1 else next(iter(lit.values())))


def _chances(chances: Sequence[Chance]) -> list[dict[str, Any]]:
    return [
        {**_chance(one.text, one.logprob), "others": [_chance(text, logprob) for text, logprob in one.others]}
        for one in chances
    ]


def _chance(text: str, logprob: float) -> dict[str, Any]:
    return {"text": text, "logprob": logprob, "probability": math.exp(min(logprob, 0.0))}


def tools_of(value: object) -> tuple[Tool, ...]:
    """The tools of a list of objects with name, description and parameters, or of its JSON text.

    SettingError says which is wrong, and how.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise SettingError(f"the tools are not JSON: {error}") from None
    if value is None or value == "":
        return ()
    if not isinstance(value, list | tuple) or len(value) > MOST_TOOLS:
        raise SettingError(f"tools must be a list of at most {MOST_TOOLS} objects", hint=_TOOL_FORM)
    tools = tuple(_tool(one, f"tool {number}") for number, one in enumerate(value, 1))
    names = [tool.name for tool in tools]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise SettingError(f"two tools are called {double}", hint="The model tells them apart by their names.")
    return tools


_TOOL_FORM: Final = 'Such as [{"name": "weather", "description": "…", "parameters": {"type": "object", …}}]'


def _tool(value: object, where: str) -> Tool:
    if not isinstance(value, Mapping):
        raise SettingError(f"{where} must be an object", hint=_TOOL_FORM)
    unknown = set(value) - {"name", "description", "parameters"}
    if unknown:
        raise SettingError(f"{where} has {min(unknown)!r:.100}, which means nothing here", hint=_TOOL_FORM)
    name, description = value.get("name"), value.get("description") or ""
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise SettingError(
            f"{where} is called {name!r:.100}", hint="A name has up to 64 letters, digits, _ and - and nothing else."
        )
    if not isinstance(description, str):
        raise SettingError(f"the description of the tool {name} must be a text")
    parameters = value.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise SettingError(
            f"the parameters of the tool {name} must be a JSON Schema of an object",
            hint='Such as {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}',
        )
    return Tool(name, description, {"type": "object", **parameters})


def images_of(files: Sequence[Blob]) -> tuple[Blob, ...]:
    """The files, if each is an image."""
    for file in files:
        if not file.media_type.startswith("image/"):
            name = f"{file.name} is" if file.name else "a file is"
            raise InputError(f"{name} not an image, but {file.media_type}", hint="Give PNG, JPEG, GIF or WebP files.")
    return tuple(files)


def form_of(schema: Any, pattern: str, choices: Sequence[str], grammar: str) -> dict[str, Any]:
    """The one form that is given; SettingError if that is none or several."""
    if isinstance(schema, str) and schema.strip():
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise SettingError(f"the schema is not JSON: {error}") from None
    has_schema = schema is not None and schema != ""
    given = {"schema": schema} if has_schema else {}
    given |= {"pattern": pattern} if pattern else {}
    given |= {"choices": list(choices)} if choices else {}
    given |= {"grammar": grammar} if grammar.strip() else {}
    if len(given) != 1:
        raise SettingError(
            f"one of schema, pattern, choices and grammar is needed, and {' and '.join(given) or 'none'} given",
            hint="They are four ways to say what the answer must look like.",
        )
    return given
