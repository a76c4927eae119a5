"""Looks at what a template asks of Python's and Jinja2's own functions before they are called.

Some of them make much out of little (`"a".center(10**9)`), or take long over it. Each check here has the
parameters of the function that it stands before, by the names that the function gives them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2.exceptions import SecurityError
from phloem.nodes.shown import LARGEST_TEXT, as_text, weigh
from phloem.nodes.templates.budget import MADE, TooMuch

__all__ = ["FILTERS", "METHODS", "OPERATORS", "check", "fits"]

WIDEST: Final = 10_000
MOST_PARTS: Final = 100_000
MOST_BITS: Final = 10_000
LONGEST_WORDS: Final = 1_000_000

Check = Callable[..., None]


def check(checks: Mapping[str, Check], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Ask the check for `name`, if there is one: TooMuch or SecurityError says why the call is refused."""
    found = checks.get(name)
    if found is not None:
        try:
            found(*args, **kwargs)
        except (TypeError, AttributeError):
            raise SecurityError(f"{name} cannot be given these arguments") from None


def fits(length: float) -> None:
    """TooMuch for a text longer than LARGEST_TEXT."""
    if length > LARGEST_TEXT:
        raise TooMuch(f"the template makes a text of more than {LARGEST_TEXT:,} characters")


def _width(value: Any, width: Any = 80, *_: Any) -> None:
    if isinstance(width, int) and width > WIDEST:
        raise TooMuch(f"the template asks for lines {width:,} characters wide; the most is {WIDEST:,}")


def _tabs(text: str, tabsize: Any = 8) -> None:
    fits(len(text) + text.count("\t") * int(tabsize))


def _replaced(s: Any, old: Any, new: Any, count: Any = None) -> None:
    whole = as_text(s)
    fits(len(whole) + whole.count(as_text(old)) * len(as_text(new)))


def _joined(text: str, parts: Any) -> None:
    fits(weigh(parts, MADE) + len(text) * len(parts))


def _indented(s: str, width: Any = 4, first: bool = False, blank: bool = False) -> None:
    fits(len(s) + (s.count("\n") + 1) * (width if isinstance(width, int) else len(width)))


def _wrapped(
    s: str, width: Any = 79, break_long_words: bool = True, wrapstring: Any = None, break_on_hyphens: bool = True
) -> None:
    _worded(s)
    fits(len(s) * max(1, len(wrapstring or "")))


def _worded(s: Any, *_: Any, **__: Any) -> None:
    """For what looks at a text word by word, which takes a hundred times as long as copying it."""
    if len(s) > LONGEST_WORDS:
        raise TooMuch(f"the template goes through the words of a text of more than {LONGEST_WORDS:,} characters")


def _batched(value: Any, linecount: Any, fill_with: Any = None) -> None:
    if isinstance(linecount, int) and linecount > MOST_PARTS:
        raise TooMuch(f"the template asks for {linecount:,} items a line; the most is {MOST_PARTS:,}")


def _sliced(value: Any, slices: Any, fill_with: Any = None) -> None:
    if isinstance(slices, int) and slices > MOST_PARTS:
        raise TooMuch(f"the template asks for {slices:,} slices; the most is {MOST_PARTS:,}")


def _rounded(value: Any, precision: Any = 0, method: Any = "common") -> None:
    if isinstance(precision, int) and abs(precision) > 100:
        raise TooMuch("the template rounds to more than 100 digits")


def _json(value: Any, indent: Any = None) -> None:
    if indent is not None and not (isinstance(indent, int) and indent <= 16):
        raise TooMuch("the template indents JSON by more than 16")


def _summed(iterable: Any, attribute: Any = None, start: Any = 0) -> None:
    if not isinstance(start, int | float):
        raise SecurityError("sum adds numbers; use join for texts")


_WIDE: Final = re.compile(r"%(?:\([^)]*\))?[#0 +-]*(?:\*|\d{5}|\d*\.(?:\*|\d{5}))")


def _formatted(value: Any, *args: Any, **kwargs: Any) -> None:
    """For `%`: no width of five digits, none that comes from a value, and room for what is put in."""
    pattern = as_text(value)
    if _WIDE.search(pattern):
        raise TooMuch(f"a width in a format is at most {WIDEST - 1:,}, written out")
    fits(len(pattern) + pattern.count("%") * weigh([args, kwargs], MADE))


def _times(left: Any, right: Any) -> None:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | list | tuple) and isinstance(times, int):
            fits(len(many) * times)
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MOST_BITS:
        raise TooMuch("the template makes a number of thousands of digits")


def _power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MOST_BITS:
        raise TooMuch("the template makes a number of thousands of digits")


def _sum(left: Any, right: Any) -> None:
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        fits(len(left) + len(right))


def _modulo(left: Any, right: Any) -> None:
    if isinstance(left, str):
        _formatted(left, right)


OPERATORS: Final[dict[str, Check]] = {"*": _times, "**": _power, "+": _sum, "%": _modulo}
METHODS: Final[dict[str, Check]] = {
    "center": _width, "ljust": _width, "rjust": _width, "zfill": _width, "expandtabs": _tabs,
    "replace": _replaced, "join": _joined,
}  # fmt: skip
FILTERS: Final[dict[str, Check]] = {
    "batch": _batched, "center": _width, "format": _formatted, "indent": _indented, "replace": _replaced,
    "round": _rounded, "slice": _sliced, "sum": _summed, "title": _worded, "tojson": _json, "urlencode": _worded,
    "wordcount": _worded, "wordwrap": _wrapped,
}  # fmt: skip
