"""What passes between one call and the worker that has it, as the run's side sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phloem.runtime.cluster.calls import Call, result_of
from phloem.runtime.cluster.choosing import models_of
from phloem.runtime.cluster.desks import Desk
from phloem.runtime.cluster.failures import packed_error, unpacked_error
from phloem.runtime.cluster.values import Ref, as_ref, hashes_of
from phloem.runtime.codec import unpack
from phloem.runtime.outcomes import as_failure

if TYPE_CHECKING:
    from phloem.runtime.cache import Stored

__all__ = ["ValueLost", "answer", "fail", "give", "hear", "held"]


Held = dict[bytes, bytes]


class ValueLost(Exception):
    """A large value is neither here nor on the worker any more."""


def hear(call: Call, method: str, arguments: list[Any]) -> None:
    """What the worker tells of the call reaches the run; a limit that is passed by it ends the call."""
    try:
        call.tell(method, arguments)
    except Exception as error:
        call.fail(as_failure(error))


def held(desk: Desk, refs: list[Ref]) -> Held:
    """The large values among these that are here now: they stay, whatever comes before they are used."""
    return {content: desk.held.data(content) for content in hashes_of(refs) if content in desk.held}


async def give(call: Call, desk: Desk, shape: list[Any], refs: list[Ref], held: Held) -> None:
    """End a call with what it gave. ValueLost if a part of that is nowhere any more."""
    try:
        call.give(result_of(shape, [await _value(call, desk, ref, held) for ref in refs]))
    except ValueLost:
        raise
    except Exception as error:
        call.fail(as_failure(error))


def fail(call: Call, desk: Desk, error: Any) -> None:
    """End a call with the error that the worker says it had."""
    wants = any(True for _ in models_of(call.step, {}))
    try:
        call.fail(unpacked_error(error, call.budgets, desk.worker, wants=wants))
    except Exception as strange:
        call.fail(as_failure(strange))


async def answer(call: Call, desk: Desk, question: int, method: str, ref: Ref, held: Held) -> None:
    """Have the worker know what the run's machine says to a question."""

    def large(stored: Stored) -> None:
        call.values[stored.hash] = stored
        desk.give(stored)

    try:
        arguments, named = await _value(call, desk, ref, held)
        found = as_ref(await call.answer(method, arguments, named), large)
    except Exception as error:
        desk.put("answer", call.id, question, packed_error(as_failure(error), call.budgets), [b""])
    else:
        desk.put("answer", call.id, question, None, found)


async def _value(call: Call, desk: Desk, ref: Ref, held: Held) -> Any:
    data, content = ref[0], ref[-1]
    if data is None and content in call.values:
        return call.values[content].load()
    if data is None:
        data = held[content] if content in held else await desk.fetch(content)
    if data is None:
        raise ValueLost
    return unpack(data)
