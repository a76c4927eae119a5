"""The rail beside a drawing in text: a lane for everything that is still to be read, as logs of branches are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["Stop", "rail", "reading_order"]

Stop = tuple[str, str]
"""What stands on the rail beside one item: on its first line, and on those after it."""


def reading_order(count: int, sources: Sequence[Sequence[int]]) -> list[int]:
    """Items in an order in which each comes after all its sources, and soon after the last of them.

    What follows an item comes directly after it where it can, so that few lanes are open at a time.
    """
    readers: list[list[int]] = [[] for _ in range(count)]
    for item, before in enumerate(sources):
        for source in before:
            readers[source].append(item)
    missing = [len(before) for before in sources]
    ready = [item for item in reversed(range(count)) if not missing[item]]
    order = []
    while ready:
        item = ready.pop()
        order.append(item)
        for reader in reversed(readers[item]):
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    return order


def rail(
    order: Sequence[int], sources: Sequence[Sequence[int]], signs: Mapping[int, str], most: int
) -> list[Stop] | None:
    """The rail beside the items in `order`, each drawn with its sign; None if it took more than `most` lanes."""
    left: Counter[int | None] = Counter(source for before in sources for source in before)
    lanes: list[int | None] = []
    stops: list[Stop] = []
    for item in order:
        joined = [at for at, source in enumerate(lanes) if source is not None and source in sources[item]]
        left.subtract(sources[item])
        ending = [at for at in joined if not left[lanes[at]]]
        own = ending[0] if ending else next((at for at, one in enumerate(lanes) if one is None), len(lanes))
        if own == len(lanes):
            lanes.append(None)
        if len(lanes) > most:
            return None
        first = _first_line(lanes, own, joined, ending, signs[item])
        for at in ending:
            lanes[at] = None
        lanes[own] = item if left[item] else None
        while lanes and lanes[-1] is None:
            lanes.pop()
        stops.append((first, " ".join(" " if one is None else "│" for one in lanes)))
    return stops


def _first_line(lanes: Sequence[int | None], own: int, joined: Sequence[int], ending: Sequence[int], sign: str) -> str:
    """The lanes with the item on its own, and a line to it from each that it reads."""
    low, high = min([own, *joined]), max([own, *joined])
    cells = []
    for at, open_item in enumerate(lanes):
        if at == own:
            cells.append(sign)
        elif at in joined:
            cells.append(_joint(at, low, high, ends=at in ending))
        elif open_item is not None:
            cells.append("│")
        else:
            cells.append("─" if low < at < high else " ")
        cells.append("─" if low <= at < high else " ")
    return "".join(cells).rstrip()


def _joint(at: int, low: int, high: int, *, ends: bool) -> str:
    if at == low:
        return "╰" if ends else "├"
    if at == high:
        return "╯" if ends else "┤"
    return "┴" if ends else "┼"
