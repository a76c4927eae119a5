"""What a workflow would touch, with all that is nested in it and called from it, told before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from phloem.runtime.checked import CheckedNode, CheckedWorkflow
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.errors import InputError, PermissionDenied, PermissionNeeded
from phloem.runtime.grants import LOCAL_PROVIDERS, Permissions, host_of, is_url, names_server, provider_of
from phloem.runtime.inside import inputs_inside
from phloem.runtime.kinds import Need
from phloem.runtime.plan import Plan
from phloem.runtime.workflow import INPUT

__all__ = ["Wish", "lacking", "missing", "wishes"]


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing a node wants to touch. `scope` is None when only the run will tell what exactly; `flag` is the grant
    that is missing, None if none is. `denied` says why no grant can allow it, None if one can."""

    node: str
    word: str
    scope: str | None
    flag: str | None = None
    denied: str | None = None


def wishes(
    checked: CheckedWorkflow, inputs: Mapping[str, Any], permissions: Permissions, models: DefaultModels
) -> list[Wish]:
    """Everything the workflow would touch with these inputs, node by node in the order of the file.

    `models` stand in where a node names none. A model that is elsewhere is told as what it takes to reach it. Those
    of a nested workflow stand after its node's own.
    """
    return list(dict.fromkeys(_wishes(checked, inputs, permissions, models, "")))


def _wishes(
    checked: CheckedWorkflow, inputs: Mapping[str, Any], permissions: Permissions, models: DefaultModels, inside: str
) -> Iterator[Wish]:
    """`inside` is the path of the node that this is the body of, with a `/` at its end."""
    for node in checked.nodes.values():
        if node.node.disabled:
            continue
        path = inside + node.id
        for need in node.kind.needs:
            for scope in _scopes(node, need, inputs):
                if need.word in ("model", "embedding") and need.port is not None:
                    yield _model_wish(path, need.word, scope, permissions, models)
                else:
                    yield _wish(path, need.word, scope, permissions)
        if node.body is not None:
            body = node.body
            known = inputs_inside(node, inputs, permissions.base)
            there = permissions.at(body.place.parent if body.place is not None else None)
            yield from _wishes(body.checked, known, there, models.inside(body.checked.workflow.model), f"{path}/")


def lacking(plan: Plan, inputs: Mapping[str, Any], permissions: Permissions, models: DefaultModels) -> list[Wish]:
    """The wishes that the plan is known to lack a grant for, or that are denied."""
    steps = {step.id for step in plan.steps}
    found = wishes(plan.checked, inputs, permissions, models)
    return [one for one in found if (one.flag or one.denied) and one.node.partition("/")[0] in steps]


def missing(
    plan: Plan, inputs: Mapping[str, Any], permissions: Permissions, models: DefaultModels
) -> PermissionNeeded | None:
    """The error that names everything denied, or every grant the plan is known to lack; None for nothing."""
    found = lacking(plan, inputs, permissions, models)
    denied = [one for one in found if one.denied]
    if denied:
        hints = dict.fromkeys(one.denied for one in denied if one.denied)
        return PermissionDenied(f"The workflow is not allowed what it wants: {_told(denied)}.", hint=" ".join(hints))
    if not found:
        return None
    flags = dict.fromkeys(one.flag for one in found if one.flag)
    return PermissionNeeded(f"The workflow lacks a grant: {_told(found)}.", flags=list(flags))


def _told(found: list[Wish]) -> str:
    return "; ".join(f"{one.node} would {_VERBS[one.word]} {one.scope}".rstrip() for one in found)


_VERBS = {
    "net": "connect to", "read": "read", "write": "write", "model": "use the model", "spend": "spend at",
    "secret": "use the secret", "browser": "open a browser", "run": "start",
}  # fmt: skip


def _scopes(node: CheckedNode, need: Need, inputs: Mapping[str, Any]) -> Iterator[str | None]:
    """What the need is about, as far as it is written down or given."""
    if need.port is None:
        yield None if need.word in ("net", "read", "write") else ""
        return
    for value in _values(node, need.port, inputs):
        if value is None or need.word in ("model", "embedding") or (value and _is_for(need.word, value)):
            yield value


def _is_for(word: str, value: str) -> bool:
    """False for the path in a port that takes a path or an address, if it is asked about the network, and so on."""
    if word == "net":
        # Nodes overlook the space around an address.
        return is_url(value.strip())
    return word not in ("read", "write") or not is_url(value)


def _values(node: CheckedNode, port: str, inputs: Mapping[str, Any]) -> Iterator[str | None]:
    """The texts that reach a port, None for one that only the run will tell."""
    joined = node.links.get(port, ())
    if not joined:
        yield from _texts(node.values.get(port))
    for one in joined:
        if one.source.node != INPUT:
            yield None
        elif one.source.port in inputs:
            yield from _texts(inputs[one.source.port])


def _texts(value: Any) -> Iterator[str | None]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        # A number or a document is a text too, for the port that it reaches.
        yield "" if value is None else None


def _model_wish(node: str, word: str, name: str | None, permissions: Permissions, models: DefaultModels) -> Wish:
    if name is None:
        return Wish(node, "model", None)
    name = name or (models.embedding if word == "embedding" else models.text)
    flag = denied = None
    try:
        permissions.model(name, trusted=name in models.trusted)
    except PermissionDenied as error:
        denied = str(error.hint)
    except PermissionNeeded as error:
        flag = error.flags[0]
    except InputError:
        # The node will say what is wrong with the name. An address may hold a password, so it is not repeated.
        return Wish(node, "model", "http://…" if names_server(name) else name)
    if names_server(name):
        return Wish(node, "net", host_of(name), flag, denied)
    if provider_of(name) not in LOCAL_PROVIDERS:
        return Wish(node, "spend", provider_of(name), flag, denied)
    return Wish(node, "model", name, flag, denied)


def _wish(node: str, word: str, scope: str | None, permissions: Permissions) -> Wish:
    if scope is None:
        return Wish(node, word, None)
    flag = denied = None
    try:
        if word == "net":
            permissions.net(scope)
        elif word == "read":
            permissions.read(scope)
        elif word == "write":
            permissions.write(scope)
        else:
            permissions.require(word, scope)
    except PermissionDenied as error:
        denied = str(error.hint)
    except PermissionNeeded as error:
        flag = error.flags[0]
    except InputError:
        # No path and no address: the node will say what is wrong with it.
        pass
    return Wish(node, word, scope, flag, denied)
