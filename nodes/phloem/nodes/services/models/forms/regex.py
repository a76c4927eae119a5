"""Regular expressions as grammars, so that a model can only write what matches.

The usual constructs are understood, with Python's meaning. What looks elsewhere in the text
(lookaround, back references, word boundaries) has no grammar and is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from phloem.nodes.patterns import compiled
from phloem.nodes.services.models.forms.classes import ANY, ANY_LINE, VISIBLE, means, writes
from phloem.nodes.services.models.forms.grammar import MOST_TIMES
from phloem.nodes.services.models.forms.tree import LAST, Chars, Node, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["Branch", "branches", "check", "found_in", "full_match", "matches"]

LONGEST: Final = 2_000
DEEPEST: Final = 40
SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the alternatives at the top of a pattern, and whether it is tied to the ends of the text."""

    node: Node
    at_start: bool
    at_end: bool


def full_match(pattern: str) -> Node:
    """What the whole of a text must be to match. SettingError says what is not understood, and where."""
    return alt(*(branch.node for branch in branches(pattern)))


def found_in(pattern: str, *, wide: bool = False) -> Node:
    """What a text must be for `pattern` to be found in it: anything stands around it where no anchor ties it."""
    around = repeat(~Chars(()) if wide else VISIBLE, 0, None)
    options = []
    for branch in branches(pattern, wide=wide):
        before = [] if branch.at_start else [around]
        after = [] if branch.at_end else [around]
        options.append(seq(*before, branch.node, *after))
    return alt(*options)


def branches(pattern: str, *, wide: bool = False) -> tuple[Branch, ...]:
    """The alternatives of `pattern`. SettingError says what is not understood, and where.

    They fit only what surely matches, or, if `wide`, all that may match (see classes).
    """
    if len(pattern) > LONGEST:
        raise SettingError(f"the pattern has {len(pattern):,} characters; at most {LONGEST:,} can be used")
    return _Reader(pattern, wide=wide).branches()


def check(pattern: str) -> None:
    """SettingError unless `pattern` can be both written as a grammar and searched for."""
    branches(pattern)
    compiled(pattern)


def matches(pattern: str, text: str, *, whole: bool = True) -> bool:
    """Whether `pattern` matches all of `text`, or some of it. SettingError if that takes too long to tell."""
    ready = compiled(pattern)
    try:
        found = (ready.fullmatch if whole else ready.search)(text, timeout=SECONDS)
    except (TimeoutError, MemoryError):
        raise SettingError(
            f"the pattern takes more than {SECONDS:g} second on a text of {len(text):,} characters",
            hint="Avoid a repetition inside a repetition, such as (a+)+.",
        ) from None
    return found is not None


_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_HEX: Final = {"x": 2, "u": 4, "U": 8}
_NAMED: Final = {
    "b": "a word boundary", "B": "a word boundary", "A": "the anchor \\A", "Z": "the anchor \\Z",
    "N": "a named character", "p": "a Unicode property", "P": "a Unicode property", "0": "an octal character",
}  # fmt: skip
_GROUPS: Final = {
    "=": "a lookahead", "!": "a lookahead", "<=": "a lookbehind", "<!": "a lookbehind", "P=": "a back reference",
    ">": "an atomic group", "(": "a condition", "#": "a comment", "<": "a group not named as in (?P<name>…)",
}  # fmt: skip


