"""Reusing what an earlier execution gave: under which key it is kept, whether it still holds, and keeping it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phloem.runtime import events as e
from phloem.runtime.cache import Cache, Entry, Stored, store
from phloem.runtime.codec import UnstorableValue, digest
from phloem.runtime.context import Context, Scope
from phloem.runtime.disk import file_digest
from phloem.runtime.errors import NodeError, PermissionNeeded
from phloem.runtime.outcomes import as_failure
from phloem.runtime.plan import Step

__all__ = ["keep", "stamped_key", "still_so"]


async def stamped_key(
    step: Step, context: Context, inputs: Mapping[str, Any], hashes: Mapping[str, bytes]
) -> bytes | None:
    """The cache key of a call, with what the kind's stamp says; None when it must not be cached.

    `hashes` are the content hashes of what came in by links. The error of a stamp that has a bug.
    """
    parts = [step.key or b"", *hashes.values()]
    if step.kind.stamp is not None:
        try:
            stamp = await _stamp(step, context, inputs)
        except (NodeError, PermissionNeeded, OSError):
            # The node itself will meet the same obstacle, and say it better.
            return None
        except Exception as error:
            raise as_failure(error) from error
        if stamp is None:
            return None
        folder = context.scope.permissions.base
        parts += [str(stamp).encode("utf-8", "surrogatepass"), str(folder).encode("utf-8", "surrogatepass")]
    return digest(b"\0".join(parts))


async def _stamp(step: Step, context: Context, inputs: Mapping[str, Any]) -> Any:
    stamp = step.kind.stamp
    assert stamp is not None
    if context.scope.answers is not None:
        context = context.aside()
    try:
        if inspect.iscoroutinefunction(stamp):
            return await stamp(context, inputs)
        return await context.in_thread(stamp, context, inputs)
    except NodeError:
        scope = context.scope
        if scope.cluster is None or not scope.cluster.takes(step, inputs, scope):
            raise
        # What it depends on, a model say, may be where the call goes.
        return await scope.cluster.stamp(step, inputs, context)


async def still_so(scope: Scope, found: Entry) -> bool:
    """True if what the cached execution wrote is still as it left it."""
    try:
        for word, where, left in found.written:
            if word == "file":
                now = await asyncio.get_running_loop().run_in_executor(scope.pool, file_digest, Path(where))
            elif word == "contents":
                now = await scope.services.get("collections").state(where)
            else:
                name, *ids = where.split("\n")
                now = await scope.services.get("collections").digest(name, ids)
            if now != left:
                return False
    except Exception:
        # What cannot be looked at is done again, and the node says what is wrong.
        return False
    return True


def keep(
    cache: Cache, key: bytes, outputs: tuple[Any, ...], context: Context | None = None, seconds: float = 0.0
) -> list[Stored] | None:
    """Put what a call gave into the cache; its stored form, None if it has none.

    `context` is that of the call, if it had one: what it spent and wrote is kept with it.
    """
    try:
        stored = [store(value) for value in outputs]
    except UnstorableValue:
        return None
    entry = Entry(stored, [e.preview(value) for value in outputs], seconds)
    if context is not None:
        entry.tokens_in, entry.tokens_out, entry.money = context.tokens_in, context.tokens_out, context.money
        entry.written = list({(word, where): (word, where, left) for word, where, left in context.written}.values())
    cache.put(key, entry)
    return stored
