"""The trace of one run: its events made into spans, and the services that its nodes reach, watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace as api
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from phloem.runtime import events as e
from phloem.runtime.tracing.http import TracedHttp
from phloem.runtime.tracing.models import TracedModels

if TYPE_CHECKING:
    from phloem.runtime.plan import Plan
    from phloem.runtime.services import HttpService, ModelsService

__all__ = ["RunTrace"]

LONGEST: Final = 2_000
"""Characters of an error's message."""


class RunTrace:
    """Takes the events of a run, each once and in order, and makes a span of it and of each node.

    `models` and `http` give a service in which what a node asks becomes a span of its own, or a part of the trace.
    """

    def __init__(
        self, tracer: api.Tracer, plan: Plan, parent: TraceContext, *, content: bool = False, propagate: bool = False
    ) -> None:
        self.tracer = tracer
        self.content = content
        self.propagate = propagate
        self._plan = plan
        self._parent = parent
        self._run: Span | None = None
        self._nodes: dict[str, Span] = {}
        self._attempts: dict[str, int] = {}

    def take(self, event: e.Event) -> None:
        match event:
            case e.NodeStarted():
                self._nodes[event.node] = self._begin(event.node, event.at)
            case e.NodeFinished():
                self._finished(event)
            case e.NodeFailed():
                self._failed(event)
            case e.NodeRetrying():
                self._attempts[event.node] = event.attempt + 1
                said = {"phloem.attempt": event.attempt, "phloem.wait": event.wait, "message": event.message[:LONGEST]}
                self._note(event.node, "retrying", said, event.at)
            case e.NodeWaiting():
                self._note(event.node, "waiting", {"phloem.waits_for": event.waits_for[:LONGEST]}, event.at)
            case e.NodeSkipped():
                self._skipped(event)
            case e.RunStarted():
                self._started(event)
            case e.RunFinished():
                self._ended(event)

    def models(self, service: ModelsService, node: str) -> ModelsService:
        """The service, with a span for each call."""
        return TracedModels(service, self, node)

    def http(self, service: HttpService, node: str) -> HttpService:
        """The service, with a traceparent in each request if that was asked for."""
        return TracedHttp(service, self, node) if self.propagate else service

    def around(self, node: str) -> TraceContext:
        """The context of what happens in a node, or in an item of it: its span, else the nearest around it, at last
        the run's."""
        path = node
        while path:
            span = self._nodes.get(path)
            if span is not None:
                return api.set_span_in_context(span, self._parent)
            path = path.rpartition("/")[0]
        return self._parent if self._run is None else api.set_span_in_context(self._run, self._parent)

    def headers(self, node: str) -> dict[str, str]:
        """What tells a server which trace a request of this node is part of."""
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, context=self.around(node))
        return carrier

    def _started(self, event: e.RunStarted) -> None:
        title = event.title or self._plan.title
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_workflow",
            "phloem.run": event.run,
            "phloem.seed": event.seed,
        }
        if title:
            attributes["gen_ai.workflow.name"] = title
        self._run = self.tracer.start_span(
            f"invoke_workflow {title}".rstrip(), self._parent, SpanKind.INTERNAL, attributes, start_time=_ns(event.at)
        )

    def _ended(self, event: e.RunFinished) -> None:
        for span in self._nodes.values():
            span.end(_ns(event.at))
        self._nodes.clear()
        if self._run is None:
            return
        self._run.set_attribute("phloem.status", event.status)
        self._run.set_attributes(_cost(event.tokens_in, event.tokens_out, event.money))
        if event.status in ("failed", "limited"):
            self._run.set_attribute("error.type", event.status)
            self._run.set_status(Status(StatusCode.ERROR, event.message[:LONGEST] or None))
        self._run.end(_ns(event.at))
        self._run = None

    def _begin(self, node: str, at: float) -> Span:
        attributes: dict[str, Any] = {"phloem.node": node}
        kind = self._kind(node)
        if kind:
            attributes["phloem.kind"] = kind
        return self.tracer.start_span(
            node, self.around(node.rpartition("/")[0]), SpanKind.INTERNAL, attributes, start_time=_ns(at)
        )

    def _end(self, node: str, at: float, attributes: dict[str, Any]) -> Span:
        """The node's span with these attributes, ready to be ended; one from the cache has had no start."""
        span = self._nodes.pop(node, None) or self._begin(node, at)
        span.set_attribute("phloem.attempts", self._attempts.pop(node, 1))
        span.set_attributes(attributes)
        return span

    def _finished(self, event: e.NodeFinished) -> None:
        cost = _cost(event.tokens_in, event.tokens_out, event.money)
        # What a cached result once cost was not spent now.
        attributes = {"phloem.cached": event.cached, **({} if event.cached else cost)}
        self._end(event.node, event.at, attributes).end(_ns(event.at))

    def _failed(self, event: e.NodeFailed) -> None:
        cost = _cost(event.tokens_in, event.tokens_out, event.money)
        attributes = {"phloem.on_error": event.action, "error.type": event.error, **cost}
        span = self._end(event.node, event.at, attributes)
        told = {"exception.type": event.error, "exception.message": event.message[:LONGEST]}
        span.add_event("exception", told, _ns(event.at))
        span.set_status(Status(StatusCode.ERROR, event.message[:LONGEST]))
        span.end(_ns(event.at))

    def _skipped(self, event: e.NodeSkipped) -> None:
        if event.node in self._nodes:
            # It was at work when the run was cancelled.
            self._end(event.node, event.at, {"phloem.skipped": event.because[:LONGEST]}).end(_ns(event.at))
            return
        said = {"phloem.node": event.node, "phloem.because": event.because[:LONGEST]}
        self._note(event.node.rpartition("/")[0], "node skipped", said, event.at)

    def _note(self, node: str, what: str, said: dict[str, Any], at: float) -> None:
        api.get_current_span(self.around(node)).add_event(what, said, _ns(at))

    def _kind(self, path: str) -> str:
        """The kind of the node at a path; the numbers in it are items and turns."""
        checked, kind = self._plan.checked, ""
        for part in path.split("/"):
            node = checked.nodes.get(part)
            if node is not None:
                kind = node.kind.name
                body = getattr(node, "body", None)
                checked = checked if body is None else body.checked
        return kind


def _cost(read: int, written: int, money: float) -> dict[str, Any]:
    """What was spent, as far as anything was."""
    spent = {"gen_ai.usage.input_tokens": read, "gen_ai.usage.output_tokens": written, "phloem.cost.usd": money}
    return {name: amount for name, amount in spent.items() if amount}


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
