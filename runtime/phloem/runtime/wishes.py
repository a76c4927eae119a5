"""What a workflow would touch, told before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from phloem.runtime.checks import CheckedNode, CheckedWorkflow
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.errors import InputError, PermissionNeeded
from phloem.runtime.grants import LOCAL_PROVIDERS, Permissions, host_of, is_url, names_server, provider_of
from phloem.runtime.kinds import Need
from phloem.runtime.plan import Plan
from phloem.runtime.workflow import INPUT

__all__ = ["Wish", "missing", "wishes"]


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing a node wants to touch. `scope` is None when only the run will tell what exactly;
    `flag` is the grant that is missing, None if none is."""

    node: str
    word: str
    scope: str | None
    flag: str | None = None


def wishes(
    checked: CheckedWorkflow, inputs: Mapping[str, Any], permissions: Permissions, models: DefaultModels
) -> list[Wish]:
    """Everything the workflow would touch with these inputs, node by node in the order of the file.

    `models` stand in where a node names none. A model that is elsewhere is told as what it takes to reach it.
    """
    found = []
    for node in checked.nodes.values():
        if not node.node.disabled:
            for need in node.kind.needs:
                for scope in _scopes(checked, node, need, inputs):
                    if need.word in ("model", "embedding") and need.port is not None:
                        found.append(_model_wish(node.id, need.word, scope, permissions, models))
                    else:
                        found.append(_wish(node.id, need.word, scope, permissions))
    return list(dict.fromkeys(found))


def missing(
    plan: Plan, inputs: Mapping[str, Any], permissions: Permissions, models: DefaultModels
) -> PermissionNeeded | None:
    """The error that names every grant the plan is known to lack, or None."""
    steps = {step.id for step in plan.steps}
    lacking = [one for one in wishes(plan.checked, inputs, permissions, models) if one.flag and one.node in steps]
    if not lacking:
        return None
    parts = [f"{one.node} would {_VERBS[one.word]} {one.scope}".rstrip() for one in lacking]
    flags = dict.fromkeys(one.flag for one in lacking if one.flag)
    return PermissionNeeded(f"The workflow lacks a grant: {'; '.join(parts)}.", flags=list(flags))


_VERBS = {
    "net": "connect to", "read": "read", "write": "write", "model": "use the model", "spend": "spend at",
    "secret": "use the secret", "browser": "open a browser", "run": "start",
}  # fmt: skip


def _scopes(checked: CheckedWorkflow, node: CheckedNode, need: Need, inputs: Mapping[str, Any]) -> Iterator[str | None]:
    """What the need is about, as far as it is written down or given."""
    if need.port is None:
        yield None if need.word in ("net", "read", "write") else ""
        return
    for value in _values(checked, node, need.port, inputs):
        if value is None:
            yield None
        elif need.word in ("model", "embedding"):
            yield value
        elif not value or (is_url(value) != (need.word == "net") and need.word in ("net", "read", "write")):
            continue
        else:
            yield value


def _values(checked: CheckedWorkflow, node: CheckedNode, port: str, inputs: Mapping[str, Any]) -> Iterator[str | None]:
    """The texts that reach a port, None for one that a node will make."""
    joined = node.links.get(port, ())
    if not joined:
        yield from _texts(node.values.get(port))
    for one in joined:
        if one.source.node != INPUT:
            yield None
        elif one.source.port in inputs:
            yield from _texts(inputs[one.source.port])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif value is None:
        yield ""


def _model_wish(node: str, word: str, name: str | None, permissions: Permissions, models: DefaultModels) -> Wish:
    if name is None:
        return Wish(node, "model", None)
    name = name or (models.embedding if word == "embedding" else models.text)
    flag = None
    try:
        permissions.model(name, trusted=name in models.trusted)
    except PermissionNeeded as error:
        flag = error.flags[0]
    except InputError:
        # The node will say what is wrong with the name. An address may hold a password, so it is not repeated.
        return Wish(node, "model", "http://…" if names_server(name) else name)
    if names_server(name):
        return Wish(node, "net", host_of(name), flag)
    if provider_of(name) not in LOCAL_PROVIDERS:
        return Wish(node, "spend", provider_of(name), flag)
    return Wish(node, "model", name, flag)


def _wish(node: str, word: str, scope: str | None, permissions: Permissions) -> Wish:
    if scope is None:
        return Wish(node, word, None)
    flag = None
    try:
        if word == "net":
            permissions.net(scope)
        elif word == "read":
            permissions.read(scope)
        elif word == "write":
            permissions.write(scope)
        else:
            permissions.require(word, scope)
    except PermissionNeeded as error:
        flag = error.flags[0]
    return Wish(node, word, scope, flag)
