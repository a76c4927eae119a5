"""Errors as what was kept of them, and back: a failure is an answer too."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from phloem.runtime.errors import (
    ConfigError,
    InputError,
    LimitReached,
    NodeCrashed,
    NodeError,
    NodeTimeout,
    PhloemError,
    ServiceError,
    SettingError,
)

__all__ = ["error_data", "error_of"]

_KEPT: Final[dict[str, type[PhloemError]]] = {
    cls.__name__: cls
    for cls in (ConfigError, InputError, NodeCrashed, NodeError, NodeTimeout, ServiceError, SettingError)
}
LONGEST: Final = 60


def error_data(error: BaseException) -> dict[str, Any] | None:
    """What is kept of an error; None for one that says nothing of the outside, such as a missing grant or a bug."""
    base = next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _KEPT), None)
    if base is None or not isinstance(error, PhloemError) or isinstance(error, LimitReached):
        return None
    name = type(error).__name__
    data: dict[str, Any] = {"error": base, "message": error.message}
    if name != base:
        data["called"] = name
    if error.hint is not None:
        data["hint"] = error.hint
    if isinstance(error, ServiceError) and error.retryable:
        data["retryable"] = True
    return data


def error_of(data: Any) -> PhloemError:
    """The error that was kept, with the name that it had; ValueError if it is none."""
    if not isinstance(data, dict) or data.get("error") not in _KEPT:
        raise ValueError("an error in it is of no known class")
    message, hint, called = data.get("message"), data.get("hint"), data.get("called", data["error"])
    if not isinstance(message, str) or not (hint is None or isinstance(hint, str)):
        raise ValueError("an error in it has no message")
    if not (isinstance(called, str) and called.isidentifier() and len(called) <= LONGEST):
        raise ValueError("an error in it has a name that no class could have")
    error = _class(called, data["error"])(message, hint=hint)
    if isinstance(error, ServiceError):
        error.retryable = data.get("retryable") is True
    return error


@lru_cache(maxsize=100)
def _class(name: str, base: str) -> type[PhloemError]:
    """A class under the name that the workflow may compare: that of the service's own class is not known here."""
    return _KEPT[base] if name == base else type(name, (_KEPT[base],), {})
