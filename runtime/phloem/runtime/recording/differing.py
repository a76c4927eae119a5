"""What to say of a question that was not recorded: which recorded one is nearest, and what differs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from phloem.runtime.errors import NotRecorded
from phloem.runtime.recording.recording import Recording
from phloem.runtime.words import nearest

__all__ = ["REMEDY", "broken_off", "differences", "not_recorded"]

MOST_COMPARED: Final = 1_000
MOST_TOLD: Final = 3
AROUND: Final = 24
"""Characters shown before and after what differs in a long text."""
LONGEST: Final = 90

REMEDY: Final = "--ask-new asks it outside and keeps the answer; --record without --replay records all of it anew."
_WORDS: Final = {
    "answer": "for an answer", "structured": "for an answer in a form", "embed": "for vectors",
    "rerank": "for a ranking", "count": "for a count of tokens", "about": "for the facts about a model",
    "identity": "for the identity of a model", "estimate": "for a price", "list": "which models there are",
    "request": "a server", "ask": "a person", "now": "for the time", "files.read": "for the content of a file",
    "files.list": "for the files in a folder", "files.digest": "for the content of a file",
    "collection.search": "to search a collection", "collection.about": "for a collection",
    "collection.state": "for the state of a collection", "collection.note": "for the note of a collection",
    "collection.digest": "for a part of a collection", "collection.add": "to add to a collection",
    "collection.keep_note": "to note something of a collection",
    "collection.keep_only": "to remove from a collection", "collection.clear": "to empty a collection",
}  # fmt: skip
"""What a node asks with a call, after `it asks`."""


def not_recorded(recording: Recording, node: str, call: str, asked: Any, key: bytes) -> NotRecorded:
    """The error for a question that the recording has no answer to."""
    where, what = recording.place, _WORDS.get(call, f"for {call}")
    times = recording.count(node, call, key)
    if times:
        often = "once" if times == 1 else f"{times} times"
        return NotRecorded(f"it asks again {what}, which it did {often} when {where} was recorded", hint=REMEDY)
    near = _nearest(asked, list(islice(recording.questions(node, call), MOST_COMPARED)))
    if near is not None:
        told = [f"{name} was {old} and is {new}" for name, old, new in islice(differences(near, asked), MOST_TOLD + 1)]
        shown = "; ".join(told[:MOST_TOLD]) + ("; and more" if len(told) > MOST_TOLD else "")
        return NotRecorded(f"it asks {what} otherwise than when {where} was recorded: {shown}", hint=REMEDY)
    other = recording.asked_by(call, lambda one: _without_seed(one) == _without_seed(asked))
    if other is not None:
        hint = f"{other} asked exactly this. Was that the node's name? {REMEDY}"
        return NotRecorded(f"it asks {what}, and {where} has nothing like it under the name of this node", hint=hint)
    nodes = recording.nodes()
    if node in nodes:
        return NotRecorded(f"it asks {what}, which it did not when {where} was recorded", hint=REMEDY)
    like = nearest(node, nodes)
    hint = f"Was it called {like} then? {REMEDY}" if like else REMEDY
    return NotRecorded(f"it asks {what}, and asked nothing at all when {where} was recorded", hint=hint)


def broken_off(recording: Recording, call: str) -> NotRecorded:
    """The error for an answer whose end nobody waited for."""
    return NotRecorded(
        f"what it asks {_WORDS.get(call, f'for {call}')} was broken off here when {recording.place} was recorded: "
        "nobody knows how it ends",
        hint="The run was cancelled then, came to a limit or left off to wait, or another node failed. "
        "--ask-new asks outside.",
    )


def _without_seed(question: Any) -> Any:
    """A question as another node would ask it: the seed of a node is made of its name."""
    return {name: one for name, one in question.items() if name != "seed"}


def differences(old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    """What differs between two questions: where (`prompt`, `messages[2].content`), and how each has it."""
    yield from _differences(old, new, "")


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if type(old) is type(new) and isinstance(old, dict) and not ("$" in old or "$" in new):
        for name in dict.fromkeys([*old, *new]):
            inner = f"{path}.{name}" if path else name
            if name not in old or name not in new:
                yield inner, _shown(old.get(name)), _shown(new.get(name))
            else:
                yield from _differences(old[name], new[name], inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif isinstance(old, str) and isinstance(new, str) and old != new:
        yield path, *_texts(old, new)
    elif old != new:
        yield path, _shown(old), _shown(new)


_BROKEN_START: Final = re.compile(r"\A\S*\s?")
_BROKEN_END: Final = re.compile(r"\s?\S*\Z")


def _texts(old: str, new: str) -> tuple[str, str]:
    """The parts of two texts that differ, with some words around them."""
    begin, end = _common(old, new)
    return _part(old, begin, end), _part(new, begin, end)


def _part(text: str, begin: int, end: int) -> str:
    start, stop = max(begin - AROUND, 0), min(len(text) - end + AROUND, len(text))
    before, after = text[start:begin], text[len(text) - end : stop]
    # Whole words read better.
    if start:
        start = begin - len(_BROKEN_START.sub("", before))
    if stop < len(text):
        stop = len(text) - end + len(_BROKEN_END.sub("", after, count=1))
    part = text[start:stop]
    cut = len(part) > LONGEST
    part = f"{part[: LONGEST - 1]}…" if cut else part
    return f'"{"…" if start else ""}{_on_one_line(part)}{"…" if stop < len(text) and not cut else ""}"'


def _common(old: str, new: str) -> tuple[int, int]:
    """How many characters two texts have in common at their beginning, and then at their end."""
    least = min(len(old), len(new))
    begin = _same(old, new, least)
    return begin, _same(old[::-1], new[::-1], least - begin)


def _same(one: str, other: str, most: int) -> int:
    """The length of the common beginning, up to `most`."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, dict) and "$" in value:
        size = value.get("size", value.get("characters"))
        return f"{value['$']} of {size:,}" if isinstance(size, int) else str(value["$"])
    import json

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _on_one_line(text: str) -> str:
    return text.replace("\n", "⏎")


def _nearest(asked: Any, known: list[Any]) -> Any:
    return max(known, key=lambda one: _likeness(one, asked), default=None)


def _likeness(old: Any, new: Any) -> float:
    """From 0 for nothing in common to 1 for the same."""
    if old == new:
        return 1.0
    if isinstance(old, dict) and isinstance(new, dict):
        names = old.keys() | new.keys()
        return sum(_likeness(old[one], new[one]) for one in old.keys() & new.keys()) / len(names) if names else 1.0
    if isinstance(old, list) and isinstance(new, list):
        most = max(len(old), len(new))
        return sum(map(_likeness, old[:100], new[:100])) / min(most, 100) if most else 1.0
    if isinstance(old, str) and isinstance(new, str):
        return sum(_common(old, new)) / max(len(old), len(new), 1)
    return 0.0
