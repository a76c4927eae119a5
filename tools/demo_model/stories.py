"""Passages of a few sentences, with the questions that they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from . import names, words
from .entities import SUBJECTS, Entity, sibling
from .facts import Fact, Relation, relations, state
from .grammar import capital, plural, third

Asked = tuple[str, str]
RELATIONS = relations()
_TEMPLATES = words.sections(Path(__file__).with_name("templates.txt"))
_SAID, _ASKED = _TEMPLATES["said"], _TEMPLATES["asked"]
_VALUE_LATER = [template for template in _SAID if not template.startswith("{V}")]
_UNITS = "meters days months kilograms hours degrees percent pages miles liters".split()  # noqa: SIM905
_OFTEN = {"person": 4.0, "thing": 4.0, "building": 4.0, "place": 2.0, "company": 2.0, "event": 2.0}
_KINDS = list(SUBJECTS)
_SHARES = [_OFTEN.get(kind, 1.5) for kind in _KINDS]


@dataclass(frozen=True)
class Passage:
    """Sentences in their order, and (question, answer) pairs whose answers stand in them."""

    sentences: tuple[str, ...]
    questions: tuple[Asked, ...]


def filler(r: Random) -> str:
    """A sentence that answers none of the questions."""
    many = plural(r.choice(words.NOUNS))
    verb = r.choice(words.DEEDS)
    return r.choice(_TEMPLATES["idle"]).format(
        noun=r.choice(words.NOUNS), other=r.choice(words.NOUNS), many=many, Many=capital(many),
        more=plural(r.choice(words.NOUNS)), adjective=r.choice(words.ADJECTIVES), verb=verb, does=third(verb),
    )  # fmt: skip


def _value(r: Random, head: str) -> str:
    if head in words.PERSONS:
        return SUBJECTS["person"](r).name
    if head in words.PAID:
        return names.money(r)
    return r.choice(
        [
            lambda: names.number(r), lambda: r.choice(words.NOUNS), lambda: names.place(r), lambda: names.year(r),
            lambda: names.title(r), lambda: names.secret(r), lambda: r.choice(words.ADJECTIVES + words.COLORS),
            lambda: names.amount(r, _UNITS), lambda: names.date(r), lambda: names.invented(r), lambda: names.clock(r),
            lambda: f"{r.choice(words.ADJECTIVES)} {plural(r.choice(words.NOUNS))}",
            lambda: f"{names.invented(r)} {names.invented(r)}",
        ]
    )()  # fmt: skip


def _head(r: Random) -> str:
    x = r.random()
    head = r.choice(words.ATTRIBUTES) if x < 0.75 else r.choice(words.NOUNS) if x < 0.9 else names.invented(r)
    return f"{r.choice(words.ADJECTIVES + words.NOUNS)} {head}" if r.random() < 0.12 else head


def attribute(r: Random, subject: Entity, head: str = "") -> tuple[str, str, str, str]:
    """(attribute, value, sentence, question) of a subject: its price, its founder, or anything that has a name."""
    head = head or _head(r)
    value = _value(r, head.split()[-1])
    # At the beginning of a sentence a small letter would become a capital, and the answer would not stand there.
    sayings = _VALUE_LATER if value[0].islower() else _SAID
    said = r.choice(sayings) if r.random() < 0.6 else _SAID[0]
    asked = r.choice(_ASKED) if r.random() < 0.6 else _ASKED[0]

    def filled(template: str) -> str:
        text = template.replace("{a}", head).replace("{e's}", f"{subject.name}'s").replace("{e}", subject.name)
        return capital(text.replace("{E}", capital(subject.name)).replace("{v}", value).replace("{V}", value))

    return head, value, filled(said), filled(asked)


def _lowered(sentence: str) -> str:
    """A sentence as it stands after another's comma: only an article or a pronoun loses its capital."""
    first = sentence.split(" ", 1)[0]
    small = first in ("The", "It", "He", "She", "In", "A", "An", "His", "Her", "Its")
    return sentence[0].lower() + sentence[1:] if small else sentence


def _varied(r: Random, sentence: str) -> str:
    """A sentence with something before or behind it that changes little."""
    x = r.random()
    if x < 0.1:
        lead = r.choice(_TEMPLATES["leads"])
        comma = "" if lead.endswith("that") else r.choice([",", ",", ""])
        return f"{lead}{comma} {_lowered(sentence)}"
    if x < 0.16:
        return sentence[:-1] + r.choice(_TEMPLATES["ends"]) + "."
    if x < 0.2:
        whose = r.choice(["a", "the", "his", "her", "some"])
        return f"{sentence[:-1]} with {whose} {r.choice(words.ADJECTIVES)} {r.choice(words.NOUNS)}."
    if x < 0.24:
        joint = r.choice(["and", "but", "so", "because", "while", "although"])
        return f"{sentence[:-1]}, {joint} {_lowered(filler(r))}"
    return sentence


def _joined(r: Random, sentences: list[str], subject: Entity) -> list[str]:
    """Neighbouring sentences with the same subject as one, now and then."""
    made: list[str] = []
    starts = (f"{capital(subject.name)} ", f"{capital(subject.pronoun)} ")
    for sentence in sentences:
        start = next((start for start in starts if sentence.startswith(start)), "")
        if start and made and made[-1].startswith(starts) and " and " not in made[-1] and r.random() < 0.25:
            joint = r.choice([" and ", " and ", ", and ", ", but ", " and later "])
            made[-1] = made[-1][:-1] + joint + sentence[len(start) :]
        else:
            made.append(sentence)
    return made


