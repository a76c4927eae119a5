"""Runs with two worker processes or without; `support.dask_fixtures` has the fixture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phloem.runtime import Engine, Options, parse
from phloem.runtime import events as e
from phloem.runtime.cluster import Cluster
from phloem.runtime.home import Home
from phloem.runtime.runs import Result
from support import weft

__all__ = ["Kit"]


@dataclass
class Kit:
    """Two workers, and runs with them or without."""

    runner: asyncio.Runner
    cluster: Cluster
    log: Path
    home: Home

    def run(
        self, text: str, *, here: bool = False, during: Callable[[Any], Any] | None = None, **words: Any
    ) -> tuple[Result, list[e.Event]]:
        """How a workflow ends, and its events."""
        self.log.write_text("")
        inputs = words.pop("inputs", {})
        options = Options(cache=False, seed=3, **words) if "cache" not in words else Options(seed=3, **words)
        if not here:
            options = replace(options, on=self.cluster)

        async def whole() -> tuple[Result, list[e.Event]]:
            engine = Engine(self.home)
            try:
                run = engine.start(parse(text), inputs, options)
                found: list[e.Event] = []
                run.subscribe(found.append)
                run.discard_events()
                if during is not None:
                    await during(run)
                return await run.result(), found
            finally:
                await engine.close()

        return self.runner.run(whole())

    def notes(self, what: str = "") -> list[dict[str, Any]]:
        return weft.entries(self.log, what)
