"""A conversation that fits: what must stay, as many documents and turns as there is room for, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from phloem.nodes.checks import one_of
from phloem.nodes.llm.conversations.drafts import Draft, Drafts
from phloem.nodes.llm.conversations.summary import Ask, Count, summary
from phloem.nodes.llm.conversations.turns import Talk
from phloem.runtime.budget import tokens_in
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.values import Document, Message

__all__ = ["Built", "Overflow", "Reader", "built"]

Overflow = Literal["error", "drop", "summarise"]

LONGEST_SUMMARY: Final = 400
"""Tokens of a summary at most: more would crowd out the turns that are kept."""
SHORTEST_SUMMARY: Final = 16
"""Where there is room for less, turns are left out without one."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The model that a conversation is for.

    `room` is how many tokens the conversation may have, None if nobody knows, and `why` where that number
    comes from; `reads` is how many the model reads at once. `count` measures a conversation, and `ask` puts a
    question to the model.
    """

    room: int | None
    why: str
    reads: int
    count: Count
    ask: Ask


@dataclass(frozen=True, slots=True)
class Built:
    """A conversation that fits.

    `messages` is what the model reads, `spoken` the same without the documents: what to go on from.
    `dropped` counts the messages that were left out or put in short, `left_out` the documents of which
    nothing is in.
    """

    messages: list[Message]
    spoken: list[Message]
    tokens: int
    dropped: int
    left_out: int


async def built(
    talk: Talk,
    documents: Sequence[Document],
    reader: Reader,
    *,
    overflow: Overflow = "error",
    cut: bool = True,
    told: Callable[[str], None] = lambda _: None,
) -> Built:
    """The conversation with as much of its turns and of the documents as the reader has room for.

    When both do not fit, documents get half of the room that what must stay leaves, and what the turns do not
    need. `overflow` says what becomes of turns that do not fit: they are an error, or left out from the oldest
    on, or put in short by the model. The last document is cut at the end of a sentence if `cut`, and else
    left out. `told` is told what takes time. InputError when what must stay does not fit.
    """
    one_of("overflow", overflow, get_args(Overflow))
    drafts = Drafts(talk, documents, reader.room or 0, reader.count)
    draft = drafts.whole
    if reader.room is not None and not await drafts.fits(draft):
        draft = await _fitting(drafts, reader, overflow, cut, told)
    left_out = len(documents) - draft.documents - (draft.sentences > 0)
    dropped = sum(map(len, drafts.missing(draft)))
    return Built(drafts.messages(draft), drafts.spoken(draft), await drafts.tokens(draft), dropped, left_out)


async def _fitting(drafts: Drafts, reader: Reader, overflow: Overflow, cut: bool, told: Callable[[str], None]) -> Draft:
    whole, room = drafts.whole, drafts.room
    draft = replace(whole, documents=0, turns=whole.turns if overflow == "error" else 0)
    if not await drafts.fits(draft):
        raise await _too_long(drafts, draft, reader)
    free = room - await drafts.tokens(draft)
    if draft.turns == whole.turns:
        draft = await drafts.more_documents(draft, room)
    else:
        draft = await drafts.more_documents(draft, room - free // 2)
        draft = await drafts.more_turns(draft, room)
        if overflow == "summarise" and draft.turns < whole.turns:
            draft = await _put_in_short(drafts, replace(draft, turns=0), reader, told) or draft
        draft = await drafts.more_documents(draft, room)
    return await drafts.more_sentences(draft) if cut else draft


async def _put_in_short(drafts: Drafts, draft: Draft, reader: Reader, told: Callable[[str], None]) -> Draft | None:
    """The draft with the newest turns, and a summary of those before them; None if there is no room for one.

    Of the room that is free, the summary may take a quarter, and another is left to the turns to come, so that
    not each of them needs a new summary.
    """
    quarter = (drafts.room - await drafts.tokens(draft)) // 4
    longest = min(LONGEST_SUMMARY, quarter)
    if longest < SHORTEST_SUMMARY:
        return None
    draft = await drafts.more_turns(replace(draft, summary=""), drafts.room - quarter - longest)
    missing = drafts.missing(draft)
    told(f"putting {sum(map(len, missing))} messages in short")
    text = await summary(missing, reader.ask, reader.count, room=reader.reads - longest, longest=longest)
    if not text:
        raise ServiceError(
            "the model gave no summary of the turns that do not fit",
            hint="Let overflow be drop, or choose another model.",
        )
    draft = replace(draft, summary=text)
    return draft if await drafts.fits(draft) else await drafts.shorter_summary(draft)


async def _too_long(drafts: Drafts, must: Draft, reader: Reader) -> InputError:
    """What to say of a conversation in which what must stay does not fit."""
    talk = drafts.talk
    parts = {
        "the instructions": talk.system,
        "the earlier turns": [message for turn in talk.turns[len(talk.turns) - must.turns :] for message in turn],
        "what the user says last": talk.last[:1],
        "what follows the user's last message": talk.last[1:],
    }
    lengths = {name: sum(len(message.content) for message in messages) for name, messages in parts.items()}
    longest = max(lengths, key=lambda name: lengths[name])
    if drafts.is_far_too_long(must):
        tokens = f"about {sum(tokens_in(message.content) for message in drafts.messages(must)):,}"
    else:
        tokens = f"{await drafts.tokens(must):,}"
    way_out = "Let overflow be drop or summarise, so that old turns make room" if must.turns else "Shorten it"
    return InputError(
        f"the conversation has {tokens} tokens and there is room for {drafts.room:,}; most of it "
        f"is {longest} ({lengths[longest]:,} characters)",
        hint=f"{way_out}, or choose a model that reads more; {reader.why}.",
    )
