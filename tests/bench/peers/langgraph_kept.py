"""LangGraph's StateGraph with its SQLite checkpointer, which writes the state after every step."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from graphs import Graph, Value
from langgraph.checkpoint.sqlite import SqliteSaver

from peers.langgraph_graph import CONFIG, application

__all__ = ["runner"]


def runner(graph: Graph) -> Callable[[], Value]:
    turns = itertools.count()

    def run() -> Value:
        with tempfile.TemporaryDirectory() as folder, closing(_connected(Path(folder))) as connection:
            app = application(graph, SqliteSaver(connection))
            config: Any = {**CONFIG, "configurable": {"thread_id": str(next(turns))}}
            value: Value = app.invoke({"n0": None}, config, output_keys=[graph.last])[graph.last]
            return value

    return run


def _connected(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "checkpoints.db", check_same_thread=False)
