"""JSON as grammars: how its parts are written.

Tighter than JSON in ways that lose nothing a model would say: between tokens at most one space, so that
no model fills an answer with blanks; no escapes for the character NUL and for lone halves of a surrogate
pair, which no text can hold; numbers of at most 15 digits and exponents of two, which a double holds.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from phloem.nodes.services.models.forms.tree import Chars, Node, Ref, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = [
    "ANYTHING",
    "BLOCK",
    "BOOLEAN",
    "COLON",
    "COMMA",
    "DIGIT",
    "INTEGER",
    "NULL",
    "NUMBER",
    "PLAIN",
    "RULES",
    "STRING",
    "character",
    "key",
    "key_but",
    "literal",
]

LONGEST_NAME: Final = 200
BLOCK: Final = 500
"""Characters that are counted at once in long strings: llama.cpp counts to 2,000 at most."""

DIGIT: Final = Chars.of([(0x30, 0x39)])
_NONZERO: Final = Chars.of([(0x31, 0x39)])
_HEX: Final = Chars.of([(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)])
_HEX_BUT_0: Final = Chars.of([(0x31, 0x39), (0x41, 0x46), (0x61, 0x66)])
_SPACE: Final = repeat(Text(" "), 0, 1)
PLAIN: Final = Chars.of([(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0xA0, 0x10FFFF)])
"""What may stand in a JSON string as it is."""

_CODE: Final = alt(
    seq(Text("000"), _HEX_BUT_0),
    seq(Text("00"), _HEX_BUT_0, _HEX),
    seq(Text("0"), _HEX_BUT_0, repeat(_HEX, 2, 2)),
    seq(Chars.of([(0x31, 0x39), (0x41, 0x43), (0x45, 0x46), (0x61, 0x63), (0x65, 0x66)]), repeat(_HEX, 3, 3)),
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
STRING: Final = seq(Text('"'), repeat(Ref("character"), 0, None), Text('"'))
NULL: Final = Text("null")
BOOLEAN: Final = alt(Text("true"), Text("false"))
INTEGER: Final = seq(repeat(Text("-"), 0, 1), alt(Text("0"), seq(_NONZERO, repeat(DIGIT, 0, 14))))
NUMBER: Final = seq(
    INTEGER,
    repeat(seq(Text("."), repeat(DIGIT, 1, 15)), 0, 1),
    repeat(seq(alt(Text("e"), Text("E")), repeat(alt(Text("+"), Text("-")), 0, 1), repeat(DIGIT, 1, 2)), 0, 1),
)


def literal(value: Any) -> Node:
    """Exactly this value, as JSON, with a space or none where any JSON here may have one."""
    try:
        return seq(*_parts(value))
    except (ValueError, TypeError, RecursionError):
        raise SettingError(f"{value!r:.80} cannot be written as JSON") from None


def _parts(value: Any) -> Iterator[Node]:
    """What follows one another in the text of a value."""
    if isinstance(value, list):
        yield Text("[")
        for index, item in enumerate(value):
            yield from [COMMA] if index else []
            yield from _parts(item)
        yield Text("]")
    elif isinstance(value, dict):
        yield Text("{")
        for index, (name, item) in enumerate(value.items()):
            yield from [COMMA] if index else []
            yield key(name)
            yield from _parts(item)
        yield Text("}")
    else:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        yield Text(text)


@functools.lru_cache(maxsize=1_000)
def character(one_of: Chars) -> Node:
    """One of these characters, as it stands inside a string."""
    plain = one_of & PLAIN
    named = [Text(written) for one, written in _ESCAPES.items() if one in one_of]
    others = one_of & ~(PLAIN | Chars.of((ord(one), ord(one)) for one in _ESCAPES))
    codes: dict[int, list[int]] = {}
    for low, high in others.ranges:
        for code in range(low, high + 1):
            codes.setdefault(code >> 4, []).append(ord(f"{code & 15:x}"))
    written = [seq(Text(f"\\u{high:03x}"), Chars.of((one, one) for one in lows)) for high, lows in codes.items()]
    return alt(*([plain] if plain.ranges else []), *named, *written)


def key(name: str) -> Node:
    """The key `name` and the colon after it."""
    return seq(literal(name), COLON)


def key_but(names: Iterable[str], name: str) -> dict[str, Node]:
    """Rules for the inside of a key that is none of `names`; the first is called `name`.

    It is written without escapes, so that none is spelled another way. There is a rule for each beginning
    of one of the names.
    """
    plain = {one for one in names if len(one) <= LONGEST_NAME and all(character in PLAIN for character in one)}
    if not plain:
        return {name: repeat(PLAIN, 0, None)}
    begun = {"": name}
    after: dict[str, dict[str, None]] = {"": {}}
    for one in sorted(plain):
        for place, character in enumerate(one):
            after[one[:place]][character] = None
            if one[: place + 1] not in begun:
                begun[one[: place + 1]] = f"{name} {len(begun)}"
                after[one[: place + 1]] = {}
    rules = {}
    for beginning, heads in after.items():
        others = PLAIN & ~Chars.of((ord(head), ord(head)) for head in heads)
        chosen = alt(
            seq(others, repeat(PLAIN, 0, None)), *(seq(Text(head), Ref(begun[beginning + head])) for head in heads)
        )
        rules[begun[beginning]] = chosen if beginning in plain else repeat(chosen, 0, 1)
    return rules


RULES: Final[dict[str, Node]] = {
    "character": alt(
        PLAIN,
        seq(Text("\\"), alt(Chars.of((ord(one), ord(one)) for one in '"\\/bfnrt'), seq(Text("u"), alt(_CODE, _PAIR)))),
    ),
    "characters": repeat(Ref("character"), BLOCK, BLOCK),
    "any": alt(STRING, NUMBER, BOOLEAN, NULL, Ref("any array"), Ref("any object")),
    "any array": seq(Text("["), repeat(seq(ANYTHING, repeat(seq(COMMA, ANYTHING), 0, None)), 0, 1), Text("]")),
    "any object": seq(
        Text("{"), repeat(seq(Ref("any member"), repeat(seq(COMMA, Ref("any member")), 0, None)), 0, 1), Text("}")
    ),
    "any member": seq(STRING, COLON, ANYTHING),
}
"""What the others here refer to: a character of a string however it is written, and any value at all."""
