"""Tracing: which spans a run makes, what they tell and what they keep to themselves, and that it is off by itself."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from phloem.runtime.context import Context, Services
from phloem.runtime.declare import kinds_in, node
from phloem.runtime.engine import Engine
from phloem.runtime.errors import ConfigError
from phloem.runtime.services import Ending, HttpAnswer, Request
from phloem.runtime.settings import Settings
from phloem.runtime.tracing import Choice, Tracing, tracing_of
from phloem.runtime.values import Message, ToolCall
from phloem.runtime.workflow import Limit, OnError, Retry
from support import kinds_for_tests
from support.playing import box, drawn, given, play
from support.spending import Talker, spending_engine

ASK = {"model": "dear:one", "prompt": "one two three", "max_tokens": 2}
MAY = ["spend=dear"]
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is traced, or part of a trace, because the machine's programs are."""
    for name in ("PHLOEM_TRACE", "PHLOEM_TRACE_CONTENT", "PHLOEM_TRACE_PROPAGATE", "TRACEPARENT", "TRACESTATE"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_EXPORTER",
    ):
        monkeypatch.delenv(name, raising=False)


class Told:
    """The spans that were made, by name."""

    def __init__(self, **options: bool) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = Tracing(provider, **options)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._kept.get_finished_spans()

    def __getitem__(self, name: str) -> ReadableSpan:
        (only,) = [span for span in self.spans if span.name == name]
        return only

    def parent_of(self, name: str) -> str:
        wanted = self[name].parent
        return next(span.name for span in self.spans if wanted and span.context.span_id == wanted.span_id)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def talking(home) -> Iterator[tuple[Engine, Talker]]:
    kinds_for_tests.CALLS.clear()
    kinds_for_tests.FAILURES.clear()
    engine, talker = spending_engine(home)
    yield engine, talker
    asyncio.run(engine.close())


@pytest.fixture
def engine(talking, told) -> Engine:
    engine = talking[0]
    engine.tracing = told.tracing
    return engine


def test_a_run_is_a_span_and_so_is_each_of_its_nodes(engine, told):
    workflow = drawn({"a": box("test.double", set={"x": 2}), "b": box("test.aside", {"x": "a.number"})}, out="b.number")
    played = play(engine, workflow)
    run = told["invoke_workflow test"]
    assert run.parent is None
    assert run.attributes["gen_ai.operation.name"] == "invoke_workflow"
    assert run.attributes["gen_ai.workflow.name"] == "test"
    assert run.attributes["phloem.run"] == played.result.run
    assert run.attributes["phloem.status"] == "done"
    assert run.status.status_code is StatusCode.UNSET
    assert [told.parent_of(name) for name in ("a", "b")] == [run.name, run.name]
    assert told["a"].attributes["phloem.kind"] == "test.double@1"
    assert told["a"].attributes["phloem.cached"] is False
    assert run.start_time <= told["a"].start_time <= told["a"].end_time <= told["b"].start_time <= run.end_time

    play(engine, workflow)
    again = [span for span in told.spans if span.name == "a"][1]
    assert again.attributes["phloem.cached"] is True
    assert again.start_time == again.end_time


def test_what_a_model_is_asked_is_a_span_by_the_conventions(engine, told):
    play(engine, drawn({"reply": box("spend.ask", set=ASK)}, out="reply.text"), allow=MAY)
    call = told["chat one"]
    assert told.parent_of(call.name) == "reply"
    assert call.kind is SpanKind.CLIENT
    wanted = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "dear",
        "gen_ai.request.model": "one",
        "gen_ai.request.max_tokens": 2,
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "phloem.cost.usd": 1.25,
        "phloem.node": "reply",
    }
    assert {name: call.attributes[name] for name in wanted} == wanted
    assert call.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert call.attributes["gen_ai.response.time_to_first_chunk"] >= 0
    for span in (told["reply"], told["invoke_workflow test"]):
        assert span.attributes["gen_ai.usage.input_tokens"] == 3
        assert span.attributes["phloem.cost.usd"] == 1.25


def test_prompts_and_answers_are_told_only_to_who_asks_for_them(talking):
    engine, _ = talking
    for content in (False, True):
        told = Told(content=content)
        engine.tracing = told.tracing
        play(engine, drawn({"reply": box("spend.ask", set=ASK)}, out="reply.text"), allow=MAY, cache=False)
        everything = "".join(span.to_json() for span in told.spans)
        assert ("one two three" in everything) is content
        assert ("0 1" in everything) is content
    call = told["chat one"]
    assert json.loads(call.attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "one two three"}]}
    ]
    assert json.loads(call.attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "0 1 "}], "finish_reason": "stop"}
    ]


