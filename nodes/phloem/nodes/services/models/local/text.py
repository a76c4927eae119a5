"""From the bytes of tokens to pieces of text that can be shown: whole characters, and nothing of a stop text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

__all__ = ["Pieces"]


class Pieces:
    """Puts an answer together from the bytes of its tokens.

    A character that is spread over several tokens comes out whole; bytes that are no UTF-8 become U+FFFD.
    What could be the beginning of a text in `stop` waits until it is known not to be; once one is
    complete, `stopped` is true and the answer has ended before it. With `skip_space` one space at the
    very start is left out. `ended_by` is the text that was complete first, and `rest` what came after it.
    """

    def __init__(self, stop: Sequence[str] = (), *, skip_space: bool = False) -> None:
        self._stop = tuple(text for text in stop if text)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""
        self._skip_space = skip_space
        self.stopped = False
        self.ended_by = ""
        self.rest = ""

    def push(self, data: bytes) -> str:
        """Take the bytes of one more token; the text that may be shown now, possibly none."""
        return self._take(self._decoder.decode(data))

    def finish(self) -> str:
        """The rest of the text, now that no token follows."""
        shown = self._take(self._decoder.decode(b"", True))
        rest, self._waiting = self._waiting, ""
        return shown + rest

    def _take(self, text: str) -> str:
        if self.stopped or not text:
            return ""
        if self._skip_space:
            text, self._skip_space = text.removeprefix(" "), False
        waiting = self._waiting + text
        # The one that is complete first counts, however the text was cut into tokens.
        complete = [(at + len(stop), at, stop) for stop in self._stop if (at := waiting.find(stop)) >= 0]
        if complete:
            end, at, self.ended_by = min(complete)
            self.stopped, self.rest, self._waiting = True, waiting[end:], ""
            return waiting[:at]
        held = max((_overlap(waiting, stop) for stop in self._stop), default=0)
        self._waiting = waiting[len(waiting) - held :]
        return waiting[: len(waiting) - held]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
