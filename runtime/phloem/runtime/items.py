"""A step that runs once per item: the items of its lists, in whatever depth, and the lists of what they gave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NoReturn

from phloem.runtime import events as e
from phloem.runtime.errors import InputError, LimitReached
from phloem.runtime.outcomes import as_failure, as_outputs
from phloem.runtime.plan import Step
from phloem.runtime.values import UNLIT

__all__ = ["go_through", "side_by_side"]

ITEMS_AT_ONCE: Final = 64
PROGRESS_EVERY: Final = 0.1
"""Seconds between two words on how far it is."""
SLICE: Final = 0.005
"""Seconds for which items may keep everything else on the loop waiting."""

Inputs = dict[str, Any]
Place = tuple[int, ...]
"""The index of an item, and in lists of lists those of the lists it is in, the outermost first."""

Told = Callable[[float], None]
"""Called now and then with the share of the items that have ended."""


async def go_through(step: Step, inputs: Inputs, told: Told) -> tuple[Any, ...]:
    """A list for each output of a pure function, called here for one item after the other."""
    total = _count(step, inputs, step.maps)
    function, turns = step.kind.function, _turns(step)
    results: list[tuple[Any, ...]] = []
    now = time.perf_counter()
    slice_end, shown = now + SLICE, now + PROGRESS_EVERY
    for place, item in _leaves(step, inputs, step.maps):
        try:
            for name, turn in turns:
                item[name] = turn(item[name])
            results.append(as_outputs(step, function(**item)))
        except BaseException as error:
            _fail_at(place, error)
        now = time.perf_counter()
        if now > slice_end:
            if now > shown and len(results) < total:
                told(len(results) / total)
                shown = now + PROGRESS_EVERY
            await asyncio.sleep(0)
            slice_end = time.perf_counter() + SLICE
    return _lists(step, inputs, step.maps, iter(results))


async def side_by_side(
    step: Step, inputs: Inputs, one: Callable[[Inputs, str], Awaitable[tuple[Any, ...]]], told: Told
) -> tuple[Any, ...]:
    """A list for each output of what `one` gives for each item, some at once; it is told the item's place, as `3/0`."""
    total = _count(step, inputs, step.maps)
    turns = _turns(step)
    results: list[tuple[Any, ...]] = [()] * total
    waiting = enumerate(_leaves(step, inputs, step.maps))
    ended, shown = 0, 0.0

    async def take() -> None:
        nonlocal ended, shown
        for at, (place, item) in waiting:
            try:
                for name, turn in turns:
                    item[name] = turn(item[name])
                results[at] = await one(item, "/".join(map(str, place)))
            except BaseException as error:
                _fail_at(place, error)
            ended += 1
            if time.perf_counter() > shown:
                shown = time.perf_counter() + PROGRESS_EVERY
                told(ended / total)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(total, ITEMS_AT_ONCE)):
                group.create_task(take())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return _lists(step, inputs, step.maps, iter(results))


def _leaves(step: Step, inputs: Inputs, depth: int, outer: Place = ()) -> Iterator[tuple[Place, Inputs]]:
    """The inputs of each item, made when it is come to."""
    for index, item in enumerate(_items(step, inputs)):
        if depth > 1:
            yield from _leaves(step, item, depth - 1, (*outer, index))
        else:
            yield (*outer, index), item


def _items(step: Step, inputs: Inputs) -> Iterator[Inputs]:
    over = step.over
    if len(over) == 1:
        # What most do, in half the time.
        for value in inputs[over[0]]:
            yield {**inputs, over[0]: value}
        return
    for values in zip(*[inputs[name] for name in over], strict=True):
        yield inputs | dict(zip(over, values, strict=True))


def _count(step: Step, inputs: Inputs, depth: int, outer: Place = ()) -> int:
    """How many items there are; InputError when the lists walked through together differ in length."""
    for name in step.over:
        if not isinstance(inputs[name], list | tuple):
            error = InputError(f"{name} should be a list to go through, not {e.preview(inputs[name], 60).text}")
            _fail_at(outer, error)
    lengths = {name: len(inputs[name]) for name in step.over}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        error = InputError(
            f"the lists it goes through together differ in length: {words}",
            hint="Make them equally long, or link only one of them as a list.",
        )
        _fail_at(outer, error)
    if depth == 1:
        return lengths[step.over[0]]
    return sum(_count(step, item, depth - 1, (*outer, index)) for index, item in enumerate(_items(step, inputs)))


def _turns(step: Step) -> list[tuple[str, Callable[[Any], Any]]]:
    """What turns an item, by the inputs whose lists are walked through."""
    return [(name, coerce) for name, _, coerce in step.links if coerce is not None and name in step.over]


def _lists(step: Step, inputs: Inputs, depth: int, results: Iterator[tuple[Any, ...]]) -> tuple[Any, ...]:
    """A list for each output of what the items gave, in lists as the items were; what one did not light is left out."""
    if depth > 1:
        rows = [_lists(step, item, depth - 1, results) for item in _items(step, inputs)]
    else:
        rows = [next(results) for _ in inputs[step.over[0]]]
    columns: list[Any] = [[value for value in column if value is not UNLIT] for column in zip(*rows, strict=True)]
    columns = columns or [[] for _ in step.outputs]
    if step.on_error.action == "route":
        columns[-1] = UNLIT
    return tuple(columns)


def _fail_at(place: Place, error: BaseException) -> NoReturn:
    """Raise what an item raised, with the item named in its message; a limit is that of all items together."""
    failure = as_failure(error)
    if not isinstance(failure, LimitReached):
        failure.message = "".join(f"item {index + 1}: " for index in place) + failure.message
    raise failure from failure.__cause__
