"""Names, numbers and other values that answers are made of, drawn at random."""

from __future__ import annotations

import string
from collections.abc import Sequence
from random import Random

from . import words
from .grammar import capital

_BEFORE_PLACES = ["New", "Old", "Upper", "Lower", "North", "South", "East", "West", "Port", "San", "Saint"]
_ENDS = [
    "",
    "",
    "",
    "n",
    "r",
    "l",
    "s",
    "t",
    "m",
    "nd",
    "rk",
    "x",
    "ck",
    "ll",
    "na",
    "ri",
    "to",
    "ko",
    "ley",
    "berg",
    "son",
]


def invented(r: Random) -> str:
    """A word that nobody has used: syllables, or letters without any order."""
    if r.random() < 0.2:
        letters = "aeiou" * 3 + string.ascii_lowercase
        return "".join(r.choice(letters) for _ in range(r.randint(2, 8)))
    return "".join(
        r.choice(words.ONSETS) + r.choice(words.RHYMES) for _ in range(r.choice([1, 1, 2, 2, 3]))
    ) + r.choice(_ENDS)


def _blend(r: Random) -> str:
    """A name made of halves of two others."""
    one, two = r.choice(words.LAST + words.PLACES + words.FIRST), r.choice(words.LAST + words.PLACES + words.FIRST)
    return one[: r.randint(2, 4)] + two[len(two) // 2 :].lower()


def _word(r: Random) -> str:
    return capital(r.choice(r.choice([words.NOUNS, words.NOUNS, words.ADJECTIVES, words.MATERIALS])))


def first_name(r: Random) -> str:
    """What a person is called by friends."""
    x = r.random()
    return (
        r.choice(words.FIRST) if x < 0.6 else capital(invented(r)) if x < 0.85 else _blend(r) if x < 0.95 else _word(r)
    )


def last_name(r: Random) -> str:
    """A family's name."""
    x = r.random()
    return (
        r.choice(words.LAST) if x < 0.35 else capital(invented(r)) if x < 0.68 else _blend(r) if x < 0.85 else _word(r)
    )


def place(r: Random) -> str:
    """A town, a country or a river's name."""
    x = r.random()
    if x < 0.06:
        return f"{r.choice(_BEFORE_PLACES)} {place(r)}"
    return (
        r.choice(words.PLACES) if x < 0.4 else capital(invented(r)) if x < 0.75 else _blend(r) if x < 0.93 else _word(r)
    )


def title(r: Random) -> str:
    """The name of a book, a song, a ship or a product."""
    x = r.random()
    if x < 0.35:
        return f"{_word(r)} {_word(r)}"
    if x < 0.5:
        return f"The {_word(r)} {_word(r)}"
    if x < 0.62:
        return f"The {_word(r)} of {_word(r) if r.random() < 0.5 else place(r)}"
    return capital(invented(r)) if x < 0.8 else _word(r) if x < 0.9 else f"{capital(invented(r))} {_word(r)}"


def building(r: Random) -> str:
    """An institution, without the article: Blue Lantern Library."""
    x = r.random()
    kind = r.choice(words.BUILDINGS)
    if x < 0.4:
        return f"{_word(r)} {kind}"
    if x < 0.7:
        return f"{place(r)} {kind}"
    return f"{_word(r)} {_word(r)} {kind}" if x < 0.8 else f"{last_name(r)} {kind}"


def company(r: Random) -> str:
    """A firm or a club."""
    x = r.random()
    if x < 0.4:
        return capital(invented(r)) if r.random() < 0.6 else _blend(r)
    if x < 0.7:
        return f"{last_name(r)} {r.choice(words.FIRMS)}"
    return f"{_word(r)} {_word(r)}" if x < 0.85 else f"{last_name(r)} and {last_name(r)}"


def number(r: Random) -> str:
    """A whole number of one to six digits."""
    return str(r.randint(2, 10 ** r.choice([1, 2, 2, 3, 3, 4, 4, 5, 6])))


def digits(r: Random, low: int = 3, high: int = 8) -> str:
    """Digits in a row, as in a code."""
    return "".join(r.choice(string.digits) for _ in range(r.randint(low, high)))


def year(r: Random) -> str:
    """A year, mostly of the last three centuries."""
    return str(r.randint(1990, 2035) if r.random() < 0.35 else r.randint(1500, 1989))


def date(r: Random) -> str:
    """A day: 3 May 2024, May 3, 2024, 2024-05-03, or without the year."""
    x = r.random()
    day, month = r.randint(1, 31), r.choice(words.MONTHS)
    if x < 0.5:
        return f"{day} {month} {year(r)}"
    if x < 0.62:
        return f"{month} {day}, {year(r)}"
    if x < 0.72:
        return f"{r.randint(1950, 2040)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"
    return (
        f"{day} {month}" if x < 0.85 else f"{month} {year(r)}" if x < 0.95 else f"{r.choice(words.DAYS)}, {day} {month}"
    )


def clock(r: Random) -> str:
    """A time of day."""
    x = r.random()
    hour = r.randint(1, 12)
    if x < 0.5:
        return f"{hour} {r.choice(['am', 'pm'])}"
    if x < 0.7:
        return f"{hour}:{r.choice(['00', '15', '30', '45', '05', '20'])}{r.choice(['', ' am', ' pm'])}"
    return (
        f"{hour} o'clock"
        if x < 0.82
        else r.choice(["noon", "midnight"])
        if x < 0.88
        else f"{r.randint(0, 23)}:{r.randint(0, 59):02}"
    )


def money(r: Random) -> str:
    """An amount of money."""
    amount = str(r.randint(2, r.choice([20, 100, 1000, 9999])))
    x = r.random()
    if x < 0.15:
        amount += f".{r.randint(0, 99):02}"
    elif x < 0.25:
        amount = f"{r.randint(1, 99)},{r.randint(0, 999):03}"
    elif x < 0.32:
        amount += r.choice([" million", " thousand", " billion"])
    if r.random() < 0.1:
        return r.choice("$€£") + amount
    return f"{amount} {r.choice(['dollars', 'euros', 'pounds', 'euros', 'cents', 'crowns', 'francs', 'yen', 'rupees'])}"


def amount(r: Random, units: Sequence[str]) -> str:
    """A number of one of several units."""
    value = number(r) if r.random() < 0.85 else f"{r.randint(1, 99)}.{r.randint(1, 9)}"
    if r.random() < 0.06:
        value = r.choice(words.NUMERALS)
    return f"{value} {r.choice(units)}"


def secret(r: Random) -> str:
    """A password or a code that mixes letters and digits."""
    x = r.random()
    if x < 0.35:
        return r.choice(words.NOUNS) + digits(r, 1, 4)
    if x < 0.55:
        return invented(r) + digits(r, 1, 4)
    if x < 0.75:
        letters = "".join(r.choice(string.ascii_uppercase) for _ in range(r.randint(1, 3)))
        return f"{letters}{r.choice(['', '-', ''])}{digits(r, 2, 5)}"
    if x < 0.88:
        return digits(r)
    return "".join(r.choice(string.ascii_letters + string.digits) for _ in range(r.randint(4, 9)))


def version(r: Random) -> str:
    """The number of a version: 2.4 or 1.0.12."""
    return ".".join(str(r.randint(0, r.choice([3, 9, 20]))) for _ in range(r.choice([2, 2, 3])))


def mail(r: Random) -> str:
    """An address for letters that are not of paper."""
    user = r.choice([invented(r), r.choice(words.FIRST).lower(), r.choice(words.NOUNS)])
    return (
        f"{user}@{r.choice([invented(r), r.choice(words.NOUNS)])}.{r.choice(['com', 'org', 'net', 'io', 'de', 'uk'])}"
    )
