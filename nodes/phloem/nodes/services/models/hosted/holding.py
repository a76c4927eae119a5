"""The ways to get an answer in a form out of a server: what is sent, what the model is told, how the answer is read.

Whatever way is taken, the answer is read by the form itself in the end: a server's promise is not relied upon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from phloem.nodes.services.models.forms import Form, form_of
from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.presets import Hold
from phloem.runtime.errors import ServiceError, SettingError

__all__ = ["Held", "closed", "ways_to_hold"]

TOOL: Final = "answer"
KEY: Final = "answer"
"""Under which name an object carries what is itself none: most servers hold models to objects only."""


@dataclass(frozen=True, slots=True)
class Held:
    """One way. `fields` go into the request, `told` behind what the user says.

    `read` gives the value that the answer stands for, or a ServiceError that says what is wrong with it. `close`
    makes one whole that was cut off. With `by_tool` the answer is the arguments of the tool, as JSON. With `sure` the
    server checks every token, without the model knowing the form: an answer that does not fit shows that it does not.
    """

    way: Hold
    read: Callable[[str], Any]
    close: Callable[[str], Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""
    by_tool: bool = False
    sure: bool = False


def ways_to_hold(given: Mapping[str, Any], endpoint: Endpoint) -> list[Held]:
    """The ways to hold an answer to that form at that server, best first. SettingError if there is none."""
    form = form_of(given)
    ((kind, value),) = given.items()
    if kind == "grammar":
        ways = [one for one in (_by_grammar(way, form, kind, value) for way in endpoint.preset.holds) if one]
        if not ways:
            raise SettingError(
                f"{endpoint.provider} does not hold answers to a grammar",
                hint="Give a schema, a pattern or choices, or use a model of local:, llama-server: or vllm:.",
            )
        return ways
    ways = []
    for way in endpoint.preset.holds:
        one = (
            _by_grammar(way, form, kind, value) or _by_object(way, form, kind, value) or _asked(way, form, kind, value)
        )
        if one is not None:
            ways.append(one)
    return ways


def _by_grammar(way: Hold, form: Form, kind: str, value: Any) -> Held | None:
    """Held token by token by the server, as local models are."""
    if way == "gbnf":
        fields: dict[str, Any] = {"grammar": form.grammar.gbnf}
    elif way == "vllm":
        name = {"schema": "json", "pattern": "regex", "choices": "choice", "grammar": "grammar"}[kind]
        fields = {"structured_outputs": {name: closed(value) if kind == "schema" else value}}
    else:
        return None
    return Held(way, form.read, lambda text: form.read(form.close(text)), fields, sure=True)


def _by_object(way: Hold, form: Form, kind: str, value: Any) -> Held | None:
    """Held to a JSON Schema, by `response_format` or as the arguments of a tool that has to be called."""
    if way not in ("schema", "object_schema", "tool"):
        return None
    inner = closed(value) if kind == "schema" else {"type": "string", "pattern": f"^(?:{value})$"}
    if kind == "choices":
        inner = {"type": "string", "enum": list(value)}
    bare = kind == "schema" and isinstance(inner, dict) and inner.get("type") == "object"
    schema = inner if bare else _wrapped(inner)
    if schema is None:
        return None
    read = _reading(form, bare, kind)
    close = (lambda text: form.read(form.close(text))) if bare else (lambda text: _uncloseable(text))
    if way == "tool":
        tool = {"name": TOOL, "description": "Give the answer.", "input_schema": schema}
        choice = {"type": "tool", "name": TOOL, "disable_parallel_tool_use": True}
        return Held(way, read, close, {"tools": [tool], "tool_choice": choice}, by_tool=True)
    if way == "object_schema":
        return Held(way, read, close, {"response_format": {"type": "json_object", "schema": schema}})
    named = {"name": TOOL, "schema": schema, "strict": _is_strict(schema)}
    return Held(way, read, close, {"response_format": {"type": "json_schema", "json_schema": named}})


def _asked(way: Hold, form: Form, kind: str, value: Any) -> Held | None:
    """Only asked, in JSON mode or without."""
    if way not in ("object", "asked"):
        return None

    def read(text: str) -> Any:
        return form.read(_without_wrapping(text, kind))

    if kind == "pattern":
        told = f"Answer with nothing but a text that as a whole matches this regular expression: {value}"
    elif kind == "choices":
        told = "Answer with nothing but one of these texts, exactly as it stands:\n" + "\n".join(value)
    else:
        told = "Answer with nothing but JSON that fits this JSON Schema:\n" + json.dumps(
            closed(value), ensure_ascii=False
        )
    if way == "asked":
        return Held(way, read, lambda text: form.read(form.close(text)), told=told)
    if kind != "schema" or not isinstance(value, dict) or value.get("type") != "object":
        return None
    return Held(way, read, lambda text: form.read(form.close(text)), {"response_format": {"type": "json_object"}}, told)


def closed(schema: Any) -> Any:
    """The schema as local models are held to it: objects get only what it lists, unless it says otherwise."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "properties" in schema and _COMBINING & schema.keys():
        # Closing one part would shut out what another part lists.
        return schema
    kept = _LITERAL | {"allOf"}
    inside = {key: value if key in kept else _closed_below(key, value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not _OPENING & schema.keys():
        inside["additionalProperties"] = False
    return inside


def _closed_below(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "definitions", "patternProperties") and isinstance(value, dict):
        return {name: closed(one) for name, one in value.items()}
    return closed(value)


_LITERAL: Final = frozenset({"const", "enum", "default", "examples", "required", "not"})
_OPENING: Final = frozenset({"additionalProperties", "patternProperties"})
_COMBINING: Final = frozenset({"allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "$ref"})


def _wrapped(schema: Any) -> dict[str, Any] | None:
    """A schema for an object that has the answer under one key; None where references forbid it."""
    if not isinstance(schema, dict):
        schema = {}
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in definitions}
    if any(not reference.startswith(("#/$defs/", "#/definitions/")) for reference in _references(schema)):
        return None
    return {
        "type": "object",
        "properties": {KEY: inner},
        "required": [KEY],
        "additionalProperties": False,
        **definitions,
    }


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [one for part in schema for one in _references(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [one for value in schema.values() for one in _references(value)]


_STRICT: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs",
     "description", "title", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
     "multipleOf", "minItems", "maxItems"}
)  # fmt: skip
"""What OpenAI's strict mode knows (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas)."""


def _is_strict(schema: Any) -> bool:
    """True if OpenAI's strict mode takes the schema: every object is closed, and all it lists is required."""
    if isinstance(schema, list):
        return all(_is_strict(one) for one in schema)
    if not isinstance(schema, dict):
        return True
    if schema.keys() - _STRICT:
        return False
    if "properties" in schema or schema.get("type") == "object":
        listed = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(listed) != set(schema.get("required", ())):
            return False
    below = [value for key, value in schema.items() if key not in _LITERAL | {"properties", "$defs"}]
    named = [one for key in ("properties", "$defs") for one in dict(schema.get(key, {})).values()]
    return all(_is_strict(one) for one in below + named)


def _reading(form: Form, bare: bool, kind: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if bare:
            return form.read(_without_wrapping(text, kind))
        try:
            value = json.loads(_without_wrapping(text, "schema"))[KEY]
        except (ValueError, RecursionError, KeyError, TypeError):
            raise ServiceError(
                f"the model's answer is not a JSON object with the key {KEY!r}: {text[:200]!r}"
            ) from None
        return form.read(value if kind != "schema" and isinstance(value, str) else json.dumps(value))

    return read


def _uncloseable(text: str) -> Any:
    raise ServiceError(
        f"the model's answer was cut off where it cannot be closed: {text[:200]!r}", hint="Raise max_tokens."
    )


_THOUGHTS: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE: Final = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\Z", re.DOTALL)


def _without_wrapping(text: str, kind: str) -> str:
    """The answer without what models put around it: thoughts, white space, a fence around JSON."""
    text = _THOUGHTS.sub("", text).strip() if kind != "pattern" else _THOUGHTS.sub("", text)
    fenced = _FENCE.match(text) if kind == "schema" else None
    return fenced[1] if fenced else text
