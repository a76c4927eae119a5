"""From what is asked to the prompt that a model reads: a conversation in the words of its template, or a plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phloem.nodes.services.models.local.chat import CHATML, CHATML_END, CHATML_MARKS, conversation
from phloem.nodes.services.models.local.llama import Loaded
from phloem.nodes.services.models.local.vocabulary import Vocabulary
from phloem.runtime.errors import InputError
from phloem.runtime.services import Tool
from phloem.runtime.values import Message

__all__ = ["Prompt", "prompt_of"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads: as text, and as tokens. `stop` are texts that end its answer, besides those asked for."""

    text: str
    tokens: list[int]
    stop: tuple[str, ...] = ()
    talks: bool = True

    def check(self, name: str, context: int) -> None:
        """InputError when it leaves no room to write in."""
        if len(self.tokens) >= context:
            raise InputError(
                f"the prompt has {len(self.tokens):,} tokens, and {name} reads at most {context - 1:,}",
                hint="Shorten it, give it fewer or smaller passages, or choose a model with a longer context.",
            )


def prompt_of(loaded: Loaded, words: Vocabulary, asked: str | Sequence[Message], tools: Sequence[Tool] = ()) -> Prompt:
    """The prompt of what is asked.

    A text is what the user says, if the model was made for conversation, which its file tells by bringing a
    chat template; otherwise the model goes on writing where the text ends.
    """
    template = loaded.header.chat_template
    marks = words.marks
    stop: tuple[str, ...] = ()
    if isinstance(asked, str):
        if not template and not tools:
            return Prompt(asked, loaded.tokens(asked, marks=False, ends=True) or [words.first], talks=False)
        asked = [Message("user", asked)]
    if not template:
        template, marks, stop = CHATML, (*marks, *CHATML_MARKS), (CHATML_END,)
    begin, end = words.ends
    text = conversation(template, asked, marks=marks, bos=begin, eos=end, tools=tools)
    return Prompt(text, loaded.tokens(text, marks=True, ends=False) or [words.first], stop)
