"""The models service: text and vectors from model files on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phloem.runtime.home import Home

if TYPE_CHECKING:
    from phloem.nodes.services.models.service import LocalModels

__all__ = ["make"]


def make(home: Home) -> LocalModels:
    """The service for one process. Nothing heavy is loaded before it is used."""
    from phloem.nodes.services.models.service import LocalModels

    return LocalModels(home)
