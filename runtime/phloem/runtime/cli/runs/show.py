"""`phloem runs show`: what happened in a run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from phloem.runtime.budget import spent_words
from phloem.runtime.cache import Stored
from phloem.runtime.cli.results import print_outputs
from phloem.runtime.cli.runs.words import clock, cost, duration, shown, size, table
from phloem.runtime.codec import json_form
from phloem.runtime.egress import Egress
from phloem.runtime.errors import ConfigError, JournalError
from phloem.runtime.events import preview
from phloem.runtime.journal import Journal, KeptRun
from phloem.runtime.journal.loading import GONE, loaded
from phloem.runtime.values import UNLIT
from phloem.runtime.view import NodeView
from phloem.runtime.words import nearest, or_list, printable

__all__ = ["main"]

_MARKS = {
    "waiting": "· not begun", "running": "· begun", "retrying": "↻ retrying", "asking": "? asking",
    "sleeping": "◷ waiting", "done": "✓ done", "cached": "✓ cached", "skipped": "– skipped", "failed": "✗ failed",
}  # fmt: skip


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Print the run, or one node's outputs."""
    run = journal.run(given.run)
    if run.damaged:
        print(f"warning: {run.damaged} parts of the record of this run cannot be read", file=sys.stderr)
    if given.node:
        _node(run, given.node, as_json=given.json)
    elif given.json:
        print(json.dumps(_as_json(run), ensure_ascii=False, indent=2))
    else:
        print("\n".join(_lines(run, inner=given.all)))
    return 0


def _lines(run: KeptRun, *, inner: bool) -> Iterator[str]:
    about = run.summary
    yield f"{run.id}  {shown(about.title)}".rstrip()
    spent = spent_words(about.tokens_in, about.tokens_out, about.money)
    yield ", ".join(filter(None, (about.status, clock(about.began), duration(about.seconds), spent)))
    if about.file:
        yield printable(about.file)
    if about.message:
        yield f"error: {printable(about.message)}"
    if run.nodes:
        yield ""
        yield from _nodes(run.nodes, inner=inner)
    yield from _problems(run)
    yield from _questions(run)
    if run.egress:
        yield "\nit spoke to:"
        yield table([_exchange(one) for one in run.egress], indent="  ")
    yield from _values("inputs", run.record.inputs)
    yield from _values("outputs", run.outputs)


def _nodes(nodes: Mapping[str, NodeView], *, inner: bool) -> Iterator[str]:
    """A line a node. Of those inside of others (`each/3/read`), which may be thousands, only what failed, unless all
    of them are wanted."""
    told = {name: one for name, one in nodes.items() if inner or "/" not in name or one.state == "failed"}
    rows = [(shown(name), *_row(node)) for name, node in told.items()]
    yield table(rows, head=("NODE", "", "TIME", "COST", "RESULT"))
    if len(told) < len(nodes):
        yield f"… and {len(nodes) - len(told):,} inside of these: --all tells of them"


def _row(node: NodeView) -> tuple[str, ...]:
    took = duration(node.seconds) if node.state in ("done", "failed") else ""
    first = next(iter(node.outputs.values()), None)
    result = node.message if node.state in ("failed", "skipped", "asking", "sleeping") else first.text if first else ""
    spent = cost(node.tokens_in + node.tokens_out, node.money) if node.state != "cached" else ""
    return _MARKS[node.state], took, spent, shown(result)


def _exchange(one: Egress) -> tuple[str, ...]:
    """Who asked what of whom, and what came of it."""
    answer = shown(one.error) if one.status is None else str(one.status)
    place = f"{one.host}:{one.port}" + (f" through {one.through}" if one.through else "")
    moved = f"{size(one.sent)} out, {size(one.received)} in"
    return shown(one.node), answer, moved, one.address, shown(f"{one.method} {one.url}" if one.url else place)


def _problems(run: KeptRun) -> Iterator[str]:
    for name, node in run.nodes.items():
        if node.state == "failed":
            hint = f"\n  {printable(node.hint)}" if node.hint else ""
            yield f"\nerror: {printable(name)}: {printable(node.message)}{hint}"
    for name, effect in run.in_doubt.items():
        yield (
            f"\nwarning: {printable(name)} was about to change something outside at {clock(effect.at)}, and nobody "
            "knows whether it did"
        )


def _questions(run: KeptRun) -> Iterator[str]:
    for one in run.questions.values():
        yield f"\n{printable(one.node)} asks: {printable(one.asks)}"
        if one.choices:
            yield f"  to be answered with {or_list([printable(str(choice)) for choice in one.choices])}"
        if one.answer is not None and one.answered is not None:
            yield f"  answered at {clock(one.answered)}: {shown(_preview(one.answer))}"
        elif one.deadline is not None:
            yield f"  until {clock(one.deadline)}"


def _values(title: str, values: Mapping[str, Stored | None]) -> Iterator[str]:
    if values:
        yield f"\n{title}:"
        yield from (f"  {name}: {shown(_preview(one))}" for name, one in values.items())


def _preview(stored: Stored | None) -> str:
    value = loaded(stored)
    if value is GONE:
        return "(no longer kept)"
    if value is None or value is UNLIT:
        return "(nothing)"
    found = preview(value, 300)
    whole = found.type not in ("text", "document", "message", "hit") or found.size <= len(found.text)
    return found.text if whole else f"{found.text}… ({found.size:,} characters)"


def _node(run: KeptRun, name: str, *, as_json: bool) -> None:
    """Print all that a node gave, whole."""
    nodes = run.nodes
    if name not in nodes:
        near = nearest(name, nodes)
        hint = f"Did you mean {near}?" if near else f"It has {or_list(list(nodes)[:10], 'and')}."
        raise ConfigError(f"the run {run.id} has no node {name}", hint=hint)
    finished = run.finished.get(name)
    if finished is None:
        state = _MARKS[nodes[name].state].partition(" ")[2]
        raise ConfigError(f"{name} has no outputs in the run {run.id}: {state}", hint=nodes[name].message or None)
    values: dict[str, Any] = {}
    for port, one in finished.outputs.items():
        value = loaded(one)
        if value is GONE:
            raise JournalError(f"{name}.{port} of the run {run.id} is no longer kept, or damaged")
        values[port] = None if value is UNLIT else value
    if as_json:
        print(json.dumps(json_form(values), ensure_ascii=False))
    else:
        print_outputs(values, sys.stdout)


def _as_json(run: KeptRun) -> dict[str, Any]:
    return {
        **dataclasses.asdict(run.summary),
        "options": json_form(dict(run.record.options)),
        "nodes": {name: _node_json(node) for name, node in run.nodes.items()},
        "inputs": _values_json(run.record.inputs),
        "outputs": _values_json(run.outputs),
        "questions": [one.to_json() for one in run.questions.values()],
        "egress": [dataclasses.asdict(one) for one in run.egress],
        "in_doubt": list(run.in_doubt),
        "damaged": run.damaged,
    }


def _node_json(node: NodeView) -> dict[str, Any]:
    kept = ("state", "started", "seconds", "message", "hint", "attempts", "tokens_in", "tokens_out", "money")
    return {name: getattr(node, name) for name in kept} | {
        "outputs": {port: dataclasses.asdict(one) for port, one in node.outputs.items()}
    }


def _values_json(values: Mapping[str, Stored | None]) -> dict[str, Any]:
    """The values by name; null for one that is no longer kept."""
    return {name: None if (value := loaded(one)) is GONE else json_form(value) for name, one in values.items()}
