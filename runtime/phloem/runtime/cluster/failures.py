"""Errors on their way from a worker to the run."""

from __future__ import annotations

from typing import Any

from phloem.runtime.budget import Budget
from phloem.runtime.errors import (
    LimitReached,
    NodeCrashed,
    NodeError,
    PermissionDenied,
    PermissionNeeded,
    PhloemError,
    ServiceError,
)
from phloem.runtime.recording.failures import error_data, error_of

__all__ = ["packed_error", "unpacked_error"]


def packed_error(error: PhloemError, budgets: list[Budget]) -> dict[str, Any]:
    """The error as plain data. `budgets` are those of the call, its own first: a limit names its place among them."""
    message, hint = str(error.message), None if error.hint is None else str(error.hint)
    if isinstance(error, LimitReached):
        place = next((place for place, one in enumerate(budgets) if one is error.budget), 0)
        return {"error": "LimitReached", "message": message, "hint": hint, "budget": place}
    if isinstance(error, PermissionNeeded):
        name = "PermissionDenied" if isinstance(error, PermissionDenied) else "PermissionNeeded"
        return {"error": name, "message": message, "hint": hint, "flags": [str(flag) for flag in error.flags]}
    return (error_data(error) or {"error": "NodeCrashed"}) | {"message": message, "hint": hint}


def unpacked_error(data: Any, budgets: list[Budget], worker: str = "", *, wants: bool = False) -> PhloemError:
    """The error that was sent; ValueError if it is none. What failed on the side of the `worker` names it: that is
    every service, and every error of a node that `wants` a model of the worker's."""
    name = data.get("error") if isinstance(data, dict) else None
    if name == "LimitReached":
        return LimitReached(str(data["message"]), hint=data.get("hint"), budget=budgets[int(data["budget"])])
    if name == "PermissionDenied":
        return PermissionDenied(str(data["message"]), hint=str(data.get("hint")))
    if name == "PermissionNeeded":
        return PermissionNeeded(
            str(data["message"]), flags=[str(flag) for flag in data["flags"]], hint=data.get("hint")
        )
    error = error_of(data)
    if worker and (wants or isinstance(error, ServiceError | NodeCrashed) or not isinstance(error, NodeError)):
        error.message = f"{error.message} (on the worker {worker})"
    return error
