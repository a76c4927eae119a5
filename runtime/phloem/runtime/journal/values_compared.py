"""How one value differs from another, in a few lines that a person can read."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any, Final

from phloem.runtime.codec import json_form
from phloem.runtime.difference import text_lines
from phloem.runtime.events import preview
from phloem.runtime.ports import number_to_text
from phloem.runtime.values import UNLIT, Blob

__all__ = ["value_lines"]

MOST_PARTS: Final = 3
"""How many of the items or fields that differ are shown."""
LONG: Final = 600
"""Characters of a text from which on it is compared line by line."""
GREAT: Final = 100_000
"""Characters of a text from which on only the first difference is looked for."""
AROUND: Final = 4
"""Words shown on each side of a change."""
DEEPEST: Final = 4


def value_lines(before: Any, after: Any) -> list[str]:
    """The lines that say how `after` differs from `before`. In texts `[-…-]` is what went and `{+…+}` what came."""
    return list(_lines(before, after, 0))


def _lines(before: Any, after: Any, depth: int) -> Iterator[str]:
    if isinstance(before, str) and isinstance(after, str):
        yield from _texts(before, after)
    elif _is_number(before) and _is_number(after):
        yield f"{number_to_text(before)} → {number_to_text(after)} ({_signed(after - before)})"
    elif _is_vector(before) and _is_vector(after) and len(before) == len(after):
        yield _vectors(before, after)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and depth < DEEPEST:
        yield from _lists(list(before), list(after), depth)
    elif isinstance(before, Blob) and isinstance(after, Blob):
        yield f"{_short(before)}, {len(before.data):,} bytes → {_short(after)}, {len(after.data):,} bytes"
    elif type(before) is type(after) and depth < DEEPEST and isinstance(_fields(before), dict):
        yield from _objects(_fields(before), _fields(after), depth)
    else:
        yield f"{_short(before)} → {_short(after)}"


def _texts(before: str, after: str) -> Iterator[str]:
    if max(len(before), len(after)) > GREAT:
        pairs = enumerate(zip(before, after, strict=False))
        at = next((index for index, (old, new) in pairs if old != new), min(len(before), len(after)))
        yield f"{len(before):,} → {len(after):,} characters, which differ from the {at + 1:,}th on:"
        yield f"  {_short(before[at:])} → {_short(after[at:])}"
        return
    if "\n" in before or "\n" in after or max(len(before), len(after)) > LONG:
        yield from text_lines(before, after)
        return
    old, new = re.findall(r"\s+|[^\s]+", before), re.findall(r"\s+|[^\s]+", after)
    parts: list[str] = []
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for index, (what, old_from, old_to, new_from, new_to) in enumerate(steps):
        if what == "equal":
            parts.append(_shortened(old[old_from:old_to], first=index == 0, last=index == len(steps) - 1))
            continue
        gone, come = "".join(old[old_from:old_to]), "".join(new[new_from:new_to])
        parts.append((f"[-{gone}-]" if gone else "") + (f"{{+{come}+}}" if come else ""))
    yield "".join(parts) or '""'


def _shortened(words: list[str], *, first: bool, last: bool) -> str:
    """What is the same, only as much of it as shows where the changes are."""
    around = 2 * AROUND
    head = [] if first else words[:around]
    tail = [] if last else words[-around:]
    return "".join(words) if len(words) <= len(head) + len(tail) + 1 else "".join([*head, "…", *tail])


def _vectors(before: list[float], after: list[float]) -> str:
    apart = max(abs(one - other) for one, other in zip(before, after, strict=True))
    return f"vector of {len(before)}: cosine {_cosine(before, after):.4f}, largest difference {apart:.3g}"


def _cosine(before: list[float], after: list[float]) -> float:
    length = math.hypot(*before) * math.hypot(*after)
    return sum(one * other for one, other in zip(before, after, strict=True)) / length if length else 0.0


def _lists(before: list[Any], after: list[Any], depth: int) -> Iterator[str]:
    differing = [index for index, (old, new) in enumerate(zip(before, after, strict=False)) if not _equal(old, new)]
    count = f"{len(before)} items" if len(before) == len(after) else f"{len(before)} → {len(after)} items"
    yield f"{count}, {len(differing)} of {min(len(before), len(after))} differ"
    vectors = [(before[i], after[i]) for i in differing if _is_vector(before[i]) and _is_vector(after[i])]
    if vectors and len(vectors) == len(differing) and all(len(old) == len(new) for old, new in vectors):
        yield f"  the least cosine of their vectors is {min(_cosine(old, new) for old, new in vectors):.4f}"
        return
    for index in differing[:MOST_PARTS]:
        yield from _part(f"{index + 1}.", before[index], after[index], depth)
    if len(differing) > MOST_PARTS:
        yield f"  … and {len(differing) - MOST_PARTS} more"


def _objects(before: dict[str, Any], after: dict[str, Any], depth: int) -> Iterator[str]:
    keys = [
        key
        for key in dict.fromkeys([*before, *after])
        if key not in before or key not in after or not _equal(before[key], after[key])
    ]
    if not keys:
        yield "the same fields in another order"
    for key in keys[:MOST_PARTS]:
        if key not in before:
            yield f"+ {key}: {_short(after[key])}"
        elif key not in after:
            yield f"- {key}: {_short(before[key])}"
        else:
            yield from _part(f"{key}:", before[key], after[key], depth)
    if len(keys) > MOST_PARTS:
        yield f"… and {len(keys) - MOST_PARTS} more fields"


def _part(name: str, before: Any, after: Any, depth: int) -> Iterator[str]:
    lines = list(_lines(before, after, depth + 1))
    if len(lines) == 1:
        yield f"  {name} {lines[0]}"
        return
    yield f"  {name}"
    yield from (f"    {line}" for line in lines)


def _fields(value: Any) -> Any:
    return value if isinstance(value, dict) else json_form(value)


def _equal(before: Any, after: Any) -> bool:
    return type(before) is type(after) and bool(before == after or (before != before and after != after))


def _is_number(value: Any) -> bool:
    """True for what can be reckoned with; a giant is only named."""
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() < sys.float_info.max_exp
    return isinstance(value, float)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 3 and all(map(_is_number, value))


def _signed(number: float) -> str:
    return f"{number:+.6g}" if isinstance(number, float) else f"{number:+,}"


def _short(value: Any) -> str:
    if value is UNLIT:
        return "(not lit)"
    shown = preview(value, 60)
    text = f'"{shown.text}"' if shown.type == "text" else shown.text
    return f"{text}…" if shown.type == "text" and shown.size > 60 else text
