"""The parts of the journal that are rows of their own, and their byte forms: how runs were begun, and questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import msgpack
from phloem.runtime.cache import Stored, store
from phloem.runtime.journal.entries import Reference
from phloem.runtime.journal.loading import GONE, loaded
from phloem.runtime.journal.record import Question, RunRecord

__all__ = ["packed_question", "packed_record", "unpacked_question", "unpacked_record"]


SHORT: Final = 256
"""Bytes of a text above which it has a file of its own: runs of one workflow then share it."""


def packed_record(record: RunRecord, keep: Callable[..., Reference]) -> bytes:
    """A record as bytes. `keep` is asked where each value and each text lies, and told how many bytes at most may
    lie here."""
    return _packed(
        {
            "text": keep(store(record.text), SHORT),
            "files": {name: keep(store(text), SHORT) for name, text in record.files.items()},
            "inputs": {name: keep(one) for name, one in record.inputs.items()},
            "options": keep(store(dict(record.options))),
        }
    )


def unpacked_record(
    id: str, title: str, file: str, began: float, data: bytes, find: Callable[[Reference], Stored | None]
) -> RunRecord:
    """The record of a run; a text that is gone or damaged is empty. ValueError if its options are."""
    parts = _unpacked(data)

    def text(place: Reference) -> str:
        found = loaded(find(place))
        return "" if found is GONE else found

    options = loaded(find(parts["options"]))
    if options is GONE:
        raise ValueError("its options are gone or damaged")
    return RunRecord(
        id,
        text(parts["text"]),
        title,
        file,
        {name: text(place) for name, place in parts["files"].items()},
        {name: find(place) for name, place in parts["inputs"].items()},
        options,
        began,
    )


def packed_question(question: Question) -> bytes:
    return _packed(
        {
            one.name: getattr(question, one.name)
            for one in dataclasses.fields(question)
            if one.name not in ("node", "answer", "answered")
        }
    )


def unpacked_question(node: str, data: bytes, answer: bytes | None, answered: float | None) -> Question:
    known = {one.name for one in dataclasses.fields(Question)}
    parts = {name: value for name, value in _unpacked(data).items() if name in known}
    return Question(node, **parts, answer=None if answer is None else Stored(None, answer), answered=answered)


def _packed(value: Any) -> bytes:
    data: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return data


def _unpacked(data: bytes) -> Any:
    return msgpack.unpackb(data, unicode_errors="surrogatepass")
