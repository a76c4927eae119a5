"""How an answer ended, whoever spoke: what both protocols mean by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.failures import TryLater
from phloem.nodes.services.models.hosted.heard import PartOfCall
from phloem.runtime.errors import ServiceError
from phloem.runtime.services import Chance, Ending

__all__ = ["CutCall", "Finish", "ending_of"]

Finish = Literal["stop", "length", "calls", "refused"]


class CutCall(ServiceError):
    """max_tokens ended the answer in the middle of calling a tool; `written` are the arguments as far as they came."""

    def __init__(self, endpoint: Endpoint, written: str) -> None:
        super().__init__(
            f"{endpoint.full} was cut off in the middle of calling a tool",
            hint="Raise max_tokens; what a model thinks counts too.",
        )
        self.written = written


def ending_of(
    finish: Finish | None,
    calls: Mapping[int, PartOfCall],
    endpoint: Endpoint,
    *,
    chances: Sequence[Chance] = (),
    model: str = "",
) -> Ending:
    """The Ending of an answer that said `finish` of itself, with its calls in their order.

    TryLater if it said nothing, CutCall if a call is not whole, ServiceError for one that cannot be made.
    """
    if finish is None:
        raise TryLater(f"{endpoint.host} broke off in the middle of its answer")
    if finish == "refused":
        # What is withheld may end anywhere, so no call in it is to be trusted.
        return Ending("refused", model=model)
    if calls and finish == "length":
        raise CutCall(endpoint, "".join(calls[max(calls)].arguments))
    whole = tuple(calls[at].whole(at, endpoint) for at in sorted(calls))
    # Servers say `stop` of an answer with calls, and `calls` of one without.
    return Ending("calls" if whole else "length" if finish == "length" else "stop", whole, tuple(chances), model)
