"""The models service: text and vectors from models on this machine, and from providers.

`models` is what a Context asks: it hands each request to the backend that the model's name tells. `local` runs
model files with llama.cpp, each in a process of its own; `sentence` is the other kind of embedding model, and
`hosted` speaks to servers. `forms` holds an answer to a schema, a pattern, a choice or a grammar. `pull` fetches
model files, and `data` has the bundled ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phloem.runtime.home import Home

if TYPE_CHECKING:
    from phloem.nodes.services.models.models import Models

__all__ = ["make"]


def make(home: Home) -> Models:
    """The service for one process. Nothing heavy is loaded before it is used."""
    from phloem.nodes.services.models.models import Models

    return Models(home)
