"""`phloem diff`: how two workflows differ, node by node."""

from __future__ import annotations

import argparse

from phloem.runtime.difference import difference, render
from phloem.runtime.document import load

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Print the differences; 0 if there are none, 1 if there are."""
    changes = difference(load(given.before).workflow, load(given.after).workflow)
    if changes:
        print(render(changes).rstrip("\n"))
    return 1 if changes else 0
