"""Whether runs are traced, and where the spans go, by the environment and the settings.

The first of these that says something decides: PHLOEM_TRACE (`off`, `console`, `otlp`, `file:PATH`), the variables
that every OpenTelemetry program heeds, and `tracing` in the settings:

    tracing:
      to: otlp                          # or console, file:PATH
      endpoint: http://localhost:4318   # for otlp; else OTEL_EXPORTER_OTLP_ENDPOINT, else this
      content: false                    # true: prompts and answers too
      propagate: false                  # true: the requests of nodes carry the header traceparent
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.settings import Settings
from phloem.runtime.words import nearest

if TYPE_CHECKING:
    from phloem.runtime.tracing.tracing import Tracing

__all__ = ["Choice", "tracing_of"]

_PLACES: Final = ("otlp", "console", "file:PATH", "off")
_KEYS: Final = ("to", "endpoint", "content", "propagate")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXTRA: Final = 'pip install "phloem[tracing]"'


@dataclass(frozen=True, slots=True)
class Choice:
    """Where spans go: an OTLP receiver over HTTP (at `endpoint`, or where OpenTelemetry's own variables say), stderr,
    or a file at `path`. With `content` they hold prompts and answers, with `propagate` requests of nodes tell the
    trace that they are part of."""

    to: Literal["otlp", "console", "file"]
    path: Path | None = None
    endpoint: str = ""
    content: bool = False
    propagate: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str], settings: Settings) -> Choice | None:
        """What the environment and the settings say; None for no tracing. ConfigError for what they cannot mean."""
        said = _section(settings)
        place, whence = environment.get("PHLOEM_TRACE", "").strip(), "PHLOEM_TRACE"
        if not place:
            if _true("OTEL_SDK_DISABLED", environment) or environment.get("OTEL_TRACES_EXPORTER") == "none":
                return None
            if any(environment.get(name) for name in _ENDPOINTS):
                place = "otlp"
            else:
                place, whence = said.get("to", ""), f"{settings.path}: tracing.to"
        if place in ("", "off", "none", "0"):
            return None
        kind, colon, path = place.partition(":")
        if kind not in ("otlp", "console", "file") or (kind == "file") != bool(path) or (colon and kind != "file"):
            near = nearest(place, _PLACES)
            hint = f"Did you mean {near}?" if near else f"It is one of {', '.join(_PLACES)}."
            raise ConfigError(f"{whence} is {place[:100]!r}: spans cannot go there", hint=hint)
        return cls(
            to="otlp" if kind == "otlp" else "console" if kind == "console" else "file",
            path=Path(path).expanduser().absolute() if path else None,
            endpoint="" if any(environment.get(name) for name in _ENDPOINTS) else said.get("endpoint", ""),
            content=_true("PHLOEM_TRACE_CONTENT", environment, said.get("content", False)),
            propagate=_true("PHLOEM_TRACE_PROPAGATE", environment, said.get("propagate", False)),
        )

    @property
    def asked(self) -> bool:
        """True if somebody asked Phloem itself for it, and not every program on the machine."""
        return bool(os.environ.get("PHLOEM_TRACE")) or not any(os.environ.get(name) for name in _ENDPOINTS)


def tracing_of(home: Home) -> Tracing | None:
    """Where the spans of runs go; None if they are not traced.

    ConfigError if what was asked for cannot be had. Where only OpenTelemetry's own variables ask, which may be meant
    for other programs, what is missing is told on stderr instead.
    """
    choice = Choice.read(os.environ, Settings.load(home))
    if choice is None:
        return None
    try:
        from phloem.runtime.tracing.tracing import Tracing

        return Tracing.to(choice)
    except ImportError as error:
        missing = ConfigError(f"tracing needs {error.name or error}, which is not installed", hint=EXTRA)
        if choice.asked:
            raise missing from error
        print(f"warning: {missing}", file=sys.stderr)  # noqa: T201
        return None


def _section(settings: Settings) -> Mapping[str, Any]:
    found = settings.tracing
    for key, value in found.items():
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            hint = f"Did you mean {near}?" if near else f"It may have {', '.join(_KEYS)}."
            raise ConfigError(f"{settings.path}: tracing has no {key}", hint=hint)
        wanted = bool if key in ("content", "propagate") else str
        if not isinstance(value, wanted):
            raise settings.wrong("tracing", key, "must be true or false" if wanted is bool else "must be a text")
    return found


def _true(name: str, environment: Mapping[str, str], otherwise: bool = False) -> bool:
    """A switch in the environment."""
    word = environment.get(name, "").strip().lower()
    if word in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return otherwise if not word else word in ("1", "true", "yes", "on")
    raise ConfigError(f"{name} is {word[:60]!r}", hint="It is 1 or 0.")
