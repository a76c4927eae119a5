"""What a workflow may touch: the grants a user gave, and the one place that compares a wish with them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from phloem.runtime.errors import ConfigError, PermissionNeeded

__all__ = ["Grant", "Permissions", "host_of", "is_url"]

WORDS = ("net", "read", "write", "model", "spend", "secret", "browser", "run")

_KEY_FOLDERS = frozenset(
    {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", "keyrings", "Keychains", ".password-store"}
)
_KEY_FILES = frozenset({".env", ".netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials"})


def is_url(text: str) -> bool:
    """True for `scheme://…`; anything else names a file."""
    return "://" in text[:20]


def host_of(url: str) -> str:
    """The host of a URL in lower case, with its port where one is written; empty if it has none."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return ""
    return f"{host}:{port}" if host and port else host


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing the user allows, such as `net=example.org` or `write=out`."""

    word: str
    scope: str

    @classmethod
    def parse(cls, text: str) -> Grant:
        """Read `word=scope`; ConfigError names the words there are."""
        word, _, scope = text.partition("=")
        if word not in WORDS or (not scope and word != "browser"):
            raise ConfigError(
                f"--allow {text}: not something that can be allowed",
                hint="Write one of " + ", ".join(f"{one}=…" for one in WORDS) + ", such as --allow net=example.org",
            )
        if word in ("read", "write"):
            scope = os.path.realpath(Path(scope).expanduser())
        elif word == "net":
            scope = scope.lower()
        return cls(word, scope)

    def __str__(self) -> str:
        return f"{self.word}={self.scope}" if self.scope else self.word


class Permissions:
    """The grants of one run.

    Reading below `folder` (the workflow file's) needs none. Relative paths are relative to it. Key
    stores, `.env` files, private addresses and the program's own `home` need a grant that names
    exactly them.
    """

    def __init__(self, grants: Iterable[Grant] = (), *, folder: Path | None = None, home: Path | None = None) -> None:
        self.grants = frozenset(grants)
        self.folder = None if folder is None else Path(os.path.realpath(folder))
        self.home = None if home is None else Path(os.path.realpath(home))

    def require(self, word: str, scope: str = "") -> None:
        """PermissionNeeded unless exactly this was granted."""
        if Grant(word, scope) not in self.grants and Grant(word, "*") not in self.grants:
            raise _missing(f"may not use {word} {scope}".rstrip(), word, scope)

    def path(self, path: str) -> Path:
        """`path` made absolute, with every link in it followed."""
        return Path(os.path.realpath((self.folder or Path.cwd()) / Path(path).expanduser()))

    def read(self, path: str) -> Path:
        """The file to open, if it may be read."""
        real = self.path(path)
        if not self._granted("read", real, free=self.folder is not None and real.is_relative_to(self.folder)):
            raise _missing(f"may not read {path}", "read", _shown(real))
        return real

    def write(self, path: str) -> Path:
        """The file to open, if it may be written."""
        real = self.path(path)
        if not self._granted("write", real, free=False):
            raise _missing(f"may not write {path}", "write", _shown(real))
        return real

    def _granted(self, word: str, real: Path, *, free: bool) -> bool:
        if Grant(word, str(real)) in self.grants:
            return True
        if self._guarded(real):
            return False
        return free or any(
            grant.word == word and (grant.scope == "*" or real.is_relative_to(grant.scope)) for grant in self.grants
        )

    def _guarded(self, real: Path) -> bool:
        """True for what only an exact grant opens."""
        return (
            not _KEY_FOLDERS.isdisjoint(real.parts)
            or real.name in _KEY_FILES
            or real.name.startswith((".env.", "id_rsa", "id_ed25519", "id_ecdsa"))
            or (self.home is not None and real.is_relative_to(self.home))
        )

    def net(self, url: str) -> None:
        """PermissionNeeded unless the host of `url` may be spoken to."""
        if not self._host_granted(host_of(url)):
            raise _missing(f"may not connect to {host_of(url)}", "net", host_of(url))

    def connect(self, host: str, port: int, address: str) -> None:
        """PermissionNeeded unless `address`, which `host` resolved to, may be reached. See services.Gate."""
        host = host.lower()
        exact = Grant("net", host) in self.grants or Grant("net", f"{host}:{port}") in self.grants
        if not exact and not self._host_granted(host):
            raise _missing(f"may not connect to {host}", "net", host)
        if not exact and not ipaddress.ip_address(address.partition("%")[0]).is_global:
            raise _missing(f"may not connect to {host}: it is the private address {address}", "net", host)

    def _host_granted(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and "]" not in host else host
        wanted = {host, name, "*"}
        return any(
            grant.word == "net"
            and (grant.scope in wanted or (grant.scope.startswith("*.") and name.endswith(grant.scope[1:])))
            for grant in self.grants
        )


def _missing(what: str, word: str, scope: str) -> PermissionNeeded:
    flag = f"--allow {word}={scope}" if scope else f"--allow {word}"
    return PermissionNeeded(f"The workflow {what}.", flags=[flag])


def _shown(real: Path) -> str:
    """A path as the user would type it: relative to the current folder where it lies below it."""
    try:
        shown = str(real.relative_to(Path.cwd()))
    except ValueError:
        shown = str(real)
    return f'"{shown}"' if " " in shown else shown
