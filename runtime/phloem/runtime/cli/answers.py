"""Answers to what nodes ask, as they are typed."""

from __future__ import annotations

from typing import Any, Final

from phloem.runtime.errors import CheckError, Problem
from phloem.runtime.inputs import parse_input
from phloem.runtime.journal import Question
from phloem.runtime.ports import PortType
from phloem.runtime.words import nearest, or_list, printable

__all__ = ["parse_answer"]

_TRUTH: Final = {
    "y": True, "yes": True, "true": True, "approve": True, "approved": True, "1": True,
    "n": False, "no": False, "false": False, "refuse": False, "refused": False, "0": False,
}  # fmt: skip


def parse_answer(question: Question, text: str) -> Any:
    """The answer that a text stands for: one of the choices by its words or its number, yes or no, or a value of the
    question's type. CheckError for what is none."""
    if question.choices:
        return _choice(list(question.choices), text)
    if question.type == "boolean":
        known = _TRUTH.get(text.strip().lower())
        if known is None:
            raise CheckError(Problem(f"{printable(text[:60])!r} is neither yes nor no", "Answer y or n."))
        return known
    try:
        return parse_input("answer", text, PortType.parse(question.type))
    except CheckError as error:
        first = error.problems[0]
        raise CheckError(Problem(first.message.removeprefix("input answer: "), first.hint)) from None


def _choice(choices: list[str], text: str) -> str:
    words = text.strip()
    if text in choices:
        return text
    same = [one for one in choices if one.strip().casefold() == words.casefold()]
    if len(same) == 1:
        return same[0]
    numbered = {str(number): one for number, one in enumerate(choices, 1)}
    if words in numbered:
        return numbered[words]
    near = nearest(words, choices)
    hint = f"Did you mean {near}?" if near else f"There is {or_list([printable(one) for one in choices[:10]])}."
    raise CheckError(Problem(f"{printable(words[:60])!r} cannot be chosen", hint))