@dataclass
class _Part:
    """What is said of one subject. `alone`: no other is of its kind, so that a shorter name is clear."""

    subject: Entity
    alone: bool
    sentences: list[str] = field(default_factory=list)
    questions: list[Asked] = field(default_factory=list)
    others: list[Entity] = field(default_factory=list)
    heads: set[str] = field(default_factory=set)

    def ask(self, r: Random, question: str, answer: str) -> None:
        """Keep a question, now and then with a shorter name of the subject."""
        subject = self.subject
        if self.alone and subject.short and r.random() < 0.22:
            question = capital(question.replace(subject.name, subject.short[0]))
        self.questions.append((question, answer))

    def state(self, r: Random, relation: Relation) -> None:
        """Say a fact, with the subject's name, a shorter one, or a pronoun once the name has been said."""
        subject = self.subject
        named = any(subject.name.lower() in sentence.lower() for sentence in self.sentences)
        fact = self._fact(r, relation, named)
        text = fact.sentence
        if named and r.random() < 0.5:
            if fact.pronoun_sentence and r.random() < 0.7:
                text = fact.pronoun_sentence
            elif subject.short and self.alone:
                short = r.choice(subject.short)
                text = text.replace(capital(subject.name), capital(short), 1).replace(subject.name, short, 1)
        self.sentences.append(text)
        self.others += fact.others
        for question, answer in r.sample(fact.questions, min(3, len(fact.questions))):
            self.ask(r, question, answer)

    def _fact(self, r: Random, relation: Relation, named: bool) -> Fact:
        fact = state(r, relation, self.subject)
        while not named and self.subject.name.lower() not in fact.sentence.lower():
            fact = state(r, relation, self.subject)
        return fact

    def attribute(self, r: Random, head: str = "") -> str:
        """Say what an attribute of the subject is, and give the attribute."""
        head, value, sentence, question = attribute(r, self.subject, head)
        if head in self.heads:
            return head
        self.heads.add(head)
        self.sentences.append(sentence)
        self.ask(r, question, value)
        return head

    def finish(self, r: Random) -> None:
        """Join and vary what was said."""
        self.sentences = [_varied(r, sentence) for sentence in _joined(r, self.sentences, self.subject)]


def _another(r: Random, subject: Entity) -> Entity:
    other = sibling(r, subject)
    while other.name == subject.name:
        other = SUBJECTS[subject.kind](r)
    return other


def _parts(r: Random, subject: Entity, share: int, twin: bool) -> list[_Part]:
    """About `share` facts of a subject, and, for a twin, the same things of another of its kind."""
    parts = [_Part(subject, not twin), *([_Part(_another(r, subject), False)] if twin else [])]
    plain = r.random() < 0.3
    known = RELATIONS[subject.kind]
    chosen = [] if plain else r.sample(known, min(share, len(known)))
    if r.random() < 0.3:
        chosen = chosen[:1]
    for relation in chosen:
        for part in parts:
            part.state(r, relation)
    for _ in range(share - len(chosen)):
        head = ""
        for part in parts:
            head = part.attribute(r, head)
    for part in parts:
        part.finish(r)
    if twin and r.random() < 0.25:
        joint = r.choice([", and ", ", while ", ", but ", " and ", "; "])
        parts[1].sentences[0] = parts[0].sentences.pop()[:-1] + joint + _lowered(parts[1].sentences[0])
    elif twin and plain:
        r.shuffle(parts)
    return parts


def _with_pronouns(r: Random, questions: list[Asked], subject: Entity) -> list[Asked]:
    """Questions about the only subject of a passage, which may say he, she or it."""
    made = []
    for question, answer in questions:
        inside = f" {subject.name} " in question and answer != subject.name
        if inside and r.random() < 0.5:
            question = question.replace(subject.name, subject.pronoun)
        made.append((question, answer))
    return made


def passage(r: Random, size: int) -> Passage:
    """A passage of about `size` facts: one or more subjects, often of one kind with the same things said of them."""
    parts: list[_Part] = []
    left = max(1, size)
    subject: Entity | None = None
    while left > 0:
        subject = subject or SUBJECTS[r.choices(_KINDS, _SHARES)[0]](r)
        share = min(left, r.choice([1, 1, 2, 2, 3, 4]))
        twin = left > share and r.random() < 0.45
        made = _parts(r, subject, min(share, 2) if twin else share, twin)
        parts += made
        left -= sum(len(part.sentences) for part in made)
        # What was mentioned may be what comes next: the mayor of a town, and then where the mayor was born.
        chained = [other for part in made for other in part.others]
        subject = r.choice(chained) if chained and r.random() < 0.35 else None
    sentences = [sentence for part in parts for sentence in part.sentences]
    for _ in range(r.choice([0, 0, 1, 1, 2]) if size < 5 else r.choice([0, 1, 2, 3])):
        sentences.insert(r.randint(0, len(sentences)) if r.random() < 0.4 else len(sentences), filler(r))
    questions = [asked for part in parts for asked in part.questions]
    if len(parts) == 1 and r.random() < 0.2:
        questions = _with_pronouns(r, questions, parts[0].subject)
    answers: dict[str, set[str]] = {}
    for question, answer in questions:
        answers.setdefault(question, set()).add(answer)
    # A question with two answers is not asked.
    return Passage(tuple(sentences), tuple(asked for asked in questions if len(answers[asked[0]]) == 1))
