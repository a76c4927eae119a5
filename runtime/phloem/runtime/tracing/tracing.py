"""Where spans go, and the trace of each run."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry import trace as api
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from phloem.runtime.tracing.runs import RunTrace

if TYPE_CHECKING:
    from phloem.runtime.plan import Plan
    from phloem.runtime.tracing.choice import Choice
    from phloem.runtime.tracing.exporters import CarefulExporter

__all__ = ["Tracing"]

FLUSH: Final = 3.0
"""Seconds for sending what is left at the end: nobody waits longer for a receiver that does not answer."""
QUEUE: Final = 65_536
"""Spans that wait for being sent; beyond, the oldest are lost, and that is told."""


class Tracing:
    """Makes a trace for each run, with a tracer provider of OpenTelemetry.

    A program that has one hands it in, as `Engine(tracing=Tracing(provider))`: what is exported, and how, is then its
    own affair. With `content` spans hold prompts and answers; with `propagate` the requests that nodes make carry the
    header traceparent.
    """

    def __init__(self, provider: api.TracerProvider, *, content: bool = False, propagate: bool = False) -> None:
        self.content = content
        self.propagate = propagate
        self._tracer = provider.get_tracer("phloem", version("phloem"))
        self._close: Callable[[], None] | None = None
        self._careful: CarefulExporter | None = None

    @classmethod
    def to(cls, choice: Choice) -> Tracing:
        """One that exports by itself. ImportError if what that needs is not installed, ConfigError if the place
        cannot be written to."""
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from phloem.runtime.tracing.exporters import CarefulExporter, ConsoleExporter, exporter_to

        exporter = exporter_to(choice)
        careful = CarefulExporter(exporter)
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "phloem"}
        resource = Resource.create({**name, SERVICE_VERSION: version("phloem")})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        at_once = isinstance(exporter, ConsoleExporter)
        provider.add_span_processor(
            SimpleSpanProcessor(careful) if at_once else BatchSpanProcessor(careful, max_queue_size=QUEUE)
        )
        made = cls(provider, content=choice.content, propagate=choice.propagate)
        made._close = provider.shutdown
        made._careful = careful
        # For who never closes the engine.
        atexit.register(made.close)
        return made

    def begin(self, run: str, plan: Plan) -> RunTrace:
        """The trace of a run that is about to begin: have it take the run's events."""
        return RunTrace(self._tracer, plan, _parent(), content=self.content, propagate=self.propagate)

    def close(self) -> None:
        """Send what is left, if that can be done within a few seconds. A program's own provider is left alone."""
        close, self._close = self._close, None
        if close is None or self._careful is None:
            return
        atexit.unregister(self.close)
        self._careful.hurry()
        flushing = threading.Thread(target=close, name="trace-flush", daemon=True)
        flushing.start()
        flushing.join(FLUSH)
        if flushing.is_alive():
            self._careful.tell(f"the spans could not be sent within {FLUSH:g} s")


def _parent() -> TraceContext:
    """What a run is part of: the span that is current in this program, else the one that TRACEPARENT names."""
    current = api.get_current_span()
    if current.get_span_context().is_valid:
        return api.set_span_in_context(current)
    given = {name: os.environ[name.upper()] for name in ("traceparent", "tracestate") if name.upper() in os.environ}
    return TraceContextTextMapPropagator().extract(given, context=TraceContext())
