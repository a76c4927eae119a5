"""`--record`, `--replay` and what goes with them, as a person types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from phloem.runtime.cli import main
from phloem.runtime.cli.arguments import parser
from phloem.runtime.cli.recording import recording_options
from phloem.runtime.recording import read_recording, write_recording

FLOW = """
phloem: 1
nodes:
  wait: {kind: flow.wait@1, set: {value: tea, time: TIME}}
outputs: {value: wait.value}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tea.flow.yaml"
    path.write_text(FLOW.replace("TIME", "1 ms"))
    return path


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ([], (False, None)),
        (["--record"], (True, None)),
        (["--record", "a.phloem-recording"], (Path("a.phloem-recording"), None)),
        (["--replay", "last"], (False, "last")),
        (["--replay", "3fa9"], (False, "3fa9")),
        (["--replay", "a.recording"], (False, Path("a.recording"))),
        (["--replay", "below/a"], (False, Path("below/a"))),
        (["--replay", "here"], (False, Path("here"))),
        (["--record", "", "--replay", "last"], (True, "last")),
    ],
)
def test_what_the_words_mean(words: list[str], means: tuple[object, object], file: Path) -> None:
    Path("here").write_text("")
    found = recording_options(parser(["run"]).parse_args(["run", str(file), *words]))
    wanted = [one.absolute() if isinstance(one, Path) else one for one in means]
    assert [found["record"], found["replay"]] == wanted


def test_a_file_is_recorded_and_replayed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file), "--record", "tea.phloem-recording"]) == 0
    assert main(["run", str(file), "--replay", "tea.phloem-recording", "--record", "copy.phloem-recording"]) == 0
    assert capsys.readouterr() == ("tea\ntea\n", "")
    assert [json.loads(line).get("call") for line in Path("copy.phloem-recording").read_text().splitlines()] == [
        None, "now",
    ]  # fmt: skip
    write_recording(read_recording(Path("copy.phloem-recording")), Path("again"))
    assert Path("again").read_text() == Path("copy.phloem-recording").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ask-new"], "error: --ask-new says how to replay, and nothing is replayed\n  Add --replay RUN.\n"),
        (["--pace"], "error: --pace says how to replay, and nothing is replayed\n  Add --replay RUN.\n"),
        (["--replay", "none.recording"], "error: there is no recording "),
        (["--replay", "last"], "error: there is no run yet\n"),
        (["--replay", "tea.flow.yaml"], "tea.flow.yaml is not a recording\n"),
        (["--record", "tea.flow.yaml"], "tea.flow.yaml looks like a workflow. Write `phloem run tea.flow.yaml --record`"),
        (["--record", "none/x"], "none/x.partial: no such file or directory\n"),
        (["--record", "notes.txt"], "notes.txt is there and is no recording, so it stays as it is\n"),
        (["--replay", "empty.recording"], "error: wait: it asks for the time, and asked nothing at all when"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(words: list[str], says: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text("mine")
    Path("empty.recording").write_text('{"phloem_recording": 1}\n')
    assert main(["run", str(file), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert Path("notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_ctrl_c_leaves_the_recording_and_says_where_the_rest_is(file: Path) -> None:
    file.write_text(FLOW.replace("TIME", "60 s"))
    recording = Path("tea.phloem-recording")
    recording.write_text('{"phloem_recording": 1, "seed": 5}\n')
    command = [sys.executable, "-m", "phloem.runtime.cli", "run", str(file), "--record", str(recording), "--events"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if "NodeWaiting" in line:
                process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert f"what was recorded until then is in {recording.absolute()}.partial" in told
    assert len(recording.read_text().splitlines()) == 1
    lines = recording.with_name(f"{recording.name}.partial").read_text().splitlines()
    assert json.loads(lines[0])["seed"] == 5
    assert json.loads(lines[1])["call"] == "now"


def test_a_run_that_leaves_off_leaves_the_recording_until_it_is_answered(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        "phloem: 1\nnodes:\n  who: {kind: human.ask@1, set: {about: To whom?}}\noutputs: {to: who.answer}\n"
    )
    recording = Path("who.phloem-recording")
    recording.write_text('{"phloem_recording": 1, "seed": 5}\n')
    assert main(["run", str(file), "--record", str(recording)]) == 4
    assert f"what was recorded until then is in {recording.absolute()}.partial" in capsys.readouterr().err
    assert len(recording.read_text().splitlines()) == 1
    assert main(["run", str(file), "--replay", f"{recording}.partial"]) == 2
    assert "what it asks a person was broken off here" in capsys.readouterr().err
    assert main(["run", str(file), "--record"]) == 4
    assert main(["runs", "answer", "last", "who", "Ann", "--resume"]) == 0
    assert main(["run", str(file), "--replay", "last", "--record", str(recording)]) == 0
    assert main(["run", str(file), "--replay", str(recording)]) == 0
    assert capsys.readouterr().out == "Ann\n" * 3
    assert read_recording(recording).nodes() == {"who"}


def test_no_key_in_an_input_is_recorded(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(
        'phloem: 1\ninputs: {pages: {type: "list[text]"}}\nnodes:\n'
        "  n: {kind: data.length@1, in: {value: input.pages}}\noutputs: {n: n.length}\n"
    )
    pages = '["https://me:sk-1@example.org/a?token=sk-1&q=loom", "token=sk-1 is no address"]'
    assert main(["run", str(file), "--record", "keys.phloem-recording", "-i", f"pages={pages}"]) == 0
    (head,) = Path("keys.phloem-recording").read_text().splitlines()
    assert json.loads(head)["inputs"] == {
        "pages": ["https://example.org/a?token=%E2%80%A6&q=loom", "token=sk-1 is no address"]
    }
    assert main(["run", str(file), "--replay", "keys.phloem-recording"]) == 0
    assert capsys.readouterr().out == "2\n2\n"
