"""JSON as grammars: how its strings and numbers are written, and numbers between two bounds.

Tighter than JSON in three ways that lose nothing a model would say: between tokens at most one space;
no escapes for lone halves of a surrogate pair, which no text can hold; numbers of at most 15 digits and
exponents of two, which a double holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from phloem.nodes.services.models.forms.tree import NOTHING, Chars, Node, Ref, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = [
    "ANYTHING",
    "BOOLEAN",
    "COLON",
    "COMMA",
    "INTEGER",
    "NULL",
    "NUMBER",
    "RULES",
    "bounded_number",
    "character",
    "key_but",
    "listed",
    "literal",
    "string",
]

LONGEST_NAME: Final = 200

_DIGIT: Final = Chars.of([(0x30, 0x39)])
_NONZERO: Final = Chars.of([(0x31, 0x39)])
_HEX: Final = Chars.of([(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)])
_SPACE: Final = repeat(Text(" "), 0, 1)
_PLAIN: Final = Chars.of([(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0xA0, 0x10FFFF)])
"""What may stand in a JSON string as it is."""

_CODE: Final = alt(
    seq(Chars.of([(0x30, 0x39), (0x41, 0x43), (0x45, 0x46), (0x61, 0x63), (0x65, 0x66)]), repeat(_HEX, 3, 3)),
    seq(Chars.of([(0x44, 0x44), (0x64, 0x64)]), Chars.of([(0x30, 0x37)]), repeat(_HEX, 2, 2)),
)
_HALF: Final = Chars.of([(0x44, 0x44), (0x64, 0x64)])
_PAIR: Final = seq(
    _HALF, Chars.of([(0x38, 0x39), (0x41, 0x42), (0x61, 0x62)]), repeat(_HEX, 2, 2),
    Text("\\u"), _HALF, Chars.of([(0x43, 0x46), (0x63, 0x66)]), repeat(_HEX, 2, 2),
)  # fmt: skip
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}

COMMA: Final = seq(Text(","), _SPACE)
COLON: Final = seq(Text(":"), _SPACE)
ANYTHING: Final = Ref("any")
NULL: Final = Text("null")
BOOLEAN: Final = alt(Text("true"), Text("false"))
INTEGER: Final = seq(repeat(Text("-"), 0, 1), alt(Text("0"), seq(_NONZERO, repeat(_DIGIT, 0, 14))))
NUMBER: Final = seq(
    INTEGER,
    repeat(seq(Text("."), repeat(_DIGIT, 1, 15)), 0, 1),
    repeat(seq(alt(Text("e"), Text("E")), repeat(alt(Text("+"), Text("-")), 0, 1), repeat(_DIGIT, 1, 2)), 0, 1),
)


def literal(value: Any) -> Text:
    """Exactly this value, as JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError, RecursionError):
        raise SettingError(f"{value!r:.80} cannot be written as JSON") from None
    return Text(text)


def string(least: int = 0, most: int | None = None) -> Node:
    """A string of `least` to `most` characters."""
    return seq(Text('"'), repeat(Ref("character"), least, most), Text('"'))


def character(one_of: Chars) -> Node:
    """One of these characters, as it stands inside a string; what has no writing of its own up to 64 of a kind."""
    plain = one_of & _PLAIN
    named = [Text(written) for one, written in _ESCAPES.items() if one in one_of]
    others = one_of & ~(_PLAIN | Chars.of((ord(one), ord(one)) for one in _ESCAPES))
    codes = [code for low, high in others.ranges for code in range(low, min(high, low + 64) + 1)][:64]
    return alt(*([plain] if plain.ranges else []), *named, *(Text(f"\\u{code:04x}") for code in codes))


def key_but(names: Iterable[str]) -> Node:
    """A key that is none of `names`. It is written without escapes, so that none is spelled another way."""
    plain = {name for name in names if len(name) <= LONGEST_NAME and all(one in _PLAIN for one in name)}
    return seq(Text('"'), _rest_but(sorted(plain)), Text('"'))


