"""Whole workflows recorded with real servers and models, and replayed when these are gone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime import Options, load, run
from phloem.runtime import events as e
from phloem.runtime.engine import Engine, run_to_end
from phloem.runtime.errors import LimitReached, NodeTimeout, NotRecorded, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal
from phloem.runtime.recording import LogKeeper, read_recording
from phloem.runtime.runs import Result
from phloem.runtime.workflow import Limit
from support.hosted import Peer
from support.journals import begun, ended
from support.model_server import Failure, Said
from support.web_server import Answer, page, serving

pytestmark = pytest.mark.slow

pytest_plugins = ["support.hosted_fixtures"]


def write(folder: Path, text: str, name: str = "test") -> Path:
    path = folder / f"{name}.flow.yaml"
    path.write_text(f"phloem: 1\n{textwrap.dedent(text)}")
    return path


class Tape:
    """A recording in a file, and what a run of a workflow does with it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "test.phloem-recording"
        self.events: list[e.Event] = []

    def run(self, file: Path, inputs: dict[str, Any] | None = None, **options: Any) -> Result:
        self.events = []
        return run_to_end(load(file), inputs or {}, Options(**options), self.events.append)

    def record(self, file: Path, inputs: dict[str, Any] | None = None, **options: Any) -> Result:
        return self.run(file, inputs, record=self.path, **options)

    def replay(self, file: Path, inputs: dict[str, Any] | None = None, **options: Any) -> Result:
        return self.run(file, inputs, replay=self.path, **options)

    def chunks(self) -> list[str]:
        return [one.text for one in self.events if isinstance(one, e.NodeChunk)]

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.path.read_text().splitlines()[1:]]


@pytest.fixture
def tape(tmp_path: Path, home: Home) -> Iterator[Tape]:
    (tmp_path / "flows").mkdir()
    yield Tape(tmp_path / "flows")


ASK = """
    inputs:
      question: {type: text, value: Who wove it?}
    nodes:
      reply:
        kind: llm.chat@1
        in: {prompt: input.question}
        set: {model: "openai:gpt-test", system: Be short.}
    outputs: {answer: reply.text}
"""


def test_a_hosted_model_is_asked_once(openai: Peer, tape: Tape, bare: pytest.MonkeyPatch, home: Home) -> None:
    openai.server.model = lambda body: Said(["Jac", "quard", "."], read=1000, written=20)
    file = write(tape.path.parent, ASK)
    recorded = tape.record(file, allow=["spend=openai"], prompts=True)
    chunks, prompts = tape.chunks(), [one.text for one in tape.events if isinstance(one, e.NodePrompt)]
    assert (recorded.status, recorded.outputs) == ("done", {"answer": "Jacquard."})
    openai.server.close()
    bare.delenv("OPENAI_API_KEY")
    bare.delenv("OPENAI_BASE_URL")
    # No grant, no key, no server; and nobody's results are used.
    replayed = tape.replay(file, cache=False, prompts=True)
    assert replayed.outputs == recorded.outputs
    assert tape.chunks() == chunks == ["Jac", "quard", "."]
    assert [one.text for one in tape.events if isinstance(one, e.NodePrompt)] == prompts != []
    assert (replayed.tokens_in, replayed.tokens_out, replayed.money) == (
        recorded.tokens_in, recorded.tokens_out, recorded.money,
    )  # fmt: skip
    assert replayed.tokens_in == 1000
    text = tape.path.read_text()
    assert "sk-" not in text and str(tape.path.parent) not in text


def test_from_python_it_is_one_line(openai: Peer, tape: Tape) -> None:
    file = write(tape.path.parent, ASK)
    tape.record(file, allow=["spend=openai"])
    openai.server.model = lambda body: Said("Somebody else")
    assert run(str(file), options=Options(replay=tape.path)).outputs == {"answer": "Hello"}


