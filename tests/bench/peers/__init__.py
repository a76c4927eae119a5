"""The engines that are compared, one module each, and how to find out whether one is installed.

A peer's module has some of these functions; a case that it has none for is shown as not offered:

    runner(graph)        a function that runs the graph once and gives the last node's value
    mapper(count)        a function that runs a node for each number below `count`, and gives the results
    cached(settings)     a function that runs the chain of `settings` once, with what the process keeps,
                         and gives the last value and how many nodes were executed
    forget()             lose what `cached` has kept

What these functions do before they return (building, compiling) is not measured, what they return is.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine to measure: the name shown, its module in this package, and its distribution if it has one."""

    name: str
    module: str
    distribution: str | None = None

    @property
    def version(self) -> str | None:
        """The installed version; None if it is not installed, empty for what needs no installing."""
        if self.distribution is None:
            return ""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None


PEERS: Final = {
    peer.module: peer
    for peer in (
        Peer("phloem", "ours", "phloem"),
        Peer("phloem, view folded", "ours_folded", "phloem"),
        Peer("phloem, journal and cache", "ours_kept", "phloem"),
        Peer("phloem, async items", "ours_async", "phloem"),
        Peer("LangGraph", "langgraph_graph", "langgraph"),
        Peer("LangGraph, SQLite", "langgraph_kept", "langgraph-checkpoint-sqlite"),
        Peer("Hamilton", "hamilton_driver", "apache-hamilton"),
        Peer("bare loop", "bare"),
    )
}
