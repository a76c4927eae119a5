"""Facts that nobody checks: what is said of a subject in a sentence, and the questions that the sentence answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from . import names, words
from .entities import Entity, building, company, person
from .grammar import a, capital, participle, past, third
from .values import VERBS, value

RELATIONS = Path(__file__).with_name("relations.txt")


@dataclass(frozen=True)
class Fact:
    """A sentence about a subject, the same with a pronoun for it (empty where that is no English), and what it answers.

    `others` are persons, buildings … that appear in it, of whom more may be said.
    """

    sentence: str
    pronoun_sentence: str
    questions: tuple[tuple[str, str], ...]
    others: tuple[Entity, ...] = ()


@dataclass
class Relation:
    """What can be said of subjects of some kinds: an entry of relations.txt."""

    kinds: tuple[str, ...]
    parts: dict[str, str]
    sentences: list[str] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)


def relations(path: Path = RELATIONS) -> dict[str, list[Relation]]:
    """All relations, by the kind of their subject."""
    found: dict[str, list[Relation]] = {}
    current = Relation((), {})
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("  "):
            current.sentences.append(line.strip())
        elif line.startswith("?"):
            question, _, part = line[1:].strip().rpartition(" ")
            current.questions.append((question, part))
        elif line and not line.startswith("#"):
            kinds, *parts = line.split()
            pairs = (part.split(":", 1) for part in parts)
            current = Relation(tuple(kinds.split("|")), {name: kind for name, kind in pairs})
            for kind in current.kinds:
                found.setdefault(kind, []).append(current)
    return found


_SLOT = re.compile(r"\{(a )?(\w+)(?:\.(\w+))?('s)?\}")
_FORMS = {"third": third, "past": past, "done": participle}
_MONTHS = "|".join(words.MONTHS)
_ON_A_YEAR = re.compile(rf"\bon(?= (\d{{4}}(?![-\d])|({_MONTHS}) \d{{4}}))")
_IN_A_DAY = re.compile(
    rf"\bin(?= (\d{{1,2}} ({_MONTHS})|({_MONTHS}) \d{{1,2}}\b(?!\d)|\d{{4}}-\d|({'|'.join(words.DAYS)}),))"
)


def _slots(template: str) -> set[str]:
    return {part for _, part, _, _ in _SLOT.findall(template)}


def _spoken(template: str, parts: Mapping[str, str], verbs: Mapping[str, str]) -> str:
    def filled(match: re.Match[str]) -> str:
        article, part, form, owner = match.groups()
        if part in verbs:
            return _FORMS[form](verbs[part]) if form else verbs[part]
        text = parts[part]
        return (a(text) if article else text) + ("'s" if owner else "")

    return capital(_IN_A_DAY.sub("on", _ON_A_YEAR.sub("in", _SLOT.sub(filled, template))))


_POSSESSIVES = {"he": "his", "she": "her", "it": "its"}
_OBJECTS = {"he": "him", "she": "her", "it": "it"}


def _with_pronoun(template: str, parts: Mapping[str, str], verbs: Mapping[str, str], subject: Entity) -> str:
    text = template.replace("{s's}", _POSSESSIVES[subject.pronoun])
    if "{s}" in text and not text.startswith("{s}"):
        if subject.kind != "person" or " of {s}" in text or "{s}," in text:
            return ""
        text = re.sub(r"(?<=by )\{s\}", _OBJECTS[subject.pronoun], text)
    return _spoken(text.replace("{s}", subject.pronoun), parts, verbs)


_NAMED = {"person": person, "building": building, "company": company}


def state(r: Random, relation: Relation, subject: Entity) -> Fact:
    """One fact about a subject."""
    parts, verbs = {"s": subject.name}, {}
    others = []
    for part, kind in relation.parts.items():
        if kind in VERBS:
            verbs[part] = VERBS[kind](r)
        elif kind == "place":
            parts[part] = names.place(r)
            others.append(Entity("place", parts[part]))
        elif kind in _NAMED:
            others.append(_NAMED[kind](r))
            parts[part] = others[-1].name
        else:
            parts[part] = value(r, kind)
    template = r.choice(relation.sentences)
    used = _slots(template)
    asked = tuple(
        (_spoken(question.lstrip("!"), parts, verbs), parts[part])
        for question, part in relation.questions
        if part in used and _slots(question) <= used | {"s"} and (question.startswith("!") or _fits(template, question))
    )
    with_pronoun = _with_pronoun(template, parts, verbs, subject)
    return Fact(_spoken(template, parts, verbs), with_pronoun, asked, tuple(others))


_LIGHT = set(words.LIGHT)
_BASES = {form: verb for verb, forms in words.IRREGULAR.items() for form in forms}


def _stem(word: str) -> str:
    return (word[:-1] if word.endswith(("s", "ed")) else word)[:4]


def _stems(template: str) -> set[str]:
    text = _SLOT.sub(lambda slot: " forms " if slot[2] == "v" else " ", template)
    found = (word.lower() for word in re.findall(r"[A-Za-z]+", text))
    return {_stem(_BASES.get(word, word)) for word in found if word not in _LIGHT}


def _fits(template: str, question: str) -> bool:
    """Whether a sentence says what a question asks: they have a word in common, or the question has none of its own."""
    asked = _stems(question)
    return not asked or bool(asked & _stems(template))
