"""The parts of facts that answers are made of, by the kinds that relations.txt names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from . import names, words
from .entities import noun, the
from .grammar import a, capital, plural

_SPOTS = ["in", "under", "on", "behind", "near", "next to", "above"]


def _number(r: Random) -> str:
    return names.number(r) if r.random() < 0.85 else r.choice(words.NUMERALS)


def _goods(r: Random) -> str:
    x = r.random()
    if x < 0.8:
        return r.choice(words.GOODS)
    return f"{r.choice(words.ADJECTIVES)} {r.choice(words.GOODS)}" if x < 0.94 else names.invented(r)


def _object(r: Random) -> str:
    x = r.random()
    return the(r, noun(r)) if x < 0.7 else names.title(r) if x < 0.91 else plural(noun(r))


def _phone(r: Random) -> str:
    return names.digits(r, 4, 8) if r.random() < 0.6 else f"{names.digits(r, 2, 4)}-{names.digits(r, 3, 5)}"


def _school(r: Random) -> str:
    where = names.place(r)
    return r.choice(
        [f"the University of {where}", f"the {where} Institute", f"{names.last_name(r)} College", f"the {where} School"]
    )


def _prize(r: Random) -> str:
    if r.random() < 0.4:
        return the(r, r.choice(words.CONTESTS))
    return f"the {names.place(r)} {r.choice(['Prize', 'Medal', 'Cup', 'Award'])}"


def _river(r: Random) -> str:
    return r.choice(["the {}", "the River {}", "the {} River"]).format(names.place(r))


def _whole(r: Random) -> str:
    x = r.random()
    return a(noun(r)) if x < 0.4 else plural(noun(r)) if x < 0.76 else r.choice(words.GOODS)


def _topic(r: Random) -> str:
    return r.choice(
        [
            f"the history of {r.choice(words.GOODS)}",
            the(r, noun(r)),
            plural(noun(r)),
            f"{r.choice(words.GOODS)} and {r.choice(words.FOODS)}",
            f"the {noun(r)} of {names.place(r)}",
        ]
    )


def _user(r: Random) -> str:
    name = r.choice([names.invented(r), r.choice(words.NOUNS), r.choice(words.FIRST).lower()])
    return name + r.choice(["", names.digits(r, 1, 2)])


def _mostly(listed: list[str], share: float, other: Callable[[Random], str]) -> Callable[[Random], str]:
    return lambda r: r.choice(listed) if r.random() < share else other(r)


VALUES: Mapping[str, Callable[[Random], str]] = {
    "clock": names.clock,
    "color": lambda r: r.choice(words.COLORS),
    "date": lambda r: names.year(r) if r.random() < 0.6 else names.date(r),
    "day": lambda r: r.choice(words.DAYS) + r.choice(["", "", "s"]),
    "direction": lambda r: r.choice(words.DIRECTIONS),
    "field": lambda r: r.choice(words.FIELDS),
    "food": lambda r: r.choice(words.FOODS),
    "goods": _goods,
    "instrument": lambda r: r.choice(words.INSTRUMENTS),
    "job": _mostly(words.JOBS, 0.93, names.invented),
    "kin": lambda r: r.choice(words.KIN),
    "language": _mostly(words.LANGUAGES, 0.85, lambda r: capital(names.invented(r))),
    "mail": names.mail,
    "material": lambda r: r.choice(words.MATERIALS),
    "meal": lambda r: f"{r.choice(words.FOODS + words.NOUNS)} {r.choice(words.MEALS)}" if r.random() < 0.4 else noun(r),
    "money": names.money,
    "noun": noun,
    "number": _number,
    "object": _object,
    "office": lambda r: r.choice(words.OFFICES),
    "parts": lambda r: plural(noun(r)) if r.random() < 0.6 else r.choice(words.PARTS),
    "phone": _phone,
    "prize": _prize,
    "program": _mostly(words.PROGRAMS, 0.7, lambda r: capital(names.invented(r))),
    "river": _river,
    "role": lambda r: r.choice(words.ROLES),
    "school": _school,
    "secret": names.secret,
    "spot": lambda r: f"{r.choice(_SPOTS)} {the(r, r.choice(words.NOUNS), 0.3)}",
    "stuff": _mostly(words.GOODS + words.FOODS, 0.85, names.invented),
    "title": names.title,
    "topic": _topic,
    "townoffice": lambda r: r.choice(words.TOWN_OFFICES),
    "user": _user,
    "whole": _whole,
    "year": names.year,
}
VERBS: Mapping[str, Callable[[Random], str]] = {
    "deed": _mostly(words.DEEDS, 0.85, names.invented),
    "work": _mostly(words.WORKS, 0.85, names.invented),
}


def value(r: Random, kind: str) -> str:
    """A value of a kind; `amount/hours/days` is a number with one of these units."""
    if kind.startswith("amount/"):
        return names.amount(r, kind.split("/")[1:])
    return VALUES[kind](r)
