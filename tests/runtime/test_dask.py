"""Runs whose slow nodes are called on workers: real worker processes, one pair of them for this whole file."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime import events as e
from phloem.runtime.cluster.desks import Desk
from phloem.runtime.cluster.messages import Outbox
from phloem.runtime.errors import InputError, LimitReached, NodeCrashed, ServiceError
from phloem.runtime.view import NodeView, RunView
from phloem.runtime.workflow import Limit
from support.dask_kit import Kit
from support.web_server import Answer, serving

pytest.importorskip("distributed", reason="needs the extra dask")
pytest_plugins = ["support.dask_fixtures"]
pytestmark = pytest.mark.slow


def story(events: list[e.Event]) -> dict[str, Any]:
    """What a screen would show at the end, times left out."""
    view = RunView()
    for event in events:
        view.apply(event)
    assert view.status == "done"

    def told(node: NodeView) -> Any:
        inside = node.inside and (node.inside.done, node.inside.failed, node.inside.skipped, node.inside.now)
        return (
            node.state,
            {port: shown.text for port, shown in node.outputs.items()},
            node.tokens_out,
            node.text,
            inside,
        )

    return {"outputs": view.outputs, "tokens": view.tokens_out} | {name: told(one) for name, one in view.nodes.items()}


BRANCHES = """\
phloem: 1
inputs:
  names: {type: "list[text]", value: [warp, weft, loom, "yarn", wool, silk, flax, hemp]}
nodes:
  shout: {kind: text.case@1, in: {text: input.names}, set: {to: upper}}
  one: {kind: weft.ask@1, set: {prompt: alone}}
  many: {kind: weft.ask@1, in: {prompt: shout.text}}
  each:
    kind: flow.each@1
    in: {items: shout.text}
    do:
      nodes:
        hello: {kind: text.template@1, in: {who: input.item}, set: {template: "hello {{ who }}"}}
        ask: {kind: weft.ask@1, in: {prompt: hello.text}}
        again: {kind: weft.ask@1, in: {prompt: ask.text}}
      outputs: {text: again.text}
  part: {kind: weft.part@1, set: {n: 3}}
  even: {kind: text.template@1, in: {n: part.even}, set: {template: "even {{ n }}"}}
  odd: {kind: text.template@1, in: {n: part.odd}, set: {template: "odd {{ n }}"}}
  merged: {kind: flow.merge@1, in: {values: [even.text, odd.text]}}
  last: {kind: text.join@1, in: {texts: [many.text, one.text]}}
outputs: {many: many.text, each: each.text, merged: merged.value, last: last.text}
"""


def test_run_gives_and_tells_the_same_as_one_without_workers(kit: Kit) -> None:
    here, told_here = kit.run(BRANCHES, here=True)
    own = {one["pid"] for one in kit.notes()}
    there, told_there = kit.run(BRANCHES)
    assert there.status == "done"
    assert there.outputs == here.outputs
    assert story(told_there) == story(told_here)
    assert [one.seq for one in told_there] == list(range(len(told_there)))
    assert (there.tokens_in, there.tokens_out) == (here.tokens_in, here.tokens_out)

    def about(events: list[e.Event]) -> list[Any]:
        chunks = sorted((one.node, one.item, one.text) for one in events if isinstance(one, e.NodeChunk))
        # How often progress is shown is a matter of time.
        kept = [one for one in events if not isinstance(one, e.NodeProgress)]
        return [sorted((type(one).__name__, getattr(one, "node", "")) for one in kept), chunks]

    assert about(told_there) == about(told_here)
    assert own == {os.getpid()}
    assert len({one["pid"] for one in kit.notes()} - own) == 2
    assert os.getpid() not in {one["pid"] for one in kit.notes()}
    keys = {one["key"].partition("/")[2] for one in kit.notes("asked")}
    assert {"one", "many/0", "each/0/ask", "each/7/again"} <= keys


def test_text_streams_while_it_is_made(kit: Kit) -> None:
    text = "phloem: 1\nnodes: {ask: {kind: weft.ask@1, set: {prompt: slowly, seconds: 0.9}}}\noutputs: {t: ask.text}\n"
    arrived: list[float] = []

    async def listen(run: Any) -> None:
        run.subscribe(lambda event: arrived.append(time.monotonic()) if isinstance(event, e.NodeChunk) else None)

    result, events = kit.run(text, during=listen)
    assert result.outputs == {"t": "slowly is answered"}
    assert [one.text for one in events if isinstance(one, e.NodeChunk)] == ["slowly", " is", " answered"]
    assert arrived[2] - arrived[0] > 0.4


LARGE = """\
phloem: 1
nodes:
  make: {kind: weft.large@1, set: {size: 3000000}}
  a: {kind: weft.length@1, in: {text: make.text}}
  b: {kind: weft.length@1, in: {text: make.text}}
  c: {kind: weft.length@1, in: {text: make.text}}
  d: {kind: weft.length@1, in: {text: make.text}}
  same: {kind: weft.large@1, set: {size: 3000000}}