def _rest_but(names: list[str]) -> Node:
    """What is none of `names`."""
    if not names:
        return repeat(_PLAIN, 0, None)
    heads = sorted({name[0] for name in names if name})
    others = _PLAIN & ~Chars.of((ord(one), ord(one)) for one in heads)
    options = [seq(others, repeat(_PLAIN, 0, None))]
    for head in heads:
        rest = _rest_but([name[1:] for name in names if name.startswith(head)])
        options.append(seq(Text(head), rest))
    chosen = alt(*options)
    return chosen if "" in names else repeat(chosen, 0, 1)


def listed(items: Iterable[Node], more: Node | None, least: int, most: int | None) -> Node:
    """An array that begins with `items` and goes on with `more`, with `least` to `most` of them in all."""
    fixed = list(items)
    if most is not None:
        fixed = fixed[:most]
    rest_least = max(0, least - len(fixed))
    rest_most = None if most is None else most - len(fixed)
    if more is None or rest_most == 0:
        rest: Node = NOTHING
    elif fixed:
        rest = repeat(seq(COMMA, more), rest_least, rest_most)
    else:
        rest = seq(more, repeat(seq(COMMA, more), max(0, rest_least - 1), None if rest_most is None else rest_most - 1))
        rest = rest if rest_least else repeat(rest, 0, 1)
    parts = [seq(COMMA, item) if index else item for index, item in enumerate(fixed)]
    return seq(Text("["), *parts, rest, Text("]"))


def bounded_number(low: int, high: int, places: int) -> Node:
    """A number from `low` to `high`, which count its last digit, with exactly `places` digits behind the point."""
    options = []
    if low < 0:
        options.append(seq(Text("-"), alt(*_between(max(1, -high), -low, places))))
    if high >= 0:
        options.append(alt(*_between(max(0, low), high, places)))
    return alt(*options)


def _between(low: int, high: int, places: int) -> Iterator[Node]:
    """The numbers from `low` to `high`, one option for each length, the last `places` digits behind a point."""
    shortest = places + 1
    for length in range(max(shortest, len(str(low))), max(shortest, len(str(high))) + 1):
        smallest = 0 if length == shortest else 10 ** (length - 1)
        first, last = max(low, smallest), min(high, 10**length - 1)
        yield _digits(str(first).zfill(length), str(last).zfill(length), length - places)


def _digits(low: str, high: str, point: int) -> Node:
    """The texts of digits from `low` to `high`, which are of one length, with a point before index `point`."""
    if not low:
        return NOTHING
    dot = [Text(".")] if point == 0 else []
    if set(low) == {"0"} and set(high) == {"9"}:
        return seq(*(part for index in range(len(low)) for part in ([Text(".")] if index == point else []) + [_DIGIT]))
    if low[0] == high[0]:
        return seq(*dot, Text(low[0]), _digits(low[1:], high[1:], point - 1))
    zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
    first, last = int(low[0]), int(high[0])
    options = []
    if low[1:] != zeros:
        options.append(seq(Text(low[0]), _digits(low[1:], nines, point - 1)))
        first += 1
    if high[1:] != nines:
        last -= 1
    if first <= last:
        head = Chars.of([(0x30 + first, 0x30 + last)])
        options.append(seq(head, _digits(zeros, nines, point - 1)))
    if high[1:] != nines:
        options.append(seq(Text(high[0]), _digits(zeros, high[1:], point - 1)))
    return seq(*dot, alt(*options))


RULES: Final[dict[str, Node]] = {
    "character": alt(
        _PLAIN,
        seq(Text("\\"), alt(Chars.of((ord(one), ord(one)) for one in '"\\/bfnrt'), seq(Text("u"), alt(_CODE, _PAIR)))),
    ),
    "any": alt(string(), NUMBER, BOOLEAN, NULL, Ref("any array"), Ref("any object")),
    "any array": listed([], ANYTHING, 0, None),
    "any object": seq(
        Text("{"), repeat(seq(Ref("any member"), repeat(seq(COMMA, Ref("any member")), 0, None)), 0, 1), Text("}")
    ),
    "any member": seq(string(), COLON, ANYTHING),
}
"""What the others here refer to: a character of a string however it is written, and any value at all."""
