"""Where a person has placed the nodes of a workflow."""

from __future__ import annotations

from typing import Final

from phloem.runtime.workflow import Workflow

__all__ = ["Corner", "corners_of"]

Corner = tuple[float, float]
"""The top left corner of a node: x and y in pixels, y downwards."""

_FARTHEST: Final = 1e6


def corners_of(workflow: Workflow) -> dict[str, Corner] | None:
    """Where the layout puts each node; None unless it puts every one, and no two in the same place."""
    corners = {id: corner for id in workflow.nodes if (corner := _corner(workflow.layout.get(id))) is not None}
    return corners if corners and len(set(corners.values())) == len(workflow.nodes) else None


def _corner(found: object) -> Corner | None:
    """A corner written `[x, y]`; None for anything else, or for what lies too far out."""
    if not isinstance(found, list | tuple) or len(found) < 2:
        return None
    x, y = found[0], found[1]
    if any(isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) < _FARTHEST for one in (x, y)):
        return None
    return float(x), float(y)
