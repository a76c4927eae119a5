"""How long a workflow file takes to read, check and write: `python tests/bench/documents.py [--nodes N]`.

Beside it, in turns, `yaml.load` with libyaml on the same text, which knows nothing of workflows, lines,
comments or repeated keys.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import yaml
from phloem.runtime.catalogue import installed_catalogue
from phloem.runtime.checks import check
from phloem.runtime.document import dump, dump_json, parse
from phloem.runtime.home import Home
from tables import Aim, Table, heading, span

READ: Final = Aim(2, "×")
READ_AND_CHECK: Final = Aim(4, "×")


def text_of(nodes: int) -> str:
    """A chain of nodes in canonical form, each with a kind, a link, three settings and a place."""
    lines = ["phloem: 1", "title: Many nodes", "inputs:", "  page: {type: text, value: x}", "nodes:"]
    for number in range(nodes):
        lines += [
            f"  node{number}:",
            "    kind: text.replace@1",
            f"    in: {{text: node{number - 1}.text}}" if number else "    in: {text: input.page}",
            f"    set: {{pattern: word {number}, replacement: some other words, plain: true}}",
        ]
    lines += ["outputs:", f"  answer: node{nodes - 1}.text", "layout:"]
    lines += [f"  node{number}: [{number * 10}, {number * 7}]" for number in range(nodes)]
    return "\n".join(lines) + "\n"


def with_comments(text: str) -> str:
    """The same with an empty line, a comment above and one beside for every node."""
    return text.replace("  node", "\n  # what it is for\n  node").replace("@1\n", "@1  # the newest\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--nodes", type=int, default=1000)
    asked = parser.parse_args()
    text = text_of(asked.nodes)
    document = parse(text)
    if dump(document) != text:
        raise SystemExit("WRONG: the file is not in canonical form")
    commented, json = with_comments(text), dump_json(document)
    heading(f"A workflow file of {asked.nodes:,} nodes, {len(text) / 1000:.0f} kB")
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        catalogue = installed_catalogue(home)
        work: dict[str, tuple[Callable[[], Any], Aim | None]] = {
            "yaml.load(text, CSafeLoader)": (lambda: yaml.load(text, yaml.CSafeLoader), None),
            "parse": (lambda: parse(text), READ),
            "parse and check": (lambda: check(parse(text).workflow, catalogue, store=home.plans), READ_AND_CHECK),
            "parse, with comments and empty lines": (lambda: parse(commented), READ),
            "parse, as JSON": (lambda: parse(json), READ),
            "dump": (lambda: dump(document), None),
        }
        taken: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(asked.rounds + 2):
            for name, (function, _) in work.items():
                began = time.perf_counter()
                function()
                if turn >= 2:
                    taken[name].append((time.perf_counter() - began) * 1e3)
    table = Table(f"Median of {asked.rounds}", ["what", "ms", "lowest–highest", "× yaml.load", "aim", "verdict"])
    base = median(next(iter(taken.values())))
    for name, (_, aim) in work.items():
        ratio = median(taken[name]) / base
        verdict = aim.verdict(ratio) if aim else ""
        table.row(name, f"{median(taken[name]):.1f}", span(taken[name]), f"{ratio:.2f}", str(aim or ""), verdict)
    table.show()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
