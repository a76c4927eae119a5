"""Documents, hits and texts as one kind of thing, and as a model reads them beside a question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from phloem.runtime.errors import InputError
from phloem.runtime.ports import PortType, expect
from phloem.runtime.values import Document, Hit

__all__ = ["documents_of", "hits_of", "written"]

LONGEST_NAME: Final = 200
"""Characters of a title or a source that are written before a text."""
_NUMBER: Final = r"(?m)^([^\S\n]*)\[(\d+)\]"
_OTHER_NUMBER: Final = r"\1(\2)"
DEEPEST: Final = 4
"""Lists in one another: several links, each with a list for each of several items."""


def documents_of(values: object) -> list[Document]:
    """Every document, hit or text in lists of them, as documents; those without a word are left out.

    InputError for anything else.
    """
    return [
        Document(one.text, str(one.metadata.get("title") or ""), one.source, one.metadata)
        if isinstance(one, Hit)
        else one
        for one in _read(values)
    ]


def hits_of(values: object) -> list[Hit]:
    """The same as hits, which keep the id that they may have; the score of what was none is 0."""
    return [
        one if isinstance(one, Hit) else Hit(one.text, 0.0, source=one.source, metadata=_with_title(one))
        for one in _read(values)
    ]


def written(documents: Sequence[Document]) -> str:
    """The documents one after another, numbered from [1] and named, so that an answer can say where it is from.

    Where a line of a text begins with such a number itself, as in a list of references, it becomes (1): it is not to
    be taken for another document.
    """
    return "\n\n".join(
        f"[{number}] {_head(document)}{re.sub(_NUMBER, _OTHER_NUMBER, document.text.strip())}"
        for number, document in enumerate(documents, 1)
    )


def _head(document: Document) -> str:
    """The title and the source on a line of their own; neither may hold a line of its own making."""
    title, source = (" ".join(name.split())[:LONGEST_NAME] for name in (document.title, document.source))
    name = f"{title} ({source})" if title and source and title != source else title or source
    return f"{name}\n" if name else ""


def _read(values: object) -> list[Document | Hit]:
    return [one for one in map(_one, _flat(values, DEEPEST)) if one.text.strip()]


def _one(value: object) -> Document | Hit:
    if isinstance(value, dict):
        value = expect(value, PortType("hit" if "score" in value else "document"))
    if isinstance(value, Document | Hit):
        return value
    if isinstance(value, str):
        return Document(value)
    raise InputError(f"texts, documents or hits are expected, not {type(value).__name__}")


def _with_title(document: Document) -> dict[str, Any]:
    """The metadata with the title, for a value that has no place for a title."""
    return {**document.metadata, "title": document.title} if document.title else document.metadata


def _flat(values: object, depth: int) -> Iterable[object]:
    if not isinstance(values, list | tuple):
        return [values]
    if not depth:
        raise InputError("texts, documents or hits are expected, not lists in lists in lists")
    return [one for value in values for one in _flat(value, depth - 1)]
