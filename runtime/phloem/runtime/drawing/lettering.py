"""Text from a workflow made fit to draw: one line, bounded, nothing that a terminal or a page would obey."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from typing import Any, Final

from phloem.runtime.events import preview

__all__ = ["clean", "cut", "cut_cells", "pixels", "value_text"]

_LONGEST: Final = 400
_ELLIPSIS: Final = "…"
_SEPARATOR: Final = 12

_OBEYED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
"""What XML 1.0 forbids, what a terminal takes for a command, and what turns or hides the text around it."""

_EMS: Final = {
    **dict.fromkeys("iIjl.,:;'|!`", 0.29),
    **dict.fromkeys('frt()[]{}/\\-" ', 0.38),
    **dict.fromkeys("ABCDEFGHJKLMNOPQRSTUVXYZ&~", 0.69),
    **dict.fromkeys("mwMW@%—…", 0.92),
    **dict.fromkeys("←→↺×", 0.95),
}
"""Widths of letters in ems, where they differ from a small letter's. Measured over the sans-serif faces of the font
stack (Segoe UI, Helvetica, Noto Sans, DejaVu Sans) and taken near the widest, so that text stays within its card."""

_SMALL_LETTER: Final = 0.575
_MONOSPACE: Final = 0.605


def clean(text: str, most: int = _LONGEST) -> str:
    """`text` on one line of at most `most` characters, without control and direction-changing ones."""
    begun = " ".join(text[: 4 * most + 1].split())
    line = _OBEYED.sub("", begun).strip()
    return line if len(line) <= most and len(text) <= 4 * most else _shortened(line, most)


def value_text(value: Any, most: int = _LONGEST) -> str:
    """The beginning of any value on one line of at most `most` characters; quoted where its spaces matter."""
    if isinstance(value, str):
        if not value.strip() or (len(value) < _SEPARATOR and value != value.strip()):
            return clean(json.dumps(value[:_SEPARATOR], ensure_ascii=False), most)
        return clean(value, most)
    return clean(preview(value, 2 * most).text, most)


@lru_cache(maxsize=4096)
def pixels(text: str, size: float, *, monospace: bool = False) -> float:
    """About how wide `text` is, drawn with letters of `size` pixels."""
    return size * sum(_ems(letter, monospace) for letter in text)


def cut(text: str, size: float, width: float, *, monospace: bool = False) -> str:
    """`text`, ended with an ellipsis where it would be wider than `width` pixels."""
    if pixels(text, size, monospace=monospace) <= width:
        return text
    room = width / size - _ems(_ELLIPSIS, monospace)
    for at, letter in enumerate(text):
        room -= _ems(letter, monospace)
        if room < 0:
            return _shortened(text, at + 1)
    return text


def cut_cells(text: str, width: int) -> str:
    """`text`, ended with an ellipsis where it would take more than `width` cells of a terminal."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    end = min(len(text), width)
    while end and cell_len(text[:end]) > width - 1:
        end -= 1
    return _shortened(text, end + 1) if width > 0 else ""


def _shortened(text: str, length: int) -> str:
    """The first `length` - 1 characters, no letter parted from its accents, and an ellipsis."""
    end = max(length - 1, 0)
    while 0 < end < len(text) and (unicodedata.combining(text[end]) or text[end] in "\u200d\ufe0f"):
        end -= 1
    return text[:end].rstrip() + _ELLIPSIS


@lru_cache(maxsize=4096)
def _ems(letter: str, monospace: bool) -> float:
    if letter < "\x7f":
        return _MONOSPACE if monospace else _EMS.get(letter, _SMALL_LETTER)
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0 if letter < "\U0001f000" else 1.3
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    return _EMS.get(letter, 0.65)
