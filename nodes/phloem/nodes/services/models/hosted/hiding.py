"""No key in what people read: texts and log lines with every known secret taken out.

Servers echo keys in their errors, often with the middle masked, and libraries log what they send.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from typing import Final

from phloem.nodes.services.models.hosted.keys import known_secrets

__all__ = ["hidden", "hide_in_logs"]

FRAGMENT: Final = 6
"""So many letters in a row of a secret are a fragment of it."""
_MASK: Final = "[key]"
_LOOKS_SECRET: Final = re.compile(
    r"(?i)\bbearer\s+\S+|\b(?:sk|pk|gsk|rk|xai|hf)[-_][\w*.…-]{8,}|\bAIza[\w-]{20,}|[\w-]*\*{3,}[\w-]*"
)
"""What keys look like, whole or masked: one that is in nobody's environment may be the server's own."""


def hidden(text: str, more: Iterable[str] = ()) -> str:
    """`text` with every known secret, and every longer fragment of one, replaced. `more` are further secrets."""
    secrets = {*known_secrets(), *(secret for secret in more if secret)}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _MASK)
        if len(secret) > FRAGMENT:
            text = _without_fragments(text, secret)
    return _LOOKS_SECRET.sub(_MASK, text)


def _without_fragments(text: str, secret: str) -> str:
    fragments = {secret[at : at + FRAGMENT] for at in range(len(secret) - FRAGMENT + 1)}
    kept, at = [], 0
    while at < len(text):
        end = at
        while text[end : end + FRAGMENT] in fragments:
            end += 1
        if end == at:
            kept.append(text[at])
            at += 1
        else:
            kept.append(_MASK)
            at = end + FRAGMENT - 1
    return "".join(kept)


_LOGGERS: Final = ("openai", "anthropic", "httpx2", "httpcore2", "httpx", "httpcore", "keyring")
_lock: Final = threading.Lock()


class _Hider(logging.Filter):
    """Takes secrets out of a record before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        if record.exc_info and record.exc_info[1] is not None:
            message += f" ({type(record.exc_info[1]).__name__})"
        record.msg, record.args, record.exc_info, record.exc_text = hidden(message), None, None, None
        return True


_HIDER: Final = _Hider()


def hide_in_logs() -> None:
    """Take secrets out of what the libraries under us log, whoever listens. To be called once they are loaded."""
    with _lock:
        # A filter of a logger does not see what its children log, so each gets it.
        for name in [*_LOGGERS, *logging.root.manager.loggerDict]:
            if name.partition(".")[0] in _LOGGERS:
                logging.getLogger(name).addFilter(_HIDER)
