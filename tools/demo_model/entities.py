"""Subjects that facts are about: persons, buildings, orders … with the ways in which they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from . import names, words
from .grammar import capital, plural


@dataclass(frozen=True)
class Entity:
    """Something that is spoken of: its full name, shorter names, and the word that stands for it."""

    kind: str
    name: str
    short: tuple[str, ...] = ()
    pronoun: str = "it"


def the(r: Random, noun: str, share: float = 0.5) -> str:
    """A noun with its article, and with an adjective in a share of all cases."""
    return f"the {r.choice(words.ADJECTIVES) + ' ' if r.random() < share else ''}{noun}"


def noun(r: Random) -> str:
    """An ordinary noun, or an invented one."""
    return r.choice(words.NOUNS) if r.random() < 0.85 else names.invented(r)


def person(r: Random) -> Entity:
    """Somebody, mostly with a first and a last name."""
    first, last = names.first_name(r), names.last_name(r)
    pronoun = r.choice(["he", "she"])
    x = r.random()
    if x < 0.78:
        return Entity("person", f"{first} {last}", (last, first), pronoun)
    if x < 0.86:
        return Entity("person", first, (), pronoun)
    if x < 0.93:
        return Entity("person", f"{r.choice(words.TITLES)} {last}", (), pronoun)
    return Entity("person", f"{first} {names.first_name(r)} {last}", (last,), pronoun)


def building(r: Random) -> Entity:
    """A house that people go to, mostly with the article."""
    name = names.building(r)
    if r.random() < 0.15:
        return Entity("building", name)
    return Entity("building", f"the {name}", (f"the {name.split()[-1].lower()}",))


def place(r: Random) -> Entity:
    """A town or a country."""
    name = names.place(r)
    if r.random() < 0.75:
        return Entity("place", name)
    kind = r.choice(["town", "city", "village", "island", "port"])
    return Entity("place", f"the {kind} of {name}", (name, f"the {kind}"))


def company(r: Random) -> Entity:
    """A firm."""
    return Entity("company", names.company(r), ("the company",))


def _nature(r: Random) -> Entity:
    kind, name = r.choice(["Lake", "River", "Mount", "Lake", "Cape", "Glen"]), names.place(r)
    if r.random() < 0.6:
        return Entity("nature", f"{kind} {name}", (f"the {kind.lower()}" if kind != "Mount" else "the mountain",))
    kind = r.choice(words.NATURE)
    return Entity("nature", f"the {name} {capital(kind)}", (f"the {kind}",))


def _thing(r: Random) -> Entity:
    what = noun(r)
    x = r.random()
    if x < 0.25:
        return Entity("thing", f"the {what}")
    if x < 0.7:
        return Entity("thing", f"the {r.choice(words.ADJECTIVES + words.COLORS)} {what}", (f"the {what}",))
    return Entity("thing", f"the {noun(r)} {what}", (f"the {what}",)) if x < 0.88 else Entity("thing", names.title(r))


def _order(r: Random) -> Entity:
    what = r.choice(words.ORDERS)
    number = names.digits(r, 2, 6) if r.random() < 0.8 else names.secret(r)
    return Entity("order", f"{what} {number}", (f"the {what}",))


def _event(r: Random) -> Entity:
    what = r.choice(words.EVENTS)
    x = r.random()
    if x < 0.4:
        topic = the(r, noun(r), 0.3) if r.random() < 0.5 else plural(noun(r))
        name = f"the {what} about {topic}"
    elif x < 0.7:
        name = f"the {r.choice(words.ADJECTIVES + words.NOUNS)} {what}"
    else:
        name = f"the {what} of {names.place(r)}" if x < 0.85 else f"the {names.place(r)} {capital(what)}"
    return Entity("event", name, (f"the {what}",))


def _software(r: Random) -> Entity:
    name = names.title(r) if r.random() < 0.6 else capital(names.invented(r))
    x = r.random()
    if x < 0.4:
        return Entity("software", f"version {names.version(r)}", ("the version",))
    return Entity("software", f"{name} {names.version(r)}" if x < 0.75 else name, ("the program",))


def _matter(r: Random) -> Entity:
    x = r.random()
    return Entity("matter", names.invented(r) if x < 0.5 else f"the {noun(r)}" if x < 0.8 else noun(r))


def _animal(r: Random) -> Entity:
    what = r.choice(words.ANIMALS) if r.random() < 0.7 else names.invented(r)
    return Entity(
        "animal", f"the {r.choice(words.ADJECTIVES + words.COLORS)} {what}" if r.random() < 0.6 else f"the {what}"
    )


def _account(r: Random) -> Entity:
    what = r.choice(words.ACCOUNTS)
    return Entity(
        "account", f"the {r.choice(words.ADJECTIVES + words.NOUNS)} {what}" if r.random() < 0.7 else f"the {what}"
    )


SUBJECTS: Mapping[str, Callable[[Random], Entity]] = {
    "person": person, "building": building, "place": place, "nature": _nature, "thing": _thing, "order": _order,
    "event": _event, "company": company, "software": _software, "matter": _matter, "animal": _animal,
    "account": _account,
}  # fmt: skip


def sibling(r: Random, subject: Entity) -> Entity:
    """Another of the same kind, often with part of the same name: the blue lamp beside the red one."""
    other = SUBJECTS[subject.kind](r)
    parts = subject.name.split()
    if r.random() < 0.5:
        return other
    if subject.kind == "person" and len(parts) == 2:
        return Entity("person", f"{names.first_name(r)} {parts[1]}", (), r.choice(["he", "she"]))
    if len(parts) == 3 and parts[0] == "the":
        before = r.choice(words.ADJECTIVES + words.COLORS) if parts[1].islower() else names.place(r)
        return Entity(subject.kind, f"the {before} {parts[2]}")
    if len(parts) == 2 and parts[0].islower():
        number = names.version(r) if subject.kind == "software" else names.digits(r, 2, 6)
        return Entity(subject.kind, f"{parts[0]} {number}")
    return other
