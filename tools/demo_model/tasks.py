"""What the demo model is taught: questions about a passage, JSON, sentiment, summaries, lists, rewrites and copying."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from . import evaluate, names, words
from .entities import SUBJECTS, Entity
from .facts import state
from .grammar import capital
from .stories import RELATIONS, attribute, filler, passage

_PROMPTS = {
    heading: [line.replace("\\n", "\n") for line in lines]
    for heading, lines in words.sections(Path(__file__).with_name("prompts.txt")).items()
}
_KEPT_OUT = evaluate.names(evaluate.WRITTEN / "gate.txt")
_KEY = re.compile(r"(?:What|Who) (?:is|was) the ([a-z]+(?: [a-z]+)?) (?:of|for) ")
_MOST = 9  # questions about one passage


@dataclass(frozen=True)
class Lesson:
    """A text that begins a prompt, and the ways in which it goes on, each with the right answer.

    Where `chained`, they follow each other as turns of one conversation; else each stands alone after the beginning.
    """

    task: str
    beginning: str
    turns: tuple[tuple[str, str], ...]
    system: str = ""
    chained: bool = False


def _laid_out(r: Random, sentences: tuple[str, ...]) -> str:
    x = r.random()
    if x < 0.72 or len(sentences) < 2:
        return " ".join(sentences)
    if x < 0.82:
        return "\n".join(sentences)
    if x < 0.88:
        return "\n".join(f"- {sentence}" for sentence in sentences)
    if x < 0.93:
        return "\n".join(f"[{number}] {sentence}" for number, sentence in enumerate(sentences, 1))
    cut = r.randint(1, len(sentences) - 1)
    return " ".join(sentences[:cut]) + "\n\n" + " ".join(sentences[cut:])


def questions(r: Random, size: int) -> Lesson:
    """A passage of about `size` facts and questions about it."""
    said = passage(r, size)
    while not said.questions:
        said = passage(r, size)
    asked = list(dict.fromkeys(said.questions))
    r.shuffle(asked)
    template = evaluate.PROMPT if r.random() < 0.5 else r.choice(_PROMPTS["questions"])
    before, after = template.split("{q}")
    before = before.replace("{c}", _laid_out(r, said.sentences))
    # A space belongs to the word after it, as the tokenizer sees it.
    beginning = before.rstrip(" ")
    space = before[len(beginning) :]
    turns = tuple((f"{space}{question}{after}", answer) for question, answer in asked[:_MOST])
    system = r.choice(_PROMPTS["systems"]) if r.random() < 0.07 else ""
    if r.random() < 0.08:
        return Lesson("questions", beginning, (turns[0], *asked[1:_MOST]), system, True)
    return Lesson("questions", beginning, turns, system)


def _told(r: Random, subject: Entity) -> tuple[str, str, str]:
    """(key, value, sentence): something that has a name, said in any of the ways that the relations know."""
    for _ in range(6 if r.random() < 0.5 else 0):
        fact = state(r, r.choice(RELATIONS[subject.kind]), subject)
        for question, answer in fact.questions:
            key = _KEY.match(question)
            if key:
                return key[1], answer, fact.sentence
    head, value, sentence, _ = attribute(r, subject)
    return head, value, sentence


def fields(r: Random) -> Lesson:
    """JSON with given keys from sentences that say their values."""
    subject = SUBJECTS[r.choice(["thing", "thing", "building", "place", "person", "company", "order"])](r)
    found: dict[str, str] = {}
    sentences: list[str] = []
    for _ in range(r.choice([1, 2, 2, 3, 4])):
        key, value, sentence = _told(r, subject)
        if key not in found:
            found[key] = value
            if r.random() < 0.4 and sentences:
                sentence = sentence.replace(subject.name, "it", 1).replace(capital(subject.name), "It", 1)
            sentences.append(sentence)
    if r.random() < 0.5:
        sentences.insert(r.randint(0, len(sentences)), filler(r))
    text = " ".join(sentences)

    def chosen() -> tuple[str, str]:
        keys = r.sample(list(found), r.randint(1, len(found)))
        return ", ".join(keys), json.dumps({key: found[key] for key in keys}, ensure_ascii=False)

    if r.random() < 0.5:
        keys, answer = chosen()
        return Lesson("json", r.choice(_PROMPTS["keys before"]).format(k=keys, c=text), (("", answer),))
    end = r.choice(_PROMPTS["keys after"])
    pairs = {chosen() for _ in range(4)}
    start = r.choice(["Text:\n", "", "Text: "])
    return Lesson("json", start + text, tuple((end.format(k=keys), answer) for keys, answer in sorted(pairs)))


def sentiment(r: Random) -> Lesson:
    """Whether a few sentences praise or complain."""
    good = r.random() < 0.5
    like, unlike = (words.POSITIVE, words.NEGATIVE) if good else (words.NEGATIVE, words.POSITIVE)
    deeds = words.GOOD_DEEDS if good else words.BAD_DEEDS
    said = []
    for _ in range(r.choice([1, 1, 2, 2, 3])):
        felt = r.choice(deeds if r.random() < 0.5 else _PROMPTS["felt"]).format(
            n=r.choice(words.NOUNS), n2=r.choice(words.NOUNS), s=r.choice(like), s2=r.choice(like), o=r.choice(unlike),
            p=names.first_name(r),
        )  # fmt: skip
        said.append(capital(felt))
    text = r.choice([". ", ". ", ". ", ", and ", "! "]).join(said) + r.choice([".", ".", "!"])
    text = text.replace(", and The", ", and the")
    if r.random() < 0.25:
        text = f"{filler(r)} {text}"
    answer = "positive" if good else "negative"
    return Lesson("sentiment", r.choice(_PROMPTS["feeling"]).format(t=text), (("", answer),))


def summary(r: Random) -> Lesson:
    """The sentence that says something, without those that say little; a headline may stand before it."""
    if r.random() < 0.6:
        sentence = attribute(r, SUBJECTS[r.choice(list(SUBJECTS))](r))[2]
    else:
        sentence = passage(r, 1).sentences[0]
    text = " ".join([sentence, *(filler(r) for _ in range(r.choice([1, 2, 2, 3])))])
    if r.random() < 0.4:
        which = f"{r.choice(words.ADJECTIVES)} {r.choice(words.NOUNS)}"
        headline = capital(f"{which} {r.choice(['for', 'over', 'by', 'in', 'of'])} the {r.choice(words.NOUNS)}")
        text = headline + r.choice(["\n", "\n\n", ". ", ": "]) + text
    return Lesson("summary", r.choice(_PROMPTS["summaries"]).format(c=text), (("", sentence),))


def _item(r: Random) -> str:
    lists = [words.NOUNS, words.FOODS, words.PLACES, words.FIRST]
    makers = [names.first_name, names.place, names.title, names.number, names.invented]
    x = r.random()
    if x < 0.4:
        return r.choice(r.choice(lists))
    return f"{r.choice(words.ADJECTIVES)} {r.choice(words.NOUNS)}" if x < 0.5 else r.choice(makers)(r)


def lists(r: Random) -> Lesson:
    """Items from a line into a list, or back."""
    items = [_item(r) for _ in range(r.randint(2, 6))]
    line, bullets = ", ".join(items), "\n".join(f"- {item}" for item in items)
    if r.random() < 0.35:
        return Lesson("lists", r.choice(_PROMPTS["lines"]).format(x=bullets), (("", line),))
    if r.random() < 0.3:
        line = ", ".join(items[:-1]) + " and " + items[-1]
    return Lesson("lists", r.choice(_PROMPTS["lists"]).format(x=line), (("", bullets),))


def rewrite(r: Random) -> Lesson:
    """A sentence in which a name is replaced by another."""
    subject = SUBJECTS[r.choice(["person", "place", "company", "building"])](r)
    other = SUBJECTS[subject.kind](r)
    while other.name in subject.name or subject.name in other.name:
        other = SUBJECTS[subject.kind](r)
    sentence = attribute(r, subject)[2].replace(capital(subject.name), subject.name)
    asked = r.choice(_PROMPTS["rewrites"]).format(a=subject.name, b=other.name, x=sentence)
    return Lesson("rewrite", asked, (("", sentence.replace(subject.name, other.name)),))


def _anything(r: Random, count: int) -> str:
    makers = [
        names.first_name, names.last_name, names.place, names.title, names.number, names.date, names.money,
        names.secret, names.version, names.clock, names.invented, names.digits, names.mail,
    ]  # fmt: skip
    return " ".join(r.choice(words.NOUNS) if r.random() < 0.1 else r.choice(makers)(r) for _ in range(count))


def copying(r: Random) -> Lesson:
    """Any words, and a request to say them again."""
    x = r.random()
    if x < 0.6:
        text = _anything(r, r.randint(1, 8))
    else:
        text = filler(r) if x < 0.76 else attribute(r, SUBJECTS["thing"](r))[2]
    return Lesson("copying", r.choice(_PROMPTS["repeats"]).format(x=text), (("", text),))


def looking_up(r: Random, size: int) -> Lesson:
    """A table of keys and values, and questions for its values: nothing but finding and copying."""
    table: dict[str, str] = {}
    for _ in range(max(2, size)):
        table[_anything(r, r.choice([1, 1, 2]))] = _anything(r, r.choice([1, 1, 2, 3]))
    mark = r.choice([": ", " = ", " is ", " has "])
    text = r.choice(["\n", ". ", "; "]).join(f"{key}{mark}{value}" for key, value in table.items())
    ask = r.choice(_PROMPTS["lookups"])
    turns = [(ask.format(k=key, mark=mark.rstrip()), value) for key, value in table.items()]
    return Lesson("looking up", text, tuple(r.sample(turns, min(_MOST, len(turns)))))


def lesson(r: Random, progress: float = 1.0) -> Lesson:
    """One lesson; early in the training (progress near 0) mostly copying and short passages.

    A lesson in which chance has put a name of the gate's passages is thrown away.
    """
    made = _drawn(r, progress)
    while any(name in text for name in _KEPT_OUT for text in (made.beginning, *(ask for ask, _ in made.turns))):
        made = _drawn(r, progress)
    return made


def _drawn(r: Random, progress: float) -> Lesson:
    drills = max(0.1, 0.5 * (1 - progress * 4))
    if r.random() < drills:
        longest = 3 + round(min(1.0, progress * 3) * 7)
        return copying(r) if r.random() < 0.45 else looking_up(r, r.randint(2, longest))
    x = r.random()
    if x < 0.68:
        most = 2 + 3 * min(1.0, progress / 0.4) + 1 * max(0.0, min(1.0, (progress - 0.7) / 0.1))
        return questions(r, round(r.uniform(1, most)))
    for share, task in ((0.79, fields), (0.84, sentiment), (0.92, summary), (0.97, lists)):
        if x < share:
            return task(r)
    return rewrite(r)
