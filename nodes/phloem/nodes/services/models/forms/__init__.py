"""The forms an answer can be held to: a JSON Schema, a pattern, or a choice of texts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.automaton import deterministic
from phloem.nodes.services.models.forms.grammar import Grammar
from phloem.nodes.services.models.forms.tree import Text, alt
from phloem.runtime.errors import ServiceError, SettingError

__all__ = ["Form", "form_of"]

MOST_CHOICES: Final = 1_000
LONGEST_CHOICE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Form:
    """What holds the model while it writes, and what reads the finished text; `read` raises ServiceError."""

    grammar: Grammar
    read: Callable[[str], Any]


def form_of(form: Mapping[str, Any]) -> Form:
    """The form that has exactly one of `schema`, `pattern` and `choices`. SettingError says what is wrong with it."""
    if len(form) != 1:
        raise SettingError("give one of schema, pattern and choices", hint="They are three ways to say the same thing.")
    ((kind, value),) = form.items()
    if kind == "schema":
        return _schema_form(_canonical(value))
    if kind == "pattern":
        if not isinstance(value, str):
            raise SettingError("the pattern must be a text")
        return _pattern_form(value)
    if kind == "choices":
        return _choice_form(_choices(value))
    raise SettingError(f"{kind!r} is not a form; forms are schema, pattern and choices")


def _canonical(schema: object) -> str:
    """The schema as text, under which its form is remembered."""
    try:
        return json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise SettingError("the schema is not JSON, or is nested too deeply") from None


@functools.lru_cache(maxsize=64)
def _schema_form(canonical: str) -> Form:
    from phloem.nodes.services.models.forms.schema import schema_grammar
    from phloem.nodes.services.models.forms.schema_check import SchemaCheck

    check = SchemaCheck(canonical)
    grammar = schema_grammar(check.schema, check.fits)
    grammar.check()

    def read(text: str) -> Any:
        try:
            value = json.loads(text)
            problem = check.problem(value)
        except RecursionError:
            problem = "it is nested too deeply"
        except ValueError as error:
            problem = f"it is not JSON ({error})"
        if problem is not None:
            raise ServiceError(
                f"the model's answer does not fit the schema: {problem}",
                hint="Simplify that part of the schema, or allow what the answer has. The answer was: " + _short(text),
            )
        return value

    return Form(grammar, read)


@functools.lru_cache(maxsize=64)
def _pattern_form(pattern: str) -> Form:
    grammar = Grammar(deterministic(regex.full_match(pattern), "root", lambda characters: characters)).pruned()
    grammar.check()
    regex.matches(pattern, "")

    def read(text: str) -> str:
        if not regex.matches(pattern, text):
            raise ServiceError(f"the model's answer does not match the pattern: {_short(text)}")
        return text

    return Form(grammar, read)


@functools.lru_cache(maxsize=64)
def _choice_form(choices: tuple[str, ...]) -> Form:
    grammar = Grammar({"root": alt(*(Text(choice) for choice in choices))})
    grammar.check()

    def read(text: str) -> str:
        if text not in choices:
            raise ServiceError(f"the model's answer is none of the choices: {_short(text)}")
        return text

    return Form(grammar, read)


def _choices(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise SettingError("choices must be a list of at least one text")
    if not all(isinstance(choice, str) and choice for choice in value):
        raise SettingError("each of the choices must be a text that is not empty")
    if any("\0" in choice or _has_surrogate(choice) for choice in value):
        raise SettingError("one of the choices has a character that no text holds")
    if len(value) > MOST_CHOICES or max(map(len, value)) > LONGEST_CHOICE:
        raise SettingError(f"there may be {MOST_CHOICES:,} choices of at most {LONGEST_CHOICE:,} characters")
    return tuple(dict.fromkeys(value))


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= one <= "\udfff" for one in text)


def _short(text: str) -> str:
    return repr(text[:200]) + ("…" if len(text) > 200 else "")
