"""What differs between two runs: node by node, what came out, how long it took, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from phloem.runtime.cache import Stored
from phloem.runtime.journal.kept import KeptRun
from phloem.runtime.view import NodeView

__all__ = ["Comparison", "NodeComparison", "Pair", "compare"]

Pair = tuple[Stored | None, Stored | None]
"""A value before and after; None where there is none."""

_ENDS: Final = {"cached": "done"}
"""Ends that mean the same: where a result came from is no difference in it."""


@dataclass(slots=True)
class NodeComparison:
    """One node in two runs; a view is None in the run that has no such node.

    `outputs` are those that differ, by port, of a node that finished in both.
    """

    node: str
    before: NodeView | None
    after: NodeView | None
    outputs: dict[str, Pair] = field(default_factory=dict)

    @property
    def change(self) -> Literal["added", "removed", "changed", "same"]:
        if self.before is None or self.after is None:
            return "added" if self.before is None else "removed"
        ends = [_ENDS.get(one.state, one.state) for one in (self.before, self.after)]
        # Two failures for different reasons are two outcomes.
        said = [one.message if one.state in ("failed", "skipped") else "" for one in (self.before, self.after)]
        return "changed" if self.outputs or ends[0] != ends[1] or said[0] != said[1] else "same"


@dataclass(slots=True)
class Comparison:
    """Two runs side by side: all their nodes, in the order of the later one, and the inputs and workflow outputs that
    differ, by name."""

    before: KeptRun
    after: KeptRun
    nodes: list[NodeComparison]
    inputs: dict[str, Pair]
    outputs: dict[str, Pair]

    @property
    def is_other_workflow(self) -> bool:
        """True if another file was run; False also if that can no longer be told."""
        texts = (self.before.record.text, self.after.record.text)
        return all(texts) and texts[0] != texts[1]

    @property
    def differs(self) -> bool:
        """True if anything came out differently; time and money do not count."""
        return bool(self.outputs) or any(one.change != "same" for one in self.nodes)


def compare(before: KeptRun, after: KeptRun) -> Comparison:
    """What differs from one run to another."""
    names = dict.fromkeys([*after.nodes, *before.nodes])
    nodes = []
    for name in names:
        one = NodeComparison(name, before.nodes.get(name), after.nodes.get(name))
        if name in before.finished and name in after.finished:
            one.outputs = _differing(before.finished[name].outputs, after.finished[name].outputs)
        nodes.append(one)
    return Comparison(
        before,
        after,
        nodes,
        _differing(before.record.inputs, after.record.inputs),
        _differing(before.outputs, after.outputs),
    )


def _differing(before: Mapping[str, Stored | None], after: Mapping[str, Stored | None]) -> dict[str, Pair]:
    """Those whose content differs. Values that can no longer be had differ from all others."""
    pairs = {name: (before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])}
    return {name: pair for name, pair in pairs.items() if not _same(*pair)}


def _same(before: Stored | None, after: Stored | None) -> bool:
    return before is not None and after is not None and before.hash == after.hash