def test_a_prompt_that_changed_is_an_error_until_it_may_be_asked(openai: Peer, tape: Tape) -> None:
    file = write(tape.path.parent, ASK)
    tape.record(file, {"question": "Who dyed it?"}, allow=["spend=openai"])
    # The inputs of the recording hold where none are given.
    assert tape.replay(file).status == "done"
    changed = write(tape.path.parent, ASK.replace("Be short.", "Be very short."), "changed")
    refused = tape.replay(changed)
    failure = refused.failures["reply"]
    assert isinstance(failure, NotRecorded)
    assert 'messages[0].content was "Be short." and is "Be very short."' in failure.message
    asked = len(openai.server.asked)
    lacking = tape.replay(changed, ask_new=True)
    assert "--allow spend=openai" in str(lacking.failures["reply"])
    assert tape.replay(file).status == "done", "what failed has lost nothing"
    openai.server.model = lambda body: Said("Short")
    assert tape.replay(changed, ask_new=True, allow=["spend=openai"]).outputs == {"answer": "Short"}
    assert tape.replay(changed).outputs == {"answer": "Short"}
    assert len(openai.server.asked) == asked + 1
    assert len(tape.lines) == 1


def test_no_on_error_hides_that_something_was_not_recorded(openai: Peer, tape: Tape) -> None:
    file = write(tape.path.parent, ASK)
    tape.record(file, allow=["spend=openai"])
    lenient = ASK.replace("set: {model", "on_error: {default: {text: nothing}}\n        retry: 3\n        set: {model")
    result = tape.replay(write(tape.path.parent, lenient), {"question": "Who burnt it?"})
    assert result.status == "failed"
    assert not [one for one in tape.events if isinstance(one, e.NodeRetrying)]


EACH = """
    inputs:
      names: {type: "list[text]", value: [Bolan, Mira, Tavo, Bolan, Kesh, Orla]}
    nodes:
      ask:
        kind: llm.generate@1
        in: {prompt: input.names}
        set: {model: "openai:gpt-test"}
      inner:
        kind: flow.each@1
        in: {items: input.names}
        set: {concurrency: 4}
        do:
          nodes:
            once: {kind: llm.generate@1, in: {prompt: input.item}, set: {model: "openai:gpt-test"}}
            twice: {kind: llm.generate@1, in: {prompt: once.text}, set: {model: "openai:gpt-test"}}
          outputs: {text: twice.text}
      vectors:
        kind: llm.embed@1
        in: {text: ask.text}
        set: {model: "openai:gpt-test"}
    outputs: {asked: ask.text, inner: inner.text, vectors: vectors.vector}
"""


def test_nodes_and_items_that_ask_at_the_same_time_get_their_own_answers(openai: Peer, tape: Tape) -> None:
    count = iter(range(1000))
    openai.server.model = lambda body: Said(f"{next(count)} for {body['messages'][-1]['content']}")
    file = write(tape.path.parent, EACH)
    recorded = tape.record(file, allow=["spend=openai"])
    assert recorded.status == "done"
    openai.server.close()
    for _ in range(2):
        assert tape.replay(file).outputs == recorded.outputs
    nodes = [line["node"] for line in tape.lines]
    assert nodes[:6] == [f"ask/{index}" for index in range(6)]
    assert nodes[6:10] == ["inner/0/once", "inner/0/twice", "inner/1/once", "inner/1/twice"]


def test_what_failed_fails_again_in_the_same_way_with_its_retries(openai: Peer, tape: Tape) -> None:
    body = {"error": {"message": "Slow down", "type": "rate_limit_error"}}
    openai.server.failures.extend([Failure(429, body, {"retry-after": "500"})] * 2)
    file = write(tape.path.parent, ASK.replace("set: {model", "retry: {times: 2, wait: 0.05}\n        set: {model"))
    recorded = tape.record(file, allow=["spend=openai"])

    def told() -> list[Any]:
        return [(one.attempt, one.message) for one in tape.events if isinstance(one, e.NodeRetrying)]

    first = told()
    assert recorded.status == "done" and [attempt for attempt, _ in first] == [1, 2]
    openai.server.close()
    assert tape.replay(file).outputs == recorded.outputs
    assert told() == first
    assert [line.get("error", {}).get("called") for line in tape.lines] == ["TryLater", "TryLater", None]