def test_calls_for_the_items_of_a_list_are_below_the_node(engine, told):
    workflow = drawn(
        {"vectors": box("spend.embed", {"text": "input.texts"}, {"model": "near:one"})},
        {"texts": given("list[text]", ["a", "b c"])},
        out="vectors.length",
    )
    play(engine, workflow, allow=["spend=near"])
    calls = [span for span in told.spans if span.name == "embeddings one"]
    assert sorted(span.attributes["phloem.node"] for span in calls) == ["vectors/0", "vectors/1"]
    assert {span.parent.span_id for span in calls} == {told["vectors"].context.span_id}
    assert all(span.attributes["gen_ai.embeddings.dimension.count"] == 1 for span in calls)
    assert sorted(span.attributes["gen_ai.usage.input_tokens"] for span in calls) == [1, 2]


def test_failures_attempts_and_what_was_skipped_are_told(engine, told):
    workflow = drawn(
        {
            "flaky": box("spend.tokens", set={"fails": 1, "read": 5}, retry=Retry(times=2, wait=0.001)),
            "bad": box("test.fail", on_error=OnError("skip")),
            "after": box("test.double", {"x": "bad.number"}),
        },
        out="flaky.number",
    )
    play(engine, workflow)
    flaky, bad, run = told["flaky"], told["bad"], told["invoke_workflow test"]
    assert flaky.attributes["phloem.attempts"] == 2
    assert flaky.attributes["gen_ai.usage.input_tokens"] == 10
    assert [event.name for event in flaky.events] == ["retrying"]
    assert bad.status.status_code is StatusCode.ERROR
    assert bad.attributes["error.type"] == "ServiceError"
    assert bad.attributes["phloem.on_error"] == "skip"
    assert bad.events[0].attributes["exception.type"] == "ServiceError"
    assert [(event.name, event.attributes["phloem.node"]) for event in run.events] == [("node skipped", "after")]
    assert run.status.status_code is StatusCode.UNSET


def test_a_call_that_a_limit_stops_ends_with_an_error_and_tells_what_it_spent(engine, told):
    workflow = drawn({"reply": box("spend.ask", set={**ASK, "max_tokens": 9}, limit=Limit(tokens=5))}, out="reply.text")
    played = play(engine, workflow, allow=MAY)
    assert played.result.status == "failed"
    call = told["chat one"]
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes["error.type"] == "LimitReached"
    assert call.attributes["gen_ai.usage.output_tokens"] == 3
    assert told["invoke_workflow test"].attributes["error.type"] == "failed"


def test_a_run_that_is_cancelled_leaves_no_span_open(engine, told):
    workflow = drawn({"a": box("test.sleep", set={"x": 1, "seconds": 30})}, out="a.number")
    played = play(engine, workflow, watch=lambda run, event: run.cancel())
    assert played.result.status == "cancelled"
    assert told["invoke_workflow test"].attributes["phloem.status"] == "cancelled"
    assert all(span.end_time for span in told.spans)


def test_the_parent_is_the_span_of_the_program_or_else_what_traceparent_says(engine, told, monkeypatch):
    workflow = drawn({"a": box("test.double", set={"x": 2})}, out="a.number")
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-b7ad6b7169203331-01")
    play(engine, workflow)
    run = told["invoke_workflow test"]
    assert f"{run.context.trace_id:032x}" == TRACE
    assert f"{run.parent.span_id:016x}" == "b7ad6b7169203331"
    assert f"{told['a'].context.trace_id:032x}" == TRACE

    own = TracerProvider(shutdown_on_exit=False).get_tracer("program")
    with own.start_as_current_span("mine") as mine:
        play(engine, workflow)
    assert told.spans[-1].parent.span_id == mine.get_span_context().span_id

    monkeypatch.setenv("TRACEPARENT", "nonsense")
    play(engine, workflow)
    assert told.spans[-1].parent is None


class Web:
    """Stands for the network: it remembers the headers that it was sent."""

    def __init__(self) -> None:
        self.headers: list[Mapping[str, str]] = []

    async def request(self, gate, method, url, *, headers, body, timeout, limit) -> HttpAnswer:
        self.headers.append(dict(headers))
        return HttpAnswer(url, 200)


@node("trace.get", "Get", effect="chance")
async def get(ctx: Context, traceparent: str = "") -> float:
    """The status of a page."""
    own = {"TraceParent": traceparent} if traceparent else {}
    return (await ctx.http.request("https://example.org/", headers=own)).status


