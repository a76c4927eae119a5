"""Which inputs of a workflow are paths, and what such a path is relative to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from phloem.runtime.checked import CheckedNode, CheckedWorkflow
from phloem.runtime.grants import is_url
from phloem.runtime.workflow import INPUT

__all__ = ["absolute_paths", "path_inputs", "paths_handed_in"]


def path_inputs(checked: CheckedWorkflow) -> frozenset[str]:
    """The inputs that lead straight to a port that takes a path, in a body too: a text in one of them names a file."""
    found = set()
    for node in checked.nodes.values():
        takes = _path_ports(node)
        for port, joined in node.links.items():
            if port in takes:
                found |= {one.source.port for one in joined if one.source.node == INPUT}
    return frozenset(found)


def paths_handed_in(node: CheckedNode) -> frozenset[str]:
    """The inputs of a file that a node calls which are paths and come from the node: they are relative to the folder
    of the file around it, while what the called file itself says, as a default, is relative to its own."""
    if node.body is None or node.body.place is None:
        return frozenset()
    return path_inputs(node.body.checked) & {*node.links, *node.node.set}


def _path_ports(node: CheckedNode) -> set[str]:
    """The inputs of a node that take a path: its own, and those through which one reaches its body."""
    own = {name for name, port in node.inputs.items() if port.path}
    if node.body is None or node.kind.nests is None:
        return own
    inside = path_inputs(node.body.checked)
    items = {of for name, of in node.kind.nests.items.items() if name in inside}
    return own | (inside & node.inputs.keys()) | items


def absolute_paths(value: Any, folder: Path) -> Any:
    """`value` with the relative paths in it made absolute against `folder`; web addresses stay as they are.

    What a user types on a command line is meant from where they are, not from where the workflow lies.
    """
    if isinstance(value, str):
        if not value or is_url(value):
            return value
        # Not Path.expanduser: that is an error for a user who is not there, and a name may begin with `~`.
        return str((folder / os.path.expanduser(value)).absolute())  # noqa: PTH111
    return [absolute_paths(one, folder) for one in value] if isinstance(value, list) else value
