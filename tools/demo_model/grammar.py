"""Forms of English words: plurals, the forms of verbs, a or an, capitals."""

from __future__ import annotations

from .words import IRREGULAR

_VOWELS = "aeiou"
_PLURALS = {"man": "men", "woman": "women", "child": "children", "foot": "feet", "tooth": "teeth", "mouse": "mice"}


def plural(noun: str) -> str:
    """The plural of a noun: box gives boxes, city gives cities."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in _VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def third(verb: str) -> str:
    """What he, she or it does: carry gives carries."""
    return IRREGULAR[verb][0] if verb in IRREGULAR else plural(verb)


def past(verb: str) -> str:
    """What somebody did: carry gives carried, write gives wrote."""
    return IRREGULAR[verb][1] if verb in IRREGULAR else _ed(verb)


def participle(verb: str) -> str:
    """What was done: carry gives carried, write gives written."""
    return IRREGULAR[verb][2] if verb in IRREGULAR else _ed(verb)


def _ed(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "ied"
    doubled = len(verb) > 2 and verb[-1] in "bdgmnprt" and verb[-2] in _VOWELS and verb[-3] not in _VOWELS
    short = sum(letter in _VOWELS for letter in verb) == 1
    return verb + (verb[-1] if doubled and short else "") + "ed"


def a(noun: str) -> str:
    """A noun with its article: an apple, a pear."""
    return f"{'an' if noun[:1].lower() in _VOWELS else 'a'} {noun}"


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]
