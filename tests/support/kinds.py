"""Built-in kinds for tests: found by id, called as the engine calls them, and held to their examples."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.declare import kinds_in
from phloem.runtime.document import WorkflowFile
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.kinds import Example, NodeKind
from phloem.runtime.ports import REQUIRED, Ports, PortType, type_of_value
from phloem.runtime.values import Document, Hit, Message

PLAIN = ("text", "data", "maths", "logic", "flow", "files", "table")
"""Modules of kinds that need no service."""


def find(id: str) -> NodeKind:
    """The built-in kind with this id."""
    family = id.partition(".")[0]
    for kind in family_of({"math": "maths"}.get(family, family)):
        if kind.id == id:
            return kind
    raise LookupError(id)


def family_of(module: str) -> list[NodeKind]:
    """The kinds that `phloem.nodes.<module>` declares."""
    return list(kinds_in(importlib.import_module(f"phloem.nodes.{module}")))


def ports_of(kind: NodeKind, settings: Mapping[str, Any], **types: str) -> Ports:
    """The ports of a node with these settings and these types linked to its inputs, all of them."""
    linked = {name: PortType.parse(text) for name, text in types.items()}
    shaped = kind.ports(settings, linked) if kind.ports is not None else Ports()
    return Ports({**kind.inputs, **shaped.inputs}, shaped.outputs or kind.outputs)


def context(folder: Path, *, allow: Iterable[str] = ()) -> Context:
    """A context whose relative paths are in `folder`, with these grants besides reading there."""
    grants = [Grant.parse(text) for text in allow]
    permissions = Permissions(grants, folder=folder)
    return Context(Scope(run="test", services=Services({}), permissions=permissions), node="node")


def call(
    id: str | NodeKind, inputs: Mapping[str, Any], folder: Path | None = None, *, allow: Iterable[str] = ()
) -> Any:
    """What a kind gives for these inputs: the value of its only output, or all of them by name.

    What is missing takes its default, as it does in the engine.
    """
    kind = find(id) if isinstance(id, str) else id
    ports = ports_of(kind, inputs, **{name: str(type_of_value(value)) for name, value in inputs.items()})
    given = {name: inputs.get(name, port.default) for name, port in ports.inputs.items()}
    missing = [name for name, value in given.items() if value is REQUIRED]
    assert not missing, f"{kind.id} needs {missing}"
    assert set(inputs) <= set(given), f"{kind.id} has no {set(inputs) - set(given)}"
    if kind.takes_context:
        assert folder is not None, f"{kind.id} needs a folder"
        result = kind.function(context(folder, allow=allow), **given)
    else:
        result = kind.function(**given)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    if len(ports.outputs) == 1:
        return result
    return result if isinstance(result, dict) else dict(zip(ports.outputs, result, strict=True))


def outputs_of(kind: NodeKind, example: Example, folder: Path) -> dict[str, Any]:
    """What a kind gives for the inputs of one of its examples, by output; its files are written first."""
    for name, text in example.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if kind.nests is not None:
        return _nested_outputs(kind, example, folder)
    allow = [f"write={folder}"] if any(need.word == "write" for need in kind.needs) else []
    result = call(kind, example.inputs, folder, allow=allow)
    names = ports_of(kind, example.inputs).outputs
    return {next(iter(names)): result} if len(names) == 1 else result


def promised_outputs(kind: NodeKind, example: Example, folder: Path) -> dict[str, PortType]:
    """The outputs, with their types, that a node has with what an example puts in."""
    if kind.nests is None:
        return dict(ports_of(kind, example.inputs).outputs)
    from phloem.runtime import Engine

    document = _drawn(kind, example, folder)
    return Engine().check(document).nodes[kind.id.rpartition(".")[2]].outputs


def _nested_outputs(kind: NodeKind, example: Example, folder: Path) -> dict[str, Any]:
    """What a node of a kind that nests gives in a real run: its body needs an engine."""
    from phloem.runtime import Options, run

    return run(_drawn(kind, example, folder), options=Options(cache=False)).outputs


def _drawn(kind: NodeKind, example: Example, folder: Path) -> WorkflowFile:
    """A workflow in `folder` with one node, as an example has it, whose outputs are the workflow's."""
    from phloem.runtime import Source, parse

    for name, text in example.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    lines = ["phloem: 1", "nodes:", f"  {kind.id.rpartition('.')[2]}:", f"    kind: {kind.name}"]
    lines += ["    do:", *(f"      {line}" for line in example.do.splitlines())] if example.do else []
    document = parse("\n".join(lines), path=folder / "example.flow.yaml")
    id = next(iter(document.workflow.nodes))
    workflow = dataclasses.replace(
        document.workflow,
        nodes={id: dataclasses.replace(document.workflow.nodes[id], set=dict(example.inputs))},
        outputs={name: Source(id, name) for name in example.outputs},
    )
    return document.replace(workflow)


def agree(shown: Any, given: Any) -> bool:
    """True if a value is the one that an example shows: `...` is any, floats agree to three digits."""
    if shown is ...:
        return True
    if _is_number(shown) and _is_number(given) and float in (type(shown), type(given)):
        return math.isclose(shown, given, rel_tol=1e-3, abs_tol=1e-9)
    if isinstance(shown, dict) and isinstance(given, dict):
        return list(shown) == list(given) and all(agree(shown[key], given[key]) for key in shown)
    if isinstance(shown, list) and isinstance(given, list):
        return len(shown) == len(given) and all(map(agree, shown, given))
    if isinstance(shown, Document | Hit | Message) and type(shown) is type(given):
        fields = shown.__dataclass_fields__
        return all(agree(getattr(shown, name), getattr(given, name)) for name in fields)
    return type(shown) is type(given) and shown == given


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
