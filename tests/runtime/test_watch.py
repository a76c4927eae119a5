"""`phloem watch` as a person uses it, and as a script reads it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from phloem.runtime.cli import main

COPY = """\
phloem: 1
inputs:
  file: {type: text, value: notes.txt}
nodes:
  read:
    kind: files.read@1
    in: {path: input.file}
  upper:
    kind: text.case@1
    in: {text: read.text}
    set: {to: upper}
  write:
    kind: files.write@1
    in: {text: upper.text}
    set: {path: notes.txt}
outputs: {text: upper.text}
"""


class Watching:
    """A `phloem watch` that was started, what it printed so far, and how it is told to end."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._paths = (folder / "out.log", folder / "err.log")
        with self._paths[0].open("w") as out, self._paths[1].open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "phloem.runtime.cli", "watch", *words], stdout=out, stderr=err, cwd=folder
            )

    @property
    def out(self) -> str:
        return self._paths[0].read_text()

    @property
    def err(self) -> str:
        return self._paths[1].read_text()

    @property
    def results(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def waits(self, times: int) -> None:
        """Return when it has begun to wait for a change as often as this."""
        deadline = time.monotonic() + 60
        while self.err.count("Ctrl-C ends it") < times:
            assert time.monotonic() < deadline and self.process.poll() is None, self.err
            time.sleep(0.02)

    def end(self, how: int = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(*words: str) -> Watching:
        started.append(Watching(tmp_path, *words))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


@pytest.mark.slow
def test_each_change_is_one_run_and_none_is_its_own(tmp_path, watch):
    file, notes = tmp_path / "copy.flow.yaml", tmp_path / "notes.txt"
    file.write_text(COPY)
    notes.write_text("one")
    watching = watch("copy.flow.yaml", "--allow", "write=notes.txt", "--json")
    watching.waits(1)
    assert notes.read_text() == "ONE"
    notes.write_text("two")
    watching.waits(2)
    file.write_text(COPY.replace("in: {text: read.text}", "in: {text: red.text}"))
    watching.waits(3)
    assert "Did you mean read?" in watching.err
    file.write_text(COPY.replace("upper}", "title}"))
    watching.waits(4)
    notes.unlink()
    watching.waits(5)
    time.sleep(0.5)
    assert watching.err.count("Ctrl-C ends it") == 5
    told = [(one["status"], one.get("outputs")) for one in watching.results]
    assert told == [
        ("done", {"text": "ONE"}), ("done", {"text": "TWO"}), ("refused", None), ("done", {"text": "Two"}),
        ("failed", {"text": None}),
    ]  # fmt: skip
    assert watching.results[2]["error"] == "CheckError"
    assert watching.end() == 0


@pytest.mark.slow
def test_what_is_not_there_yet_is_waited_for_and_results_are_kept_apart(tmp_path, watch):
    watching = watch("new.flow.yaml", "-i", "text=@in.txt")
    watching.waits(1)
    assert "there is no such file" in watching.err
    (tmp_path / "new.flow.yaml").write_text(
        "phloem: 1\ninputs: {text: text}\nnodes:\n  up:\n    kind: text.case@1\n    in: {text: input.text}\n    set: {to: upper}\noutputs: {text: up.text}\n"
    )
    watching.waits(2)
    assert "-i text: cannot read in.txt" in watching.err
    (tmp_path / "in.txt").write_text("a")
    watching.waits(3)
    (tmp_path / "in.txt").write_text("b")
    watching.waits(4)
    assert watching.out == "A\n---\nB\n---\n"
    assert "changed: in.txt" in watching.err
    assert watching.end(signal.SIGTERM) == 0


LIST = """\
phloem: 1
nodes:
  list: {kind: files.list@1, set: {folder: .}}
outputs: {names: list.names}
"""


@pytest.mark.slow
def test_what_every_run_leaves_in_a_watched_folder_is_no_reason_for_another(tmp_path, watch):
    """Its output, the home, a recording, a trace."""
    (tmp_path / "list.flow.yaml").write_text(LIST)
    watching = watch("list.flow.yaml", "--record", "x.phloem-recording", "--trace", "file:trace.jsonl", "--json")
    watching.waits(1)
    time.sleep(2)
    assert len(watching.results) == 1 and "changed" not in watching.err
    (tmp_path / "new.txt").write_text("a")
    watching.waits(2)
    assert watching.err.count("changed: new.txt") == 1
    assert watching.end() == 0


SLOW = """\
phloem: 1
inputs: {url: text, note: {type: text, value: note.txt}}
nodes:
  get:
    kind: web.fetch@1
    in: {url: input.url}
  note:
    kind: files.read@1
    in: {path: input.note}
outputs: {note: note.text}
"""


@pytest.mark.slow
def test_ctrl_c_in_a_run_is_an_interruption_and_restart_breaks_a_run_off(tmp_path, watch):
    from support.web_server import Answer, Asked, serving

    asked: list[Asked] = []

    def wait(request: Asked) -> Answer:
        asked.append(request)
        return Answer([b"a"] * 300, pause=0.1)

    def until_asked(times: int) -> None:
        deadline = time.monotonic() + 60
        while len(asked) < times:
            assert time.monotonic() < deadline, watching.err
            time.sleep(0.02)

    (tmp_path / "slow.flow.yaml").write_text(SLOW)
    (tmp_path / "note.txt").write_text("a")
    with serving({"/": wait}) as server:
        words = ("slow.flow.yaml", "-i", f"url={server.url()}", "--allow", server.grant)
        watching = watch(*words, "--restart")
        until_asked(1)
        (tmp_path / "note.txt").write_text("b")
        until_asked(2)
        assert watching.err.count("changed: note.txt") == 1
        assert watching.end() == 130
        assert watching.out == ""

        watching = watch(*words)
        until_asked(3)
        (tmp_path / "note.txt").write_text("c")
        time.sleep(1)
        assert len(asked) == 3
        assert watching.end() == 130


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "--events"], "two forms of the output"),
        (["--limit", "tokens=many"], "not an amount"),
        (["--allow", "ned=x"], "Did you mean"),
        (["--resart"], "Did you mean --restart?"),
    ],
)
def test_a_wrong_command_line_is_no_reason_to_wait(tmp_path, capsys, words, message):
    assert main(["watch", str(tmp_path / "a.flow.yaml"), *words]) == 2
    assert message in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir() if one.name != "phloem-home"] == []