outputs: {a: a.number, d: d.number}
"""


def test_nothing_large_travels_twice(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, ...]] = []
    put = Outbox.put

    def noting(self: Outbox, *message: Any, **words: Any) -> None:
        sent.append((id(self), *message))
        put(self, *message, **words)

    monkeypatch.setattr(Outbox, "put", noting)
    for _ in range(2):
        result, _ = kit.run(LARGE)
        assert result.outputs == {"a": 3_000_000, "d": 3_000_000}
    values = [(desk, message[0]) for desk, word, *message in sent if word == "value"]
    assert len(values) == len(set(values)) <= 2


def test_value_that_was_dropped_is_sent_again(kit: Kit) -> None:
    text = LARGE.replace("3000000", "2000000")
    kit.run(text)
    kit.cluster._held._data.clear()
    kit.cluster._held._size = 0
    result, _ = kit.run(text)
    assert result.outputs == {"a": 2_000_000, "d": 2_000_000}


def test_values_that_come_together_need_not_be_kept_together(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    lacked: list[bytes] = []
    fetch = Desk.fetch

    async def noting(self: Desk, content: bytes) -> bytes | None:
        lacked.append(content)
        return await fetch(self, content)

    monkeypatch.setattr(Desk, "fetch", noting)
    monkeypatch.setattr(kit.cluster._held, "limit", 100_000)
    sizes = [60_000 + one for one in range(32)]
    text = "phloem: 1\ninputs: {sizes: 'list[number]'}\nnodes: {l: {kind: weft.large@1, in: {size: input.sizes}, set: {of: k}}}\noutputs: {l: l.text}\n"
    result, _ = kit.run(text, inputs={"sizes": sizes})
    assert [len(one) for one in result.outputs["l"]] == sizes
    assert lacked == []


def test_workers_share_what_needs_the_same_large_value(kit: Kit) -> None:
    text = """\
phloem: 1
inputs: {ns: "list[number]"}
nodes:
  make: {kind: weft.large@1, set: {size: 1000000, of: s}}
  one: {kind: weft.length@1, in: {text: make.text, n: input.ns}, set: {seconds: 0.02}}
outputs: {all: one.number}
"""
    for _ in range(2):
        result, _ = kit.run(text, inputs={"ns": list(range(48))})
        assert result.outputs == {"all": [1_000_000] * 48}
    by_worker = Counter(one["pid"] for one in kit.notes("length"))
    assert len(by_worker) == 2 and min(by_worker.values()) >= 12, by_worker


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("input", InputError, "this is no input"),
        ("bug", NodeCrashed, "ZeroDivisionError"),
        ("set", ServiceError, "cannot leave the worker"),
    ],
)
def test_errors_come_back_as_what_they_are(kit: Kit, how: str, error: type[Exception], words: str) -> None:
    text = f"phloem: 1\nnodes: {{w: {{kind: weft.wrong@1, set: {{how: {how}}}}}}}\n"
    result, events = kit.run(text)
    failure = result.failures["w"]
    assert type(failure) is error and words in str(failure)
    (failed,) = [one for one in events if isinstance(one, e.NodeFailed)]
    assert (failed.node, failed.error) == ("w", error.__name__)
    if how == "bug":
        assert "weft.py, line" in failed.message and "on the worker tls://127.0.0.1" in failed.message


def test_cancelled_run_stops_what_workers_do(kit: Kit) -> None:
    text = """\
phloem: 1
nodes:
  ask: {kind: weft.ask@1, set: {prompt: long, seconds: 60}}
  stuck: {kind: weft.stuck@1}
