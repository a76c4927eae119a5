"""Strings of a JSON Schema as grammars: their patterns, formats and lengths, all at once."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from phloem.nodes.services.models.forms import json_text as spelled
from phloem.nodes.services.models.forms import regex
from phloem.nodes.services.models.forms.automaton import Automaton, TooManyStates
from phloem.nodes.services.models.forms.formats import FORMATS, format_automaton
from phloem.nodes.services.models.forms.json_text import BLOCK
from phloem.nodes.services.models.forms.schema_merge import Contradiction, every
from phloem.nodes.services.models.forms.tree import Node, Ref, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["counted_automaton", "lengths", "string_automaton", "string_rules"]

MOST_COUNTED: Final = 10_000
"""How many characters a string may be counted to; whether it has no more is beyond that checked afterwards."""


def string_rules(schema: Mapping[str, Any], name: str) -> dict[str, Node]:
    """Rules for the strings that `schema` allows, quotes included; the first is called `name`.

    Contradiction when there are none, SettingError for what cannot be held to.
    """
    least, most = lengths(schema)
    automaton = string_automaton(schema)
    if automaton is None:
        return {name: seq(Text('"'), _counted(least, most), Text('"'))}
    # Strings of which the same is asked share their rules.
    inner = f"text {every(schema, 'pattern')} {every(schema, 'format')} {least} {most}"
    return {name: seq(Text('"'), Ref(inner), Text('"')), **_text_rules(automaton, inner)}


@functools.lru_cache(maxsize=64)
def _text_rules(automaton: Automaton, name: str) -> dict[str, Node]:
    return automaton.rules(name, spelled.character)


def string_automaton(schema: Mapping[str, Any]) -> Automaton | None:
    """What reads the strings that `schema` allows; None if only their length matters.

    A length beside a pattern that would take too many states is left to the check of the finished answer.
    """
    least, most = lengths(schema)
    parts: list[Callable[[], Automaton]] = []
    parts += [functools.partial(_pattern_automaton, pattern) for pattern in every(schema, "pattern")]
    parts += [functools.partial(format_automaton, name) for name in every(schema, "format") if name in FORMATS]
    if not parts:
        return None
    whole = counted_automaton(functools.reduce(operator.and_, [part() for part in parts]), least, most)
    if whole.is_empty:
        raise Contradiction("the schema asks for a text that fits a pattern, a format or a length, and none fits all")
    return whole


def counted_automaton(automaton: Automaton, least: int, most: int | None) -> Automaton:
    """What reads those of its texts that have these lengths.

    It does without `most`, and then without `least`, where that takes too many states.
    """
    for bounds in ((least, most), (least, None)):
        if bounds == (0, None):
            break
        with contextlib.suppress(TooManyStates):
            return automaton.counted(*bounds)
    return automaton


@functools.lru_cache(maxsize=64)
def _pattern_automaton(pattern: str) -> Automaton:
    return Automaton.of(regex.found_in(pattern)).minimal()


def lengths(schema: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many characters a string has at least, and at most as far as that is counted; else as string_rules."""
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if least > MOST_COUNTED:
        raise SettingError(f"minLength is {least:,}; a schema may ask for at most {MOST_COUNTED:,}")
    if most is not None and most < least:
        raise Contradiction(f"the schema asks for a text of at least {least} characters, and allows {most:.0f}")
    return least, int(most) if most is not None and most <= MOST_COUNTED else None


def _counted(least: int, most: int | None) -> Node:
    """Characters of a string, counted in blocks if there are many."""
    one, block = Ref("character"), Ref("characters")
    if max(least, most or 0) <= 2 * BLOCK:
        return repeat(one, least, most)
    fixed = seq(repeat(block, least // BLOCK, least // BLOCK), repeat(one, least % BLOCK, least % BLOCK))
    if most is None:
        return seq(fixed, repeat(one, 0, None))
    blocks, rest = divmod(most - least, BLOCK)
    if not blocks:
        return seq(fixed, repeat(one, 0, rest))
    fewer = seq(repeat(block, 0, blocks - 1), repeat(one, 0, BLOCK - 1))
    return seq(fixed, alt(fewer, seq(repeat(block, blocks, blocks), repeat(one, 0, rest))))
