"""Spans on their way out: to a receiver of OTLP, a file and the terminal, and what a run notices when they get lost."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from phloem.runtime.tracing import exporters
from support.web_server import Answer, Asked, WebServer, serving

WORKFLOW = """\
phloem: 1
title: Two steps
nodes:
  one:
    kind: text.case@1
    set: {text: a, to: upper}
  two:
    kind: text.case@1
    in: {text: one.text}
    set: {to: lower}
outputs: {text: two.text}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.flow.yaml"
    path.write_text(WORKFLOW)
    return path


@pytest.fixture
def receiver() -> Iterator[tuple[WebServer, list[Asked]]]:
    asked: list[Asked] = []

    def take(request: Asked) -> Answer:
        asked.append(request)
        return Answer(b"", headers={"content-type": "application/x-protobuf"})

    with serving({"/v1/traces": take, "/broken/v1/traces": Answer(b"no", status=400)}) as server:
        yield server, asked


def phloem(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PHLOEM_TRACE", "TRACE"))
    }
    return subprocess.run(
        [sys.executable, "-m", "phloem.runtime.cli", *words],
        capture_output=True, text=True, cwd=cwd, env={**kept, **environment}, timeout=60, check=False,
    )  # fmt: skip


def spans_of(asked: list[Asked]) -> dict[str, object]:
    found = {}
    for request in asked:
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert named["service.name"] == "phloem"
            found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
    return found


@pytest.mark.slow
def test_a_receiver_gets_the_whole_trace_before_the_program_ends(file, receiver):
    server, asked = receiver
    done = phloem("run", file.name, cwd=file.parent, OTEL_EXPORTER_OTLP_ENDPOINT=server.url("").rstrip("/"))
    assert (done.stdout, done.stderr, done.returncode) == ("a\n", "", 0)
    spans = spans_of(asked)
    assert sorted(spans) == ["invoke_workflow Two steps", "one", "two"]
    run = spans["invoke_workflow Two steps"]
    assert spans["one"].parent_span_id == spans["two"].parent_span_id == run.span_id
    assert asked[0].headers["content-type"] == "application/x-protobuf"


@pytest.mark.slow
def test_a_receiver_that_refuses_or_is_not_there_hurts_no_run_and_is_told_once(file, receiver):
    server, _ = receiver
    settings = Path(os.environ["PHLOEM_HOME"]) / "settings.yaml"
    settings.parent.mkdir()
    settings.write_text(f"tracing: {{to: otlp, endpoint: '{server.url('/broken')}'}}")
    done = phloem("run", file.name, cwd=file.parent)
    assert (done.stdout, done.returncode) == ("a\n", 0)
    assert done.stderr.count("warning: the trace is not complete") == 1
    assert "Traceback" not in done.stderr

    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    began = time.monotonic()
    done = phloem(
        "run", file.name, "--trace", "otlp", cwd=file.parent, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}"
    )
    assert (done.stdout, done.returncode) == ("a\n", 0)
    assert done.stderr.count("warning:") == 1
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_file_gets_a_line_for_each_span_and_is_private(file):
    for _ in range(2):
        assert phloem("run", file.name, "--trace", "file:out/trace.jsonl", cwd=file.parent).returncode == 0
    path = file.parent / "out" / "trace.jsonl"
    spans = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(one["name"] for one in spans) == ["invoke_workflow Two steps"] * 2 + ["one"] * 2 + ["two"] * 2
    assert len({one["context"]["trace_id"] for one in spans}) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    done = phloem("run", file.name, "--trace", "file:two.flow.yaml/x", cwd=file.parent)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write the trace to ")


@pytest.mark.slow
def test_the_terminal_gets_a_tree_beside_the_results(file):
    done = phloem("run", file.name, cwd=file.parent, PHLOEM_TRACE="console", PHLOEM_HOME=str(file.parent / "home"))
    assert done.stdout == "a\n"
    head, run, one, two = done.stderr.splitlines()
    assert head.startswith("trace ")
    assert run.startswith("invoke_workflow Two steps  ") and run.endswith("status=done")
    assert one.startswith("  one  ") and one.endswith("kind=text.case@1 cached=False")
    assert two.startswith("  two  ")
    assert phloem("run", file.name, "--trace", "consol", cwd=file.parent).returncode == 2


def test_a_trace_that_is_too_large_is_drawn_with_all_that_is_around_what_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporters, "MOST_HELD", 3)
    out = io.StringIO()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporters.ConsoleExporter(out)))
    tracer = provider.get_tracer("test")
    with (
        tracer.start_as_current_span("invoke_workflow big", attributes={"phloem.run": "r"}),
        tracer.start_as_current_span("each", attributes={"phloem.node": "each"}),
    ):
        for number in range(5):
            name = f"each/{number}/a"
            tracer.start_span(name, attributes={"phloem.node": name}).end()
    head, *lines = out.getvalue().splitlines()
    assert head.endswith(", 2 spans not shown")
    assert [line.split()[0] for line in lines] == ["invoke_workflow", "each", "each/0/a", "each/1/a", "each/2/a"]
