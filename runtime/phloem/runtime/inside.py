"""What is known, before a run, of the values that reach the workflow in a node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from phloem.runtime.checked import CheckedNode
from phloem.runtime.paths import absolute_paths, paths_handed_in
from phloem.runtime.workflow import INPUT

__all__ = ["inputs_inside"]


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""Stands for a value that only the run will tell."""


def inputs_inside(node: CheckedNode, inputs: Mapping[str, Any], base: Path | None) -> dict[str, list[Any]]:
    """For each input of the body of a node the values that may be there, when `inputs` are those around it.

    Lists are to be looked into: of what is an item of a list, the list is there. What is missing from `inputs` is
    missing here. `base` is the folder that paths in them are relative to.
    """
    body, nesting = node.body, node.kind.nests
    assert body is not None and nesting is not None
    paths = paths_handed_in(node)
    known: dict[str, list[Any]] = {}
    for name in body.checked.workflow.inputs:
        if name in body.given:
            values = _values(node, nesting.items[name], inputs) if name in nesting.items else [UNKNOWN]
        else:
            values = _values(node, name, inputs)
        if name in body.carried:
            values.append(UNKNOWN)
        if name in paths:
            values = [absolute_paths(value, base or Path.cwd()) for value in values]
        if values:
            known[name] = values
    return known


def _values(node: CheckedNode, port: str, inputs: Mapping[str, Any]) -> list[Any]:
    """What may come into a port of a node."""
    joined = node.links.get(port, ())
    if not joined:
        return [node.values[port]] if port in node.values else []
    found = []
    for one in joined:
        if one.source.node != INPUT:
            found.append(UNKNOWN)
        elif one.source.port in inputs:
            found.append(inputs[one.source.port])
    return found
