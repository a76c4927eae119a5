"""A Workflow as the plain values that its file holds, in the order in which they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from phloem.runtime.document.tree import Path
from phloem.runtime.document.words import FORMAT
from phloem.runtime.workflow import Input, Limit, Node, OnError, Retry, Workflow

__all__ = ["ABSENT", "body_data", "input_data", "limit_data", "node_data", "value_at", "workflow_data"]

ABSENT: Final = object()
"""What stands where nothing does."""

_NO_RETRY: Final = Retry()
_STOP: Final = OnError()
_NO_LIMIT: Final = Limit()


def workflow_data(workflow: Workflow) -> dict[str, Any]:
    """What the file of `workflow` holds. What is as it would be without being written is left out."""
    return {"phloem": FORMAT, **body_data(workflow)}


def body_data(workflow: Workflow) -> dict[str, Any]:
    """The same without the number of the format: what stands under `do` in a node."""
    return {
        **_given(title=workflow.title, about=workflow.about, model=workflow.model, limit=limit_data(workflow.limit)),
        **_given(inputs={name: input_data(one) for name, one in workflow.inputs.items()}),
        **_given(nodes={id: node_data(one) for id, one in workflow.nodes.items()}),
        **_given(outputs={name: str(source) for name, source in workflow.outputs.items()}),
        **_given(layout=dict(workflow.layout)),
        **workflow.extra,
    }


def input_data(one: Input) -> dict[str, Any]:
    """What stands under the name of an input."""
    value = {"value": one.value} if one.has_value else {}
    return {"type": str(one.type), **value, **_given(about=one.about), **one.extra}


def node_data(node: Node) -> dict[str, Any]:
    """What stands under the id of a node."""
    data: dict[str, Any] = {"kind": node.kind, **_given(title=node.title, note=node.note)}
    if node.links:
        links = {port: _links(sources, port in node.listed) for port, sources in node.links.items() if sources}
        data.update(_given(**{"in": links}))
    if node.set:
        data["set"] = dict(node.set)
    if node.do is not None:
        data["do"] = body_data(node.do)
    if node.retry != _NO_RETRY:
        data["retry"] = _retry(node.retry)
    if node.timeout is not None:
        data["timeout"] = _number(node.timeout)
    if node.limit != _NO_LIMIT:
        data["limit"] = limit_data(node.limit)
    if node.on_error != _STOP:
        action = node.on_error.action
        data["on_error"] = {"default": node.on_error.default} if action == "default" else action
    if node.cache is not None:
        data["cache"] = node.cache
    if node.disabled:
        data["disabled"] = True
    return {**data, **node.extra}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def value_at(data: Any, path: Path) -> Any:
    """What `path` leads to in plain data; ABSENT if it leads nowhere."""
    for part in path:
        if isinstance(data, Mapping):
            known = part in data
        else:
            known = isinstance(data, list | tuple) and part in range(len(data))
        if not known:
            return ABSENT
        data = data[part]
    return data


def _links(sources: tuple[object, ...], listed: bool) -> str | list[str]:
    return [str(source) for source in sources] if listed else str(sources[0])


def _retry(retry: Retry) -> int | dict[str, Any]:
    if (retry.wait, retry.backoff) == (_NO_RETRY.wait, _NO_RETRY.backoff):
        return retry.times
    data: dict[str, Any] = {"times": retry.times}
    if retry.wait != _NO_RETRY.wait:
        data["wait"] = _number(retry.wait)
    if retry.backoff != _NO_RETRY.backoff:
        data["backoff"] = _number(retry.backoff)
    return data


def limit_data(limit: Limit) -> dict[str, Any]:
    """What stands under `limit`; nothing for none."""
    given = {"tokens": limit.tokens, "money": limit.money, "seconds": limit.seconds}
    return {name: _number(value) for name, value in given.items() if value is not None}


def _number(value: float) -> float:
    """Whole amounts without a `.0`."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
