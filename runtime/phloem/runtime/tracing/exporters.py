"""Where spans are written: to stderr as a tree, to a file as lines of JSON; and a guard for whatever sends them."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from phloem.runtime.errors import ConfigError
from phloem.runtime.words import printable

if TYPE_CHECKING:
    from phloem.runtime.tracing.choice import Choice

__all__ = ["CarefulExporter", "ConsoleExporter", "FileExporter", "exporter_to"]

MOST_HELD: Final = 10_000
"""Spans of one trace that are held for drawing it as a tree, besides those of the workflow's own nodes."""
_SHOWN: Final = (
    "phloem.kind", "phloem.cached", "phloem.status", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
    "phloem.cost.usd", "error.type",
)  # fmt: skip


def exporter_to(choice: Choice) -> SpanExporter:
    """What writes spans where they are to go. ImportError if it is not installed, ConfigError if it cannot write."""
    if choice.to == "console":
        return ConsoleExporter()
    if choice.path is not None:
        return FileExporter(choice.path)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if not choice.endpoint:
        return OTLPSpanExporter()
    whole = choice.endpoint.rstrip("/")
    return OTLPSpanExporter(endpoint=whole if whole.endswith("/v1/traces") else f"{whole}/v1/traces")


class CarefulExporter(SpanExporter):
    """Another exporter, whose failures hurt nobody and are told once on stderr.

    It heeds what OpenTelemetry logs, which is then told in no other way.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._told = False
        self._hurried = False
        self._trouble = ""
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            _listen(logging.getLogger(name), self._heard)

    def tell(self, reason: str) -> None:
        """Say once why spans are lost."""
        if not self._told:
            self._told = True
            print(f"warning: the trace is not complete: {printable(reason)[:300]}", file=sys.stderr)  # noqa: T201

    def hurry(self) -> None:
        """Try nothing a second time from now on, since somebody waits."""
        self._hurried = True
        if self._trouble:
            self.shutdown()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            self.tell(f"{type(error).__name__}: {error}")
            return SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self.tell(self._trouble or "the spans could not be sent")
        self._trouble = ""
        return result

    def shutdown(self) -> None:
        try:
            self._exporter.shutdown()
        except Exception as error:
            self.tell(f"{type(error).__name__}: {error}")

    def _heard(self, record: logging.LogRecord) -> None:
        message = record.getMessage().partition(" encountered while")[0].removeprefix("Transient error ")
        if "dropping" in message.lower():
            self.tell(message)
        elif not self._trouble:
            self._trouble = message
        if self._hurried and record.name.startswith("opentelemetry.exporter") and "retrying" in record.getMessage():
            self.shutdown()


def _listen(logger: logging.Logger, heard: Callable[[logging.LogRecord], None]) -> None:
    """Have warnings and errors of a logger heard, and nothing else done about them."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard(record)

    handler = Handler(logging.WARNING)
    handler.set_name("phloem-tracing")
    logger.handlers = [one for one in logger.handlers if one.get_name() != handler.get_name()]
    logger.addHandler(handler)
    logger.propagate = False


class FileExporter(SpanExporter):
    """Appends each span as a line of JSON to a private file. ConfigError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(f"cannot write the trace to {path}: {reason}") from error
        self._file = os.fdopen(handle, "a", encoding="utf-8", errors="replace")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._file.write("".join(f"{span.to_json(indent=None)}\n" for span in spans))
        self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


class ConsoleExporter(SpanExporter):
    """Draws the trace of each run as a tree when it has ended."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out
        self._held: dict[int, list[ReadableSpan]] = {}
        self._cut: Counter[int] = Counter()
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            for span in spans:
                trace, _ = _ids(span)
                held = self._held.setdefault(trace, [])
                # Those around others end last, and without them nothing inside would be drawn.
                if len(held) < MOST_HELD or _is_outer(span):
                    held.append(span)
                else:
                    self._cut[trace] += 1
                if "phloem.run" in (span.attributes or {}):
                    self._draw(span)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._held.clear()

    def _draw(self, run: ReadableSpan) -> None:
        trace, _ = _ids(run)
        held = self._held.pop(trace, [])
        below: dict[int, list[ReadableSpan]] = {}
        for span in held:
            if span.parent is not None:
                below.setdefault(span.parent.span_id, []).append(span)
        cut = self._cut.pop(trace, 0)
        lines = [f"trace {trace:032x}" + (f", {cut:,} spans not shown" if cut else "")]
        waiting = [(0, run)]
        while waiting:
            depth, span = waiting.pop()
            lines.append("  " * depth + _words(span))
            inner = sorted(below.get(_ids(span)[1], ()), key=lambda one: one.start_time or 0)
            waiting.extend((depth + 1, one) for one in reversed(inner))
        print(printable("\n".join(lines)), file=self._out or sys.stderr, flush=True)


def _ids(span: ReadableSpan) -> tuple[int, int]:
    """The trace that a span belongs to, and the span."""
    context = span.get_span_context()
    return (context.trace_id, context.span_id) if context is not None else (0, 0)


def _is_outer(span: ReadableSpan) -> bool:
    """True for a run, and for a node of the workflow itself."""
    attributes = span.attributes or {}
    return "phloem.run" in attributes or (attributes.get("phloem.node") == span.name and "/" not in span.name)


def _words(span: ReadableSpan) -> str:
    seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    attributes = span.attributes or {}
    told = [f"{name.rpartition('.')[2]}={attributes[name]!s}" for name in _SHOWN if name in attributes]
    message = span.status.description if span.status.status_code is StatusCode.ERROR else ""
    return "  ".join(filter(None, (span.name, f"{seconds:.3f} s", " ".join(told), " ".join((message or "").split()))))
