"""What the user's settings say about every workflow: what is denied, what is always allowed, and that it is offline.

deny: [net=*.example.org, read=~/private]    # wins over every grant, flag and memory
allow: [net=api.example.com, write=~/out]    # needs no flag
offline: true                                # no connection
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phloem.runtime.errors import ConfigError, PermissionDenied
from phloem.runtime.grants import hosts
from phloem.runtime.grants.grant import Grant
from phloem.runtime.grants.models import provider_of
from phloem.runtime.settings import Settings

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

__all__ = ["Denial", "Rules"]


@dataclass(frozen=True, slots=True)
class Denial:
    """Something that no workflow may touch. `place` is where the settings say so.

    It is read widely: `net=*.example.org` is example.org as well, a host is denied on every port unless one is
    written, by its address too when that is what is written, and a network (`net=10.0.0.0/8`) with all that is in it.
    """

    word: str
    scope: str
    place: str

    @classmethod
    def parse(cls, text: str, place: str) -> Denial:
        """Read `word=scope`; ConfigError, with the place, for what is none."""
        word, _, scope = text.partition("=")
        if word == "net" and _network(scope) is not None:
            return cls(word, scope, place)
        address, _, rest = scope.partition("/")
        if word == "net" and rest and hosts.literal(address) is not None:
            raise ConfigError(f"{place}: deny {text}: not a network", hint="It looks like net=10.0.0.0/8")
        grant = Grant.parse(text, f"{place}: deny")
        return cls(grant.word, grant.scope, place)

    def refusal(self, what: str) -> PermissionDenied:
        """The error for a workflow that `may not …`."""
        return PermissionDenied(
            f"The workflow {what}: the settings deny {self.word}={self.scope}.",
            hint=f"{self.place} says so, and nothing overrules it.",
        )

    def of_name(self, word: str, name: str) -> bool:
        """True if this is denied to every workflow: for words whose scope is a name."""
        return self.word == word and self.scope in (name, "*")

    def of_model(self, name: str) -> bool:
        """True for a denied model: by its full name, or all of a provider as `model=PROVIDER:*`."""
        full = name if ":" in name else f"local:{name}"
        return self.word == "model" and self.scope in (name, full, f"{provider_of(name)}:*", "*")

    def of_path(self, word: str, real: Path) -> bool:
        """True at and below a denied path, under whatever name the system knows it."""
        if self.word != word:
            return False
        return self.scope == "*" or real.is_relative_to(self.scope) or self._is_on_the_way(real)

    def _is_on_the_way(self, real: Path) -> bool:
        """True if the denied file or folder is `real` or one around it: upper and lower case, and mounts, make
        several names of one."""
        try:
            denied = Path(self.scope).stat()
        except (OSError, ValueError):
            return False
        for one in (real, *real.parents):
            try:
                found = one.stat()
            except (OSError, ValueError):
                continue
            if (found.st_dev, found.st_ino) == (denied.st_dev, denied.st_ino):
                return True
        return False

    def of_host(self, name: str, port: int | str, address: str) -> bool:
        """True for a denied host, in the form in which hosts are compared, or one that is at a denied address."""
        if self.word != "net":
            return False
        if self.scope == "*":
            return True
        ips = hosts.meant(name) | hosts.meant(address)
        network = _network(self.scope)
        if network is not None:
            return any(ip in network for ip in ips)
        denied = hosts.without_port(self.scope)
        if self.scope not in (denied, f"{denied}:{port}"):
            return False
        if denied.startswith("*."):
            return name == denied[2:] or name.endswith(denied[1:])
        return (
            denied in (name, "*")
            or not ips.isdisjoint(hosts.meant(denied))
            or (denied == "localhost" and any(ip.is_loopback for ip in ips))
        )


def _network(scope: str) -> IPv4Network | IPv6Network | None:
    """The network that is written as `10.0.0.0/8`; None if it is none."""
    if "/" not in scope or "://" in scope:
        return None
    import ipaddress

    try:
        found = ipaddress.ip_network(scope, strict=False)
    except ValueError:
        return None
    inner = getattr(found.network_address, "ipv4_mapped", None)
    # `::ffff:10.0.0.0/104` is 10.0.0.0/8.
    return ipaddress.ip_network((inner, found.prefixlen - 96)) if inner and found.prefixlen >= 96 else found


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings and the environment say. `offline` is who wants no connection; empty for nobody."""

    denials: tuple[Denial, ...] = ()
    allowed: tuple[Grant, ...] = ()
    offline: str = ""

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str] = os.environ) -> Rules:
        """The rules that hold for every run. ConfigError, with the line, for one that cannot be read: then nothing
        runs, since a denial that is not understood would not hold."""
        denials = tuple(Denial.parse(text, place) for text, place in _written(settings, "deny"))
        allowed = tuple(Grant.parse(text, f"{place}: allow") for text, place in _written(settings, "allow"))
        return cls(denials, allowed, _offline(settings, environment))


def _written(settings: Settings, section: str) -> Iterator[tuple[str, str]]:
    """Each entry of a list of the settings, with its place. A path must say from where it is meant."""
    for text, place in settings.listed(section):
        word, _, scope = text.partition("=")
        is_path = word in ("read", "write") and scope not in ("", "*")
        if is_path and not scope.startswith("~") and not Path(scope).is_absolute():
            raise ConfigError(f"{place}: {section} {text}: the path is not whole", hint="Begin it with / or ~/")
        yield text, place


def _offline(settings: Settings, environment: Mapping[str, str]) -> str:
    said = environment.get("PHLOEM_OFFLINE", "").strip().lower()
    if said in ("1", "true", "yes", "on"):
        return "PHLOEM_OFFLINE"
    if said not in ("", "0", "false", "no", "off"):
        raise ConfigError(f"PHLOEM_OFFLINE is {said[:40]!r}", hint="It is 1 for no connection, or 0.")
    wanted, place = settings.switch("offline")
    return place if wanted else ""