def test_servers_learn_of_the_trace_only_where_that_was_asked_for(home):
    from phloem.runtime.catalogue import Catalogue

    web = Web()
    engine = Engine(
        home, catalogue=Catalogue(kinds_in(sys.modules[__name__])), services=Services({"http": lambda: web})
    )
    one = drawn({"get": box("trace.get")}, out="get.number")
    own = drawn({"get": box("trace.get", set={"traceparent": "mine"})}, out="get.number")
    engine.tracing = Told().tracing
    play(engine, one, allow=["net=example.org"])
    told = Told(propagate=True)
    engine.tracing = told.tracing
    play(engine, one, allow=["net=example.org"])
    play(engine, own, allow=["net=example.org"])
    span = next(span for span in told.spans if span.name == "get")
    sent = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
    assert [dict(one) for one in web.headers] == [{}, {"traceparent": sent}, {"TraceParent": "mine"}]
    asyncio.run(engine.close())


class Structured:
    """A models service that answers with what it is given."""

    async def structured(self, model, request, meter):
        meter.spend(read=4, written=2, cached=3, money=0.5)
        return {"n": 1}

    async def answer(self, model, request, meter):
        yield Ending("calls", (ToolCall("c1", "look", {"at": 1}),), model="gpt-5-2026")

    async def rerank(self, model, query, texts, meter):
        raise OSError("gone")


@pytest.mark.parametrize(
    ("model", "span", "provider", "address"),
    [
        ("local:minilm", "text_completion minilm", "local", None),
        ("local:C:\\ada\\a.gguf", "text_completion a.gguf", "local", None),
        ("sentence-transformers:org/name", "text_completion org/name", "sentence-transformers", None),
        ("mistral:large", "chat large", "mistral_ai", None),
        ("gemini:pro", "chat pro", "gcp.gemini", None),
        ("https://ada:sk-1@lab.example/v1#tiny", "chat tiny", "openai", ("lab.example", 443)),
        ("http://[::1]:8000/v1#tiny", "chat tiny", "openai", ("::1", 8000)),
        ("http://lab.example/v1", "chat lab.example", "openai", ("lab.example", 80)),
    ],
)
def test_a_model_is_named_as_its_provider_has_it(engine, model, span, provider, address):
    told = Told()
    trace = told.tracing.begin("run", engine.plan(drawn({"node": box("test.numbers")}, out="node.number")))

    async def ask() -> None:
        assert [one async for one in trace.models(Structured(), "node").answer(model, Request(asked="Go"), Quiet())]

    asyncio.run(ask())
    found = told[span].attributes
    assert found["gen_ai.provider.name"] == provider
    assert (found.get("server.address"), found.get("server.port")) == (address or (None, None))
    assert "sk-1" not in told[span].to_json() and "ada" not in told[span].to_json()


class Quiet:
    def spend(self, **amounts: float) -> None: ...

    def left(self) -> int | None:
        return None

    def sent(self, model: str, text: str) -> None: ...


def test_forms_calls_of_tools_and_addresses_of_servers_are_told(engine):
    told = Told(content=True)
    trace = told.tracing.begin("run", engine.plan(drawn({"node": box("test.numbers")}, out="node.number")))
    models = trace.models(Structured(), "node")
    asked = (Message("user", "Where?"), Message("tool", "there", call_id="c0"))
    form = Request(asked=asked, form={"schema": {}}, sampling={"temperature": 0.5, "stop": ["\n"], "seed": None})

    async def ask() -> None:
        assert await models.structured("http://lab.example:8000/v1#tiny", form, Quiet()) == {"n": 1}
        assert [piece async for piece in models.answer("openai:gpt-5", Request(asked=asked), Quiet())]
        with pytest.raises(OSError, match="gone"):
            await models.rerank("local:/home/ada/secret/rank.gguf", "q", ["t"], Quiet())

    asyncio.run(ask())
    call = told["chat tiny"]
    assert call.attributes["server.address"] == "lab.example"
    assert call.attributes["server.port"] == 8000
    assert call.attributes["gen_ai.output.type"] == "json"
    assert call.attributes["gen_ai.request.temperature"] == 0.5
    assert call.attributes["gen_ai.request.stop_sequences"] == ("\n",)
    assert "gen_ai.request.seed" not in call.attributes
    assert call.attributes["gen_ai.usage.cache_read.input_tokens"] == 3
    assert json.loads(call.attributes["gen_ai.input.messages"])[1] == {
        "role": "tool", "parts": [{"type": "tool_call_response", "id": "c0", "response": "there"}],
    }  # fmt: skip
    call = told["chat gpt-5"]
    assert call.attributes["gen_ai.provider.name"] == "openai"
    assert call.attributes["gen_ai.response.model"] == "gpt-5-2026"
    assert call.attributes["gen_ai.response.finish_reasons"] == ("tool_call",)
    assert json.loads(call.attributes["gen_ai.output.messages"])[0]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}}
    ]
    call = told["rerank rank.gguf"]
    assert call.kind is SpanKind.INTERNAL
    assert call.attributes["error.type"] == "OSError"
    assert "secret" not in call.to_json()


