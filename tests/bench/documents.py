"""How long a workflow file takes to read, check, write and draw: `python tests/bench/documents.py [--nodes N]`.

Beside it, in turns, `yaml.load` with libyaml on the same text, which knows nothing of workflows, lines,
comments or repeated keys.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import yaml
from phloem.runtime.catalogue import installed_catalogue
from phloem.runtime.checks import check
from phloem.runtime.document import dump, dump_json, parse
from phloem.runtime.drawing import as_mermaid, as_svg, as_text
from phloem.runtime.home import Home
from phloem.runtime.workflow import Source, Workflow
from tables import Aim, Table, heading, span

READ: Final = Aim(2, "×")
READ_AND_CHECK: Final = Aim(4, "×")
DRAW: Final = Aim(4, "×")


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


def tangled(workflow: Workflow) -> Workflow:
    """The same with the text from any of the thirty nodes before each, and no places."""
    dice = Random(0)
    links: list[dict[str, tuple[Source, ...]]] = [{"text": (Source("input", "page"),)}]
    for number in range(1, len(workflow.nodes)):
        links.append({"text": (Source(f"node{dice.randrange(max(0, number - 30), number)}", "text"),)})
    nodes = {id: replace(node, links=taken) for (id, node), taken in zip(workflow.nodes.items(), links, strict=True)}
    return replace(workflow, nodes=nodes, layout={})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--nodes", type=int, default=1000)
    asked = parser.parse_args()
    text = text_of(asked.nodes)
    document = parse(text)
    if dump(document) != text:
        raise SystemExit("WRONG: the file is not in canonical form")
    drawn, tangle = document.workflow, tangled(document.workflow)
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
            "as_text": (lambda: as_text(drawn, catalogue), DRAW),
            "as_mermaid": (lambda: as_mermaid(drawn, catalogue), DRAW),
            "as_svg, every node placed": (lambda: as_svg(drawn, catalogue), DRAW),
            "as_svg, arranged": (lambda: as_svg(drawn, catalogue, keep_places=False), DRAW),
            "as_svg, arranged, a tangle": (lambda: as_svg(tangle, catalogue), DRAW),
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