def test_a_node_that_took_too_long_does_so_again_at_once(openai: Peer, tape: Tape) -> None:
    openai.server.model = lambda body: Said(["slow"] * 3, pause=0.7)
    file = write(tape.path.parent, ASK.replace("set: {model", "timeout: 1\n        set: {model"))
    failure = tape.record(file, allow=["spend=openai"]).failures["reply"]
    assert isinstance(failure, NodeTimeout)
    openai.server.close()
    replayed = tape.replay(file)
    again = replayed.failures["reply"]
    assert isinstance(again, NodeTimeout) and str(again) == str(failure)
    assert replayed.seconds < 0.9


def test_what_was_interrupted_when_another_item_failed_does_not_fail_in_its_place(openai: Peer, tape: Tape) -> None:
    text = """
    inputs:
      names: {type: "list[text]", value: [Bolan, Mira, Tavo]}
    nodes:
      ask: {kind: llm.generate@1, in: {prompt: input.names}, set: {model: "openai:gpt-test"}}
    outputs: {asked: ask.text}
    """

    def model(body: Any) -> Said:
        if "Tavo" in str(body["messages"]):
            return Said(["No"], error_after={"error": {"message": "gone", "type": "server_error"}})
        return Said(["slow"] * 3, pause=20)

    openai.server.model = model
    file = write(tape.path.parent, text)
    failure = tape.record(file, allow=["spend=openai"]).failures["ask"]
    assert [line.get("interrupted") for line in tape.lines] == [True, True, None]
    openai.server.close()
    assert str(tape.replay(file).failures["ask"]) == str(failure)


def test_a_timeout_around_others_passes_again(openai: Peer, tape: Tape) -> None:
    openai.server.model = lambda body: Said(["slow"] * 3, pause=20)
    text = """
    nodes:
      group:
        kind: flow.group@1
        timeout: 0.3
        on_error: {default: late}
        do:
          nodes:
            ask: {kind: llm.generate@1, set: {prompt: Who?, model: "openai:gpt-test"}}
          outputs: {text: ask.text}
    outputs: {asked: group.text}
    """
    file = write(tape.path.parent, text)
    assert tape.record(file, allow=["spend=openai"]).outputs == {"asked": "late"}
    openai.server.close()
    assert tape.replay(file).outputs == {"asked": "late"}


def test_an_answer_that_does_not_fit_is_refused_again(openai: Peer, tape: Tape) -> None:
    openai.server.model = lambda body: Said("no JSON at all")
    text = """
    nodes:
      fill:
        kind: llm.structured@1
        set: {prompt: Fill it., schema: {type: object, required: [a]}, model: "openai:gpt-test"}
    outputs: {value: fill.value}
    """
    file = write(tape.path.parent, text)
    first = tape.record(file, allow=["spend=openai"])
    openai.server.close()
    again = tape.replay(file)
    assert first.status == again.status == "failed"
    assert isinstance(again.failures["fill"], ServiceError)
    assert str(again.failures["fill"]) == str(first.failures["fill"])
    assert (again.tokens_in, again.tokens_out) == (first.tokens_in, first.tokens_out) != (0, 0)


def test_limits_stop_a_replay_where_they_would_have_stopped_the_run(openai: Peer, tape: Tape) -> None:
    openai.server.model = lambda body: Said("yes", read=100, written=5)
    file = write(tape.path.parent, EACH)
    limit = Limit(tokens=450)
    assert tape.record(file, allow=["spend=openai"], limit=Limit(tokens=100_000)).status == "done"
    openai.server.close()
    again = tape.replay(file, limit=limit)
    assert again.status == "limited" and isinstance(again.limit, LimitReached)
    assert 450 < again.tokens_in + again.tokens_out < 2000


def test_a_replay_leaves_the_cache_alone_and_does_not_look_there(openai: Peer, tape: Tape, home: Home) -> None:
    file = write(tape.path.parent, ASK)
    count = iter(range(10))
    openai.server.model = lambda body: Said(f"answer {next(count)}")
    allowed = {"allow": ["spend=openai"]}
    assert tape.run(file, seed=1, **allowed).outputs == {"answer": "answer 0"}
    assert tape.run(file, seed=1, **allowed).outputs == {"answer": "answer 0"}
    # It is asked anew, or the recording would lack the answer.
    recorded = tape.record(file, seed=1, **allowed)
    assert recorded.outputs == {"answer": "answer 1"}
    path = tape.path
    path.write_text(path.read_text().replace(recorded.outputs["answer"], "never said"))
    assert tape.replay(file).outputs == {"answer": "never said"}
    asked = len(openai.server.asked)
    assert tape.run(file, seed=1, **allowed).outputs == recorded.outputs, "what was recorded was kept as well"
    assert len(openai.server.asked) == asked


