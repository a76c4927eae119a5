"""How many of something fit into so many tokens, found by measuring as seldom as possible."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import Final

from phloem.nodes.units import Span

__all__ = ["beginning", "most_that_fit"]

CUT: Final = " …"
"""Stands where the rest of a text was left out."""


async def most_that_fit(
    weights: Sequence[int], tokens: Callable[[int], Awaitable[int]], room: int, *, least: int = 0
) -> int:
    """How many items from the front fit: `tokens(n)` measures the first n, and the first `least` are known to fit.

    Tokens do not add up, since letters of neighbours join and templates write things around them, so the whole
    is measured each time, and what is returned was measured to fit. `weights` are roughly in proportion to
    the tokens of the items (their characters): they tell where to measure next, which mostly makes it two or
    three times.
    """
    low, high = least, len(weights)
    if low == high or await tokens(high) <= room:
        return high
    sums = [0, *accumulate(weights)]
    at_low, at_high = await tokens(low), await tokens(high)
    probes = 0
    while high - low > 1:
        probes += 1
        if probes % 3:
            share = (room - at_low) / max(1, at_high - at_low)
            at = bisect_right(sums, sums[low] + share * (sums[high] - sums[low])) - 1
        else:
            at = (low + high) // 2  # Where the weights mislead, the interval still shrinks.
        at = min(max(at, low + 1), high - 1)
        measured = await tokens(at)
        if measured <= room:
            low, at_low = at, measured
        else:
            high, at_high = at, measured
    return low


def beginning(text: str, parts: Sequence[Span], number: int) -> str:
    """A text up to the end of so many of its parts; if that is not all of it, the end shows it."""
    return text if number == len(parts) else text[: parts[number - 1][1] if number else 0] + CUT
