"""The http service: how nodes reach the web, every connection through the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phloem.runtime.home import Home

if TYPE_CHECKING:
    from phloem.nodes.services.http.service import Http

__all__ = ["make"]


def make(home: Home) -> Http:
    """The service for one process. Nothing heavy is loaded before it is used."""
    from phloem.nodes.services.http.service import Http

    return Http()
