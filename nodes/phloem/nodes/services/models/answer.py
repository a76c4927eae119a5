"""One answer from a text model: from a question to its prompt, and from tokens to pieces of text.

This runs in the thread that owns the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from phloem.nodes.services.models.chat import CHATML, CHATML_END, conversation
from phloem.nodes.services.models.forms.grammar import Grammar
from phloem.nodes.services.models.sampling import Wording
from phloem.nodes.services.models.text import Pieces
from phloem.nodes.services.models.text_model import TextModel
from phloem.runtime.values import Message

__all__ = ["Question", "Spent"]


@dataclass(slots=True)
class Spent:
    """How many tokens a call has read and written so far."""

    read: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked: a conversation, or one text.

    A text is what the user says, if the model was made for conversation, which its file tells by bringing
    a chat template; otherwise the model goes on writing where the text ends.
    """

    asked: str | Sequence[Message]
    wording: Wording
    grammar: Grammar | None = None
    spent: Spent = field(default_factory=Spent)

    def answer(self, model: TextModel, show: Callable[[str], None]) -> bool:
        """Write the answer, handing each piece to `show`; whether it came to its end. Errors as TextModel."""
        tokens, stop, talks = self._prompt(model)
        self.spent.read = len(tokens)
        pieces = Pieces(stop, skip_space=talks and self.grammar is None and model.begins_with_space)
        with closing(model.write(tokens, self.wording, self.grammar)) as writing:
            while True:
                try:
                    data = next(writing)
                except StopIteration as end:
                    show(pieces.finish())
                    return bool(end.value)
                self.spent.written += 1
                show(pieces.push(data))
                if pieces.stopped:
                    return True

    def _prompt(self, model: TextModel) -> tuple[list[int], tuple[str, ...], bool]:
        """The tokens to go on from, the texts to end before, and whether this is a conversation."""
        template, stop = model.header.chat_template, self.wording.stop
        if isinstance(self.asked, str):
            if not template:
                return model.prompt(self.asked, marks=False), stop, False
            messages: Sequence[Message] = [Message("user", self.asked)]
        else:
            messages = self.asked
        if not template:
            template, stop = CHATML, (*stop, CHATML_END)
        begin, end = model.ends
        text = conversation(template, messages, marks=model.marks, bos=begin, eos=end)
        return model.prompt(text, marks=True), stop, True
