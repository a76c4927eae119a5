"""The colours of a drawing, for a light and a dark page.

Every link colour stands out from the paper and the cards by at least 3:1 (WCAG 2.2, 1.4.11), every
text colour by 4.5:1 (1.4.3). Neighbouring types differ in lightness as well as in hue, so that they can
be told apart by most who see fewer colours; and every port says its name, so that nothing hangs on colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zlib import crc32

__all__ = ["DARK", "LIGHT", "Palette", "base_of_family"]


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours as `#rrggbb`. `types` are those of links by base type."""

    paper: str
    dots: str
    frame: str
    card: str
    border: str
    rule: str
    shadow: str
    ink: str
    faint: str
    unknown: str
    types: Mapping[str, str]


_FAMILIES: Final = {
    "text": "text", "data": "json", "math": "number", "logic": "boolean", "flow": "vector", "files": "file",
    "web": "image", "llm": "message", "store": "collection", "table": "document",
}  # fmt: skip


def base_of_family(family: str) -> str:
    """The base type whose colour a family of kinds shares; for one from elsewhere always the same, by its name."""
    return _FAMILIES.get(family) or _SPARE[crc32(family.encode()) % len(_SPARE)]


_SPARE: Final = ("text", "number", "boolean", "json", "vector", "document", "hit", "message", "image", "collection")


LIGHT: Final = Palette(
    paper="#f6f8fa",
    dots="#dde3ea",
    frame="#d8dee6",
    card="#ffffff",
    border="#d0d7e0",
    rule="#e9edf2",
    shadow="#1f2937",
    ink="#1c2430",
    faint="#5b6675",
    unknown="#7c8795",
    types={
        "text": "#0a72e0",
        "number": "#c47020",
        "boolean": "#d1095f",
        "json": "#7b5b00",
        "vector": "#9a62bd",
        "document": "#00787a",
        "hit": "#2a5a12",
        "message": "#7d095b",
        "image": "#2f87a8",
        "audio": "#a5593a",
        "file": "#5f6f82",
        "model": "#3c4856",
        "collection": "#5430b8",
        "any": "#7a8594",
    },
)

DARK: Final = Palette(
    paper="#0f141b",
    dots="#232c37",
    frame="#29323d",
    card="#1a212b",
    border="#36414e",
    rule="#29323d",
    shadow="#000000",
    ink="#e8edf3",
    faint="#9aa6b4",
    unknown="#8390a0",
    types={
        "text": "#62a8f5",
        "number": "#ffaf85",
        "boolean": "#ea5f4c",
        "json": "#efe264",
        "vector": "#a074ff",
        "document": "#6cf0d2",
        "hit": "#8fbf2a",
        "message": "#dc7cc0",
        "image": "#7fd6f5",
        "audio": "#d09a7c",
        "file": "#9fb0c3",
        "model": "#d5dde6",
        "collection": "#c3c6ff",
        "any": "#8390a0",
    },
)
