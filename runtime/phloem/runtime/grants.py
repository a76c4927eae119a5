"""What a workflow may touch: the grants a user gave, and the one place that compares a wish with them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from phloem.runtime.errors import ConfigError, InputError, PermissionNeeded
from phloem.runtime.words import nearest

__all__ = ["LOCAL_PROVIDERS", "Grant", "Permissions", "host_of", "is_url", "names_server", "provider_of"]

LOCAL_PROVIDERS = frozenset({"local", "sentence-transformers"})
"""Providers whose models run on this machine."""

WORDS = ("net", "read", "write", "model", "spend", "secret", "browser", "run")

# All in lower case, since some systems open `.env` as `.ENV` too.
_KEY_FOLDERS = frozenset(
    {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", "keyrings", "keychains", ".password-store"}
)
_KEY_FILES = frozenset(
    {
        ".env", ".envrc", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials", ".vault-token",
        ".boto", ".s3cfg", ".my.cnf", "application_default_credentials.json",
    }
)  # fmt: skip
_KEY_BEGINNINGS = (".env.", "id_rsa", "id_dsa", "id_ed25519", "id_ecdsa")
_KEY_ENDINGS = (".kdbx", ".p12", ".pfx", ".jks", ".keystore")


def is_url(text: str) -> bool:
    """True for `scheme://…`; anything else names a file."""
    return "://" in text[:20]


def host_of(url: str) -> str:
    """The host of a URL with its port where one is written; empty if it has none.

    It comes in the form in which hosts are compared: lower case, no final dot, letters beyond ASCII as in
    the DNS, an IPv6 address in brackets.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        return ""
    return f"{host}:{port}" if host and port else host


def _host(name: str) -> str:
    name = name.lower().removesuffix(".")
    if ":" in name:
        return f"[{name.strip('[]')}]"
    if not name.isascii():
        try:
            return name.encode("idna").decode()
        except UnicodeError:
            return name
    return name


def provider_of(model: str) -> str:
    """What stands before the colon of a model's name; `local` where nothing does."""
    provider, colon, _ = model.partition(":")
    # A single letter is a drive of Windows.
    return provider if colon and len(provider) > 1 else "local"


def names_server(model: str) -> bool:
    """True for the name of a model that has the address of its server in it: `http://HOST:PORT/v1#NAME`."""
    return model.startswith(("http://", "https://"))


def _names_path(provider: str, rest: str) -> bool:
    """True for a model here that is named by where it lies. `PUBLISHER/NAME` is no path of sentence-transformers."""
    if provider == "local":
        return rest.endswith(".gguf") or "/" in rest or os.sep in rest
    return rest.startswith(("/", "./", "../", "~")) or Path(rest).is_absolute()


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
            raise ConfigError(f"--allow {text}: not something that can be allowed", hint=_allowed_words(word, scope))
        if word in ("read", "write") and scope != "*":
            try:
                scope = os.path.realpath(Path(scope).expanduser())
            except (ValueError, RuntimeError) as error:
                raise ConfigError(f"--allow {text}: not a path: {error}") from None
        elif word == "net":
            bare = scope.count(":") > 1 and "[" not in scope
            given = scope if is_url(scope) else f"//[{scope}]" if bare else f"//{scope}"
            scope = host_of(given)
            if not scope:
                raise ConfigError(f"--allow {text}: there is no host in it", hint="Write --allow net=example.org")
        return cls(word, scope)

    def __str__(self) -> str:
        return f"{self.word}={self.scope}" if self.scope else self.word


