"""JSON text to a tree (RFC 8259), with the place of every value; a stack of its own, so depth is bounded."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from json import JSONDecodeError, decoder
from typing import Final

from phloem.runtime.document.tree import MOST_DEPTH, MOST_DIGITS, MOST_VALUES, Branch, Leaf, Row, Text, Tree

__all__ = ["json_tree"]

_scanned: Final[Callable[[str, int, bool], tuple[str, int]]] = vars(decoder)["scanstring"]
"""The standard library's own reader of quoted text: gives the text and where it ends."""
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_LONE: Final = re.compile("[\ud800-\udfff]")


def json_tree(source: Text) -> Tree | None:
    """Read a JSON text; None if it is empty, DocumentError at the first thing that is not JSON.

    Repeated keys are noted in `source.problems`.
    """
    return _Reader(source).read()


class _Reader:
    """Walks the text once. `stack` holds the branches and rows that are still open."""

    def __init__(self, source: Text) -> None:
        self.source = source
        self.text = source.text
        self.here = 0
        self.stack: list[Branch | Row] = []
        self.values = 0

    def read(self) -> Tree | None:
        if not self.peek():
            return None
        root = self.begin()
        while self.stack:
            self.step(self.stack[-1])
        if self.peek():
            raise self.source.refuse(self.here, "something follows the end of the JSON", "A file is one object.")
        return root

    def step(self, around: Branch | Row) -> None:
        """Take the next entry of the open mapping or list, or close it."""
        closing = "}" if isinstance(around, Branch) else "]"
        one = self.peek()
        if around.items and one == ",":
            self.here += 1
            if self.peek() == closing:
                raise self.source.refuse(self.here, f"a comma stands before `{closing}`", "Remove it.")
        elif one == closing:
            self.here += 1
            around.end = self.here
            self.stack.pop()
            return
        elif around.items and one:
            raise self.source.refuse(self.here, f"a comma or `{closing}` was expected here", _ended(one))
        if not self.peek():
            raise self.unclosed(around)
        if isinstance(around, Branch):
            key = self.key(around)
            around.items.setdefault(key, self.begin())
        else:
            around.items.append(self.begin())

    def unclosed(self, around: Branch | Row) -> Exception:
        bracket = "{" if isinstance(around, Branch) else "["
        return self.source.refuse(around.start, f"this `{bracket}` is never closed", "Is the file cut off?")

    def key(self, branch: Branch) -> str:
        """Read a key and its colon; of a key that was there, the first value is kept."""
        start = self.here
        if self.peek() != '"':
            raise self.source.refuse(start, "a key was expected here", 'Keys stand in double quotes: "title".')
        key = self.string()
        if self.peek() != ":":
            raise self.source.refuse(self.here, f"the key `{key[:60]}` has no colon after it", 'Write "key": value.')
        self.here += 1
        first = branch.places.get(key)
        if first is None:
            branch.places[key] = start
        else:
            line, column = self.source.lines.at(first)
            self.source.complain(
                start,
                f"the key `{key[:60]}` is here again; it is already on line {line}, column {column}",
                "Remove one of the two, or rename it.",
            )
        return key

    def begin(self) -> Tree:
        """Read a scalar, or open a mapping or list."""
        one = self.peek()
        start = self.here
        self.values += 1
        if self.values > MOST_VALUES:
            message = f"the file holds more than {MOST_VALUES:,} values"
            raise self.source.refuse(start, message, "Keep data in files of its own.")
        if one == '"':
            return Leaf(self.string(), start)
        if one in ("{", "["):
            if len(self.stack) >= MOST_DEPTH:
                message = f"objects and lists stand more than {MOST_DEPTH} deep in one another"
                raise self.source.refuse(start, message, "Make it flatter.")
            self.here += 1
            opened: Branch | Row = Branch(start, True) if one == "{" else Row(start, True)
            self.stack.append(opened)
            return opened
        return Leaf(self.number() if one == "-" or one.isdigit() else self.word(), start)

    def string(self) -> str:
        start = self.here
        try:
            text, self.here = _scanned(self.text, start + 1, True)
        except JSONDecodeError as error:
            if "Unterminated" in error.msg:
                raise self.source.refuse(start, "this text is never closed", 'Put " at its end.') from None
            if "control" in error.msg:
                hint = "Write \\n for a line end and \\t for a tab."
                raise self.source.refuse(error.pos, "a text cannot hold this character as it is", hint) from None
            hint = "Write \\\\ for a backslash."
            raise self.source.refuse(error.pos, "this is not an escape that JSON knows", hint) from None
        if _LONE.search(text):
            hint = "A character beyond U+FFFF takes two \\u escapes, one after the other."
            raise self.source.refuse(start, "this text holds half of a character", hint)
        return text

    def number(self) -> float:
        start = self.here
        found = _NUMBER.match(self.text, start)
        if found is None:
            raise self.source.refuse(start, "this is not a number")
        self.here = found.end()
        if self.here < len(self.text) and (self.text[self.here].isalnum() or self.text[self.here] in "._+-"):
            raise self.source.refuse(start, "this is not a number that JSON knows", "Put it in quotes if it is a text.")
        word = found.group()
        if found.group(1) is None and found.group(2) is None:
            value: float = int(word) if len(word) <= MOST_DIGITS else math.inf
        else:
            value = float(word)
        if math.isinf(value):
            self.source.complain(start, "this number is too large to hold", "Put it in quotes to keep it as text.")
        return value

    def word(self) -> bool | None:
        found = _WORD.match(self.text, self.here)
        word = found.group() if found else ""
        if word in _WORDS:
            self.here += len(word)
            return _WORDS[word]
        if not self.peek():
            raise self.source.refuse(self.here, "a value was expected here", "Is the file cut off?")
        hint = "Text stands in double quotes. JSON has no comments."
        raise self.source.refuse(self.here, "this is not a JSON value", hint)

    def peek(self) -> str:
        """The next character that is not space; empty at the end."""
        found = _SPACE.match(self.text, self.here)
        if found is not None:
            self.here = found.end()
        return self.text[self.here : self.here + 1]


def _ended(one: str) -> str:
    return "JSON has no comments." if one in "/#" else "Is a comma missing before it?"
