"""The one place that compares what a node wants to touch with what the user allowed and denied."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from phloem.runtime.errors import InputError, PermissionDenied, PermissionNeeded
from phloem.runtime.grants import hosts
from phloem.runtime.grants.grant import Grant
from phloem.runtime.grants.guarded import followed, is_guarded
from phloem.runtime.grants.models import LOCAL_PROVIDERS, names_path, names_server, provider_of
from phloem.runtime.grants.rules import Denial

__all__ = ["Permissions"]


class Permissions:
    """What one run may touch.

    Reading below `folder` (the workflow file's) needs no grant. Relative paths are relative to `base`, which is the
    same folder, save for a workflow file that another one calls: see `at`. Key
    stores, `.env` files, private addresses and the program's own `home` need a grant that names exactly them.
    `denials` win over every grant. `offline` says who wants the run to make no connection; empty for nobody.

    Each method raises PermissionNeeded, with the flag that would help, for what is not allowed, and
    PermissionDenied for what no grant can allow.
    """

    def __init__(
        self,
        grants: Iterable[Grant] = (),
        *,
        folder: Path | None = None,
        home: Path | None = None,
        denials: Iterable[Denial] = (),
        offline: str = "",
    ) -> None:
        self._given = [frozenset(grants)]
        self.folder = None if folder is None else Path(os.path.realpath(folder))
        self.base = self.folder
        self.home = None if home is None else Path(os.path.realpath(home))
        self.denials = tuple(denials)
        self.offline = offline

    @property
    def grants(self) -> frozenset[Grant]:
        """What was allowed so far."""
        return self._given[0]

    def give(self, grants: Iterable[Grant]) -> None:
        """Add to what the run may touch, while it goes on."""
        self._given[0] = self.grants.union(grants)

    def at(self, base: Path | None) -> Permissions:
        """The same permissions, now and later, for a file that lies in another folder: relative paths are relative
        to `base`, and what is free to read stays what it was."""
        if base is None:
            return self
        other = copy.copy(self)
        other.base = Path(os.path.realpath(base))
        return other

    def require(self, word: str, scope: str = "") -> None:
        """PermissionNeeded unless exactly this was granted; InputError for a scope that would be a grant of all."""
        if scope == "*":
            raise InputError(f"the workflow wants to {_MAY_NOT[word].removeprefix('may not ')} *, which is no name")
        what = f"{_MAY_NOT[word]} {scope}".rstrip()
        for denial in self.denials:
            if denial.of_name(word, scope):
                raise denial.refusal(what)
        if Grant(word, scope) not in self.grants and Grant(word, "*") not in self.grants:
            raise _missing(what, word, scope)

    # Models

    def model(self, name: str, *, trusted: bool = False) -> str:
        """The full name of a model that may be used: `provider:name`, a path in it made absolute.

        Models that run here need no grant, but a file or folder outside the workflow's must be one that may be
        read; `trusted` says that the user named it. A provider needs `spend`, a server's address
        (`http://HOST:PORT/v1#NAME`) `net`. InputError for an address that is none, or that holds a password.
        """
        for denial in self.denials:
            if denial.of_model(name):
                raise denial.refusal(f"may not use the model {name}")
        if names_server(name):
            self._model_server(name)
            return name
        provider = provider_of(name)
        rest = name.removeprefix(f"{provider}:")
        if provider not in LOCAL_PROVIDERS:
            self.require("spend", provider)
            if self.offline and not self._names_loopback():
                raise self._is_offline(f"may not use the model {name}, which is elsewhere")
        elif names_path(provider, rest):
            rest = str(self._undenied_path(rest) if trusted else self.read(rest))
        return f"{provider}:{rest}"

    def _model_server(self, url: str) -> None:
        """As `net`; a host that is not on the open internet needs a grant that names it, as in `connect`."""
        host = hosts.host_of(url)
        if not host:
            hint = "It looks like http://localhost:8000/v1#NAME."
            raise InputError("the model's address has no host that can be asked", hint=hint)
        if "@" in url.partition("//")[2].partition("/")[0]:
            hint = "A key belongs in an environment variable or the system's keyring."
            raise InputError("the model's address holds a password", hint=hint)
        self.net(url)
        name, port = _name_and_port(url, host)
        if not hosts.may_be_public(name) and not self._names(name, port):
            raise _missing(f"may not connect to {host}: it is not on the open internet", "net", host)

    # Files

    def path(self, path: str) -> Path:
        """`path` made absolute, with every link in it followed; InputError if no file could be called that, or if on
        Windows it is on a machine that nobody named, which already looking for it would connect to."""
        if os.name == "nt":
            named = [str(self.base), *(one.scope for one in self.grants if one.word in ("read", "write"))]
            if _names_a_share(path, named):
                raise InputError(f"{path[:200]!r} is on another machine", hint="Name the share, with --allow read=…")
        return self._followed(path)

    def _followed(self, path: str) -> Path:
        try:
            return followed((self.base or Path.cwd()) / Path(path).expanduser())
        except (ValueError, RuntimeError, OSError) as error:
            raise InputError(f"{path[:200]!r} is not a path: {error}") from None

    def read(self, path: str) -> Path:
        """The file to open, if it may be read."""
        real = self.path(path)
        self._undenied("read", real, f"may not read {path}")
        if not self._granted("read", real, free=self._is_beside(real)):
            raise _missing(f"may not read {path}", "read", _shown(real))
        return real

    def may_read(self, real: Path) -> bool:
        """True for a path without links that may be read."""
        denied = any(denial.of_path("read", real) for denial in self.denials)
        return not denied and self._granted("read", real, free=self._is_beside(real))

    def write(self, path: str) -> Path:
        """The file to open, if it may be written."""
        real = self.path(path)
        self._undenied("write", real, f"may not write {path}")
        if not self._granted("write", real, free=False):
            raise _missing(f"may not write {path}", "write", _shown(real))
        return real

    def _undenied_path(self, path: str) -> Path:
        """A path that the user named: nothing but a denial is stronger."""
        real = self._followed(path)
        self._undenied("read", real, f"may not read {path}")
        return real

    def _undenied(self, word: str, real: Path, what: str) -> None:
        for denial in self.denials:
            if denial.of_path(word, real):
                raise denial.refusal(what)

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
        if is_guarded(real, self.home):
            return False
        return free or any(
            grant.word == word and (grant.scope == "*" or real.is_relative_to(grant.scope)) for grant in self.grants
        )

    # The network

    def net(self, url: str) -> None:
        """PermissionNeeded unless the host of `url` may be spoken to; InputError if it has none."""
        host = hosts.host_of(url)
        if not host:
            raise InputError("the web address has no host", hint="It looks like https://example.org/page.")
        name, port = _name_and_port(url, host)
        self._reachable(name, port, "", host)
        if not self._host_granted(name, port):
            raise _missing(f"may not connect to {host}", "net", host)

    def lookup(self, host: str, port: int, *, vouched: bool = False) -> None:
        """PermissionNeeded unless the name `host` may be looked up: that alone already tells somebody something."""
        name = hosts.normal(host)
        self._reachable(name, port, "", f"{name}:{port}")
        if not vouched and not self._host_granted(name, port):
            raise _missing(f"may not connect to {name}", "net", name)

    def connect(self, host: str, port: int, address: str, *, vouched: bool = False) -> None:
        """PermissionNeeded unless `address`, which `host` resolved to, may be reached. See services.Gate.

        A name of the open internet may lead to a private address only if that address is granted too: whoever
        owns the name could point it anywhere. `vouched` says that the user's own settings have the host, as those
        of a provider whose use is allowed: then only what is denied, or offline, is refused.
        """
        name = hosts.normal(host)
        self._reachable(name, port, address, f"{name}:{port}")
        if vouched:
            return
        if not self._host_granted(name, port):
            raise _missing(f"may not connect to {name}", "net", name)
        if hosts.is_public(address):
            return
        exact = hosts.normal(address)
        names = [exact] if hosts.is_public_name(name) else [name, exact]
        if not any(self._names(one, port) for one in names):
            raise _missing(f"may not connect to {name}: it is the private address {address}", "net", names[0])

    def _reachable(self, name: str, port: int | str, address: str, host: str) -> None:
        """PermissionDenied for what is denied, and for all but named servers of this machine when it is offline.
        `host` is the name as errors tell it. InputError for one that would be a grant of many."""
        if "*" in name:
            raise InputError(f"{host} is not the name of a host", hint="It looks like https://example.org/page.")
        for denial in self.denials:
            if denial.of_host(name, port, address):
                raise denial.refusal(f"may not connect to {host}")
        if not self.offline:
            return
        near = hosts.is_loopback_name(name) and (not address or hosts.is_loopback(address))
        if not near:
            raise self._is_offline(f"may not connect to {host}")
        if not self._names(name, port):
            raise _missing(f"may not connect to {host}: offline, a server on this machine has to be named", "net", host)

    def _is_offline(self, what: str) -> PermissionDenied:
        return PermissionDenied(
            f"The workflow {what}: the run is offline.",
            hint=f"{self.offline} wants no connection; only servers of this machine may be named, by --allow net=HOST.",
        )

    def _names(self, name: str, port: int | str) -> bool:
        """True if a grant names exactly this host, or this host and port."""
        return not self.grants.isdisjoint({Grant("net", name), Grant("net", f"{name}:{port}")})

    def _names_loopback(self) -> bool:
        return any(one.word == "net" and hosts.is_loopback_name(hosts.without_port(one.scope)) for one in self.grants)

    def _host_granted(self, name: str, port: int | str) -> bool:
        return any(grant.covers_host(name, port) for grant in self.grants)


_MAY_NOT = {
    "model": "may not use the model", "spend": "may not spend money at", "secret": "may not use the secret",
    "browser": "may not open a browser", "run": "may not start", "net": "may not connect to",
    "read": "may not read", "write": "may not write",
}  # fmt: skip


def _name_and_port(url: str, host: str) -> tuple[str, str]:
    """The name in `host`, which is that of `url`, and the port that is meant."""
    name = hosts.without_port(host)
    return name, host.removeprefix(f"{name}:") if host != name else hosts.usual_port(url)


def _names_a_share(path: str, named: Iterable[str]) -> bool:
    """True for a path of Windows on a share (`\\\\machine\\share`), or for a device, that none of the others is on."""
    drive = PureWindowsPath(path).drive.lower()
    return drive.startswith("\\\\") and drive not in (PureWindowsPath(one).drive.lower() for one in named)


def _missing(what: str, word: str, scope: str) -> PermissionNeeded:
    import shlex

    # Someone will paste this into a shell, and the scope may be a stranger's.
    flag = f"--allow {shlex.quote(f'{word}={scope}')}" if scope else f"--allow {word}"
    return PermissionNeeded(f"The workflow {what}.", flags=[flag])


def _shown(real: Path) -> str:
    """A path as the user would type it: relative to the current folder where it lies below it, unless it would mean
    something else there, as a file called `*` does."""
    try:
        near = str(real.relative_to(Path.cwd()))
    except ValueError:
        return str(real)
    return str(real) if near == "*" or near.startswith("~") else near
