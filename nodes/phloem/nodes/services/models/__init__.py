"""The models service: text and vectors from model files on this machine.

`service` is what a Context asks. It finds the file in `catalogue`, whose header `gguf` has looked at, and
hands the work to an `owner`, a thread that has the model to itself; `shelf` keeps the owners. In that
thread `text_model` writes, token by token as `choosing` says, and `vector_model` makes vectors, both on
`llama`, the one file that knows llama.cpp. `answer` turns a question into a prompt (`chat`) and tokens
into pieces of `text`. `forms` holds an answer to a schema, a pattern or a choice. `sentence` is the other
kind of embedding model. `data` has the bundled models.
"""

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
