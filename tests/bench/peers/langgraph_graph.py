"""LangGraph's StateGraph: a channel for each node's value, and each node sees only the channels it takes from."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

from graphs import Graph, Value, chain, work
from langgraph.cache.memory import InMemoryCache
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy, Send

__all__ = ["application", "cached", "forget", "mapper", "runner"]

CONFIG: Any = {"recursion_limit": 1_000_000}
BLOCKING: Any = {**CONFIG, "max_concurrency": 64}
"""As many threads as Phloem has; its own default, six on two cores, is the better one where nothing blocks."""

_cache: InMemoryCache[Any] = InMemoryCache()
_executed = [0]


def runner(graph: Graph) -> Callable[[], Value]:
    app = application(graph)
    given, last = {"n0": None}, graph.last
    if graph.body == "wait_async":

        async def once() -> Value:
            value: Value = (await app.ainvoke(given, CONFIG, output_keys=[last]))[last]
            return value

        return lambda: asyncio.run(once())
    config = BLOCKING if graph.body == "wait_blocking" else CONFIG
    return lambda: app.invoke(given, config, output_keys=[last])[last]


def application(graph: Graph, checkpointer: Any = None) -> Any:
    """The graph, compiled."""
    builder = _builder(graph)
    for name, sources in graph.before.items():
        builder.add_node(name, _node(graph, name), input_schema=_sees(name, sources))
    return _linked(builder, graph).compile(checkpointer=checkpointer)


def mapper(count: int) -> Callable[[], list[Value]]:
    class State(TypedDict):
        numbers: list[int]
        results: Annotated[list[Value], operator.add]

    builder = StateGraph(State)
    builder.add_node("numbers", lambda state: {"numbers": list(range(count))})
    builder.add_node("item", lambda state: {"results": [work([state])]})
    builder.add_edge(START, "numbers")
    builder.add_conditional_edges("numbers", lambda state: [Send("item", {"v": n}) for n in state["numbers"]], ["item"])
    builder.add_edge("item", END)
    app = builder.compile()
    return lambda: app.invoke({"numbers": [], "results": []}, CONFIG)["results"]


def cached(settings: Sequence[Mapping[str, Any]]) -> Callable[[], tuple[Value, int]]:
    """Its default key sees the input and the function's name only, so each node is given one with its settings."""
    graph = Graph(chain(len(settings)))
    builder = _builder(graph)
    for (name, sources), one in zip(graph.before.items(), settings, strict=True):
        policy = CachePolicy(key_func=_key_with(name, sources, one))
        node = _counted(name, sources, one.get("add", 0))
        builder.add_node(name, node, input_schema=_sees(name, sources), cache_policy=policy)
    app = _linked(builder, graph).compile(cache=_cache)

    def run() -> tuple[Value, int]:
        _executed[0] = 0
        return app.invoke({"n0": None}, CONFIG, output_keys=[graph.last])[graph.last], _executed[0]

    return run


def forget() -> None:
    _cache.clear()


def _builder(graph: Graph) -> StateGraph[Any]:
    return StateGraph(TypedDict("State", dict.fromkeys(graph.before, Any)))  # type: ignore[operator]


def _linked(builder: StateGraph[Any], graph: Graph) -> StateGraph[Any]:
    for name, sources in graph.before.items():
        if not sources:
            builder.add_edge(START, name)
        else:
            builder.add_edge(sources[0] if len(sources) == 1 else list(sources), name)
    builder.add_edge(graph.last, END)
    return builder


def _sees(name: str, sources: Sequence[str]) -> Any:
    return TypedDict(f"Sees_{name}", dict.fromkeys(sources or ["n0"], Any))  # type: ignore[operator]


def _node(graph: Graph, name: str) -> Callable[..., Any]:
    function, sources = graph.function(name), graph.before[name]
    if graph.body == "wait_async":

        async def node_async(state: Mapping[str, Any]) -> dict[str, Any]:
            return {name: await function([state[source] for source in sources])}

        return node_async
    return lambda state: {name: function([state[source] for source in sources])}


def _counted(name: str, sources: Sequence[str], add: int) -> Callable[..., Any]:
    def node(state: Mapping[str, Any]) -> dict[str, Any]:
        _executed[0] += 1
        return {name: work([*(state[source] for source in sources), {"v": add}])}

    return node


def _key_with(name: str, sources: Sequence[str], settings: Mapping[str, Any]) -> Callable[..., str]:
    def key(state: Mapping[str, Any]) -> str:
        return repr((name, sorted(settings.items()), [state[source] for source in sources]))

    return key