def test_recorded_again_only_what_changed_is_another_line(openai: Peer, tape: Tape) -> None:
    openai.server.model = lambda body: Said(f"to {body['messages'][-1]['content']}")
    file = write(tape.path.parent, EACH)
    tape.record(file, allow=["spend=openai"])
    before = tape.lines
    names = ["Bolan", "Mira", "Tavo", "Bolan", "Kesh", "Nobody"]
    tape.record(file, {"names": names}, allow=["spend=openai"])

    def asked(lines: list[Any]) -> list[Any]:
        return [(line["node"], line["asked"], line["gave"]) for line in lines]

    same = [one for one, other in zip(asked(before), asked(tape.lines), strict=True) if one == other]
    assert len(same) == len(before) - 4


@pytest.mark.slow
def test_the_local_model_is_not_even_started(tape: Tape) -> None:
    text = """
    nodes:
      reply:
        kind: llm.generate@1
        set: {prompt: "Context:\\nThe Harbor Museum opens at 9 am.\\n\\nQuestion: When?\\nAnswer:", max_tokens: 12}
      means: {kind: llm.embed@1, in: {text: reply.text}}
      keep: {kind: store.add@1, in: {texts: reply.text}, set: {collection: notes}}
      find: {kind: store.search@1, in: {collection: keep.collection, query: reply.text}}
      count: {kind: llm.count@1, in: {text: reply.text}}
    outputs: {answer: reply.text, vector: means.vector, hits: find.hits, tokens: count.tokens}
    """
    file = write(tape.path.parent, text)
    recorded = tape.record(file)
    assert recorded.status == "done" and recorded.outputs["answer"]
    code = """
    import json, sys
    seen = []
    def watch(event, arguments):
        if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
            seen.append(event)
        elif event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "ctypes.dlopen"):
            seen.append(f"{event} {arguments[0]!r}")
    sys.addaudithook(watch)
    from phloem.runtime.cli import main
    code = main(["run", sys.argv[1], "--replay", sys.argv[2], "--json"])
    heavy = {"openai", "anthropic", "httpx", "httpcore", "httpx2", "llama_cpp", "chromadb"} & set(sys.modules)
    made = sorted(name for name in sys.modules if name.startswith("phloem.nodes.services"))
    print(json.dumps([code, seen, sorted(heavy), made]), file=sys.stderr)
    """
    # A home of its own: nothing can come from the collection or the cache that the recording has filled.
    home = tape.path.parent / "other-home"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(file), str(tape.path)],
        capture_output=True, text=True, check=False, env={**os.environ, "PHLOEM_HOME": str(home)},
    )  # fmt: skip
    assert json.loads(done.stderr.splitlines()[-1]) == [0, [], [], []], done.stderr
    outputs = json.loads(done.stdout)["outputs"]
    assert outputs["answer"] == recorded.outputs["answer"]
    assert outputs["vector"] == recorded.outputs["vector"]
    assert outputs["hits"][0]["score"] == recorded.outputs["hits"][0].score
    assert not (home / "collections").exists()


def test_pages_with_their_redirects(tape: Tape) -> None:
    text = """
    nodes:
      fetch: {kind: web.fetch@1, set: {url: "URL"}}
      gone: {kind: web.fetch@1, set: {url: "URLgone"}, on_error: route}
      read: {kind: web.read@1, set: {url: "URLpage"}}
    outputs: {text: fetch.text, headers: fetch.headers, status: fetch.status, read: read.text}
    """
    answers = {
        "/": Answer(status=302, headers={"Location": "/there"}),
        "/there": Answer("Grüße".encode(), headers={"Content-Type": "text/plain; charset=utf-8", "Set-Cookie": "a=1"}),
        "/page": page("<title>Looms</title><article><p>" + "The loom was shown in Lyon. " * 20 + "</p></article>"),
    }
    with serving(answers) as server:
        file = write(tape.path.parent, text.replace("URL", server.url("/")))
        recorded = tape.record(file, allow=[server.grant])
        connections = server.connections
        assert connections
    assert recorded.status == "done", recorded.failures
    replayed = tape.replay(file)
    assert replayed.status == "done", replayed.failures
    assert replayed.outputs["headers"].pop("set-cookie") == "…"
    assert recorded.outputs["headers"].pop("set-cookie") == "a=1"
    assert replayed.outputs == recorded.outputs
    assert replayed.outputs["text"] == "Grüße"
    fetched = next(line for line in tape.lines if line["node"] == "fetch")
    assert fetched["gave"]["url"].endswith("/there")
    assert fetched["gave"]["body"] == {"$": "bytes", "text": "Grüße"}


