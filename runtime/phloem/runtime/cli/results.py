"""Outputs for a person to read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TextIO

from phloem.runtime.codec import json_form
from phloem.runtime.ports import number_to_text
from phloem.runtime.values import Blob, Collection, Document, Hit, Message
from phloem.runtime.words import printable

__all__ = ["print_outputs"]


def print_outputs(outputs: dict[str, Any], to: TextIO) -> None:
    """A single output as it is; several each under its name.

    What came from a page or a model may hold codes that command a terminal: there they are replaced.
    """
    made_safe = printable if to.isatty() else str
    if len(outputs) == 1:
        print(made_safe(_shown(next(iter(outputs.values())))), file=to)
        return
    for index, (name, value) in enumerate(outputs.items()):
        text = made_safe(_shown(value))
        print(f"{'' if index == 0 else chr(10)}{name}:", file=to)
        print("\n".join(f"  {line}" if line else "" for line in text.split("\n")), file=to)


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, str | Hit | Document | Message) for item in value):
        return "\n".join(f"{number}. {_shown(item)}" for number, item in enumerate(value, 1))
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words(value)
    return json.dumps(json_form(value), ensure_ascii=False, indent=None if _is_vector(value) else 2)


def _document(value: Document) -> str:
    head = " — ".join(part for part in (value.title, value.source) if part)
    return f"{head}\n{value.text}" if head else value.text


_WORDS: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    (type(None), lambda value: "(nothing)"),
    (bool, lambda value: "true" if value else "false"),
    (str, lambda value: value.rstrip("\n")),
    (int, number_to_text),
    (float, number_to_text),
    (Hit, lambda value: f"{value.score:.2f}  {value.text}" + (f"  [{value.source}]" if value.source else "")),
    (Document, _document),
    (Message, lambda value: f"{value.role}: {value.content}"),
    (Blob, lambda value: f"{value.name or 'file'} ({value.media_type}, {len(value.data):,} bytes)"),
    (Collection, lambda value: f"{value.name} (vectors of {value.model})"),
)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int | float) for item in value)
