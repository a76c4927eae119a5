"""The command line, as the person who types it meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from phloem.runtime.cli import main

HELLO = """\
phloem: 1
title: Hello
inputs:
  name: {type: text, value: world, about: Whom to greet}
  times: {type: number, value: 1}
nodes:
  greeting:
    kind: text.template@1
    in: {name: input.name}
    set: {template: "Hello {{ name }}"}
  count:
    kind: math.calculate@1
    in: {times: input.times}
    set: {expression: times * 2}
outputs:
  greeting: greeting.text
  count: count.value
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a workflow in it."""
    place = tmp_path / "here"
    place.mkdir()
    (place / "hello.flow.yaml").write_text(HELLO)
    monkeypatch.chdir(place)
    return place


def test_run_prints_the_outputs_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello.flow.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == "greeting:\n  Hello world\n\ncount:\n  2\n"
    assert err == ""


def test_a_single_output_is_printed_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello.flow.yaml", "--to", "greeting", "-i", "name=Ada"]) == 0
    assert capsys.readouterr().out == "Hello Ada\n"


def test_inputs_are_read_by_their_type_and_from_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "name.txt").write_text("Grace\n")
    assert main(["run", "hello.flow.yaml", "-i", "name=@name.txt", "-i", "times=2.5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["outputs"] == {"greeting": "Hello Grace\n", "count": 5}
    assert data["status"] == "done"
    assert data["failures"] == {}
    assert main(["run", "hello.flow.yaml", "-i", "name=@@ada", "--to", "greeting"]) == 0
    assert capsys.readouterr().out == "Hello @ada\n"


def test_input_without_an_end_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phloem.runtime.cli.run.INPUT_LIMIT", 1_000)
    (folder / "fits.txt").write_bytes(b"a\r\n" + b"b" * 997)
    assert main(["run", "hello.flow.yaml", "--to", "greeting", "-i", "name=@fits.txt"]) == 0
    assert capsys.readouterr().out == "Hello a\n" + "b" * 997 + "\n"
    with Path("/dev/zero").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        for file in ("/dev/zero", "-"):
            assert main(["run", "hello.flow.yaml", "-i", f"name=@{file}"]) == 2
            assert f"-i name: {file} is larger than 1,000 bytes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", None)
    assert main(["run", "hello.flow.yaml", "--to", "greeting", "-i", "name=@-"]) == 0


def test_events_are_one_line_of_json_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello.flow.yaml", "--events"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "RunStarted"
    assert events[-1]["type"] == "RunFinished"
    assert events[-1]["outputs"] == {"greeting": "Hello world", "count": 2}


def test_a_second_run_takes_everything_from_the_cache_unless_told_not_to(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def executed(*words: str) -> list[str]:
        assert main(["run", "hello.flow.yaml", "--events", *words]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return sorted(event["node"] for event in events if event["type"] == "NodeFinished" and not event["cached"])

    assert executed() == ["count", "greeting"]
    assert executed() == []
    assert executed("-i", "name=Ada") == ["greeting"]
    assert executed("--no-cache") == ["count", "greeting"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run", "nothing.flow.yaml"], 2, "nothing.flow.yaml: there is no such file"),
        (["run", "."], 2, "this is a folder"),
        (["rum", "hello.flow.yaml"], 2, "Did you mean run?"),
        (["run"], 2, "FILE"),
        (["run", "hello.flow.yaml", "--alow", "net=x"], 2, "Did you mean --allow?"),
        (["run", "hello.flow.yaml", "--allow", "wirte=out"], 2, "Did you mean --allow write=out?"),
        (["run", "hello.flow.yaml", "--allow", "write"], 2, "--allow write=…"),
        (["run", "hello.flow.yaml", "-i", "nam=x"], 2, "Did you mean name?"),
        (["run", "hello.flow.yaml", "-i", "name"], 2, "NAME=VALUE"),
        (["run", "hello.flow.yaml", "-i", "times=many"], 2, "'many' is not a number"),
        (["run", "hello.flow.yaml", "-i", "name=@absent.txt"], 2, "cannot read absent.txt: no such file"),
        (["run", "hello.flow.yaml", "--to", "greting"], 2, "Did you mean greeting?"),
        (["run", "hello.flow.yaml", "--allow", "everything"], 2, "not something that can be allowed"),
        (["run", "hello.flow.yaml", "--json", "--events"], 2, "one of them"),
        (["nodes", "text.splitt"], 2, "Did you mean text.split?"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    assert main(words) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in err
    assert out == ""


def test_every_problem_of_a_file_is_told_with_its_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = HELLO.replace("text.template@1", "text.templat@1").replace("input.times", "input.time")
    (folder / "broken.flow.yaml").write_text(broken)
    assert main(["check", "broken.flow.yaml", "hello.flow.yaml"]) == 2
    out, err = capsys.readouterr()
    assert "broken.flow.yaml:8:" in err
    assert "Did you mean text.template@1?" in err
    assert "broken.flow.yaml:13:10" in err
    assert "Did you mean input.times?" in err
    assert "hello.flow.yaml: ok, 2 nodes" in out


def test_a_missing_grant_names_the_flag_that_gives_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "write.flow.yaml").write_text(
        "phloem: 1\nnodes:\n  save:\n    kind: files.write@1\n    set: {path: out/note.txt, text: kept}\n"
        "outputs:\n  path: save.path\n"
    )
    assert main(["check", "write.flow.yaml"]) == 0
    assert "save: write out/note.txt (needs --allow write=out/note.txt)" in capsys.readouterr().out
    assert main(["run", "write.flow.yaml"]) == 2
    assert "--allow write=out/note.txt" in capsys.readouterr().err
    assert not (folder / "out").exists()
    assert main(["run", "write.flow.yaml", "--allow", "write=out"]) == 0
    assert (folder / "out" / "note.txt").read_text() == "kept"


def test_a_failing_node_is_exit_code_one_with_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "zero.flow.yaml").write_text(
        "phloem: 1\ninputs:\n  x: {type: number, value: 0}\nnodes:\n  half:\n    kind: math.calculate@1\n"
        "    in: {x: input.x}\n    set: {expression: 1 / x}\noutputs:\n  y: half.value\n"
    )
    assert main(["run", "zero.flow.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: half: ")
    assert main(["run", "zero.flow.yaml", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failures"]["half"]["error"] == "InputError"


def test_fmt_rewrites_and_check_only_tells(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "hello.flow.yaml"
    path.write_text("# mine\n" + HELLO.replace("title: Hello", "title:   'Hello'"))
    assert main(["fmt", "--check", "hello.flow.yaml"]) == 1
    assert "'Hello'" in path.read_text()
    assert main(["fmt", "hello.flow.yaml"]) == 0
    assert path.read_text() == "# mine\n" + HELLO
    assert main(["fmt", "--check", "hello.flow.yaml"]) == 0


def test_diff_tells_what_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.flow.yaml").write_text(HELLO.replace("times * 2", "times * 3"))
    assert main(["diff", "hello.flow.yaml", "hello.flow.yaml"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["diff", "hello.flow.yaml", "other.flow.yaml"]) == 1
    out = capsys.readouterr().out
    assert "count" in out
    assert "times * 3" in out


@pytest.mark.parametrize(("form", "says"), [("text", "greeting"), ("mermaid", "flowchart"), ("svg", "<svg")])
def test_show_draws(folder: Path, capsys: pytest.CaptureFixture[str], form: str, says: str) -> None:
    assert main(["show", "hello.flow.yaml", "--as", form]) == 0
    assert says in capsys.readouterr().out
    assert (
        main(["show", "hello.flow.yaml", "-o", "picture" + {"text": ".txt", "mermaid": ".mmd", "svg": ".svg"}[form]])
        == 0
    )
    assert says in next(folder.glob("picture.*")).read_text()


def test_show_refuses_a_form_that_it_does_not_know(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "hello.flow.yaml", "-o", "picture.png"]) == 2
    assert ".svg" in capsys.readouterr().err
    assert not (folder / "picture.png").exists()


def test_run_tells_what_means_nothing_in_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "odd.flow.yaml").write_text(HELLO.replace("    set: {template", "    timeuot: 3\n    set: {template"))
    assert main(["run", "odd.flow.yaml"]) == 0
    err = capsys.readouterr().err
    assert "warning: odd.flow.yaml:10:5: greeting: `timeuot` means nothing" in err
    assert "Did you mean `timeout`?" in err


def test_nodes_lists_explains_and_gives_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes"]) == 0
    assert "text.template@1" in capsys.readouterr().out
    assert main(["nodes", "text.split"]) == 0
    assert "overlap" in capsys.readouterr().out
    assert main(["nodes", "--json"]) == 0
    kinds = json.loads(capsys.readouterr().out)
    assert {"id", "inputs", "settings", "outputs", "help", "examples"} <= kinds[0].keys()
    assert len(kinds) >= 40


def _process(folder: Path, *words: str, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "phloem.runtime.cli", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), **more,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_run_at_once_and_says_so(folder: Path, number: signal.Signals) -> None:
    body = "phloem: 1\nnodes:\n" + "".join(
        f"  n{i}:\n    kind: text.split@1\n    set: {{text: {'word ' * 2000}, by: words}}\n" for i in range(600)
    )
    (folder / "long.flow.yaml").write_text(body)
    process = _process(folder, "run", "long.flow.yaml", "--events", "--no-cache")
    assert process.stdout is not None
    assert "RunStarted" in process.stdout.readline()
    process.send_signal(number)
    began = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "cancelled\n"
    assert '"status": "cancelled"' in out.splitlines()[-1]
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_half_a_character_in_a_value_is_shown_as_its_number(folder: Path) -> None:
    """No encoding has a form for it; JSON's own is the same as Python's."""
    workflow = {
        "phloem": 1,
        "nodes": {"n": {"kind": "data.parse@1", "set": {"text": r'"a\ud800b"'}}},
        "outputs": {"value": "n.value"},
    }
    (folder / "half.flow.json").write_text(json.dumps(workflow))
    for words in (["run"], ["run", "--json"], ["run", "--events"]):
        out, err = _process(folder, *words, "half.flow.json").communicate(timeout=30)
        assert r"a\ud800b" in out, err


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    process = _process(folder, "run", "hello.flow.yaml", "--events")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=20) == 0
    assert err == ""


@pytest.mark.slow
def test_the_live_view_is_shown_on_a_terminal(folder: Path) -> None:
    import pty

    owner, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "phloem.runtime.cli", "run", "hello.flow.yaml"],
        cwd=folder, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(owner, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(owner)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"greeting" in shown
    assert b"done: 2 of 2 nodes" in shown
    assert out.decode().startswith("greeting:\n  Hello world")


def test_a_bug_of_ours_is_said_to_be_one(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phloem.runtime.difference.difference", lambda *_: 1 / 0)
    monkeypatch.delitem(sys.modules, "phloem.runtime.cli.diff", raising=False)
    assert main(["diff", "hello.flow.yaml", "hello.flow.yaml"]) == 3
    err = capsys.readouterr().err
    assert "this is a bug in Phloem: ZeroDivisionError" in err
    assert "Traceback" not in err
