"""A gate for tests of what connects: permissions as they are given, and a list of what was told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from phloem.runtime.egress import Egress
from phloem.runtime.grants import Denial, Grant, Permissions

__all__ = ["OpenGate", "gate"]


@dataclass
class OpenGate:
    """Implements `services.Gate`. Nobody can be asked."""

    permissions: Permissions
    vouched: bool = False
    heard: list[Egress] = field(default_factory=list)

    def lookup(self, host: str, port: int) -> None:
        self.permissions.lookup(host, port, vouched=self.vouched)

    def connect(self, host: str, port: int, address: str) -> None:
        self.permissions.connect(host, port, address, vouched=self.vouched)

    async def allowed(self, check: Callable[[], None]) -> None:
        check()

    def told(self, egress: Egress) -> None:
        self.heard.append(egress)


def gate(*grants: str, deny: tuple[str, ...] = (), offline: str = "", vouched: bool = False) -> OpenGate:
    """A gate that lets through what these grants allow."""
    denials = [Denial.parse(one, "settings.yaml:1") for one in deny]
    given = [Grant.parse(one) for one in grants]
    return OpenGate(Permissions(given, denials=denials, offline=offline), vouched)