# ---- Whether, and where to


@pytest.mark.parametrize(
    ("environment", "settings", "choice"),
    [
        ({}, "", None),
        ({"PHLOEM_TRACE": "console"}, "", Choice("console")),
        ({"PHLOEM_TRACE": "otlp"}, "", Choice("otlp")),
        ({"PHLOEM_TRACE": "file:/tmp/x"}, "", Choice("file", Path("/tmp/x"))),
        ({"PHLOEM_TRACE": "off", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "", None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "", Choice("otlp")),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, "", Choice("otlp")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, "", None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, "", None),
        ({}, "tracing: {to: otlp, endpoint: http://y, content: true}", Choice("otlp", endpoint="http://y", content=True)),
        ({"PHLOEM_TRACE": "off"}, "tracing: {to: otlp}", None),
        ({"PHLOEM_TRACE": "console", "PHLOEM_TRACE_CONTENT": "0"}, "tracing: {content: true}", Choice("console")),
        ({"PHLOEM_TRACE": "console", "PHLOEM_TRACE_PROPAGATE": "1"}, "", Choice("console", propagate=True)),
    ],
)  # fmt: skip
def test_the_environment_and_the_settings_say_where_spans_go(environment, settings, choice):
    assert Choice.read(environment, Settings(Path("settings.yaml"), settings)) == choice


@pytest.mark.parametrize(
    ("environment", "settings", "message"),
    [
        ({"PHLOEM_TRACE": "consol"}, "", r"PHLOEM_TRACE is 'consol'.*Did you mean console\?"),
        ({"PHLOEM_TRACE": "file:"}, "", "file:PATH"),
        ({"PHLOEM_TRACE": "otlp:http://x"}, "", "spans cannot go there"),
        ({}, "tracing: {to: there}", r"settings.yaml: tracing.to is 'there'"),
        ({}, "tracing: {too: otlp}", r"tracing has no too.*Did you mean to\?"),
        ({}, "tracing: {to: otlp, content: 1}", "tracing.content is 1, and must be true or false"),
        ({"PHLOEM_TRACE": "otlp", "PHLOEM_TRACE_CONTENT": "maybe"}, "", "PHLOEM_TRACE_CONTENT is 'maybe'"),
    ],
)
def test_what_cannot_be_meant_is_told(environment, settings, message):
    import re

    with pytest.raises(ConfigError) as wrong:
        Choice.read(environment, Settings(Path("settings.yaml"), settings))
    assert re.search(message, str(wrong.value), re.DOTALL)


def test_what_is_closed_leaves_nothing_for_the_end_of_the_program(tmp_path):
    tracing = Tracing.to(Choice("file", tmp_path / "trace.jsonl"))
    tracing.close()
    left = weakref.ref(tracing)
    del tracing
    gc.collect()
    assert left() is None


def test_a_missing_extra_is_an_error_only_where_it_was_asked_for(home, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1")
    assert tracing_of(home) is None
    assert 'pip install "phloem[tracing]"' in capsys.readouterr().err
    monkeypatch.setenv("PHLOEM_TRACE", "otlp")
    with pytest.raises(ConfigError, match="which is not installed") as missing:
        tracing_of(home)
    assert missing.value.hint == 'pip install "phloem[tracing]"'


def test_when_it_is_off_nothing_of_it_is_imported(tmp_path):
    file = tmp_path / "one.flow.yaml"
    file.write_text(
        "phloem: 1\nnodes:\n  up:\n    kind: text.case@1\n    set: {text: a, to: upper}\noutputs: {text: up.text}\n"
    )
    code = (
        "import sys; from phloem.runtime.cli import main; main(['run', sys.argv[1]]);"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'apscheduler', 'watchfiles'))], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == "A\n"
    assert done.stderr.strip() == "[]"
