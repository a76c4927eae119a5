"""Phloem, running through a list with an async node: each item is looked at, tried and counted by itself."""

from __future__ import annotations

from collections.abc import Callable

from graphs import Value

from peers import ours

__all__ = ["mapper"]


def mapper(count: int) -> Callable[[], list[Value]]:
    return ours.mapper(count, "bench.item_async@1")
