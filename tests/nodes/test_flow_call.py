"""A file that calls another: what it may read, what paths mean there, and what cannot be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from phloem.runtime import Engine, Options, load, run
from phloem.runtime.cli import main
from phloem.runtime.errors import CheckError, NodeError, PermissionNeeded
from phloem.runtime.wishes import wishes


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.flow.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"phloem: 1\n{text}", encoding="utf-8")
    return path


def calling(file: str, more: str = "", outputs: str = "{o: call.o}") -> str:
    return f"nodes:\n  call:\n    kind: flow.call@1\n    set: {{workflow: {file}}}\n{more}outputs: {outputs}\n"


LOUD = """\
inputs:
  text: {type: text, value: quiet}
nodes:
  loud: {kind: text.case@1, in: {text: input.text}, set: {to: upper}}
outputs: {o: loud.text}
"""
READS = """\
inputs:
  path: {type: text, value: own.txt}
nodes:
  read: {kind: files.read@1, in: {path: input.path}}
outputs: {o: read.text}
"""


def problems(path: Path) -> str:
    with pytest.raises(CheckError) as caught:
        Engine().check(load(path))
    return str(caught.value).replace(f"{path.parent}/", "")


def test_inputs_and_outputs_are_those_of_the_file(tmp_path):
    write(tmp_path, "loud", LOUD)
    main_ = write(tmp_path, "main", "inputs: {t: text}\n" + calling("loud.flow.yaml", "    in: {text: input.t}\n"))
    assert run(main_, t="hi").outputs == {"o": "HI"}
    assert run(write(tmp_path, "bare", calling("loud.flow.yaml"))).outputs == {"o": "QUIET"}


def test_a_list_into_an_input_calls_the_file_for_each_item(tmp_path):
    write(tmp_path, "loud", LOUD)
    text = "inputs: {t: 'list[text]'}\n" + calling("loud.flow.yaml", "    in: {text: input.t}\n")
    assert run(write(tmp_path, "main", text), t=["a", "b"]).outputs == {"o": ["A", "B"]}


def test_paths_in_a_file_are_relative_to_that_file_and_what_is_handed_in_to_the_caller(tmp_path):
    (tmp_path / "own.txt").write_text("the caller's")
    write(tmp_path, "parts/read", READS)
    (tmp_path / "parts" / "own.txt").write_text("the part's")
    assert run(write(tmp_path, "a", calling("parts/read.flow.yaml"))).outputs == {"o": "the part's"}
    handed = "inputs: {p: {type: text, value: own.txt}}\n" + calling(
        "parts/read.flow.yaml", "    in: {path: input.p}\n"
    )
    assert run(write(tmp_path, "b", handed)).outputs == {"o": "the caller's"}
    found = wishes(*_asked(tmp_path / "b.flow.yaml"))
    assert [(one.node, one.word, Path(one.scope).name, one.flag) for one in found] == [
        ("call", "read", "read.flow.yaml", None),
        ("call/read", "read", "own.txt", None),
    ]


def _asked(path: Path):
    engine, options = Engine(), Options()
    checked = engine.check(load(path))
    inputs = {name: one.value for name, one in checked.workflow.inputs.items() if one.has_value}
    return (
        checked, inputs, engine.permissions(options, path.parent), engine.default_models(checked.workflow, options)
    )  # fmt: skip


def test_a_path_on_the_command_line_is_one_through_a_call_too(tmp_path, monkeypatch, capsys):
    write(tmp_path, "flows/read", READS)
    handed = "inputs: {p: text}\n" + calling("read.flow.yaml", "    in: {path: input.p}\n")
    write(tmp_path, "flows/main", handed)
    (tmp_path / "here.txt").write_text("from here")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "flows/main.flow.yaml", "-i", "p=here.txt"]) == 0
    assert capsys.readouterr().out == "from here\n"


def test_a_file_elsewhere_needs_a_grant_and_what_it_reads_does_too(tmp_path, monkeypatch):
    write(tmp_path, "other/read", READS)
    (tmp_path / "other" / "own.txt").write_text("x")
    path = write(tmp_path, "main/main", calling("../other/read.flow.yaml"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PermissionNeeded) as caught:
        run(path)
    assert caught.value.flags == ("--allow read=other/read.flow.yaml",)
    with pytest.raises(PermissionNeeded) as caught:
        run(path, options=Options(allow=["read=other/read.flow.yaml"]))
    assert caught.value.flags == ("--allow read=other/own.txt",)
    assert run(path, options=Options(allow=["read=other"])).outputs == {"o": "x"}


def test_check_says_which_grant_a_file_elsewhere_needs(tmp_path, monkeypatch, capsys):
    write(tmp_path, "other/loud", LOUD)
    write(tmp_path, "main/main", calling("../other/loud.flow.yaml"))
    monkeypatch.chdir(tmp_path)
    assert main(["check", "main/main.flow.yaml"]) == 2
    assert "add --allow read=other/loud.flow.yaml" in capsys.readouterr().err
    assert main(["check", "main/main.flow.yaml", "--allow", "read=other"]) == 0
    assert "call: read ../other/loud.flow.yaml" in capsys.readouterr().out
    assert main(["run", "main/main.flow.yaml", "--allow", "read=other"]) == 0


def test_files_that_call_one_another_in_a_circle_are_refused_with_the_way_round(tmp_path):
    write(tmp_path, "a", calling("parts/b.flow.yaml"))
    write(tmp_path, "parts/b", calling("c.flow.yaml"))
    write(tmp_path, "parts/c", calling("../a.flow.yaml"))
    assert problems(tmp_path / "a.flow.yaml") == (
        "parts/c.flow.yaml:5:11: call.workflow: the files call one another in a circle: "
        "a.flow.yaml → parts/b.flow.yaml → parts/c.flow.yaml → a.flow.yaml\n"
        "  A file cannot run inside itself. To do something again and again use flow.repeat."
    )
    (tmp_path / "link.flow.yaml").symlink_to("self.flow.yaml")
    write(tmp_path, "self", calling("link.flow.yaml"))
    assert "self.flow.yaml → self.flow.yaml" in problems(tmp_path / "self.flow.yaml")


def test_a_circle_over_two_drives_is_told_by_whole_paths(tmp_path, monkeypatch):
    write(tmp_path, "self", calling("self.flow.yaml"))

    def elsewhere(*_):
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr("os.path.relpath", elsewhere)
    with pytest.raises(CheckError, match=r"in a circle: /.*/self.flow.yaml → /.*/self.flow.yaml"):
        Engine().check(load(tmp_path / "self.flow.yaml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (calling("lod.flow.yaml"), "call.workflow: lod.flow.yaml: there is no such file\n  Did you mean"),
        (calling("''"), "call: it is not said which file to run"),
        (calling("loud.flow.yaml", outputs="{o: call.x}"), "call (flow.call@1) has no output x\n  There is call.o."),
        (calling("loud.flow.yaml", "    in: {txt: call.o}\n"), "flow.call@1 has no input txt\n  Did you mean text?"),
        (calling("loud.flow.yaml", "    do: {}\n"), "what stands under `do` would never run"),
        (calling("broken.flow.yaml"), "broken.flow.yaml:2:8: `nodes` of the file must be a mapping"),
        (calling("wrong.flow.yaml"), "wrong.flow.yaml:2:13: a: there is no kind of node called text.cse@1"),
        (calling("."), "this is a folder"),
        ("nodes: {call: {kind: flow.call@1, in: {workflow: input.f}}}\ninputs: {f: text}\n", "cannot be linked"),
    ],
)
def test_what_cannot_be_called(tmp_path, text, words):
    write(tmp_path, "loud", LOUD)
    write(tmp_path, "broken", "nodes: 3\n")
    write(tmp_path, "wrong", "nodes: {a: {kind: text.cse@1, set: {text: x}}}\n")
    assert words in problems(write(tmp_path, "main", text))


def test_a_failure_names_the_node_in_the_file(tmp_path):
    write(tmp_path, "read", READS)
    with pytest.raises(NodeError) as caught:
        run(write(tmp_path, "main", calling("read.flow.yaml")))
    assert caught.value.message.startswith("read: cannot read ")
    assert caught.value.node == "call/read"


def test_files_that_call_others_again_and_again_grow_no_further_than_can_be_run(tmp_path):
    write(tmp_path, "f0", LOUD)
    for level in range(1, 18):
        nodes = "".join(
            f"  {id}: {{kind: flow.call@1, set: {{workflow: f{level - 1}.flow.yaml}}}}\n" for id in ("a", "b")
        )
        write(tmp_path, f"f{level}", f"nodes:\n{nodes}outputs: {{o: a.o}}\n")
    assert Engine().check(load(tmp_path / "f5.flow.yaml")).size == sum(2**level for level in range(1, 6)) + 2**5
    assert "at most 100,000 can run" in problems(tmp_path / "f17.flow.yaml")


def test_the_files_that_are_called_are_known(tmp_path):
    write(tmp_path, "loud", LOUD)
    write(tmp_path, "middle", calling("loud.flow.yaml"))
    checked = Engine().check(load(write(tmp_path, "main", calling("middle.flow.yaml"))))
    assert [path.name for path in checked.called()] == ["middle.flow.yaml", "loud.flow.yaml"]


def test_a_plan_runs_what_was_read_even_when_the_file_is_gone(tmp_path):
    loud = write(tmp_path, "loud", LOUD)
    engine = Engine()
    plan = engine.plan(load(write(tmp_path, "main", calling("loud.flow.yaml"))))
    loud.unlink()

    async def once():
        try:
            return (await engine.start(plan).result()).outputs
        finally:
            await engine.close()

    with pytest.raises(CheckError):
        Engine().check(load(tmp_path / "main.flow.yaml"))
    assert asyncio.run(once()) == {"o": "QUIET"}


def test_show_draws_the_file_that_is_called(tmp_path, capsys):
    write(tmp_path, "parts/loud", LOUD)
    path = write(tmp_path, "main", calling("parts/loud.flow.yaml"))
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "┊ ●  loud  text.case@1  → text" in out
    assert main(["show", str(path), "--as", "mermaid"]) == 0
    assert "loud<br>text.case" in capsys.readouterr().out