"""

    async def cancel(run: Any) -> None:
        while len([*kit.notes("asked"), *kit.notes("stuck")]) < 2:
            await asyncio.sleep(0.02)
        run.cancel()

    began = time.monotonic()
    result, _ = kit.run(text, during=cancel)
    assert result.status == "cancelled"
    deadline = time.monotonic() + 5
    while len([*kit.notes("interrupted"), *kit.notes("let go")]) < 2:
        assert time.monotonic() < deadline, kit.notes()
        time.sleep(0.02)
    assert time.monotonic() - began < 10


def test_timeout_of_a_node_stops_it_there(kit: Kit) -> None:
    text = "phloem: 1\nnodes: {ask: {kind: weft.ask@1, set: {prompt: long, seconds: 60}, timeout: 0.5}}\n"
    result, _ = kit.run(text)
    assert "it took longer than 0.5 s" in str(result.failures["ask"])
    deadline = time.monotonic() + 5
    while not kit.notes("interrupted"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_limit_of_the_run_counts_all_workers(kit: Kit) -> None:
    result, _ = kit.run(BRANCHES, limit=Limit(tokens=7))
    here, _ = kit.run(BRANCHES, limit=Limit(tokens=7), here=True)
    assert result.status == here.status == "limited"
    assert isinstance(result.limit, LimitReached) and result.limit.hint == here.limit.hint
    assert 7 < result.tokens_out < 24


def test_files_are_those_of_the_run(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("only here")
    text = (
        f"phloem: 1\nnodes: {{p: {{kind: weft.peek@1, set: {{path: {tmp_path}/note.txt}}}}}}\noutputs: {{t: p.text}}\n"
    )
    refused, _ = kit.run(text)
    assert f"--allow read={tmp_path}/note.txt" in str(refused.failures["p"])
    result, _ = kit.run(text, allow=[f"read={tmp_path}"])
    assert result.outputs == {"t": "only here"}
    assert {one["pid"] for one in kit.notes("peek")}.isdisjoint({os.getpid()})


def test_grants_and_the_log_of_exchanges_hold_there(kit: Kit) -> None:
    with serving({"/": Answer(b"a page")}) as server:
        text = f"phloem: 1\nnodes: {{f: {{kind: weft.fetch@1, set: {{url: '{server.url('/')}'}}}}}}\noutputs: {{t: f.text}}\n"
        left: list[Any] = []
        result, _ = kit.run(text, allow=[f"net=localhost:{server.port}"], on_egress=left.append)
        assert result.outputs == {"t": "a page"}
        assert server.asked[0].headers["idempotency-key"] == f"{result.run}/f"
    assert [(one.node, one.port, one.status) for one in left] == [("f", server.port, 200)]


def test_node_that_waits_says_so(kit: Kit) -> None:
    text = "phloem: 1\nnodes: {w: {kind: weft.wait@1, timeout: 0.3, set: {seconds: 0.5}}}\noutputs: {n: w.number}\n"
    result, events = kit.run(text)
    here, told_here = kit.run(text, here=True)
    assert result.outputs == here.outputs
    assert [type(one) for one in events] == [type(one) for one in told_here]
    assert [one.waits_for for one in events if isinstance(one, e.NodeWaiting)] == ["a while"]


def test_second_run_takes_the_results_of_the_first(kit: Kit) -> None:
    first, _ = kit.run(BRANCHES, cache=True)
    second, events = kit.run(BRANCHES, cache=True)
    assert second.outputs == first.outputs
    assert kit.notes() == []
    assert all(one.cached for one in events if isinstance(one, e.NodeFinished) and one.node in ("one", "many"))


def test_local_models_run_on_the_workers(kit: Kit) -> None:
    text = """\
phloem: 1
inputs: {topics: {type: "list[text]", value: [looms, cats, bread, stars]}}
nodes:
  write: {kind: llm.generate@1, in: {prompt: input.topics}, set: {max_tokens: 8}}
  turn: {kind: llm.embed@1, in: {text: input.topics}}
outputs: {texts: write.text, vectors: turn.vector}
"""
    here, _ = kit.run(text, here=True)
    there, events = kit.run(text, prompts=True)
    assert there.outputs == here.outputs
    assert there.tokens_out == here.tokens_out > 0
    assert len([one for one in events if isinstance(one, e.NodePrompt)]) >= 4


def test_model_that_is_not_there_names_node_and_worker(kit: Kit) -> None:
    text = "phloem: 1\nnodes: {g: {kind: llm.generate@1, set: {prompt: a, model: 'local:absent'}}}\n"
    result, _ = kit.run(text)
    assert "absent" in str(result.failures["g"]) and "on the worker tls://" in str(result.failures["g"])
