"""`phloem nodes`: the kinds of nodes there are, and what each does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from phloem.runtime.catalogue import installed_catalogue
from phloem.runtime.codec import json_form
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.kinds import Example, NodeKind
from phloem.runtime.ports import Port
from phloem.runtime.words import nearest, or_list

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Print the catalogue, the kinds that a word fits, or all about one kind."""
    catalogue = installed_catalogue(Home.default())
    if given.word:
        id = given.word.partition("@")[0]
        exact = [kind for kind in catalogue if kind.id == id]
        family = [kind for kind in catalogue if kind.family == given.word]
        kinds = (
            exact
            or family
            or [kind for kind in catalogue if given.word.lower() in f"{kind.id} {kind.title} {kind.about}".lower()]
        )
        if not kinds:
            near = nearest(given.word, [kind.id for kind in catalogue])
            raise ConfigError(
                f"no kind of node has to do with {given.word!r}",
                hint=f"Did you mean {near}?" if near else "`phloem nodes` lists them all.",
            )
    else:
        exact, kinds = [], list(catalogue)
    for broken in catalogue.broken.values():
        print(f"warning: {broken}", file=sys.stderr)
    if given.json:
        print(json.dumps([as_json(kind) for kind in kinds], ensure_ascii=False, indent=2))
    elif exact:
        print(_explained(exact[0]))
    else:
        print(_listed(kinds))
    return 0


def as_json(kind: NodeKind) -> dict[str, Any]:
    """A kind as JSON: what it is called, its ports, what it touches, its examples."""
    return {
        "id": kind.id,
        "version": kind.version,
        "kind": kind.name,
        "title": kind.title,
        "help": kind.about,
        "effect": kind.effect,
        "needs": [need.word for need in kind.needs],
        "inputs": [_port(port) for port in kind.inputs.values() if not port.setting],
        "settings": [_port(port) for port in kind.inputs.values() if port.setting],
        "outputs": [{"name": name, "type": str(wanted)} for name, wanted in kind.outputs.items()],
        "own_ports": kind.ports is not None or kind.nests is not None,
        "nests": None if kind.nests is None else "file" if kind.nests.file else "do",
        "examples": [
            {
                "inputs": json_form(dict(one.inputs)),
                **({"do": one.do} if one.do else {}),
                **({"files": dict(one.files)} if one.files else {}),
                "outputs": _outputs(one.outputs),
            }
            for one in kind.examples
        ],
    }


def _port(port: Port) -> dict[str, Any]:
    data: dict[str, Any] = {"name": port.name, "type": str(port.type), "about": port.about, "required": port.required}
    if not port.required:
        data["default"] = json_form(port.default)
    if port.many:
        data["many"] = True
    if port.choices:
        data["choices"] = list(port.choices)
    for name in ("ge", "le"):
        if getattr(port, name) is not None:
            data[name] = getattr(port, name)
    return data


def _outputs(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "…" if value is ... else json_form(value) for name, value in outputs.items()}


def _listed(kinds: list[NodeKind]) -> str:
    width = max(len(kind.name) for kind in kinds)
    rows: list[str] = []
    family = ""
    for kind in kinds:
        if kind.family != family:
            family = kind.family
            rows.append(f"{family}" if not rows else f"\n{family}")
        rows.append(f"  {kind.name:<{width}}  {kind.title}")
    return "\n".join(rows)


def _explained(kind: NodeKind) -> str:
    parts = [f"{kind.name} — {kind.title}", "", kind.about]
    sockets = [port for port in kind.inputs.values() if not port.setting]
    settings = [port for port in kind.inputs.values() if port.setting]
    for title, ports in (("inputs", sockets), ("settings", settings)):
        if ports:
            parts += ["", f"{title}:", *(f"  {port.name}: {_about(port)}" for port in ports)]
    if kind.ports is not None:
        parts += ["", "Its settings give it further ports."]
    if kind.nests is not None:
        whose = "the file" if kind.nests.file else "the workflow under `do`"
        parts += ["", f"Inputs and outputs of {whose} give it further ports."]
    if kind.outputs:
        parts += ["", "outputs:", *(f"  {name}: {wanted}" for name, wanted in kind.outputs.items())]
    for one in kind.examples[:2]:
        parts += [
            "", "example:", f"  {json.dumps(json_form(dict(one.inputs)), ensure_ascii=False)}",
            *_body(one), f"  → {json.dumps(_outputs(one.outputs), ensure_ascii=False)}",
        ]  # fmt: skip
    return "\n".join(parts)


def _body(one: Example) -> list[str]:
    """The workflow that is nested in an example."""
    return ["  do:", *(f"    {line}" for line in one.do.splitlines())] if one.do else []


def _about(port: Port) -> str:
    notes = ["required"] if port.required else [] if port.default in (None, "", ()) else [f"default {port.default}"]
    notes += [or_list(port.choices)] if port.choices else []
    notes += [f"{port.ge:g} or more"] if port.ge is not None else []
    notes += [f"at most {port.le:g}"] if port.le is not None else []
    notes += ["takes many"] if port.many else []
    return f"{port.type}" + (f", {', '.join(notes)}" if notes else "") + (f". {port.about}" if port.about else "")
