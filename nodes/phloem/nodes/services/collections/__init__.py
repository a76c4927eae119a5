"""The collections service: named collections of vectors with their texts, kept in the home by Chroma."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phloem.runtime.home import Home

if TYPE_CHECKING:
    from phloem.nodes.services.collections.service import LocalCollections

__all__ = ["make"]


def make(home: Home) -> LocalCollections:
    """The service for one process. Nothing is opened before it is used."""
    from phloem.nodes.services.collections.service import LocalCollections

    return LocalCollections(home)
