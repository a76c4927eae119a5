"""The JSON of an answer, read more strictly than Python reads it."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

__all__ = ["parsed"]

MOST_DIGITS: Final = 1_000
"""Of a whole number."""


def parsed(text: str) -> Any:
    """The value that `text` stands for. ValueError says why it stands for none, or for one that cannot be kept:

    NaN and Infinity, which are no JSON; numbers too large for a double, or of more than MOST_DIGITS; halves
    of characters, which no text can hold; and what is nested some hundred times.
    """
    try:
        value = json.loads(text, parse_constant=_none, parse_float=_finite, parse_int=_integer)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    except UnicodeEncodeError:
        raise ValueError("a text in it has half of a character") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _none(name: str) -> NoReturn:
    raise ValueError(f"it is not JSON ({name} is no number)")


def _finite(written: str) -> float:
    number = float(written)
    if math.isinf(number):
        raise ValueError(f"the number {written[:40]} is too large")
    return number


def _integer(written: str) -> int:
    if len(written) > MOST_DIGITS:
        raise ValueError(f"the number {written[:40]}… is too large")
    return int(written)
