"""Calling the function of a kind, however it runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from phloem.runtime.context import Context
from phloem.runtime.kinds import NodeKind, Runs

__all__ = ["called"]


async def called(kind: NodeKind, runs: Runs, context: Context, inputs: Mapping[str, Any]) -> Any:
    """What the function returns for these inputs; of one that streams all its pieces, each shown as it comes."""
    first: tuple[Any, ...] = (context,) if kind.takes_context else ()
    if kind.streams is not None:
        pieces: list[Any] = []
        async with aclosing(kind.function(*first, **inputs)) as stream:
            async for piece in stream:
                pieces.append(piece)
                if isinstance(piece, str):
                    context.emit_text(kind.streams, piece)
        return "".join(pieces) if kind.outputs[kind.streams].base == "text" else pieces
    if runs == "task":
        return await kind.function(*first, **inputs)
    if runs == "thread":
        return await context.in_thread(kind.function, *first, **inputs)
    return kind.function(*first, **inputs)
