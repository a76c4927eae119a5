"""Hamilton: functions whose parameters name what they depend on, made from the graph.

It has lists too (Parallelizable), but takes 48 s for 10,000 items, so that table is without it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from types import FunctionType, ModuleType
from typing import Any

from graphs import Graph, Value, work
from hamilton import ad_hoc_utils, async_driver, driver
from hamilton.plugins.h_threadpool import FutureAdapter

__all__ = ["cached", "forget", "runner"]

# It walks the graph by recursion, and a chain of 1,000 nodes is deeper than Python allows by default.
sys.setrecursionlimit(200_000)

_home = tempfile.TemporaryDirectory()
_executed = [0]


def runner(graph: Graph) -> Callable[[], Value]:
    module, last = _module(graph), graph.last
    if graph.body == "wait_async":

        async def once() -> Value:
            built = await async_driver.Builder().with_modules(module).build()
            value: Value = (await built.execute([last]))[last]
            return value

        return lambda: asyncio.run(once())
    builder = driver.Builder().with_modules(module)
    if graph.body == "wait_blocking":
        builder = builder.with_adapters(FutureAdapter(max_workers=64))
    built = builder.build()
    return lambda: built.execute([last])[last]


def cached(settings: Sequence[Mapping[str, Any]]) -> Callable[[], tuple[Value, int]]:
    """A node's settings are an input of their own, since its key sees a function's source and its inputs."""
    names = [f"n{i}" for i in range(len(settings))]
    given = {f"settings_of_{name}": dict(one) for name, one in zip(names, settings, strict=True) if one}
    functions = []
    for i, name in enumerate(names):
        own = [f"settings_of_{name}"] if settings[i] else []
        functions.append(_named(_counted, name, [*names[max(i - 1, 0) : i], *own]))
    module = ad_hoc_utils.create_temporary_module(*functions)
    built = driver.Builder().with_modules(module).with_cache(path=_home.name).build()

    def run() -> tuple[Value, int]:
        _executed[0] = 0
        return built.execute([names[-1]], inputs=given)[names[-1]], _executed[0]

    return run


def forget() -> None:
    global _home
    _home.cleanup()
    _home = tempfile.TemporaryDirectory()


def _module(graph: Graph) -> ModuleType:
    functions = [_function(graph, name) for name in graph.before]
    module: ModuleType = ad_hoc_utils.create_temporary_module(*functions)
    return module


def _function(graph: Graph, name: str) -> Callable[..., Any]:
    body = graph.function(name)

    async def node_async(**values: Value) -> Value:
        value: Value = await body(list(values.values()))
        return value

    def node(**values: Value) -> Value:
        value: Value = body(list(values.values()))
        return value

    return _named(node_async if graph.body == "wait_async" else node, name, graph.before[name])


def _counted(**values: Any) -> Value:
    _executed[0] += 1
    own = [value for name, value in values.items() if name.startswith("settings_of_")]
    before = [value for name, value in values.items() if not name.startswith("settings_of_")]
    return work([*before, *({"v": one.get("add", 0)} for one in own)])


def _named(function: Callable[..., Any], name: str, takes: Sequence[str]) -> Callable[..., Any]:
    """A function like `function` whose name and parameters say where it stands in the graph."""
    parameters = [Parameter(one, Parameter.KEYWORD_ONLY, annotation=dict) for one in takes]
    named = FunctionType(function.__code__, function.__globals__, name, None, function.__closure__)
    named.__annotations__ = dict.fromkeys(takes, dict) | {"return": dict}
    named.__signature__ = Signature(parameters, return_annotation=dict)  # type: ignore[attr-defined]
    return named
