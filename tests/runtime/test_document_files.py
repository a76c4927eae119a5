"""Workflow files on disk: what load says of files that are none, and that saving loses nothing whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from phloem.runtime.document import WorkflowFile, dump, dump_json, load, parse, save, text_of
from phloem.runtime.errors import DocumentError
from phloem.runtime.workflow import Node, Workflow

WORKFLOW = Workflow(title="T", nodes={"a": Node("x@1", set={"n": 1})}, layout={"a": [0, 0]})


def run(script, *arguments):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_a_saved_file_is_loaded_as_it_was(tmp_path):
    path = tmp_path / "a.flow.yaml"
    saved = save(WorkflowFile(WORKFLOW), path)
    assert saved.path == path
    assert path.read_text() == dump(WORKFLOW)
    loaded = load(str(path))
    assert (loaded.workflow, loaded.path, loaded.form) == (WORKFLOW, path, "yaml")
    edited = loaded.replace(WORKFLOW.with_setting("a", "n", 2))
    assert save(edited).path == path
    assert load(path).workflow.nodes["a"].set == {"n": 2}
    assert [one.name for one in tmp_path.iterdir()] == ["a.flow.yaml"]


def test_the_name_says_whether_it_is_json(tmp_path):
    document = save(WorkflowFile(WORKFLOW), tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == dump_json(WORKFLOW)
    assert load(document.path).form == "json"
    save(load(document.path), tmp_path / "b.flow.yaml")
    assert (tmp_path / "b.flow.yaml").read_text() == dump(WORKFLOW)
    (tmp_path / "c.flow").write_text(dump_json(WORKFLOW))
    save(load(tmp_path / "c.flow"))
    assert (tmp_path / "c.flow").read_text() == dump_json(WORKFLOW)
    assert text_of(parse('{"phloem": 1}')) == '{\n  "phloem": 1\n}\n'
    assert text_of(parse("phloem: 1")) == "phloem: 1\n"


def test_problems_name_the_file_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ask.flow.yaml").write_text("phloem: 1\nnodes: [1]\n")
    with pytest.raises(DocumentError, match=r"^ask.flow.yaml:2:8: `nodes` of the file must be a mapping"):
        load("ask.flow.yaml")
    with pytest.raises(DocumentError, match=r"(?s)^aks.flow.yaml: there is no such file.*Did you mean ask.flow.yaml\?"):
        load("aks.flow.yaml")
    with pytest.raises(DocumentError, match="there is no such file"):
        load("nowhere/ask.flow.yaml")
    with pytest.raises(DocumentError, match="this is a folder"):
        load(tmp_path)
    with pytest.raises(DocumentError, match="cannot be read"):
        load("a\0b")
    with pytest.raises(DocumentError, match="cannot be read"):
        load("x" * 5000)


def test_no_more_is_read_than_a_file_may_have():
    with pytest.raises(DocumentError, match="larger than 1,000 bytes"):
        load("/dev/zero", limit=1000)


def test_saving_without_a_name_or_a_folder_is_an_error_in_words(tmp_path):
    with pytest.raises(DocumentError, match="has no file yet"):
        save(WorkflowFile(WORKFLOW))
    with pytest.raises(DocumentError, match="cannot be saved: no such file or directory"):
        save(WorkflowFile(WORKFLOW), tmp_path / "nowhere" / "a.yaml")
    with pytest.raises(DocumentError, match="cannot be saved"):
        save(WorkflowFile(WORKFLOW), tmp_path)


@pytest.mark.slow
def test_what_could_not_be_read_back_leaves_the_file_alone(tmp_path):
    document = save(WorkflowFile(WORKFLOW), tmp_path / "a.yaml")
    before = document.path.read_bytes()
    for wrong in (WORKFLOW.with_setting("a", "n", object()), WORKFLOW.with_setting("a", "n", "x" * 17_000_000)):
        with pytest.raises(DocumentError):
            save(document.replace(wrong))
    assert document.path.read_bytes() == before


def test_a_link_to_a_file_stays_one_and_the_mode_is_kept(tmp_path):
    real = tmp_path / "real.yaml"
    save(WorkflowFile(WORKFLOW), real)
    real.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    document = load(tmp_path / "link.yaml")
    save(document.replace(WORKFLOW.with_setting("a", "n", 3)))
    assert (tmp_path / "link.yaml").is_symlink()
    assert load(real).workflow.nodes["a"].set == {"n": 3}
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the system has no limit on the size of files")
def test_a_full_disk_is_an_error_in_words_and_the_old_file_is_whole(tmp_path):
    document = save(WorkflowFile(WORKFLOW), tmp_path / "a.yaml")
    before = document.path.read_bytes()
    script = """
import resource, sys
from phloem.runtime.document import load, save
from phloem.runtime.errors import DocumentError
document = load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    save(document.replace(document.workflow.with_setting("a", "n", "word " * 100_000)))
except DocumentError as error:
    print(error)
"""
    process = run(script, document.path)
    out, _ = process.communicate(timeout=60)
    assert "the file cannot be saved: file too large" in out
    assert "What was saved there before is as it was." in out
    assert document.path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_killed_while_saving_the_file_is_one_of_the_two(tmp_path):
    path = tmp_path / "a.yaml"
    script = """
import sys
from pathlib import Path
from phloem.runtime.document import WorkflowFile, save
from phloem.runtime.workflow import Node, Workflow
print("ready", flush=True)
number = 0
while True:
    number += 1
    node = Node("x@1", set={"n": number, "text": f"{number} " * 20_000})
    save(WorkflowFile(Workflow(nodes={"a": node})), Path(sys.argv[1]))
"""
    for _ in range(5):
        process = run(script, path)
        process.stdout.readline()
        while not path.exists():
            time.sleep(0.001)
        time.sleep(0.05)
        process.kill()
        process.wait()
        process.stdout.close()
        found = load(path).workflow.nodes["a"].set
        assert found["text"] == f"{found['n']} " * 20_000
