"""Single values in YAML: what an unquoted word means, and how a value is written so that it is read back.

Reading follows the core schema of YAML 1.2 (section 10.3.2): only `true` and `false` are booleans,
`0o17` and `0xF` are numbers and `017` is seventeen; `yes`, dates and `1:30` are text. Writing puts
in quotes whatever a reader of YAML 1.1 or 1.2 would take for anything but the text it is.
"""

from __future__ import annotations

import math
import re
from typing import Final

from phloem.runtime.document.tree import MOST_DIGITS

__all__ = ["UNSEEN", "TooLong", "double_quoted", "number_text", "one_line", "value_of", "visible"]

Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, Scalar]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}  # fmt: skip
_FIRST: Final = frozenset("0123456789+-.~nNtTfF")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_OTHER_BASE: Final = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")


class TooLong(ValueError):
    """A number with more digits, or of a larger size, than can be held."""


def value_of(word: str) -> Scalar:
    """What an unquoted word stands for; TooLong for a number that cannot be held."""
    if not word or word[0] in _FIRST:
        if word in _WORDS:
            return _WORDS[word]
        if _INTEGER.match(word):
            if len(word) > MOST_DIGITS:
                raise TooLong
            return int(word)
        if _FLOAT.match(word):
            number = float(word)
            if math.isinf(number):
                raise TooLong
            return number
        if _OTHER_BASE.match(word):
            if len(word) > MOST_DIGITS:
                raise TooLong
            return int(word, 0)
    return word


def number_text(value: float) -> str:
    """A number as both versions of YAML read it back; TooLong if it is beyond measure."""
    if isinstance(value, int):
        if value.bit_length() > MOST_DIGITS * 3:
            raise TooLong
        return int.__repr__(value)
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = float.__repr__(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


UNSEEN: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
"""Every character that cannot be seen in a file, or does not survive there as it is."""
_NOT_PLAIN: Final = re.compile(r"[-?:,\[\]{}#&*!|>'\"%@`\s]|.*(?::(?:\s|\Z)| #|\s\Z|\t)|\.\.\.", re.DOTALL)
_NOT_IN_FLOW: Final = re.compile(r"[,\[\]{}?]")
"""The last of them only PyYAML's own reader minds, which is the one that most programs use."""
_ELSEWHERE: Final = re.compile(
    r"(?i:yes|no|on|off|null|true|false|~|=|<<)\Z"
    r"|[-+]?\.(?i:inf|nan)\Z"
    r"|[-+]?[0-9][0-9_,]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?\Z"
    r"|[-+]?\.[0-9_]+(?:[eE][-+]?[0-9]+)?\Z"
    r"|[-+]?0(?:[box])[0-9a-fA-F_]+\Z"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\s].*)?\Z"
)
"""What a reader of YAML 1.1 (yaml.org/type) or 1.2 takes for a null, boolean, number, date or merge."""


def visible(text: str) -> bool:
    """True if every character of a text, its lines and tabs among them, can be seen in a file and survives there.

    Not so: control characters, line ends that are not `\\n`, byte-order marks, and the marks that
    turn the direction of what follows, with which a text can hide what it says.
    """
    return UNSEEN.search(text) is None


def one_line(text: str, *, flow: bool) -> str:
    """A text on one line: as it is where that is safe, else in quotes. `flow`: it stands inside `[]` or `{}`."""
    if not text:
        return '""'
    if not visible(text) or "\n" in text:
        return double_quoted(text)
    if _NOT_PLAIN.match(text) or _ELSEWHERE.match(text) or (flow and _NOT_IN_FLOW.search(text)):
        return "'" + text.replace("'", "''") + "'" if '"' in text or "\\" in text else double_quoted(text)
    return text


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\x1b": "\\e"}
_ESCAPED: Final = re.compile(rf'["\\\n\t]|{UNSEEN.pattern}')


def double_quoted(text: str) -> str:
    """A text in double quotes, with escapes for what cannot be seen."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    one = match.group()
    short = _ESCAPES.get(one)
    if short:
        return short
    code = ord(one)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
