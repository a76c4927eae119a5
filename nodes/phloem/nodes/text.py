"""Text kinds: fill in a template, split and join, find and replace, cut, count and tidy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

from phloem.nodes import units
from phloem.nodes.checks import one_of, whole
from phloem.nodes.names import check_names, input_ports
from phloem.nodes.patterns import compiled as compiled_pattern
from phloem.nodes.patterns import found as matches_of
from phloem.nodes.pieces import MOST_PIECES, check_count, pieces, pieces_of_characters
from phloem.nodes.shown import LARGEST_TEXT
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Json, Ports, PortType

Language = Annotated[str, Setting("The language, such as en or de, for the abbreviations in sentences")]


def _template_ports(settings: Mapping[str, Any], types: Mapping[str, PortType]) -> Ports:
    from phloem.nodes.templates import compiled

    source = settings.get("template")
    if not isinstance(source, str):
        return Ports()
    found = compiled(source)
    fields = check_names(found.fields, "the field", taken=["template"])
    each = set(fields) - found.whole
    return Ports(input_ports(fields, PortType("any"), "A field of the template", optional=found.optional, each=each))


@node(
    "text.template",
    "Fill in a template",
    ports=_template_ports,
    examples=[
        Example(
            {
                "template": "Notes:\n{% for note in notes %}\n- {{ note }}\n{% endfor %}\nQuestion: {{ question }}",
                "notes": ["Looms weave.", "Kay made the shuttle."],
                "question": "Who?",
            },
            {"text": "Notes:\n- Looms weave.\n- Kay made the shuttle.\nQuestion: Who?"},
        ),
        Example({"template": "Dear {{ name | default('reader') }},"}, {"text": "Dear reader,"}),
    ],
)
def template(
    template: Annotated[
        str, Setting("Text with {{ fields }}; each field becomes an input", multiline=True, shapes=True)
    ],
    **fields: Any,
) -> Annotated[str, Out("text")]:
    """Put values into a text.

    The template is written in Jinja2: `{{ name }}` stands for the value of the input `name`,
    `{% for x in names %}…{% endfor %}` repeats, `{% if name %}…{% endif %}` chooses, and
    `{{ name | upper }}` passes a value through a filter. A line that holds nothing but a `{% tag %}`
    leaves no trace.

    Documents, hits and messages print as their text, and have `.text`, `.title`, `.source`, `.score`,
    `.role` and `.metadata`; lists and objects print as JSON; null prints as nothing. A field that the
    template asks about first, with `| default(…)` or `is defined`, may be left unlinked.

    A list linked to a field that is only written makes one text per item. A field that the template goes
    through, counts, joins or shows with `| tojson` takes the list as a whole.
    """
    from phloem.nodes.templates import compiled

    return compiled(template).render(fields)


@node(
    "text.split",
    "Split text",
    examples=[
        Example(
            {"text": "Dr. Kay built it. It flew! Who knew?", "by": "sentences"},
            {"pieces": ["Dr. Kay built it.", "It flew!", "Who knew?"]},
        ),
        Example(
            {"text": "one two three four five", "by": "words", "size": 3, "overlap": 1},
            {"pieces": ["one two three", "three four five"]},
        ),
        Example({"text": "red; green", "by": "separator", "separator": ";"}, {"pieces": ["red", "green"]}),
    ],
)
def split(
    text: Annotated[str, In("The text to split")],
    by: Annotated[
        Literal["sentences", "words", "paragraphs", "lines", "separator", "characters"], Setting("What to count in")
    ] = "sentences",
    size: Annotated[int, Setting("How many of them make a piece", ge=1)] = 1,
    overlap: Annotated[int, Setting("How many of them a piece repeats from the one before", ge=0)] = 0,
    separator: Annotated[str, Setting("What stands between parts, by separator", multiline=True)] = ",",
    longest: Annotated[int, Setting("No piece has more characters than this; 0 for no limit", ge=0)] = 0,
    language: Language = "en",
) -> Annotated[list[str], Out("pieces")]:
    """Cut a text into pieces of so many sentences, words, paragraphs, lines or characters.

    A piece is cut out of the text as it stands, with the spaces and line ends inside it; only white
    space at its ends is left out (by characters, not even that). Parts with nothing in them are left
    out. With `longest`, a piece takes fewer parts where `size` of them would be too long, and a single
    part that is too long is cut at a space.
    """
    size, longest = whole("size", size, least=1), whole("longest", longest, least=0)
    overlap = whole("overlap", overlap, least=0)
    if by == "characters":
        size = min(size, longest or size)
    if overlap >= size:
        raise SettingError(
            f"overlap ({overlap}) must be less than size ({size})", hint="Or the pieces would never end."
        )
    if by == "characters":
        return pieces_of_characters(text, size, overlap)
    return pieces(text, _spans(text, by, separator, language), size, overlap, longest)


def _spans(text: str, by: str, separator: str, language: str) -> list[units.Span]:
    """The units of `text` that hold anything."""
    if one_of("by", by, [*_UNITS, "separator", "characters"]) != "separator":
        return [span for span in _UNITS[by](text, language) if span[0] < span[1]]
    if not separator:
        raise SettingError("the separator is empty", hint="To split into single characters, split by characters.")
    return units.parts(text, separator)


_UNITS: Final[dict[str, Callable[[str, str], list[units.Span]]]] = {
    "sentences": units.sentences,
    "words": lambda text, language: units.words(text),
    "paragraphs": lambda text, language: units.paragraphs(text),
    "lines": lambda text, language: units.lines(text),
}


@node(
    "text.join",
    "Join texts",
    examples=[Example({"texts": ["warp", "weft"], "separator": " and "}, {"text": "warp and weft"})],
)
def join(
    texts: Annotated[list[str], In("The texts, and lists of texts, in the order of their links", many=True)],
    separator: Annotated[str, Setting("What to put between two texts", multiline=True)] = "\n",
) -> Annotated[str, Out("text")]:
    """Make one text of many, with the separator between them."""
    length = sum(map(len, texts)) + len(separator) * len(texts)
    if length > 10 * LARGEST_TEXT:
        raise InputError(f"the joined text would have {length:,} characters; the most is {10 * LARGEST_TEXT:,}")
    return separator.join(texts)


@node(
    "text.replace",
    "Find and replace",
    examples=[
        Example({"text": "2 May", "pattern": r"(\d+) (\w+)", "replacement": r"\2 \1"}, {"text": "May 2"}),
        Example({"text": "a.b.c", "pattern": ".", "replacement": "-", "plain": True, "count": 1}, {"text": "a-b.c"}),
    ],
)
def replace(
    text: Annotated[str, In("The text to look in")],
    pattern: Annotated[str, Setting("What to look for: a regular expression, unless plain is on")],
    replacement: Annotated[str, Setting("What to put there; \\1 is what the first group matched", multiline=True)] = "",
    plain: Annotated[bool, Setting("Take pattern and replacement as they are written")] = False,
    ignore_case: Annotated[bool, Setting("Take upper and lower case as the same")] = False,
    count: Annotated[int, Setting("Replace only the first so many; 0 for all", ge=0)] = 0,
) -> Annotated[str, Out("text")]:
    """Put one text in the place of another, wherever it occurs.

    The pattern is a regular expression as in Python, with a few additions such as `\\p{L}` for any
    letter; `(?m)` at its beginning lets `^` and `$` match at every line. In the replacement `\\1` or
    `\\g<name>` stands for what a group matched.
    """
    count = whole("count", count, least=0)
    if not pattern:
        raise SettingError("the pattern is empty")
    if plain and not ignore_case:
        _check_length(len(text) + text.count(pattern) * len(replacement))
        return text.replace(pattern, replacement, count or -1)
    expression = compiled_pattern(pattern, plain=plain, ignore_case=ignore_case)
    parts: list[str] = []
    position, length = 0, len(text)
    for index, match in enumerate(matches_of(expression, text)):
        if index == (count or -1):
            break
        put = replacement if plain or "\\" not in replacement else _expanded(match, replacement)
        length += len(put)
        _check_length(length)
        parts += (text[position : match.start()], put)
        position = match.end()
    return "".join((*parts, text[position:]))


def _expanded(match: Any, replacement: str) -> str:
    import regex

    try:
        expanded: str = match.expand(replacement)
    except (regex.error, IndexError, KeyError) as error:
        hint = "Write \\\\ for a backslash, or set plain to true."
        raise SettingError(
            f"the replacement {replacement[:80]!r} does not fit the pattern: {error}", hint=hint
        ) from None
    return expanded


def _check_length(length: int) -> None:
    if length > 10 * LARGEST_TEXT:
        raise SettingError(f"the result would have more than {10 * LARGEST_TEXT:,} characters")


class Matches(NamedTuple):
    matches: list[str]
    found: bool
    first: str
    groups: list[Json]


@node(
    "text.match",
    "Find matches",
    examples=[
        Example(
            {"text": "Kay 1733, Watt 1769", "pattern": r"(?P<name>\w+) (?P<year>\d+)", "group": "name"},
            {
                "matches": ["Kay", "Watt"],
                "found": True,
                "first": "Kay",
                "groups": [{"name": "Kay", "year": "1733"}, {"name": "Watt", "year": "1769"}],
            },
        ),
        Example({"text": "none here", "pattern": r"\d+"}, {"matches": [], "found": False, "first": "", "groups": []}),
    ],
)
def match(
    text: Annotated[str, In("The text to look in")],
    pattern: Annotated[str, Setting("What to look for: a regular expression, unless plain is on")],
    group: Annotated[
        str, Setting("Which group of the pattern to give as matches, by number or name; 0 is all of it")
    ] = "0",
    plain: Annotated[bool, Setting("Take the pattern as it is written")] = False,
    ignore_case: Annotated[bool, Setting("Take upper and lower case as the same")] = False,
    count: Annotated[int, Setting("Stop after so many; 0 for all", ge=0)] = 0,
) -> Matches:
    """Find everything in a text that fits a pattern.

    The pattern is a regular expression as in Python, with a few additions such as `\\p{L}` for any
    letter; `(?m)` at its beginning lets `^` and `$` match at every line. `groups` has an object for
    each match: what each group matched, by its name, or by its number where it has none (null where a
    group took no part). `first` is empty when nothing matches.
    """
    count = whole("count", count, least=0, most=MOST_PIECES)
    if not pattern:
        raise SettingError("the pattern is empty")
    expression = compiled_pattern(pattern, plain=plain, ignore_case=ignore_case)
    names = {number: name for name, number in expression.groupindex.items()}
    wanted: str | int = int(group) if group.isdecimal() and len(group) < 6 else group
    if wanted not in names.values() and wanted not in range(expression.groups + 1):
        raise SettingError(f"the pattern has no group {group}", hint=f"It has {expression.groups} in round brackets.")
    matches, groups = [], []
    for one in matches_of(expression, text):
        matches.append(one.group(wanted) or "")
        groups.append({names.get(number, str(number)): value for number, value in enumerate(one.groups(), 1)})
        if len(matches) == count:
            break
        check_count(len(matches) * max(expression.groups, 1))
    return Matches(matches, bool(matches), matches[0] if matches else "", groups)


@node(
    "text.slice",
    "Take a part of a text",
    examples=[
        Example({"text": "The flying shuttle", "start": 4, "end": 10}, {"text": "flying"}),
        Example({"text": "The flying shuttle of 1733", "start": -3, "unit": "words"}, {"text": "shuttle of 1733"}),
    ],
)
def slice_(
    text: Annotated[str, In("The text to cut")],
    start: Annotated[int, Setting("Where to begin: 0 is the first, -1 the last")] = 0,
    end: Annotated[int | None, Setting("Where to stop, itself left out; nothing for the end of the text")] = None,
    unit: Annotated[
        Literal["characters", "words", "lines", "sentences", "paragraphs"], Setting("What to count")
    ] = "characters",
    language: Language = "en",
) -> Annotated[str, Out("text")]:
    """Keep a part of a text, counted in characters, words, lines, sentences or paragraphs.

    Counting begins at 0, and `end` is not part of what is kept, as in Python: from 0 to 2 are the
    first two. Negative numbers count from the end: from -2 are the last two. Beyond the ends of the
    text there is nothing, and no error.
    """
    first, stop = whole("start", start), None if end is None else whole("end", end)
    if unit == "characters":
        return text[first:stop]
    spans = _UNITS[one_of("unit", unit, ["characters", *_UNITS])](text, language)[first:stop]
    return text[spans[0][0] : spans[-1][1]] if spans else ""


class Counts(NamedTuple):
    characters: int
    words: int
    sentences: int
    lines: int


@node(
    "text.count",
    "Count words",
    examples=[Example({"text": "It flew.\nWho knew?"}, {"characters": 18, "words": 4, "sentences": 2, "lines": 2})],
)
def count(
    text: Annotated[str, In("The text to measure")],
    language: Language = "en",
) -> Counts:
    """Count the characters, words, sentences and lines of a text.

    A word is what stands between white space; in Chinese and Japanese each character counts as one.
    A character is a Unicode code point.
    """
    return Counts(len(text), len(units.words(text)), len(units.sentences(text, language)), len(units.lines(text)))


@node(
    "text.case",
    "Change case",
    examples=[
        Example({"text": "the Flying shuttle", "to": "title"}, {"text": "The Flying Shuttle"}),
        Example({"text": "The flying shuttle", "to": "snake"}, {"text": "the_flying_shuttle"}),
    ],
)
def case(
    text: Annotated[str, In("The text to change")],
    to: Annotated[
        Literal["lower", "upper", "title", "sentence", "snake", "kebab"], Setting("How to write it")
    ] = "lower",
) -> Annotated[str, Out("text")]:
    """Write a text in lower or upper case, as a title or a sentence, or as a name_with_lines.

    `title` gives every word a capital and the rest lower case; `sentence` only the first letter of the
    text, and leaves the rest as it is; `snake` and `kebab` join the words in lower case with _ and -.
    """
    return _CASES[one_of("to", to, list(_CASES))](text)


def _sentence_case(text: str) -> str:
    at = next((index for index, character in enumerate(text) if character.isalpha()), len(text))
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]


_CASES: Final[dict[str, Callable[[str], str]]] = {
    "lower": str.lower,
    "upper": str.upper,
    "title": lambda text: re.sub(r"[^\W\d_]+(?:['’][^\W\d_]+)*", lambda word: word[0].capitalize(), text),
    "sentence": _sentence_case,
    "snake": lambda text: "_".join(re.findall(r"\w+", text)).lower(),
    "kebab": lambda text: "-".join(re.findall(r"[^\W_]+", text)).lower(),
}


@node(
    "text.trim",
    "Trim text",
    examples=[
        Example({"text": "  a   flying\n shuttle ", "collapse": True}, {"text": "a flying shuttle"}),
        Example({"text": "John Kay patented it", "longest": 14}, {"text": "John Kay…"}),
    ],
)
def trim(
    text: Annotated[str, In("The text to trim")],
    side: Annotated[Literal["both", "start", "end"], Setting("Where to take white space off")] = "both",
    collapse: Annotated[bool, Setting("Make every run of white space inside a single space")] = False,
    longest: Annotated[int, Setting("Shorten to at most so many characters, at a space; 0 for no limit", ge=0)] = 0,
    ending: Annotated[str, Setting("What to put at the end of a text that was shortened")] = "…",
) -> Annotated[str, Out("text")]:
    """Take white space off the ends of a text, and shorten it if it is too long.

    A text that is longer than `longest` is cut at the last space that leaves room for the ending, or
    inside a word where there is no space.
    """
    longest = whole("longest", longest, least=0)
    if collapse:
        text = re.sub(r"\s+", " ", text)
    text = {"both": text.strip, "start": text.lstrip, "end": text.rstrip}[
        one_of("side", side, ["both", "start", "end"])
    ]()
    if not longest or len(text) <= longest:
        return text
    room = longest - len(ending)
    if room < 1:
        raise SettingError(f"the ending does not fit into {longest} characters")
    _, stop = next(units.cut(text, [(0, len(text))], room), (0, 0))
    return text[:stop] + ending