def _allowed_words(word: str, scope: str) -> str:
    """What to write instead of a grant that is none."""
    if word in WORDS:
        return f"Say what exactly: --allow {word}=…"
    near = nearest(word, WORDS)
    if near and scope:
        return f"Did you mean --allow {near}={scope}?"
    return "Write one of " + ", ".join(f"{one}=…" for one in WORDS) + ", such as --allow net=example.org"


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
            raise _missing(f"{_MAY_NOT[word]} {scope}".rstrip(), word, scope)

    def model(self, name: str, *, trusted: bool = False) -> str:
        """The full name of a model that may be used: `provider:name`, a path in it made absolute.

        Models that run here need no grant, but a file or folder outside the workflow's must be one that may be
        read; `trusted` says that the user named it. A provider needs `spend`, a server's address
        (`http://HOST:PORT/v1#NAME`) `net`. InputError for an address that is none, or that holds a password.
        """
        if names_server(name):
            self._model_server(name)
            return name
        provider = provider_of(name)
        rest = name.removeprefix(f"{provider}:")
        if provider not in LOCAL_PROVIDERS:
            self.require("spend", provider)
        elif _names_path(provider, rest):
            rest = str(self.path(rest) if trusted else self.read(rest))
        return f"{provider}:{rest}"

    def _model_server(self, url: str) -> None:
        """As `net`; a host that is not on the open internet needs a grant that names it, as in `connect`."""
        host = host_of(url)
        if not host:
            hint = "It looks like http://localhost:8000/v1#NAME."
            raise InputError("the model's address has no host that can be asked", hint=hint)
        if "@" in url.partition("//")[2].partition("/")[0]:
            hint = "A key belongs in an environment variable or the system's keyring."
            raise InputError("the model's address holds a password", hint=hint)
        self.net(url)
        name = _without_port(host)
        is_open = _is_public_literal(name) or (_is_public_name(name) and not _ends_in_a_number(name))
        if not is_open and self.grants.isdisjoint({Grant("net", name), Grant("net", host)}):
            raise _missing(f"may not connect to {host}: it is not on the open internet", "net", host)

    def path(self, path: str) -> Path:
        """`path` made absolute, with every link in it followed; InputError if no file could be called that."""
        try:
            return _followed((self.folder or Path.cwd()) / Path(path).expanduser())
        except (ValueError, RuntimeError, OSError) as error:
            raise InputError(f"{path[:200]!r} is not a path: {error}") from None

    def read(self, path: str) -> Path:
        """The file to open, if it may be read."""
        real = self.path(path)
        if not self._granted("read", real, free=self._is_beside(real)):
            raise _missing(f"may not read {path}", "read", _shown(real))
        return real

    def write(self, path: str) -> Path:
        """The file to open, if it may be written."""
        real = self.path(path)
        if not self._granted("write", real, free=False):
            raise _missing(f"may not write {path}", "write", _shown(real))
        return real

    def _is_beside(self, real: Path) -> bool:
        """True below the workflow's folder, but not in the hidden folders of a person's home when it lies there."""
        if self.folder is None or not real.is_relative_to(self.folder):
            return False
        home = Path(os.path.realpath(Path.home()))
        inside = real.relative_to(home).parts if real.is_relative_to(home) else ()
        return not (home.is_relative_to(self.folder) and inside and inside[0].startswith("."))

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
        name = real.name.lower()
        return (
            not _KEY_FOLDERS.isdisjoint(part.lower() for part in real.parts)
            or name in _KEY_FILES
            or name.startswith(_KEY_BEGINNINGS)
            or name.endswith(_KEY_ENDINGS)
            or (self.home is not None and real.is_relative_to(self.home))
        )

    def net(self, url: str) -> None:
        """PermissionNeeded unless the host of `url` may be spoken to."""
        if not self._host_granted(host_of(url)):
            raise _missing(f"may not connect to {host_of(url)}", "net", host_of(url))

    def connect(self, host: str, port: int, address: str) -> None:
        """PermissionNeeded unless `address`, which `host` resolved to, may be reached. See services.Gate.

        A name of the open internet may lead to a private address only if that address is granted too:
        whoever owns the name could point it anywhere.
        """
        host = _host(host)
        if not self._host_granted(f"{host}:{port}"):
            raise _missing(f"may not connect to {host}", "net", host)
        if _is_public(address):
            return
        names = [_host(address)] if _is_public_name(host) else [host, _host(address)]
        if not any(Grant("net", scope) in self.grants for name in names for scope in (name, f"{name}:{port}")):
            raise _missing(f"may not connect to {host}: it is the private address {address}", "net", names[0])

    def _host_granted(self, host: str) -> bool:
        name = _without_port(host)
        wanted = {host, name, "*"}
        return any(
            grant.word == "net"
            and (grant.scope in wanted or (grant.scope.startswith("*.") and name.endswith(grant.scope[1:])))
            for grant in self.grants
        )


def _followed(path: Path) -> Path:
    """`path` with every link in it followed. After a link that leads to itself realpath leaves the others as they
    are, so it is asked again until nothing changes; RuntimeError if it never ends."""
    real = os.path.realpath(path)
    for _ in range(MOST_LINKS):
        again = os.path.realpath(real)
        if again == real:
            return Path(real)
        real = again
    raise RuntimeError("its links lead in circles")


MOST_LINKS = 40
"""As many as Linux follows in one path."""

_LOCAL_ENDINGS = (
    ".localhost", ".local", ".internal", ".intranet", ".private", ".corp", ".home", ".lan", ".home.arpa", ".test",
)  # fmt: skip
"""Endings that the public DNS does not serve (RFC 6761, RFC 6762 appendix G, RFC 8375, and ICANN for .internal)."""


def _is_public_name(host: str) -> bool:
    """True for a name that someone on the internet may own: not an address, `localhost` or a name of a local net."""
    return "." in host and not host.endswith(_LOCAL_ENDINGS) and not host.replace(".", "").isdigit()


def _without_port(host: str) -> str:
    return f"{host.partition(']')[0]}]" if host.startswith("[") else host.partition(":")[0]


def _ends_in_a_number(host: str) -> bool:
    """True for what is read as an IPv4 address, in whatever form (`0x7f.1`): the rule of the URL standard."""
    last = host.rpartition(".")[2]
    return last.isdigit() or (last.startswith("0x") and all(one in "0123456789abcdef" for one in last[2:]))


def _is_public_literal(host: str) -> bool:
    """True for an address, written as such, of the open internet."""
    try:
        return _is_public(host.strip("[]"))
    except ValueError:
        return False


def _is_public(address: str) -> bool:
    """True for an address of the open internet, and for one that carries such an address inside."""
    import ipaddress

    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and any(ip in ipaddress.IPv6Network(wide) for wide in _WITH_IPV4_AT_THE_END):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip.is_site_local or (inner is not None and not _is_public(str(inner))):
            return False
    return ip.is_global and not ip.is_multicast


_WITH_IPV4_AT_THE_END = ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")
"""IPv6 addresses that stand for an IPv4 one: compatible (RFC 4291), and translated (RFC 6052, RFC 8215)."""


_MAY_NOT = {
    "model": "may not use the model", "spend": "may not spend money at", "secret": "may not use the secret",
    "browser": "may not open a browser", "run": "may not start", "net": "may not connect to",
    "read": "may not read", "write": "may not write",
}  # fmt: skip


def _missing(what: str, word: str, scope: str) -> PermissionNeeded:
    import shlex

    # Someone will paste this into a shell, and the scope may be a stranger's.
    flag = f"--allow {shlex.quote(f'{word}={scope}')}" if scope else f"--allow {word}"
    return PermissionNeeded(f"The workflow {what}.", flags=[flag])


def _shown(real: Path) -> str:
    """A path as the user would type it: relative to the current folder where it lies below it."""
    try:
        return str(real.relative_to(Path.cwd()))
    except ValueError:
        return str(real)
