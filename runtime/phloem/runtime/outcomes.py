"""How one call of a node's function ended: what it gave, or the error that says why not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phloem.runtime.cache import Stored
from phloem.runtime.errors import (
    InputError,
    LimitReached,
    NodeCrashed,
    NodeError,
    PermissionNeeded,
    PhloemError,
    ServiceError,
    SettingError,
)
from phloem.runtime.plan import Step
from phloem.runtime.values import UNLIT

__all__ = ["Outcome", "as_failure", "as_outputs", "may_pass"]

LONGEST_MESSAGE: Final = 2_000


@dataclass(slots=True)
class Outcome:
    """What a step gave, in the order of its outputs, and what it cost; its stored form, if that is made already."""

    outputs: tuple[Any, ...]
    seconds: float = 0.0
    cached: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    stored: Sequence[Stored] | None = None


def as_outputs(step: Step, result: Any) -> tuple[Any, ...]:
    """What a function returned, one value per output; NodeCrashed if it returned too few or too many."""
    names = [name for name, _ in step.outputs]
    routed = step.on_error.action == "route"
    if routed:
        names.pop()
    if len(names) == 1 and step.nests is None:
        given: tuple[Any, ...] = (result,)
    elif isinstance(result, dict) and set(result) <= set(names):
        given = tuple(result.get(name, UNLIT) for name in names)
    elif not names and result is None:
        given = ()
    elif isinstance(result, tuple) and len(result) == len(names):
        given = tuple(result)
    else:
        raise NodeCrashed(f"{step.kind.name} returned {type(result).__name__} where {len(names)} outputs were due")
    return (*given, UNLIT) if routed else given


def as_failure(error: BaseException) -> NodeError | PermissionNeeded:
    """The error to report for whatever a node raised: what it did not foresee becomes NodeCrashed, and
    what another part of Phloem said (an extra is missing, say) ServiceError.

    What interrupts the node and does not come from it (the run is cancelled, Ctrl-C) is raised again.
    """
    if isinstance(error, NodeError | PermissionNeeded):
        return error
    if isinstance(error, PhloemError):
        failed = ServiceError(error.message, hint=error.hint)
        failed.__cause__ = error
        return failed
    if isinstance(error, KeyboardInterrupt | GeneratorExit) or _cancels(error):
        raise error
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    spot = f" ({Path(frame.tb_frame.f_code.co_filename).name}, line {frame.tb_lineno})" if frame else ""
    crashed = NodeCrashed(
        f"{type(error).__name__}: {_said(error)}{spot}", hint="This is a bug in the node. Please tell its author."
    )
    crashed.__cause__ = error
    return crashed


def may_pass(failure: NodeError | PermissionNeeded) -> bool:
    """True unless trying again is known to end the same way."""
    if isinstance(failure, ServiceError):
        return failure.retryable
    return not isinstance(failure, InputError | SettingError | LimitReached | PermissionNeeded)


def _cancels(error: BaseException) -> bool:
    """True if the task itself is being cancelled: a node may also let the end of a task of its own escape."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _said(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST_MESSAGE]
    except Exception:
        return "(its message cannot be shown)"
