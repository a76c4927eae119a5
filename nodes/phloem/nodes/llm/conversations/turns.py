"""A conversation taken apart: the instructions, the turns so far, and what is to be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile

from phloem.runtime.errors import InputError
from phloem.runtime.values import Blob, Message

__all__ = ["Talk", "Turn"]

Turn = tuple[Message, ...]
"""What a user says, with all that follows it up to where the user speaks again."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation that ends with something to answer.

    `system` are the instructions that it begins with, `turns` what may be forgotten, oldest first, and `last`
    the user's last message with the calls and results that may follow it.
    """

    system: Turn
    turns: tuple[Turn, ...]
    last: Turn

    @classmethod
    def of(cls, messages: Sequence[Message], prompt: str = "", system: str = "", images: Sequence[Blob] = ()) -> Talk:
        """The conversation so far, with what the user says next at its end.

        Instructions given as `system` replace the ones that it begins with. InputError if nothing is to be
        answered.
        """
        said = list(messages)
        if system.strip():
            said = [Message("system", system), *dropwhile(_instructs, said)]
        if prompt.strip() or images:
            said.append(Message("user", prompt, tuple(images)))
        begin = tuple(takewhile(_instructs, said))
        rest = said[len(begin) :]
        if not rest or rest[-1].role in ("assistant", "system"):
            raise InputError("there is nothing to answer", hint=_what_to_give(rest))
        turns = _turns(rest)
        return cls(begin, tuple(turns[:-1]), turns[-1])

    @property
    def messages(self) -> list[Message]:
        """The whole of it."""
        return [*self.system, *(message for turn in self.turns for message in turn), *self.last]


def _instructs(message: Message) -> bool:
    return message.role == "system"


def _turns(messages: Sequence[Message]) -> list[Turn]:
    found: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not found:
            found.append([])
        found[-1].append(message)
    return [tuple(turn) for turn in found]


def _what_to_give(rest: Sequence[Message]) -> str:
    if rest and rest[-1].calls:
        return "The conversation ends with calls of tools. Give their results as messages of the role tool."
    return "Give a prompt, or messages that end with the user's."
