"""Drafts of a conversation: what of it is in, how that reads, and how many tokens it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from phloem.nodes import units
from phloem.nodes.llm.conversations.fitting import beginning, most_that_fit
from phloem.nodes.llm.conversations.passages import written
from phloem.nodes.llm.conversations.summary import Count, as_turn
from phloem.nodes.llm.conversations.turns import Talk, Turn
from phloem.runtime.errors import InputError
from phloem.runtime.values import Document, Message

__all__ = ["Draft", "Drafts"]

LONGEST_TOKEN: Final = 100
"""Characters that hardly a token stands for: what has more a token than this is not even measured."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What of a conversation is in: how many of the newest turns, of the first documents, and of the sentences of
    the document after those; and the summary of the turns that are not in, if there is one."""

    turns: int
    documents: int
    sentences: int = 0
    summary: str | None = None


class Drafts:
    """The drafts of one conversation with its documents, each measured at most once. `room` is in tokens."""

    def __init__(self, talk: Talk, documents: Sequence[Document], room: int, count: Count) -> None:
        self.talk = talk
        self.documents = documents
        self.room = room
        self._count = count
        self._measured: dict[Draft, int] = {}
        self._sentences_of: dict[int, list[units.Span]] = {}

    @property
    def whole(self) -> Draft:
        return Draft(len(self.talk.turns), len(self.documents))

    async def tokens(self, draft: Draft) -> int:
        if draft not in self._measured:
            self._measured[draft] = await self._count(self.messages(draft))
        return self._measured[draft]

    def is_far_too_long(self, draft: Draft) -> bool:
        """True for a draft that cannot fit whatever its tokens are, and would take long to measure."""
        return sum(len(message.content) for message in self.messages(draft)) > self.room * LONGEST_TOKEN

    async def fits(self, draft: Draft) -> bool:
        return not self.is_far_too_long(draft) and await self.tokens(draft) <= self.room

    def messages(self, draft: Draft) -> list[Message]:
        """The conversation as the model reads it: the documents stand in what the user says last."""
        said = self.spoken(draft)
        shown = self._shown(draft)
        if not shown:
            return said
        at = max((at for at, message in enumerate(said) if message.role == "user"), default=-1)
        if at < len(said) - len(self.talk.last):
            raise InputError("there is no message of the user to give the documents with", hint="Give a prompt.")
        said[at] = replace(said[at], content=f"Context:\n{written(shown)}\n\n{said[at].content}")
        return said

    def spoken(self, draft: Draft) -> list[Message]:
        """The conversation without the documents."""
        kept = self.talk.turns[len(self.talk.turns) - draft.turns :]
        turns = kept if draft.summary is None else [as_turn(draft.summary), *kept]
        return [*self.talk.system, *(message for turn in turns for message in turn), *self.talk.last]

    def missing(self, draft: Draft) -> tuple[Turn, ...]:
        """The turns that are not in."""
        return self.talk.turns[: len(self.talk.turns) - draft.turns]

    async def more_turns(self, draft: Draft, room: int) -> Draft:
        """The draft with as many turns more as fit, the newest first."""
        weights = [sum(len(message.content) for message in turn) for turn in reversed(self.talk.turns)]
        return await self._more(room, weights, draft.turns, lambda number: replace(draft, turns=number))

    async def more_documents(self, draft: Draft, room: int) -> Draft:
        """The draft with as many documents more as fit, the first first."""
        weights = [len(document.text) for document in self.documents]
        return await self._more(room, weights, draft.documents, lambda number: replace(draft, documents=number))

    async def more_sentences(self, draft: Draft) -> Draft:
        """The draft with as many sentences as fit of the first document that is not in, but not all of them."""
        if draft.documents == len(self.documents):
            return draft
        weights = [end - begin for begin, end in self._sentences(draft.documents)[:-1]]
        return await self._more(self.room, weights, 0, lambda number: replace(draft, sentences=number))

    async def shorter_summary(self, draft: Draft) -> Draft:
        """The draft with as many words of its summary as fit; without any, if none does."""
        text = draft.summary or ""
        words = units.words(text)

        def shortened(number: int) -> Draft:
            return replace(draft, summary=beginning(text, words, number) if number else None)

        return await self._more(self.room, [end - begin for begin, end in words], 0, shortened)

    async def _more(self, room: int, weights: Sequence[int], least: int, with_items: Callable[[int], Draft]) -> Draft:
        worth_measuring = sum(1 for total in accumulate(weights) if total <= room * LONGEST_TOKEN)

        async def tokens(number: int) -> int:
            return await self.tokens(with_items(number))

        number = await most_that_fit(weights[: max(worth_measuring, least)], tokens, room, least=least)
        return with_items(number)

    def _shown(self, draft: Draft) -> list[Document]:
        shown = list(self.documents[: draft.documents])
        if draft.sentences:
            document = self.documents[draft.documents]
            text = beginning(document.text, self._sentences(draft.documents), draft.sentences)
            shown.append(replace(document, text=text))
        return shown

    def _sentences(self, number: int) -> list[units.Span]:
        """The sentences of a document, as far as they could fit at all."""
        if number not in self._sentences_of:
            text = self.documents[number].text
            self._sentences_of[number] = units.sentences(text[: self.room * LONGEST_TOKEN])
        return self._sentences_of[number]
