"""`phloem runs diff`: how two runs differ, node by node."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from phloem.runtime.budget import dollars
from phloem.runtime.cache import Stored
from phloem.runtime.cli.runs.words import duration, shown
from phloem.runtime.codec import json_form
from phloem.runtime.journal import Journal
from phloem.runtime.journal.compare import Comparison, NodeComparison, Pair, compare
from phloem.runtime.journal.loading import GONE, loaded
from phloem.runtime.journal.values_compared import value_lines
from phloem.runtime.view import NodeView
from phloem.runtime.words import printable

__all__ = ["main"]

_SLOWER = 0.1
"""Seconds, and the share of the longer time, from which on a difference in time is worth a line."""


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Print the differences; 0 if the same came out, 1 if not."""
    found = compare(journal.run(given.before), journal.run(given.after))
    if given.json:
        print(json.dumps(_as_json(found), ensure_ascii=False, indent=2))
    else:
        print("\n".join(_lines(found)))
    return 1 if found.differs else 0


def _lines(found: Comparison) -> Iterator[str]:
    before, after = found.before.summary, found.after.summary
    yield f"{before.id} → {after.id}"
    if before.status != after.status:
        yield f"~ status: {before.status} → {after.status}"
    if found.is_other_workflow:
        yield "~ the workflow itself"
    for name, pair in found.inputs.items():
        yield from _value(f"~ input {name}", pair, "")
    for one in found.nodes:
        yield from _node(one)
    for name, pair in found.outputs.items():
        yield from _value(f"~ output {name}", pair, "")
    count = sum(one.change == "same" for one in found.nodes)
    same = f"{count} of {len(found.nodes)} nodes gave the same"
    yield ", ".join(filter(None, (same, _spent(before.seconds, after.seconds, before, after))))


def _node(one: NodeComparison) -> Iterator[str]:
    if one.after is None or one.before is None:
        sign, node = ("+", one.after) if one.before is None else ("-", one.before)
        assert node is not None
        first = next(iter(node.outputs.values()), None)
        yield f"{sign} {printable(one.node)}: {node.state}" + (f", {shown(first.text)[:100]}" if first else "")
        return
    spent = _spent(one.before.seconds, one.after.seconds, one.before, one.after, cached=_is_cached(one))
    if one.change == "same":
        if spent and not _is_cached(one):
            yield f"= {printable(one.node)}: {spent}"
        return
    yield f"~ {printable(one.node)}: {', '.join(filter(None, (_ends(one.before, one.after), spent)))}".removesuffix(
        ": "
    )
    for port, pair in one.outputs.items():
        yield from _value(port, pair, "    ")


def _is_cached(one: NodeComparison) -> bool:
    return any(node is not None and node.state == "cached" for node in (one.before, one.after))


def _ends(before: NodeView, after: NodeView) -> str:
    """How each of them ended, where that differs."""
    ends = [_end(before), _end(after)]
    return f"{ends[0]} → {ends[1]}" if ends[0] != ends[1] else ""


def _end(node: NodeView) -> str:
    if node.state in ("failed", "skipped"):
        return f"{node.state} ({shown(node.message)[:200]})"
    return "done" if node.state == "cached" else node.state


def _spent(old: float, new: float, before: Any, after: Any, *, cached: bool = False) -> str:
    """Time, tokens and money where they differ enough to matter."""
    parts = []
    if not cached and abs(old - new) > _SLOWER * max(old, new) and abs(old - new) > _SLOWER:
        parts.append(f"{duration(old)} → {duration(new)}")
    tokens = [one.tokens_in + one.tokens_out for one in (before, after)]
    if tokens[0] != tokens[1]:
        parts.append(f"{tokens[0]:,} → {tokens[1]:,} tokens")
    if before.money != after.money:
        parts.append(f"{dollars(before.money)} → {dollars(after.money)}")
    return ", ".join(parts)


def _value(name: str, pair: Pair, indent: str) -> Iterator[str]:
    before, after = map(loaded, pair)
    if before is GONE or after is GONE:
        words = ["(no longer kept)" if value is GONE else "(kept)" for value in (before, after)]
        yield f"{indent}{printable(name)}: {words[0]} → {words[1]}"
        return
    lines = [printable(line) for line in value_lines(before, after)]
    if len(lines) == 1:
        yield f"{indent}{printable(name)}: {lines[0]}"
        return
    yield f"{indent}{printable(name)}:"
    yield from (f"{indent}    {line}" for line in lines)


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "before": found.before.id,
        "after": found.after.id,
        "differs": found.differs,
        "workflow": found.is_other_workflow,
        "inputs": _pairs(found.inputs),
        "nodes": {
            one.node: {
                "change": one.change, "before": _view(one.before), "after": _view(one.after),
                "outputs": _pairs(one.outputs),
            }
            for one in found.nodes
        },
        "outputs": _pairs(found.outputs),
    }  # fmt: skip


def _pairs(pairs: dict[str, Pair]) -> dict[str, Any]:
    def told(stored: Stored | None) -> Any:
        return None if (value := loaded(stored)) is GONE else json_form(value)

    return {name: {"before": told(pair[0]), "after": told(pair[1])} for name, pair in pairs.items()}


def _view(node: NodeView | None) -> dict[str, Any] | None:
    if node is None:
        return None
    kept = ("state", "seconds", "message", "tokens_in", "tokens_out", "money")
    return {name: getattr(node, name) for name in kept}
