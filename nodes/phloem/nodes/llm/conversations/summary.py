"""Old turns of a conversation in short, by the model itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from phloem.nodes import units
from phloem.nodes.llm.conversations.fitting import beginning, most_that_fit
from phloem.nodes.llm.conversations.turns import Turn
from phloem.runtime.values import Message

__all__ = ["as_turn", "summary"]

Count = Callable[[Sequence[Message]], Awaitable[int]]
Ask = Callable[[Sequence[Message], int], Awaitable[str]]
"""Asks the model: the conversation, and the most tokens of the answer."""

HEAD: Final = "What we said before, in short:"
NOTED: Final = "I will keep that in mind."
TASK: Final = (
    "Below is the beginning of a conversation. Write in a few sentences what is needed to go on with it: what the "
    "user wants, what was found out and decided, with all names and numbers. Write only that."
)


def as_turn(text: str) -> Turn:
    """A summary as a turn of the conversation that it stands at the beginning of.

    It stands in the user's name: what people and pages said must not become an instruction. An answer follows
    it, since many models want user and assistant to take turns.
    """
    return (Message("user", f"{HEAD}\n{text}"), Message("assistant", NOTED))


async def summary(turns: Sequence[Turn], ask: Ask, count: Count, *, room: int, longest: int) -> str:
    """What was said in these turns, in at most `longest` tokens.

    `room` is how many tokens the model reads in one go. Where the turns are longer, a summary of the first is
    read with the next, and so on; a summary that is among them is read the same way. What is too long by
    itself is cut at its end.
    """
    earlier, lines = _transcript(turns)
    while lines:
        cuts = [len(line) for line in lines]

        async def tokens(number: int, earlier: str = earlier, lines: Sequence[str] = tuple(lines)) -> int:
            return await count(_asked(earlier, lines[:number]))

        number = await most_that_fit(cuts, tokens, room)
        if not number:
            lines[0] = await _shortened(lines[0], earlier, count, room)
            number = 1
        earlier = (await ask(_asked(earlier, lines[:number]), longest)).strip()
        del lines[:number]
    return earlier


def _transcript(turns: Sequence[Turn]) -> tuple[str, list[str]]:
    """The summary that the turns may begin with, and the rest of what was said, a text for each message."""
    earlier = turns[0][0].content.removeprefix(f"{HEAD}\n") if turns else ""
    if turns and turns[0] == as_turn(earlier):
        turns = turns[1:]
    else:
        earlier = ""
    said = [message for turn in turns for message in turn]
    lines = [f"{message.role.capitalize()}: {_words(message)}" for message in said]
    return earlier, [line for line in lines if not line.endswith(": ")]


def _words(message: Message) -> str:
    """What a message says, calls of tools included."""
    calls = ", ".join(f"{call.name}({call.arguments})" for call in message.calls)
    return " ".join(part for part in (message.content.strip(), calls and f"(calls {calls})") if part)


def _asked(earlier: str, lines: Sequence[str]) -> list[Message]:
    before = [f"Summary of what came before: {earlier}"] if earlier else []
    return [Message("user", "\n\n".join([TASK, *before, *lines]))]


async def _shortened(line: str, earlier: str, count: Count, room: int) -> str:
    """As much of the beginning of a text as can be read at once, cut behind a word."""
    words = units.words(line)

    async def tokens(number: int) -> int:
        return await count(_asked(earlier, [beginning(line, words, number)]))

    return beginning(line, words, await most_that_fit([end - begin for begin, end in words], tokens, room))
