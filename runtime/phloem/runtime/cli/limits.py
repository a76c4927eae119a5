"""`--limit tokens=5000`: what a run may spend, as it is typed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from phloem.runtime.document.fields import seconds_of
from phloem.runtime.errors import ConfigError
from phloem.runtime.words import nearest
from phloem.runtime.workflow import Limit

__all__ = ["parse_limits"]

_FORMS: Final = {
    "tokens": "a whole number above 0, such as --limit tokens=5000",
    "money": "US dollars above 0, such as --limit money=0.50",
    "seconds": "a length of time, such as --limit seconds=60 or --limit seconds=5min",
}


def parse_limits(texts: Iterable[str]) -> Limit:
    """The limit that several `WORD=AMOUNT` make; of one word given twice the stricter. ConfigError for what is none."""
    limit = Limit()
    for text in texts:
        word, _, amount = text.partition("=")
        if word not in _FORMS:
            near = nearest(word, _FORMS)
            hint = f"Did you mean --limit {near}={amount or '…'}?" if near else "There are tokens, money and seconds."
            raise ConfigError(f"--limit {text}: there is no limit on {word or 'nothing'}", hint=hint)
        value = _amount(word, amount.strip())
        if value is None:
            raise ConfigError(f"--limit {text}: not an amount of {word}", hint=f"It is {_FORMS[word]}")
        limit = limit.stricter(Limit(**{word: value}))
    return limit


def _amount(word: str, text: str) -> Any:
    """The number that is meant, None if it is none or not above 0."""
    if word == "tokens":
        whole = re.fullmatch(r"[0-9]{1,15}|[0-9]{1,3}(?:[,_][0-9]{3}){1,4}", text)
        return int(re.sub("[,_]", "", text)) or None if whole else None
    try:
        value = float(text.removeprefix("$") if word == "money" else text)
    except ValueError:
        value = (seconds_of(text) if word == "seconds" else None) or 0.0
    return value if 0 < value <= 1e9 else None
