"""How much work something is, told without a clock."""

from __future__ import annotations

from collections.abc import Callable
from cProfile import Profile

__all__ = ["calls"]


def calls(function: Callable[[], object]) -> int:
    """How many calls of functions it takes, built-in ones too: what grows with the work, and is the same on a busy
    machine. What is kept from one time to the next has to be there already."""
    profile = Profile()
    profile.runcall(function)
    return sum(entry.callcount for entry in profile.getstats())
