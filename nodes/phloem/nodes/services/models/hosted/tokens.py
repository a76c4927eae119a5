"""About how many tokens a text is: an estimate, and rather too high, since a hosted model's tokenizer is not here.

The weights are for the vocabularies of 100,000 to 200,000 tokens of today's models: English prose has some four letters
to a token, source code and other languages of Latin letters about three, digits come in threes at best, and
other scripts take up to one token a letter (rare ones more).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Final

from phloem.runtime.services import Tool
from phloem.runtime.values import Message

__all__ = ["about_tokens", "tokens_of"]

PER_MESSAGE: Final = 5
PER_IMAGE: Final = 1600
"""What the largest images are scaled down to at Anthropic; OpenAI's take no more in most models."""

_LETTERS: Final = re.compile(r"[A-Za-z ]+")
_OTHER_ASCII: Final = re.compile(r"[\x00-\x7f]+")


def about_tokens(text: str) -> int:
    """The tokens of a text, rounded up."""
    rest = _LETTERS.sub("", text)
    foreign = _OTHER_ASCII.sub("", rest)
    letters, signs = len(text) - len(rest), len(rest) - len(foreign)
    return math.ceil(0.3 * letters + 0.7 * signs + 1.1 * len(foreign))


def tokens_of(asked: str | Sequence[Message], tools: Sequence[Tool] = ()) -> int:
    """The tokens of a prompt or a conversation, its images, calls and tools counted."""
    messages = (Message("user", asked),) if isinstance(asked, str) else asked
    total = 3
    for message in messages:
        total += PER_MESSAGE + about_tokens(message.content) + PER_IMAGE * len(message.images)
        for call in message.calls:
            total += PER_MESSAGE + about_tokens(call.name) + about_tokens(json.dumps(call.arguments))
    for tool in tools:
        total += PER_MESSAGE + about_tokens(f"{tool.name} {tool.description} {json.dumps(dict(tool.parameters))}")
    return total
