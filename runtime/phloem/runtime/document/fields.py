"""Typed values out of a tree: each is given as what it must be, or a problem says in words what it is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from phloem.runtime.document.tree import Branch, Leaf, Row, Text, Tree, plain
from phloem.runtime.document.words import meant
from phloem.runtime.errors import Problem

__all__ = ["Fields", "seconds_of", "shortened", "what"]


class Fields:
    """Reads one file. `where` or `name` says for messages which thing it is, `node` of which node it is a part."""

    def __init__(self, source: Text) -> None:
        self.source = source
        self.complain = source.complain
        self.warnings: list[Problem] = []

    def text(self, tree: Branch, key: str, where: str, node: str | None = None) -> str:
        found = tree.items.get(key)
        if found is None:
            return ""
        if isinstance(found, Leaf):
            value = found.value
            if isinstance(value, str):
                return value
            if value is not None and not isinstance(value, float):
                word = str(value).lower()
                hint = f'Put it in quotes: `{key}: "{shortened(word)}"`.'
                self.complain(found.start, f"`{key}` of {where} must be text, not {what(found)}", hint, node=node)
                return ""
        self.complain(found.start, f"`{key}` of {where} must be text, not {what(found)}", node=node)
        return ""

    def switch(self, tree: Branch, key: str, node: str) -> bool | None:
        found = tree.items.get(key)
        if found is None:
            return None
        if isinstance(found, Leaf) and isinstance(found.value, bool):
            return found.value
        said = what(found, show=True)
        hint = "yes, no, on and off are text in this file."
        self.complain(found.start, f"`{key}` of node {node} must be true or false, not {said}", hint, node=node)
        return None

    def mapping(self, tree: Branch, key: str, where: str, of: str, node: str | None = None) -> Branch | None:
        """The mapping under `key`, or None, with a problem if something else is there."""
        found = tree.items.get(key)
        if found is None or isinstance(found, Branch):
            return found
        empty = isinstance(found, Leaf) and found.value is None
        hint = "Write {} for none; is the file cut off here?" if empty else None
        message = f"`{key}` of {where} must be a mapping of {of}, not {what(found)}"
        self.complain(tree.places[key] if empty else found.start, message, hint, node=node)
        return None

    def values(self, tree: Branch, key: str, where: str, of: str, node: str | None = None) -> dict[str, Any]:
        """The plain values under `key`."""
        found = self.mapping(tree, key, where, of, node)
        if not found:
            return {}
        return {name: item.value if isinstance(item, Leaf) else plain(item) for name, item in found.items.items()}

    def times(self, tree: Tree, name: str, node: str) -> int:
        value = tree.value if isinstance(tree, Leaf) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.complain(tree.start, f"{name} must be a whole number from 0 on, not {what(tree)}", node=node)
        return 0

    def number(self, tree: Tree, name: str, node: str) -> float:
        value = tree.value if isinstance(tree, Leaf) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
            return float(value)
        self.complain(tree.start, f"{name} must be a number from 0 on, not {what(tree)}", node=node)
        return 0

    def above_zero(self, tree: Tree, name: str, node: str | None, *, whole: bool = False) -> Any:
        """A number above 0, with `whole` an integer."""
        value = tree.value if isinstance(tree, Leaf) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not whole and 0 < value <= _MOST:
                return float(value)
            if isinstance(value, int) and 0 < value <= _MOST_WHOLE:
                return value
        wanted = "a whole number above 0" if whole else "a number above 0"
        self.complain(tree.start, f"{name} must be {wanted}, not {what(tree, show=True)}", node=node)
        return 1

    def seconds(self, tree: Tree, name: str, node: str | None) -> float:
        """A length of time: seconds, or text with units."""
        value = tree.value if isinstance(tree, Leaf) else None
        if isinstance(value, str):
            value = seconds_of(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
            return float(value)
        hint = "Write seconds, as 30, or a text such as 30s, 5 min or 1h 30min."
        self.complain(tree.start, f"{name} must be a length of time, not {what(tree, show=True)}", hint, node=node)
        return 1

    def duration(self, tree: Tree, name: str, node: str | None) -> float:
        """A length of time that is not nothing."""
        value = self.seconds(tree, name, node)
        if value == 0:
            self.complain(tree.start, f"{name} must be longer than nothing", "Leave it out for no bound.", node=node)
        return value

    def known_only(self, tree: Branch, known: tuple[str, ...], rest: str, where: str, node: str | None) -> None:
        """A problem for each key that is not one of `known`; `rest` says which there are."""
        for key in tree.items:
            if key not in known:
                near = meant(key, known)
                hint = f"Did you mean `{near}`?" if near else rest
                self.complain(tree.places[key], f"{where} has no `{shortened(key)}`", hint, node=node)

    def extra(
        self, tree: Branch, known: frozenset[str], words: tuple[str, ...], where: str, node: str | None = None
    ) -> Mapping[str, Any]:
        """What this version does not know, kept as it is; with a warning, unless it is marked `x-` as someone's own."""
        kept = {}
        for key, item in tree.items.items():
            if key in known:
                continue
            kept[key] = plain(item)
            if key not in words and not key.startswith("x-"):
                near = meant(key, words)
                message = f"`{shortened(key)}` means nothing in {where}; it is kept, and has no effect"
                hint = f"Did you mean `{near}`?" if near else None
                self.warnings.append(self.source.problem(tree.places[key], message, hint, node=node))
        return kept


_MOST: Final = 1e9
"""Of seconds: some thirty years."""
_MOST_WHOLE: Final = 10**15
_UNITS: Final = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_LENGTH: Final = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([a-z]+)\s*")


def seconds_of(text: str) -> float | None:
    """`30s`, `5 min`, `1h 30min` in seconds; None for anything else."""
    total, at = 0.0, 0
    while at < len(text):
        found = _LENGTH.match(text, at)
        unit = _UNITS.get(found.group(2)) if found else None
        if found is None or unit is None:
            return None
        total, at = total + float(found.group(1)) * unit, found.end()
    return total if text else None


def what(tree: Tree, *, show: bool = False) -> str:
    """What stands somewhere, in words; `show` says the value itself where it is short."""
    if isinstance(tree, Branch):
        return "a mapping"
    if isinstance(tree, Row):
        return "a list"
    value = tree.value
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}" if -(10**15) < value < 10**15 else "a number"
    return f"`{shortened(value)}`" if show and value else "text" if value else "an empty text"


def shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
