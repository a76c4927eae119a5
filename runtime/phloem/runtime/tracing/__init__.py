"""Tracing: the spans of OpenTelemetry for runs, nodes and what models are asked.

It is off unless somebody asks for it, and then nothing of OpenTelemetry is imported. `tracing_of` says whether, and
`Tracing` is where the spans go; an Engine has one, or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phloem.runtime.tracing.choice import Choice, tracing_of

if TYPE_CHECKING:
    from phloem.runtime.tracing.tracing import Tracing

__all__ = ["Choice", "Tracing", "tracing_of"]


def __getattr__(name: str) -> Any:
    if name != "Tracing":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from phloem.runtime.tracing.tracing import Tracing

    return Tracing
