"""How the formats of JSON Schema are written, as patterns.

Each is what its standard allows, narrowed where a pattern cannot follow it: host names have at most 63
characters, IPv6 addresses no embedded IPv4 address or zone, URIs no IP literals, relative JSON Pointers no
zeros inside their number (jsonschema takes those for leading ones); the international forms are written as
the plain ones. What the standards allow is in RFC 3339 (dates, times, durations), 5321
(email), 1123 (host names), 4291 (IPv6), 3986 (URIs), 9562 (UUIDs), 6901 (JSON Pointer).
"""

from __future__ import annotations

import functools
from typing import Final

from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.automaton import Automaton

__all__ = ["FORMATS", "format_automaton"]

_YEAR: Final = r"([1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])"
_LEAP_YEAR: Final = r"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DAYS: Final = r"(0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8])"
_DATE: Final = f"({_YEAR}-({_DAYS})|{_LEAP_YEAR}-02-29)"
_TIME: Final = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_CLOCK: Final = r"T(\d{1,6}H(\d{1,6}M(\d{1,6}S)?)?|\d{1,6}M(\d{1,6}S)?|\d{1,6}S)"
_DURATION: Final = (
    rf"P(\d{{1,6}}W|{_CLOCK}|(\d{{1,6}}Y(\d{{1,6}}M(\d{{1,6}}D)?)?|\d{{1,6}}M(\d{{1,6}}D)?|\d{{1,6}}D)({_CLOCK})?)"
)
_LABEL: Final = r"[A-Za-z0-9]+(-+[A-Za-z0-9]+)*"
_HOST: Final = rf"{_LABEL}(\.{_LABEL})*"
_IDN_LABEL: Final = r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"
_IDN_HOST: Final = rf"{_IDN_LABEL}(\.{_IDN_LABEL})*"
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL: Final = rf"{_ATOM}(\.{_ATOM})*@{_HOST}"
_BYTE: Final = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_H: Final = r"[0-9a-fA-F]{1,4}"
_IPV6: Final = "|".join(
    [
        f"({_H}:){{7}}{_H}", f"({_H}:){{1,7}}:", f":((:{_H}){{1,7}}|:)",
        *(f"({_H}:){{1,{left}}}(:{_H}){{1,{7 - left}}}" for left in range(1, 7)),
    ]
)  # fmt: skip
_ENCODED: Final = "%[0-9A-Fa-f]{2}"
_CHARACTER: Final = rf"([A-Za-z0-9._~!$&'()*+,;=:@-]|{_ENCODED})"
_AUTHORITY: Final = (
    rf"(([A-Za-z0-9._~!$&'()*+,;=:-]|{_ENCODED})*@)?([A-Za-z0-9._~!$&'()*+,;=-]|{_ENCODED})*(:\d{{0,5}})?"
)
_REST: Final = rf"(\?({_CHARACTER}|[/?])*)?(#({_CHARACTER}|[/?])*)?"
_PATH: Final = rf"(//{_AUTHORITY}(/{_CHARACTER}*)*|/({_CHARACTER}+(/{_CHARACTER}*)*)?|{_CHARACTER}+(/{_CHARACTER}*)*)?"
_URI: Final = rf"[A-Za-z][A-Za-z0-9+.-]*:{_PATH}{_REST}"
_FIRST: Final = rf"([A-Za-z0-9._~!$&'()*+,;=@-]|{_ENCODED})+(/{_CHARACTER}*)*"
_RELATIVE: Final = rf"(//{_AUTHORITY}(/{_CHARACTER}*)*|/({_CHARACTER}+(/{_CHARACTER}*)*)?|{_FIRST})?{_REST}"
_POINTER: Final = r"(/([^~/]|~[01])*)*"

FORMATS: Final = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOST,
    "idn-hostname": _IDN_HOST,
    "ipv4": rf"({_BYTE}\.){{3}}{_BYTE}",
    "ipv6": _IPV6,
    "uri": _URI,
    "iri": _URI,
    "uri-reference": f"{_URI}|{_RELATIVE}",
    "iri-reference": f"{_URI}|{_RELATIVE}",
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(0|[1-9]{{1,5}}0?)(#|{_POINTER})",
}
"""The formats that a model is held to. Any other (`regex`, `uri-template`, `binary`, …) is only a hint."""

_LONGEST: Final = {"hostname": 63, "idn-hostname": 63}
"""How many characters a host name may have, so that each of its labels has no more than 63."""


@functools.cache
def format_automaton(name: str) -> Automaton:
    """What reads a text of this format, one of FORMATS."""
    automaton = Automaton.of(regex.full_match(FORMATS[name])).minimal()
    return automaton.counted(1, _LONGEST[name]) if name in _LONGEST else automaton
