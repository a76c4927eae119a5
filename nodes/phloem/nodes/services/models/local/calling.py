"""An answer that may call tools: the model writes freely, but a call, once it has begun, fits the tool's schema."""

from __future__ import annotations

import codecs
import json
from collections import deque
from collections.abc import Sequence
from typing import Final

from phloem.nodes.services.models.local.asking import Prompt
from phloem.nodes.services.models.local.choosing import HeldChooser
from phloem.nodes.services.models.local.llama import Loaded
from phloem.nodes.services.models.local.questions import Question, packed_call
from phloem.nodes.services.models.local.text import Pieces
from phloem.nodes.services.models.local.tools import called, style_of
from phloem.nodes.services.models.local.vocabulary import Vocabulary
from phloem.nodes.services.models.local.writing import Writing
from phloem.runtime.errors import ServiceError

__all__ = ["writing_of"]

MOST_CALLS: Final = 64
"""Calls in one answer; a model that goes on is stuck."""


def writing_of(loaded: Loaded, words: Vocabulary, prompt: Prompt, question: Question) -> Writing:
    """What writes the answer to a question. ServiceError if llama.cpp refuses the form."""
    wording = question.wording
    stop = (*wording.stop, *prompt.stop)
    if question.tools:
        return _Calling(loaded, words, prompt.tokens, question, stop)
    skip = prompt.talks and not question.gbnf and words.begins_with_space
    return Writing(loaded, words, prompt.tokens, wording, stop=stop, gbnf=question.gbnf, skip_space=skip)


class _Calling(Writing):
    """Watches for the text that opens a call, holds the model to a grammar inside, and closes the call itself."""

    def __init__(
        self, loaded: Loaded, words: Vocabulary, prompt: Sequence[int], question: Question, stop: tuple[str, ...]
    ) -> None:
        self._style = style_of(loaded.header.chat_template)
        self._gbnf = question.call_gbnf
        self._held: HeldChooser | None = None
        self._ends = (*stop, self._style.opener)
        self._forced: deque[int] = deque()
        self._unheard = 0
        """Tokens to come that are not the model's own words."""
        self._call = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._silent = True
        super().__init__(
            loaded, words, prompt, question.wording, stop=self._ends, skip_space=words.begins_with_space
        )  # fmt: skip

    def close(self) -> None:
        super().close()
        self._let_go()

    def _next(self, index: int) -> int | None:
        if self._forced:
            return self._forced.popleft()
        if self._held is None:
            token = super()._next(index)
            if token is None or not self._begins_bare(token):
                return token
            # Chosen again, so that the grammar sees the call from its first character on.
            self._open()
        assert self._held is not None
        token = self._held.next(index)
        if token is None or self._words.bytes_of(token) is None:
            raise ServiceError("the model came to no end of a call that fits its tool")
        return token

    def _push(self, token: int, data: bytes) -> None:
        if self._unheard:
            self._unheard -= 1
        elif self._held is not None:
            self._push_call(data)
        elif self._words.shown(token).strip() == self._style.opener:
            self._open()
            self._force("\n")
        else:
            self._push_text(data)

    def _push_text(self, data: bytes) -> None:
        self._silent = self._silent and not data.strip()
        self._text.append(self._pieces.push(data))
        if not self._pieces.stopped:
            return None
        if self._pieces.ended_by != self._style.opener:
            return self._end("stop")
        rest = self._pieces.rest
        self._open()
        if not rest.strip():
            return self._force("" if rest else "\n")
        # The token goes on into the call, where only the grammar chooses: the opener is written without it.
        self._force(data.decode("utf-8", "replace").removesuffix(rest) + "\n")
        self.token = self._forced.popleft()
        self._unheard -= 1
        return None

    def _push_call(self, data: bytes) -> None:
        self._call += self._decoder.decode(data)
        if not self._call.rstrip().endswith(("}", "]")):
            return
        try:
            value = json.loads(self._call)
            self.calls += [packed_call(call) for call in called(value, self._style, len(self.calls))]
        except ValueError:
            return  # It goes on: that was a brace inside.
        except RecursionError:
            raise ServiceError("the model writes a call of a tool that is nested too deeply") from None
        self._let_go()
        if not self._style.closer or len(self.calls) >= MOST_CALLS:
            self._end("stop")
            return
        self._pieces = Pieces(self._ends)
        self._force("\n" + self._style.closer)

    def _open(self) -> None:
        self._text.append(self._pieces.finish())
        self._call = ""
        self._silent = False
        self._held = HeldChooser(self._loaded, self._wording, self._words, self._gbnf)

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _force(self, text: str) -> None:
        """Have the next tokens be those of `text`, whatever the model would write."""
        self._forced.extend(self._loaded.tokens(text, marks=True, ends=False) if text else ())
        self._unheard += len(self._forced)

    def _begins_bare(self, token: int) -> bool:
        """Whether an answer of which nothing was heard so far begins with a call that has no opener."""
        data = self._words.bytes_of(token)
        return self._style.bare and self._silent and data is not None and data.lstrip().startswith(b"{")
