"""The words of the workflow file: which keys each part has, in the order in which they are written."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["FORMAT", "ID", "INPUT_KEYS", "LIMIT_KEYS", "NODE_KEYS", "TOP_KEYS", "allowed_id", "meant"]

FORMAT: Final = 1
"""The version of the format, which stands first in every file."""

TOP_KEYS: Final = ("phloem", "title", "about", "model", "limit", "inputs", "nodes", "outputs", "layout")
BODY_KEYS: Final = TOP_KEYS[1:]
INPUT_KEYS: Final = ("type", "value", "about")
NODE_KEYS: Final = (
    "kind", "title", "note", "in", "set", "do", "retry", "timeout", "limit", "on_error", "cache", "disabled",
)  # fmt: skip
RETRY_KEYS: Final = ("times", "wait", "backoff")
LIMIT_KEYS: Final = ("tokens", "money", "seconds")
ON_ERROR: Final = ("stop", "skip", "route")

_ELSEWHERE: Final = {
    "settings": "set", "setting": "set", "params": "set", "parameters": "set", "config": "set", "with": "set",
    "input": "in", "inputs": "in", "links": "in", "from": "in", "body": "do", "type": "kind", "uses": "kind",
    "name": "title", "description": "about note", "comment": "about note", "default": "value", "steps": "nodes",
    "version": "phloem", "enabled": "disabled", "on_failure": "on_error", "attempts": "times", "delay": "wait",
    "limits": "limit", "budget": "limit", "cost": "money", "dollars": "money", "usd": "money", "price": "money",
    "time": "seconds", "max_tokens": "tokens", "duration": "seconds",
}  # fmt: skip
"""What other programs call these things: the first that the part of the file has is meant."""

ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}\Z")


def allowed_id(text: str) -> bool:
    """True for a name that a node, an input or an output may have (`input` is not one for a node)."""
    return ID.match(text) is not None


def meant(word: str, known: tuple[str, ...]) -> str | None:
    """The one of `known` that `word` most likely stands for; None if it may well be a word of its own."""
    from phloem.runtime.words import nearest

    elsewhere = next((one for one in _ELSEWHERE.get(word, "").split() if one in known), None)
    return elsewhere or nearest(word, known, closeness=0.7)
