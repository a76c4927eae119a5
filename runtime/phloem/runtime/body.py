"""What a kind that nests is given to run: the workflow inside its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from phloem.runtime.errors import NodeError
from phloem.runtime.ports import Coercion

__all__ = ["Body"]


class Body(Protocol):
    """The workflow nested in a node. It may be run as often as the kind likes, and several times at once.

    What runs inside counts for the node: its budget, its timeout, its cancelling. A `light` body computes where it
    stands, so running several at once gains nothing. `carried` has the outputs that become inputs when it runs
    again, each with what turns the value, if anything has to. `outputs` are the names of all of them.
    """

    light: bool
    outputs: Sequence[str]
    carried: Mapping[str, Coercion | None]

    async def __call__(self, inputs: Mapping[str, Any], place: int | None = None) -> dict[str, Any]:
        """Run it once; its outputs by name, UNLIT for those that were not lit.

        `inputs` are those of the node that the kind does not use itself, and what it gives the body. `place` tells
        the runs apart, and becomes part of the ids of the nodes inside: `each/3/read`, or without it `group/read`.
        The error of the node inside that failed, with its id in the message, or PermissionNeeded.
        """
        ...

    def may_go_on(self, error: NodeError) -> bool:
        """True if a failure of the body is one that the kind may go on after; a limit of the node, or of the run
        that it is in, is none."""
        ...
