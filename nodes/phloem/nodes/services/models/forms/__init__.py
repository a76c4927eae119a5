"""The forms an answer can be held to: a JSON Schema, a pattern, a choice of texts, or a grammar written by hand.

Each becomes a Grammar (`tree`, `grammar`): rules that llama.cpp holds a model to token by token (`gbnf_writer`),
that tell by themselves whether a text fits, and that close one which was cut off (`recogniser`, `shortest`).
`schema` compiles schemas, with `numbers`, `strings`, `objects`, `keys` and `arrays`; `regex` and `automaton` compile
patterns, `gbnf_reader` reads grammars. `factoring` makes alternatives part where they differ, and `ways` refuses what
would still be read in too many ways. `schema_check` and `schema_words` check a schema beforehand, and every answer
once `parsed` has read it.

What becomes of the keywords of JSON Schema (draft 2020-12; 6, 7 and 2019-09 where `$schema` says so):

compiled, so that no answer can break them
    type, const, enum, properties, required, additionalProperties, patternProperties (up to 4 patterns),
    propertyNames (of pattern, length, format, enum), minProperties, maxProperties, dependentRequired, items,
    prefixItems, minItems and maxItems (to 1,000), uniqueItems of up to 8 listed values, minLength and maxLength
    (to 10,000), pattern, format (see `formats`), minimum, maximum, exclusiveMinimum, exclusiveMaximum,
    multipleOf, allOf, anyOf, oneOf as anyOf, $ref and $defs, also to themselves, and boolean schemas.
checked afterwards: an answer that breaks them is a ServiceError
    that exactly one of oneOf fits, not (but for types), if, then and else, contains with minContains and
    maxContains, uniqueItems otherwise, dependentSchemas, unevaluatedItems and unevaluatedProperties; maxItems,
    maxProperties and maxLength beyond what can be counted, propertyNames of other sorts; what two parts of an allOf
    say that cannot be put together.
refused with a SettingError
    $ref to anything outside the schema (nothing is ever fetched), $dynamicRef, $recursiveRef, $id inside the
    schema, patternProperties beside unevaluatedProperties, lookaround, back references and word boundaries in
    patterns, bounds of more than 40 digits, steps with more than 100 remainders, minItems above 1,000; what is too
    large, too deep, goes in a circle, or can never be filled.
ignored, as the standard says
    title, description, default, examples, $comment, deprecated, readOnly, contentEncoding and whatever else is
    no keyword: generators of schemas put many such words in.

Four things are narrower than the standard, as with most makers of structured output. Properties come in the
order in which they are listed. Properties that are not listed are written only if `additionalProperties` or
`patternProperties` allows them in so many words. A tuple (`prefixItems`) is written whole unless `minItems` says that
it may be shorter. And a number with type integer is written without a point. A property that is not listed may be
written twice; its last value holds.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.automaton import Automaton
from phloem.nodes.services.models.forms.grammar import Grammar
from phloem.nodes.services.models.forms.parsed import parsed
from phloem.nodes.services.models.forms.tree import Text, alt
from phloem.runtime.errors import ServiceError, SettingError

__all__ = ["Form", "form_of"]

MOST_CHOICES: Final = 1_000
LONGEST_CHOICE: Final = 2_000
_KINDS: Final = "schema, pattern, choices and grammar"


@dataclass(frozen=True, slots=True)
class Form:
    """What holds the model while it writes, and what reads the finished text; `read` raises ServiceError."""

    grammar: Grammar
    read: Callable[[str], Any]

    def close(self, text: str) -> str:
        """`text`, an answer that was cut off, with the fewest characters after it that make it whole.

        Of several that are equally short always the same is taken. A last U+FFFD, which stands for a
        character that came only in part, is left out where it does not fit. ServiceError if the text is
        not the beginning of an answer, or if what comes out does not pass `read`.
        """
        for start in dict.fromkeys((text, text.rstrip("\ufffd"))):
            rest = self.grammar.closing(start)
            if rest is not None:
                self.read(start + rest)
                return start + rest
        raise ServiceError(f"the model's answer is not the beginning of one that fits the form: {_short(text)}")


def form_of(form: Mapping[str, Any]) -> Form:
    """The form that has one of `schema`, `pattern`, `choices`, `grammar`. SettingError says what is wrong with it."""
    if len(form) != 1:
        raise SettingError(f"give exactly one of {_KINDS}", hint="They are ways to say the same thing.")
    ((kind, value),) = form.items()
    try:
        if kind == "schema":
            return _schema_form(_canonical(value))
        if kind == "choices":
            return _choice_form(_choices(value))
        if kind in ("pattern", "grammar"):
            if not isinstance(value, str):
                raise SettingError(f"the {kind} must be a text")
            return _pattern_form(value) if kind == "pattern" else _grammar_form(value)
    except RecursionError:
        raise SettingError(f"the {kind} is nested too deeply") from None
    raise SettingError(f"{kind!r:.80} is not a form; forms are {_KINDS}")


def _canonical(schema: object) -> str:
    """The schema as text, under which its form is remembered."""
    try:
        return json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise SettingError("the schema is not JSON, or is nested too deeply") from None


@functools.lru_cache(maxsize=64)
def _schema_form(canonical: str) -> Form:
    from phloem.nodes.services.models.forms.schema import schema_grammar
    from phloem.nodes.services.models.forms.schema_check import SchemaCheck

    check = SchemaCheck(canonical)
    grammar = schema_grammar(check.schema, check.fits)

    def read(text: str) -> Any:
        try:
            value = parsed(text)
            problem = check.problem(value)
        except RecursionError:
            problem = "it, or the schema, is nested too deeply"
        except ValueError as error:
            problem = str(error)
        if problem is not None:
            raise ServiceError(
                f"the model's answer does not fit the schema: {problem}",
                hint="Simplify that part of the schema, or allow what the answer has. The answer was: " + _short(text),
            )
        return value

    return Form(grammar, read)


@functools.lru_cache(maxsize=64)
def _pattern_form(pattern: str) -> Form:
    grammar = Grammar(Automaton.of(regex.full_match(pattern)).rules("root", lambda characters: characters)).pruned()
    grammar.check()
    regex.check(pattern)

    def read(text: str) -> str:
        try:
            fits = regex.matches(pattern, text) and not _has_surrogate(text)
        except SettingError as error:
            raise ServiceError(f"the model's answer cannot be checked: {error.message}", hint=error.hint) from None
        if not fits:
            raise ServiceError(f"the model's answer does not match the pattern: {_short(text)}")
        return text

    return Form(grammar, read)


@functools.lru_cache(maxsize=64)
def _choice_form(choices: tuple[str, ...]) -> Form:
    grammar = Grammar({"root": alt(*(Text(choice) for choice in choices))}).ready()

    def read(text: str) -> str:
        if text not in choices:
            raise ServiceError(f"the model's answer is none of the choices: {_short(text)}")
        return text

    return Form(grammar, read)


@functools.lru_cache(maxsize=64)
def _grammar_form(source: str) -> Form:
    from phloem.nodes.services.models.forms.gbnf_reader import read_gbnf

    grammar = read_gbnf(source)

    def read(text: str) -> str:
        if not grammar.fits(text):
            raise ServiceError(f"the model's answer does not fit the grammar: {_short(text)}")
        return text

    return Form(grammar, read)


def _choices(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise SettingError("choices must be a list of at least one text")
    if not all(isinstance(choice, str) and choice for choice in value):
        raise SettingError("each of the choices must be a text that is not empty")
    if any("\0" in choice or _has_surrogate(choice) for choice in value):
        raise SettingError("one of the choices has a character that no text holds")
    if len(value) > MOST_CHOICES or max(map(len, value)) > LONGEST_CHOICE:
        raise SettingError(f"there may be {MOST_CHOICES:,} choices of at most {LONGEST_CHOICE:,} characters")
    return tuple(dict.fromkeys(value))


def _has_surrogate(text: str) -> bool:
    return re.search("[\ud800-\udfff]", text) is not None


def _short(text: str) -> str:
    return repr(text[:200]) + ("…" if len(text) > 200 else "")
