"""JSON read from text, strictly, or out of the prose and code fences that models put around it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from phloem.runtime.errors import InputError

__all__ = ["DEEPEST", "find_json", "parse_json"]

DEEPEST: Final = 200
"""Levels of lists and objects in each other; the form in which values are kept ends at 511."""

MOST_ATTEMPTS: Final = 1_000
REREADS: Final = 5


def parse_json(text: str) -> Any:
    """The value that `text` is the JSON of; InputError says what is wrong, with line and column."""
    try:
        value = _DECODER.decode(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise InputError(_words(text, error)) from None
    except RecursionError:
        raise InputError(f"the JSON is nested more than {DEEPEST} levels deep") from None
    except ValueError as error:
        reason = "it has a number of thousands of digits" if "digits" in str(error) else str(error)
        raise InputError(f"the text is not JSON: {reason}") from None
    _check(value)
    return value


def find_json(text: str) -> Any:
    """The JSON in `text`: all of it, what stands in a code fence, or else the longest object or list.

    InputError when there is none.
    """
    try:
        return parse_json(text)
    except InputError as error:
        not_alone = error
    for fenced in _fenced(text):
        try:
            return parse_json(fenced)
        except InputError:
            continue
    found = list(_inside(text))
    if not found:
        raise InputError("there is no whole JSON object or list in the text", hint=_upper(not_alone.message))
    _, value = max(found, key=lambda one: one[0])
    _check(value)
    return value


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)


def _fenced(text: str) -> Iterator[str]:
    """What stands between ``` and ```, without the name of the language."""
    for block in text.split("```", 2 * MOST_ATTEMPTS)[1::2]:
        first, line_end, rest = block.partition("\n")
        yield rest if line_end and first.strip().isalnum() else block


def _inside(text: str) -> Iterator[tuple[int, Any]]:
    """The objects and lists that stand in a text, none inside another, each with its length.

    One that the end of the text cuts short ends the search: what is inside it is not what was meant.
    What a failed attempt has read is read again by the next one, so both are limited.
    """
    position, budget = 0, REREADS * len(text) + 10_000
    for _ in range(MOST_ATTEMPTS):
        starts = [at for at in (text.find("{", position), text.find("[", position)) if at >= 0]
        if not starts or budget < 0:
            return
        start = min(starts)
        try:
            value, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
                return
            budget -= error.pos - start
            position = start + 1
        except (RecursionError, ValueError):
            budget -= DEEPEST
            position = start + 1
        else:
            yield end - start, value
            position = end


def _check(value: Any) -> None:
    """InputError for a value that is nested too deeply or holds a number that JSON cannot write back."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InputError(f"the JSON is nested more than {DEEPEST} levels deep")
        if any(isinstance(one, float) and not math.isfinite(one) for one in level):
            raise InputError("the JSON has a number that is too large")
        level = [
            inner
            for one in level
            if isinstance(one, list | dict)
            for inner in (one if isinstance(one, list) else one.values())
        ]


def _upper(message: str) -> str:
    return message[:1].upper() + message[1:]


def _words(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "the text is empty, so there is no JSON in it"
    here = text[max(error.pos - 20, 0) : error.pos + 20].replace("\n", " ")
    return f"the text is not JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}, near {here!r}"
