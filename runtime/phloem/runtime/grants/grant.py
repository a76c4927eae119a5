"""A grant, as it is written: `net=example.org`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phloem.runtime.errors import ConfigError
from phloem.runtime.grants.hosts import LONGEST_NAME, host_of, is_url, literal, without_port
from phloem.runtime.words import nearest

__all__ = ["WORDS", "Grant"]

WORDS: Final = ("net", "read", "write", "model", "spend", "secret", "browser", "run")


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing the user allows, such as `net=example.org` or `write=out`."""

    word: str
    scope: str

    @classmethod
    def parse(cls, text: str, said: str = "--allow") -> Grant:
        """Read `word=scope`; ConfigError names the words there are. `said` is how it was given, for the error."""
        word, _, scope = text.partition("=")
        if word not in WORDS or (not scope and word != "browser"):
            what = "denied" if said.endswith("deny") else "allowed"
            raise ConfigError(
                f"{said} {text}: not something that can be {what}", hint=_possible_words(said, word, scope)
            )
        if word in ("read", "write") and scope != "*":
            try:
                scope = os.path.realpath(Path(scope).expanduser())
            except (ValueError, RuntimeError) as error:
                raise ConfigError(f"{said} {text}: not a path: {error}") from None
        elif word == "net":
            scope = _host(scope, f"{said} {text}")
        return cls(word, scope)

    @classmethod
    def of_flag(cls, flag: str) -> Grant:
        """The grant that a flag of PermissionNeeded gives, as if it were typed."""
        import shlex

        return cls.parse(shlex.split(flag)[1])

    def covers_host(self, name: str, port: int | str = "") -> bool:
        """True for a grant for this host, given in the form in which hosts are compared, and this port."""
        if self.word != "net":
            return False
        own = without_port(self.scope)
        if self.scope not in (own, f"{own}:{port}"):
            return False
        return own in (name, "*") or (own.startswith("*.") and name.endswith(own[1:]))

    def __str__(self) -> str:
        return f"{self.word}={self.scope}" if self.scope else self.word


def _host(scope: str, place: str) -> str:
    """The host and port that are meant, in the form in which hosts are compared."""
    address, slash, rest = scope.partition("/")
    if slash and rest and literal(address) is not None:
        raise ConfigError(f"{place}: a whole network cannot be allowed", hint="Name each of its hosts.")
    bare = scope.count(":") > 1 and "[" not in scope and not is_url(scope)
    host = host_of(scope if is_url(scope) else f"//[{scope}]" if bare else f"//{scope}")
    if not host or len(host) > LONGEST_NAME + 6:
        raise ConfigError(f"{place}: there is no host in it", hint="Write net=example.org")
    if "*" in without_port(host).removeprefix("*.") and without_port(host) != "*":
        raise ConfigError(f"{place}: a * stands for all that is below a name", hint="Write net=*.example.org, or net=*")
    return host


def _possible_words(said: str, word: str, scope: str) -> str:
    """What to write instead of what is none."""
    said = f"{said} " if said.startswith("--") else ""
    if word in WORDS:
        return f"Say what exactly: {said}{word}=…"
    near = nearest(word, WORDS)
    if near and scope:
        return f"Did you mean {said}{near}={scope}?"
    return "Write one of " + ", ".join(f"{one}=…" for one in WORDS) + f", such as {said}net=example.org"
