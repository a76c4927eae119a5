"""What the engine costs beside other engines: `python tests/bench/engine.py [--only PART]`.

Every engine runs the same graphs in the same session on the same machine, in a process of its own, and
what comes out is checked. See docs/benchmarks.md for what each table means.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from statistics import median
from typing import Final

from cases import CASES, Case
from peers import PEERS, Peer
from rounds import Series, measure
from tables import Aim, Table, heading, shown, span

NODE_AIM: Final = Aim(15, "µs")
KEPT_AIM: Final = Aim(30, "µs")
RATIO_AIM: Final = Aim(20, "×", at_least=True)
WAIT_AIM: Final = Aim(260, "ms")
ITEM_AIM: Final = Aim(25, "µs")
OURS: Final = ["ours", "ours_folded"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the engine beside others.")
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--processes", type=int, help="fresh processes for each engine and case")
    parser.add_argument("--rounds", type=int, help="rounds in each process after the first")
    given = parser.parse_args()
    heading("Engine")
    print("Peers: " + ", ".join(_named(peer) for peer in PEERS.values() if peer.distribution != "phloem"))
    everything: list[Series] = []
    for name, (part, processes, rounds) in PARTS.items():
        if given.only in (None, name):
            everything += part(given.processes or processes, given.rounds or rounds)
    wrong = [one for one in everything if one.wrong]
    for one in wrong:
        print(f"\nWRONG: {one.peer.name}: {one.wrong}")
    return 1 if wrong else 0


def graphs(processes: int, rounds: int) -> list[Series]:
    """Nodes that do next to nothing: what the engine itself costs."""
    table = Table(
        "CPU time per node",
        ["graph", "engine", "CPU µs", "low–high", "first run", "wall µs", "build ms", "× phloem", "aim", "verdict"],
    )
    everything = []
    for case in (CASES["chain"], CASES["fan"], CASES["layered"]):
        series = _measured(
            case,
            [*OURS, "ours_kept", "langgraph_graph", "langgraph_kept", "hamilton_driver", "bare"],
            processes,
            rounds,
        )
        ours, micro = series[0].values("cpu"), 1e6 / case.count

        def cells(one: Series, ours: list[float] = ours, micro: float = micro) -> list[str]:
            cpu = one.values("cpu")
            ratio = median(cpu) / median(ours) if ours else None
            figures = [
                shown(cpu, micro), span(cpu, micro), shown(one.values("cpu", first=True), micro),
                shown(one.values("wall"), micro), shown(one.builds, 1e3, 0), f"{ratio:.1f}" if ratio else "–",
            ]  # fmt: skip
            if one.peer.name == "LangGraph":
                return [*figures, str(RATIO_AIM), RATIO_AIM.verdict(ratio)]
            if one.peer.module == "ours_kept":
                return [*figures, str(KEPT_AIM), KEPT_AIM.verdict(median(cpu) * micro)]
            return figures + _verdict(one, NODE_AIM, median(cpu) * micro)

        _fill(table, case.title, series, cells)
        everything += series
    table.show()
    return everything


def waiting(processes: int, rounds: int) -> list[Series]:
    """32 branches of 4 waits, 200 ms each way: what an engine adds by holding one node up for another."""
    table = Table(
        "32 × 4 waiting nodes, 200 ms each way",
        ["branches", "engine", "wall ms", "low–high", "CPU µs a node", "aim", "verdict"],
    )
    everything = []
    for name in ("blocking", "blocking-skewed", "async", "async-skewed"):
        case = CASES[name]
        series = _measured(case, ["ours", "langgraph_graph", "hamilton_driver"], processes, rounds)

        def cells(one: Series, micro: float = 1e6 / case.count) -> list[str]:
            wall = one.values("wall")
            figures = [shown(wall, 1e3, 0), span(wall, 1e3, 0), shown(one.values("cpu"), micro)]
            return figures + _verdict(one, WAIT_AIM, median(wall) * 1e3)

        _fill(table, case.title, series, cells)
        everything += series
    table.show()
    return everything


def payload(processes: int, rounds: int) -> list[Series]:
    """A large value through a chain: it must come out as the very object that went in."""
    case = CASES["payload"]
    table = Table("10 MB through 100 nodes by reference", ["value", "engine", "wall ms", "low–high", "memory MB"])
    series = _measured(case, ["ours", "langgraph_graph", "hamilton_driver", "bare"], processes, rounds)

    def cells(one: Series) -> list[str]:
        wall = one.values("wall")
        return [shown(wall, 1e3), span(wall, 1e3), shown(one.values("grown", first=True), 1e-6)]

    _fill(table, case.title, series, cells)
    table.show()
    return series


def lists(processes: int, rounds: int) -> list[Series]:
    """One node for 10,000 items."""
    case = CASES["list"]
    table = Table("A list of 10,000, per item", ["list", "engine", "CPU µs", "low–high", "wall µs", "aim", "verdict"])
    series = _measured(case, ["ours", "ours_async", "langgraph_graph", "hamilton_driver", "bare"], processes, rounds)
    micro = 1e6 / case.count

    def cells(one: Series) -> list[str]:
        cpu = one.values("cpu")
        figures = [shown(cpu, micro), span(cpu, micro), shown(one.values("wall"), micro)]
        return figures + _verdict(one, ITEM_AIM, median(cpu) * micro)

    _fill(table, case.title, series, cells)
    table.show()
    return series


def cache(processes: int, rounds: int) -> list[Series]:
    """A chain that was run before: what is executed again, and what finding out costs."""
    case = CASES["cache"]
    table = Table(
        "A chain of 1,000 with results kept", ["run", "engine", "executed", "wall ms", "low–high", "CPU µs a node"]
    )
    series = _measured(case, ["ours", "langgraph_graph", "hamilton_driver"], processes, rounds)
    for lap in ("cold", "unchanged", "one changed", "one changed, same result"):

        def cells(one: Series, lap: str = lap) -> list[str]:
            wall, cpu = one.values("wall", lap), one.values("cpu", lap)
            return [shown(one.values("executed", lap), 1, 0), shown(wall, 1e3), span(wall, 1e3), shown(cpu, 1e3)]

        _fill(table, lap, series, cells)
    table.show()
    return series


Part = Callable[[int, int], list[Series]]

PARTS: Final[dict[str, tuple[Part, int, int]]] = {
    "graphs": (graphs, 2, 5),
    "waiting": (waiting, 1, 3),
    "payload": (payload, 3, 3),
    "list": (lists, 1, 3),
    "cache": (cache, 1, 2),
}
"""Each part with the number of fresh processes and of rounds after the first that it takes by itself."""


def _measured(case: Case, names: list[str], processes: int, rounds: int) -> list[Series]:
    print(f"… {case.title}", file=sys.stderr, flush=True)
    return measure(case, [PEERS[name] for name in names], processes=processes, rounds=rounds)


def _fill(table: Table, title: str, series: list[Series], cells: Callable[[Series], list[str]]) -> None:
    """A row for each peer; for one without figures, why it has none."""
    for one in series:
        figures = cells(one) if one.later and not one.wrong else ["WRONG" if one.wrong else one.note]
        table.row(title, one.peer.name, *figures)


def _verdict(one: Series, aim: Aim, figure: float) -> list[str]:
    """The aim and what became of it, for ours only: the others have no aims."""
    return [str(aim), aim.verdict(figure)] if one.peer.distribution == "phloem" else []


def _named(peer: Peer) -> str:
    if peer.version is None:
        return f"{peer.name} (not installed: pip install 'phloem[bench]')"
    return f"{peer.name} {peer.version}".strip()


if __name__ == "__main__":
    raise SystemExit(main())
