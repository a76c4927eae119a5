"""The words the demo model is taught with, as read from words.txt: ordinary English words and names."""

from __future__ import annotations

from pathlib import Path


def sections(path: Path) -> dict[str, list[str]]:
    """The lines of a file by the [heading] that they stand under, without those that begin with #."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            lines = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


_FOUND = sections(Path(__file__).with_name("words.txt"))


def _words(section: str) -> list[str]:
    return [word for line in _FOUND[section] for word in line.split()]


FIRST = _words("first")
LAST = _words("last")
PLACES = _words("places")
NOUNS = _words("nouns")
ADJECTIVES = _words("adjectives")
JOBS = _words("jobs")
COLORS = _words("colors")
MATERIALS = _words("materials")
FOODS = _words("foods")
GOODS = _words("goods")
MONTHS = _words("months")
DAYS = _words("days")
LANGUAGES = _words("languages")
BUILDINGS = _words("buildings")
WATERS = _words("waters")
TITLES = _words("titles")
#: verbs that a person does to a thing, and verbs that a thing does to a substance or to things
DEEDS, WORKS = _words("deeds"), _words("works")
POSITIVE, NEGATIVE = _words("positive"), _words("negative")
GOOD_DEEDS, BAD_DEEDS = _FOUND["good_deeds"], _FOUND["bad_deeds"]
#: words so common that the tokenizer keeps them together with the space before them
COMMON = _words("common")
UNITS = _words("units")
#: words of the tasks and prompts
INSTRUCTIONS = _words("instructions")
#: verb: how it is said with a subject (begins), what was done (began), and what was done to the object (begun)
IRREGULAR = {verb: (third, past, done) for verb, third, past, done in (line.split() for line in _FOUND["irregular"])}

NATURE, ANIMALS, PARTS = _words("nature"), _words("animals"), _words("parts")
ORDERS, EVENTS, ACCOUNTS = _words("orders"), _words("events"), _words("accounts")
OFFICES, TOWN_OFFICES, ROLES, KIN = _words("offices"), _words("town_offices"), _words("roles"), _words("kin")
FIELDS, INSTRUMENTS, CONTESTS = _words("fields"), _words("instruments"), _words("contests")
DIRECTIONS, PROGRAMS, MEALS, FIRMS = _words("directions"), _words("programs"), _words("meals"), _words("firms")
NUMERALS = _words("numerals")
#: beginnings and ends of invented syllables
ONSETS, RHYMES = _words("onsets"), _words("rhymes")
#: what a thing may have: a price, a founder; those that are persons, and those that are sums of money
ATTRIBUTES, PERSONS, PAID = _words("attributes"), _words("persons"), _words("paid")
#: words of a question that say little about what is asked
LIGHT = _words("light")
