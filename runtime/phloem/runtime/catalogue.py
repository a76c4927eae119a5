"""Every kind of node there is, found among the installed packages.

A package offers kinds through the entry-point group `phloem.nodes`: the entry's name is the family
(what stands before the dot in a kind's id), its value a module whose `@node` functions are the kinds.
Only the families a workflow uses are imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from phloem.runtime.context import Services
from phloem.runtime.declare import kinds_in
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.installed import NODES, SERVICES, installed
from phloem.runtime.kinds import NodeKind

__all__ = ["Catalogue", "installed_catalogue", "installed_services"]


class Catalogue:
    """Kinds by name (`text.split@1`); of each id the newest version is the one that runs.

    `broken` has the error of each module that could not be imported; the other kinds are there all the same.
    """

    def __init__(self, kinds: Iterable[NodeKind] = (), families: Mapping[str, Iterable[str]] | None = None) -> None:
        """`families` maps a family to modules that are imported when one of its kinds is first wanted."""
        self._kinds: dict[str, NodeKind] = {}
        self._modules: dict[str, list[str]] = {family: list(names) for family, names in (families or {}).items()}
        self.broken: dict[str, ConfigError] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: NodeKind) -> None:
        """Put a kind in; the newest version of an id wins."""
        known = self._kinds.get(kind.id)
        if known is None or known.version <= kind.version:
            self._kinds[kind.id] = kind

    def find(self, id: str) -> NodeKind | None:
        """The kind with this id (without version), if there is one. ConfigError if its module is broken."""
        found = self._kinds.get(id)
        if found is None:
            self._import(id.partition(".")[0])
            found = self._kinds.get(id)
        if found is None and self._modules:
            self._import_all()
            found = self._kinds.get(id)
        if found is None and id.partition(".")[0] in self.broken:
            raise self.broken[id.partition(".")[0]]
        return found

    def __iter__(self) -> Iterator[NodeKind]:
        """Every kind, by id."""
        self._import_all()
        return iter(sorted(self._kinds.values(), key=lambda kind: kind.id))

    def _import_all(self) -> None:
        for family in list(self._modules):
            self._import(family)

    def _import(self, family: str) -> None:
        for name in self._modules.pop(family, ()):
            try:
                module = importlib.import_module(name)
                for kind in kinds_in(module):
                    self.add(kind)
            except Exception as error:
                self.broken[family] = ConfigError(
                    f"the nodes in {name} cannot be loaded: {type(error).__name__}: {error}",
                    hint="Update or remove the package that brings them.",
                )


def installed_catalogue(home: Home) -> Catalogue:
    """The kinds of every installed package."""
    families: dict[str, list[str]] = {}
    for family, module in installed(home)[NODES]:
        families.setdefault(family, []).append(module)
    return Catalogue(families=families)


def installed_services(home: Home) -> Services:
    """The services of every installed package: entry points `phloem.services`, called with the home."""
    makers: dict[str, Callable[[], Any]] = {}
    for name, where in installed(home)[SERVICES]:
        makers.setdefault(name, partial(_make, where, home))
    return Services(makers)


def _make(where: str, home: Home) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)(home)