def test_a_replay_writes_no_file_and_waits_for_no_time(tape: Tape) -> None:
    text = """
    nodes:
      wait: {kind: flow.wait@1, set: {value: tea, time: 1 s}}
      write: {kind: files.write@1, in: {text: wait.value}, set: {path: out/a.txt}}
      read: {kind: files.read@1, in: {path: write.path}}
    outputs: {text: read.text, path: write.path}
    """
    file = write(tape.path.parent, text)
    out = tape.path.parent / "out"
    recorded = tape.record(file, allow=[f"write={out}"])
    assert recorded.outputs["text"] == "tea"
    (out / "a.txt").unlink()
    replayed = tape.replay(file)
    assert replayed.outputs == recorded.outputs
    assert not (out / "a.txt").exists()
    assert replayed.seconds < 0.9


def test_the_seed_and_the_default_model_are_those_of_the_recording(tape: Tape, bare: pytest.MonkeyPatch) -> None:
    text = """
    nodes:
      reply: {kind: llm.generate@1, set: {prompt: "Name a color.", temperature: 1.5, max_tokens: 8}}
    outputs: {answer: reply.text}
    """
    file = write(tape.path.parent, text)
    recorded = tape.record(file)
    bare.setenv("PHLOEM_MODEL", "openai:gpt-other")
    assert tape.replay(file).outputs == recorded.outputs
    other = tape.replay(file, model="openai:gpt-other")
    assert 'model was "local:demo" and is "openai:gpt-other"' in str(other.failures["reply"])
    assert "seed was" in str(tape.replay(file, seed=5).failures["reply"])


def test_several_runs_replay_one_recording_at_the_same_time(openai: Peer, tape: Tape, home: Home) -> None:
    file = write(tape.path.parent, EACH)
    recorded = tape.record(file, allow=["spend=openai"])
    document = load(file)

    async def many() -> list[Result]:
        engine = Engine(home)
        try:
            runs = [engine.start(document, {}, Options(replay=tape.path)) for _ in range(5)]
            for one in runs:
                one.discard_events()
            return [await one.result() for one in runs]
        finally:
            await engine.close()

    assert [one.outputs for one in asyncio.run(many())] == [recorded.outputs] * 5


def test_a_recorded_run_is_replayed_by_its_id_and_made_a_file(openai: Peer, tape: Tape, home: Home) -> None:
    file = write(tape.path.parent, ASK)
    recorded = tape.record(file, {"question": "Who dyed it?"}, allow=["spend=openai"])
    openai.server.close()
    journal = Journal(home.journal)
    log = begun(journal, "20261121-085300-3fa9c1")
    old = read_recording(tape.path)
    keeper = LogKeeper(log, old.head)
    for exchange, key, number in old.exchanges():
        keeper.keep(exchange, key, number)
    ended(log)
    journal.close()
    for name in ("last", "3fa9"):
        assert tape.run(file, replay=name).outputs == recorded.outputs
    copy = tape.path.with_name("copy.phloem-recording")
    assert tape.run(file, replay="last", record=copy).outputs == recorded.outputs
    assert [line["asked"] for line in map(json.loads, copy.read_text().splitlines()[1:])] == [
        line["asked"] for line in tape.lines
    ]
    refused = tape.run(file, {"question": "Who burnt it?"}, replay="last")
    assert "when the run 20261121-085300-3fa9c1 was recorded" in str(refused.failures["reply"])
