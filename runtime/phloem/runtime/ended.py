"""What had ended when a run was left, for the run that goes on with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from phloem.runtime.cache import Stored
from phloem.runtime.events import NodeFailed
from phloem.runtime.journal import FinishedNode
from phloem.runtime.plan import Step

__all__ = ["Ended"]


class Ended:
    """The ends of nodes, by path; false when all of them are taken."""

    __slots__ = ("_ends",)

    def __init__(self, ends: Mapping[str, FinishedNode | NodeFailed]) -> None:
        self._ends = dict(ends)

    def __bool__(self) -> bool:
        return bool(self._ends)

    def take(self, path: str, step: Step, readers: Sequence[int]) -> FinishedNode | NodeFailed | None:
        """How the step ended, if that still holds. Once only: what is done again, by another attempt of the step
        around it, is done anew. `readers` are how many still read each slot: what nobody reads may be gone."""
        found = self._ends.pop(path, None)
        if isinstance(found, FinishedNode) and not _holds(found, step, readers):
            logging.getLogger("phloem").warning("warning: %s runs again: what it gave can no longer be read", path)
            return None
        return found


def _holds(found: FinishedNode, step: Step, readers: Sequence[int]) -> bool:
    """True if the step has these outputs still, and all that is to be read of them can be."""
    if not found.whole or list(found.outputs) != [name for name, _ in step.outputs]:
        return False
    try:
        for (_, slot), one in zip(step.outputs, found.outputs.values(), strict=True):
            if isinstance(one, Stored) and readers[slot]:
                one.check()
    except (OSError, ValueError):
        return False
    return True