class _Reader:
    """Reads a pattern front to back, one method for each kind of part."""

    def __init__(self, pattern: str, *, wide: bool) -> None:
        self._pattern = pattern
        self._wide = wide
        self._at = 0
        self._depth = 0

    def branches(self) -> tuple[Branch, ...]:
        found = [self._branch()]
        while self._skip("|"):
            found.append(self._branch())
        if self._at < len(self._pattern):
            raise self._error("a ) without its (")
        return tuple(found)

    def _branch(self) -> Branch:
        at_start = at_end = False
        while self._skip("^") or self._skip("\\A"):
            at_start = True
        node = self._sequence()
        while self._skip("$") or self._skip("\\Z"):
            at_end = True
        if at_end and self._at < len(self._pattern) and not self._ahead("|"):
            raise self._error("something after the anchor of the end")
        return Branch(node, at_start, at_end)

    def _alternatives(self) -> Node:
        options = [self._sequence()]
        while self._skip("|"):
            options.append(self._sequence())
        return alt(*options)

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._pattern) and not self._ahead("|", ")", "$", "\\Z"):
            items.append(self._repeated(self._one()))
        if self._depth and self._ahead("$", "\\Z"):
            raise self._error("an anchor inside a group")
        return seq(*items)

    def _one(self) -> Node:
        start, character = self._at, self._next()
        if character == ".":
            return ANY_LINE if self._wide else ANY
        if character == "[":
            return self._set(start)
        if character == "(":
            return self._group(start)
        if character == "^":
            raise self._error("an anchor in the middle", start)
        if character in "*+?{":
            raise self._error(f"a {character} with nothing to repeat (write \\{character} for the character)", start)
        if character == "\\":
            return self._escape(start)
        return Text(self._plain(character, start))

    def _group(self, start: int) -> Node:
        if self._skip("?"):
            self._group_kind(start)
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(f"more than {DEEPEST} groups inside one another", start)
        inner = self._alternatives()
        if not self._skip(")"):
            raise self._error("a ( without its )", start)
        self._depth -= 1
        return inner

    def _group_kind(self, start: int) -> None:
        """Read what stands after `(?`: only a group that is plain, or has a name, is understood."""
        if self._skip(":"):
            return
        if self._skip("P<"):
            end = self._pattern.find(">", self._at)
            if end < 0 or not self._pattern[self._at : end].isidentifier():
                raise self._error("a group without a proper name", start)
            self._at = end + 1
            return
        kinds = [what for mark, what in _GROUPS.items() if self._ahead(mark)]
        raise self._error(kinds[0] if kinds else "a flag", start)

    def _escape(self, start: int) -> Node:
        """What stands after a backslash outside a set."""
        character = self._next()
        if character in "dDwWsS":
            return means(character) if self._wide else writes(character)
        return Text(self._escaped(character, start))

    def _escaped(self, character: str, start: int) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character in _HEX:
            digits = self._pattern[self._at : self._at + _HEX[character]]
            self._at += len(digits)
            code = int(digits, 16) if re.fullmatch("[0-9a-fA-F]+", digits) and len(digits) == _HEX[character] else -1
            if not 0 <= code <= LAST:
                raise self._error(f"\\{character}{digits}, which is no character", start)
            return self._plain(chr(code), start)
        if character in _NAMED:
            raise self._error(_NAMED[character], start)
        if character.isdigit():
            raise self._error("a back reference", start)
        if character.isascii() and character.isalpha():
            raise self._error(f"\\{character}, which means nothing", start)
        return self._plain(character, start)

    def _plain(self, character: str, start: int) -> str:
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise self._error("a character that no text holds", start)
        return character

    def _set(self, start: int) -> Chars:
        """`[...]`, after its first bracket."""
        negated = self._skip("^")
        members = Chars(())
        first = True
        while first or not self._ahead("]"):
            first = False
            if (name := self._class()) is not None:
                members = members | (means(name) if negated != self._wide else writes(name))
            else:
                members = members | self._range(start)
        self._next()
        found = members if not negated else ~members if self._wide else ~members & VISIBLE
        if not found.ranges and not self._wide:
            raise self._error("a set without a character", start)
        return found

    def _class(self) -> str | None:
        """The letter of a class such as \\d, if one stands here."""
        if not self._ahead(*(f"\\{name}" for name in "dDwWsS")):
            return None
        self._at += 2
        return self._pattern[self._at - 1]

    def _range(self, start: int) -> Chars:
        """One character of a set, or a range of them."""
        low = high = self._member(start)
        if self._ahead("-") and not self._ahead("-]"):
            dash = self._at
            self._next()
            if self._class() is not None:
                raise self._error("a range that ends in a class", dash)
            high = self._member(start)
            if high < low:
                raise self._error("a range that ends before it begins", dash)
        return Chars.of([(ord(low), ord(high))])

    def _member(self, start: int) -> str:
        if self._at >= len(self._pattern):
            raise self._error("a [ without its ]", start)
        place, character = self._at, self._next()
        if character == "[" and self._ahead(":", ".", "="):
            raise self._error("a named set", place)
        if character != "\\":
            return self._plain(character, place)
        character = self._next()
        return "\b" if character == "b" else self._escaped(character, place)

    def _repeated(self, item: Node) -> Node:
        """`item` with what stands behind it: `*`, `+`, `?`, `{2,5}`, each perhaps with the `?` of laziness."""
        start, times = self._at, self._times()
        if times is None:
            return item
        if self._skip("+"):
            raise self._error("a possessive repetition", start)
        self._skip("?")
        again = self._at
        if self._times() is not None:
            raise self._error("a repetition of a repetition", again)
        return repeat(item, *times)

    def _times(self) -> tuple[int, int | None] | None:
        start = self._at
        for mark, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(mark):
                return times
        if not self._skip("{"):
            return None
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at : max(end, 0)].partition(",")
        if not all(part.isascii() and part.isdigit() for part in (low, high) if part) or not (low or comma):
            raise self._error("a { that begins no repetition (write \\{ for the character)", start)
        self._at = end + 1
        least = int(low or "0")
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            raise self._error("a repetition whose end is below its beginning", start)
        if max(least, most or 0) > MOST_TIMES:
            raise self._error(f"more than {MOST_TIMES:,} repetitions", start)
        return least, most

    def _ahead(self, *marks: str) -> bool:
        return self._pattern.startswith(marks, self._at)

    def _skip(self, mark: str) -> bool:
        found = self._ahead(mark)
        self._at += len(mark) if found else 0
        return found

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise self._error("a \\ at the end")
        self._at += 1
        return self._pattern[self._at - 1]

    def _error(self, what: str, at: int | None = None) -> SettingError:
        place = self._at if at is None else at
        return SettingError(
            f"the pattern has {what} at character {place + 1}: {self._pattern[place : place + 20]!r}",
            hint="Patterns may use text, sets, groups, |, ?, *, +, {m,n}, \\d, \\w, \\s, and ^ and $ at the ends.",
        )
