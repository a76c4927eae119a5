"""What a question shows of something that a stranger wrote: nothing in it can look like a part of the question."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from phloem.runtime.grants.guarded import is_guarded
from phloem.runtime.grants.hosts import is_public_literal, is_public_name, without_port

__all__ = ["remark_on", "shown_name", "shown_scope"]

LONGEST: Final = 160
_SPACES: Final = re.compile(r"  +")


def shown_name(text: str, longest: int = 60) -> str:
    """A text in one line, of at most about `longest` characters: what is no plain letter, sign or single space is
    written as its code."""
    written = "".join(one if _is_plain(one) else _code(one) for one in text[: longest * 4])
    written = _SPACES.sub(lambda found: " " + r"\x20" * (len(found[0]) - 1), written)
    if len(text) > longest * 4 or len(written) > longest:
        half = longest // 2
        end = "".join(one if _is_plain(one) else _code(one) for one in text[-half:])[-half:]
        return f"{written[:half]} … {end} ({len(text):,} characters)"
    return written


def _is_plain(one: str) -> bool:
    return one.isprintable() and (one == " " or not one.isspace()) and one != "\\"


def _code(one: str) -> str:
    return "\\\\" if one == "\\" else f"\\u{ord(one):04x}" if ord(one) > 0xFF else f"\\x{ord(one):02x}"


def shown_scope(word: str, scope: str) -> str:
    """The scope of a grant as a question names it."""
    if word == "net":
        return _shown_host(scope)
    return f"'{shown_name(scope, LONGEST)}'" if _needs_quotes(scope) else shown_name(scope, LONGEST)


def _needs_quotes(scope: str) -> bool:
    return not re.fullmatch(r"[\w@%+=:,./~*-]+", scope, re.ASCII)


def _shown_host(host: str) -> str:
    """A host: its end decides whose it is, so that is what a long one shows; letters that may be taken for others are
    told."""
    name = without_port(host)
    shown = shown_name(host, 253)
    if len(shown) > LONGEST:
        shown = f"… {shown[-100:]} ({len(host):,} characters)"
    if not any(label.startswith("xn--") for label in name.split(".")):
        return shown
    try:
        letters = name.encode().decode("idna")
    except UnicodeError:
        return shown
    return f"{shown} (in its own letters {shown_name(letters, LONGEST)}, which may look like another name)"


def remark_on(word: str, scope: str, home: Path | None) -> str:
    """What to say besides of something that is guarded, or more than it looks like; empty for what is neither."""
    if word in ("read", "write") and scope != "*":
        if is_guarded(Path(scope), home):
            return "keys or other secrets are kept there"
        return "a folder, with all that is below it" if os.path.isdir(scope) else ""  # noqa: PTH112
    if word == "net" and scope != "*":
        name = without_port(scope)
        if not name.startswith("*.") and not is_public_literal(name) and not is_public_name(name):
            return "that is this machine, or your own network"
    return "it costs money" if word == "spend" else ""
