"""A workflow run for every item of a list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from phloem.runtime.body import Body
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Setting, node
from phloem.runtime.errors import LimitReached, NodeError, PermissionNeeded, SettingError
from phloem.runtime.kinds import Example, Inside, Nesting
from phloem.runtime.ports import PortType
from phloem.runtime.values import UNLIT

PROGRESS_EVERY: Final = 0.1
"""Seconds between two words on how far it is."""

COLLECTED: Final = "errors"
_JSON: Final = PortType("json")

_DO: Final = """\
nodes:
  square:
    kind: math.calculate@1
    in: {x: input.item}
    set: {expression: x * x}
outputs:
  squares: square.value
"""

_DO_DIVIDE: Final = """\
nodes:
  divide:
    kind: math.calculate@1
    in: {x: input.item, whole: input.whole}
    set: {expression: whole / x}
outputs:
  shares: divide.value
"""

OnItemError = Literal["stop", "skip", "collect"]


def _given(settings: Mapping[str, Any], types: Mapping[str, PortType]) -> Mapping[str, PortType]:
    items = types.get("items", PortType("any"))
    return {"item": items.item if items.depth else items, "index": PortType("number")}


def _outputs(settings: Mapping[str, Any], inside: Inside) -> Mapping[str, PortType]:
    outputs = {name: one.listed for name, one in inside.outputs.items()}
    if settings.get("on_item_error") != "collect":
        return outputs
    if COLLECTED in outputs:
        raise SettingError(
            f"the body has an output called {COLLECTED}, which is the name of the list of what failed",
            hint="Give the output of the body another name.",
        )
    return {**outputs, COLLECTED: _JSON.listed}


@node(
    "flow.each",
    "For each",
    nests=Nesting(_given, _outputs, items={"item": "items"}),
    examples=[
        Example({"items": [1, 2, 3]}, {"squares": [1, 4, 9]}, do=_DO),
        Example(
            {"items": [1, 0, 3], "whole": 12, "on_item_error": "collect"},
            {
                "shares": [12.0, 4.0],
                "errors": [
                    {
                        "index": 1,
                        "error": "InputError",
                        "message": "divide: whole / x with whole = 12, x = 0 divides by zero",
                        "node": "each/1/divide",
                    }
                ],
            },
            do=_DO_DIVIDE,
        ),
    ],
)  # fmt: skip
async def each(
    ctx: Context,
    body: Body,
    items: Annotated[list[Any], In("The list to go through")],
    *,
    concurrency: Annotated[int, Setting("How many items are worked on at once", ge=1, le=1000)] = 8,
    on_item_error: Annotated[
        OnItemError,
        Setting("What a failing item means: stop the node, skip the item, or collect what went wrong", shapes=True),
    ] = "stop",
    **inputs: Any,
) -> dict[str, Any]:
    """Run the nested workflow under `do` once for every item of a list.

    The body is given the `item` and its `index`, from 0; whatever else it uses as `input.NAME` becomes an input of
    the node, the same for all items. Each output of the body becomes a list, in the order of the items; an item
    that did not light it is left out, and so is one that failed. With `collect` the output `errors` tells of each
    that failed its `index`, the `error`, the `message` and the `node`.
    """
    row = _Row(ctx, body, items, inputs, on_item_error)
    workers = 1 if body.light else min(int(concurrency), len(items))
    if workers == 1:
        await row.work()
    elif workers:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(row.work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
    if row.stopped is not None:
        raise row.stopped
    return row.columns(body)


@dataclass(slots=True)
class _Row:
    """The items, and what has come of them so far."""

    ctx: Context
    body: Body
    items: list[Any]
    inputs: Mapping[str, Any]
    on_error: str
    results: list[dict[str, Any] | None] = field(init=False)
    waiting: Iterator[tuple[int, Any]] = field(init=False)
    errors: dict[int, NodeError] = field(default_factory=dict)
    stopped: NodeError | PermissionNeeded | None = None
    ended: int = 0
    shown: float = 0.0

    def __post_init__(self) -> None:
        self.results = [None] * len(self.items)
        self.waiting = enumerate(self.items)
        self.shown = time.monotonic() + PROGRESS_EVERY

    async def work(self) -> None:
        """Take one item after the other until none is left, or one has failed for all; what was begun is finished."""
        body, inputs, results = self.body, self.inputs, self.results
        for index, item in self.waiting:
            try:
                results[index] = await body({**inputs, "item": item, "index": index}, index)
            except (NodeError, PermissionNeeded) as error:
                if isinstance(error, PermissionNeeded) or self.on_error == "stop" or not body.may_go_on(error):
                    self.stop(index, error)
                    return
                self.errors[index] = error
            self.ended += 1
            if self.stopped is not None:
                return
            now = time.monotonic()
            if now > self.shown:
                self.shown = now + PROGRESS_EVERY
                self.ctx.progress(self.ended / len(self.items), f"{self.ended:,} of {len(self.items):,}")

    def stop(self, index: int, error: NodeError | PermissionNeeded) -> None:
        """Begin no further item."""
        # The limit of the node, or of the run, is that of all items together.
        if not isinstance(error, LimitReached) or self.body.may_go_on(error):
            error.message = f"item {index + 1}: {error.message}"
        self.stopped = self.stopped or error

    def columns(self, body: Body) -> dict[str, Any]:
        """A list for each output of the body."""
        given = [one for one in self.results if one is not None]
        names = body.outputs
        columns: dict[str, Any] = {
            name: [value for one in given if (value := one[name]) is not UNLIT] for name in names
        }
        if self.on_error == "collect":
            columns[COLLECTED] = [self.told(index) for index in sorted(self.errors)]
        return columns

    def told(self, index: int) -> dict[str, Any]:
        """What went wrong with an item."""
        error = self.errors[index]
        node = error.node or f"{self.ctx.node}/{index}"
        return {"index": index, "error": type(error).__name__, "message": error.message, "node": node}
