"""Grammars written by hand, in llama.cpp's notation (GBNF), read into the same tree as all others.

llama.cpp itself never sees such a text: it would end the process over many mistakes. What is read here is
checked and written anew. Everything of the notation is understood but single tokens (`<think>`, `<[17]>`),
which mean something else in every model.
Notation: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from phloem.nodes.services.models.forms.grammar import MOST_TIMES, Circle, EmptyLoop, Grammar
from phloem.nodes.services.models.forms.tree import LAST, NOTHING, Chars, Node, Ref, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["read_gbnf"]

LONGEST: Final = 100_000
DEEPEST: Final = 40
MOST_RULES: Final = 2_000
ANY: Final = Chars.of([(1, LAST)])

_ESCAPES: Final = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_HEX: Final = {"x": 2, "u": 4, "U": 8}
_BLANK: Final = " \t"
_SPACE: Final = " \t\r\n"


def read_gbnf(source: str) -> Grammar:
    """The grammar that `source` describes, ready to be used. SettingError says what is wrong, in which line and column.

    Ways that no text fits, and rules that `root` does not need, are left out.
    """
    if len(source) > LONGEST:
        raise SettingError(f"the grammar has {len(source):,} characters; at most {LONGEST:,} can be used")
    reader = _Reader(source)
    try:
        rules = reader.rules()
    except _Wrong as wrong:
        raise _error(source, wrong.at, wrong.what, wrong.hint) from None
    if "root" not in rules:
        raise SettingError("the grammar has no rule root", hint="An answer is what root ::= … says.")
    for name, at in reader.asked.items():
        if name not in rules:
            raise _error(source, at, f"the rule {name!r:.60} is used but not defined")
    try:
        return Grammar(rules).pruned().ready()
    except Circle as error:
        raise _error(source, reader.defined[error.rule], f"the rule {error.rule!r:.60} begins with itself") from None
    except EmptyLoop as error:
        what = f"the rule {error.rule!r:.60} repeats something that may be empty"
        raise _error(
            source, reader.defined[error.rule], what, "Let what is repeated have one character at least."
        ) from None
    except SettingError as error:
        raise _error(source, reader.defined["root"], error.message, error.hint) from None


@dataclass
class _Wrong(Exception):
    """A mistake at a character of the source."""

    at: int
    what: str
    hint: str | None = None


def _error(source: str, at: int, what: str, hint: str | None = None) -> SettingError:
    line = source.count("\n", 0, at) + 1
    column = at - source.rfind("\n", 0, at)
    return SettingError(f"line {line}, column {column} of the grammar: {what}", hint=hint)


@dataclass
class _Reader:
    """Reads rules front to back, one method for each kind of part."""

    source: str
    at: int = 0
    depth: int = 0
    defined: dict[str, int] = field(default_factory=dict)
    """Where each rule is defined."""
    asked: dict[str, int] = field(default_factory=dict)
    """Where each rule is used first."""

    def rules(self) -> dict[str, Node]:
        found: dict[str, Node] = {}
        self._space(_SPACE)
        while self.at < len(self.source):
            start = self.at
            name = self._name()
            if name in found:
                raise _Wrong(start, f"the rule {name!r:.60} is defined a second time")
            if len(found) >= MOST_RULES:
                raise _Wrong(start, f"there are more than {MOST_RULES:,} rules")
            self.defined[name] = start
            self._space(_BLANK)
            self._need("::=", f"::= is missing after the name {name!r:.60}")
            self._space(_SPACE)
            found[name] = self._alternatives()
            if self.at < len(self.source) and self.source[self.at] not in "\r\n":
                raise self._unexpected()
            self._space(_SPACE)
        return found

    def _alternatives(self) -> Node:
        options = [self._sequence()]
        while self._skip("|"):
            self._space(_SPACE)
            options.append(self._sequence())
        return alt(*options)

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)\r\n":
            item = self._one()
            self._gap()
            while (times := self._times()) is not None:
                item = repeat(item, *times)
                self._gap()
            items.append(item)
        return seq(*items)

    def _gap(self) -> None:
        """Skip to the next part: over line ends too, inside a group or before a |."""
        self._space(_SPACE if self.depth else _BLANK)
        if self.source.startswith(("\r", "\n"), self.at):
            start = self.at
            self._space(_SPACE)
            if not self.source.startswith("|", self.at):
                self.at = start

    def _one(self) -> Node:
        character = self.source[self.at]
        if character == '"':
            return self._literal()
        if character == "[":
            return self._set()
        if character == "(":
            return self._group()
        if self._skip("."):
            return ANY
        if _is_name(character):
            start, name = self.at, self._name()
            self.asked.setdefault(name, start)
            return Ref(name)
        raise self._unexpected()

    def _literal(self) -> Node:
        start = self.at
        self.at += 1
        text = []
        while not self._skip('"'):
            if self.at >= len(self.source):
                raise _Wrong(start, 'a " without its end')
            place, character = self.at, self._character()
            if character == "\0" or "\ud800" <= character <= "\udfff":
                raise _Wrong(place, "a character that no text holds")
            text.append(character)
        return Text("".join(text)) if text else NOTHING

    def _set(self) -> Node:
        start = self.at
        self.at += 1
        negated = self._skip("^")
        ranges: list[tuple[int, int]] = []
        while not self._skip("]"):
            if self.at >= len(self.source):
                raise _Wrong(start, "a [ without its ]")
            place, low = self.at, self._character()
            high = low
            if self._ahead("-") and not self._ahead("-]"):
                self.at += 1
                if self.at >= len(self.source):
                    raise _Wrong(start, "a [ without its ]")
                high = self._character()
            if high < low:
                raise _Wrong(place, "a range that ends before it begins")
            ranges.append((ord(low), ord(high)))
        found = Chars.of(ranges)
        found = ~found if negated else found
        if not found.ranges:
            raise _Wrong(start, "a set without a character")
        return found

    def _group(self) -> Node:
        start = self.at
        self.at += 1
        self.depth += 1
        if self.depth > DEEPEST:
            raise _Wrong(start, f"more than {DEEPEST} groups inside one another")
        self._space(_SPACE)
        inner = self._alternatives()
        if not self._skip(")"):
            raise _Wrong(start, "a ( without its )")
        self.depth -= 1
        return inner

    def _times(self) -> tuple[int, int | None] | None:
        """`*`, `+`, `?`, `{3}`, `{3,}` or `{3,5}`, if one stands here."""
        for mark, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(mark):
                return times
        start = self.at
        if not self._skip("{"):
            return None
        least = self._number()
        most: int | None = least
        self._space(_BLANK)
        if self._skip(","):
            self._space(_BLANK)
            most = None if self._ahead("}") else self._number()
            self._space(_BLANK)
        self._need("}", "a { without its }")
        if most is not None and most < least:
            raise _Wrong(start, "a repetition whose end is below its beginning")
        if max(least, most or 0) > MOST_TIMES:
            raise _Wrong(start, f"more than {MOST_TIMES:,} repetitions")
        return least, most

    def _number(self) -> int:
        self._space(_BLANK)
        start = self.at
        while self.at < len(self.source) and self.source[self.at] in "0123456789":
            self.at += 1
        if start == self.at:
            raise _Wrong(start, "a number is missing", "Repetitions are {3}, {3,} or {3,5}.")
        return int(self.source[start : self.at].lstrip("0")[:9] or "0")

    def _character(self) -> str:
        """One character of a text or a set."""
        start = self.at
        self.at += 1
        return self._escaped(start) if self.source[start] == "\\" else self.source[start]

    def _escaped(self, start: int) -> str:
        mark = self.source[self.at : self.at + 1]
        self.at += 1
        if mark in _HEX:
            digits = self.source[self.at : self.at + _HEX[mark]]
            self.at += len(digits)
            code = int(digits, 16) if re.fullmatch("[0-9a-fA-F]+", digits) and len(digits) == _HEX[mark] else -1
            if not 0 <= code <= LAST:
                raise _Wrong(start, f"\\{mark}{digits}, which is no character")
            return chr(code)
        if mark not in _ESCAPES or not mark:
            raise _Wrong(
                start,
                f"the unknown escape \\{mark}",
                'There are \\n \\r \\t \\\\ \\" \\[ \\] \\- \\xHH \\uHHHH \\UHHHHHHHH.',
            )
        return _ESCAPES[mark]

    def _name(self) -> str:
        start = self.at
        while self.at < len(self.source) and _is_name(self.source[self.at]):
            self.at += 1
        if start == self.at:
            raise _Wrong(start, "the name of a rule is missing", "Names have letters of a to z, digits and hyphens.")
        return self.source[start : self.at]

    def _space(self, which: str) -> None:
        """Skip these characters, and comments."""
        while self.at < len(self.source):
            if self.source[self.at] == "#":
                end = self.source.find("\n", self.at)
                self.at = len(self.source) if end < 0 else end
            elif self.source[self.at] in which:
                self.at += 1
            else:
                return

    def _unexpected(self) -> _Wrong:
        character = self.source[self.at]
        if character in "<!":
            return _Wrong(self.at, "a token of a vocabulary, which is another in every model", "Write its text.")
        if character in "*+?{":
            return _Wrong(self.at, f"a {character} with nothing to repeat")
        if character == ")":
            return _Wrong(self.at, "a ) without its (")
        return _Wrong(self.at, f"{character!r}, which means nothing here")

    def _ahead(self, mark: str) -> bool:
        return self.source.startswith(mark, self.at)

    def _skip(self, mark: str) -> bool:
        found = self._ahead(mark)
        self.at += len(mark) if found else 0
        return found

    def _need(self, mark: str, otherwise: str) -> None:
        if not self._skip(mark):
            raise _Wrong(self.at, otherwise)


def _is_name(character: str) -> bool:
    return character == "-" or (character.isascii() and character.isalnum())
