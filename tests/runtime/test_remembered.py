"""What is allowed always is kept by what a workflow is, in a file that only its owner may change."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from phloem.runtime.engine import Engine
from phloem.runtime.errors import ConfigError
from phloem.runtime.grants import Grant
from phloem.runtime.grants.remembered import Remembered, content_digest
from phloem.runtime.runs import Options
from phloem.runtime.workflow import Workflow
from support.playing import box, drawn, given

ONE, OTHER = "1" * 40, "2" * 40
NET = Grant("net", "example.org")
READ = Grant("read", "/a/b.txt")


def workflow(template: str = "{{ a }}") -> Workflow:
    nodes = {
        "t": box("text.template", {"a": "input.a"}, {"template": template}, title="T", note="N"),
        "c": box("text.case", {"text": "t.text"}, {"to": "upper"}),
    }
    return drawn(nodes, {"a": given("text", "x")}, out="c.text")


def digest(engine: Engine, one: Workflow) -> str:
    return content_digest(engine.check(one))


def test_what_was_added_is_there_for_that_content_only(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "home")
    assert remembered.all() == []
    remembered.add(ONE, [NET], title="T", file="/x")
    remembered.add(ONE, [READ, NET])
    remembered.add(OTHER, [READ])
    again = Remembered(tmp_path / "home")
    assert again.grants(ONE) == (NET, READ)
    assert again.grants(OTHER) == (READ,)
    assert again.grants("3" * 40) == ()
    assert {one.digest for one in again.all()} == {ONE, OTHER}
    assert again.forget([ONE, "3" * 40]) == 1
    assert again.grants(ONE) == ()
    assert again.grants(OTHER) == (READ,)


def test_the_file_is_private(tmp_path: Path) -> None:
    Remembered(tmp_path).add(ONE, [NET])
    assert stat.S_IMODE((tmp_path / "grants.json").stat().st_mode) == 0o600


def test_a_path_is_not_followed_again(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    Remembered(tmp_path).add(ONE, [Grant("read", f"{tmp_path}/link")])
    assert Remembered(tmp_path).grants(ONE) == (Grant("read", f"{tmp_path}/link"),)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"version": 1}', '{"version": "x", "workflows": {}}', '{"version": 1, "workflows": []}',
        json.dumps({"version": 1, "workflows": {"short": {"title": "", "file": "", "at": 1, "grants": []}}}),
        json.dumps({"version": 1, "workflows": {ONE: {"title": "", "file": "", "at": 1, "grants": ["nett=x"]}}}),
        json.dumps({"version": 1, "workflows": {ONE: {"title": "", "file": "", "at": 1, "grants": "net=*"}}}), "[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_file_is_put_aside_and_told(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "grants.json").write_text(text)
    (tmp_path / "grants.json").chmod(0o600)
    remembered = Remembered(tmp_path)
    with caplog.at_level(logging.WARNING, "phloem"):
        assert remembered.grants(ONE) == ()
    assert "is damaged" in caplog.text
    (aside,) = tmp_path.glob("grants.json.damaged-*")
    assert aside.read_text() == text
    remembered.add(ONE, [NET])
    assert remembered.grants(ONE) == (NET,)


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = '{"version": 2, "workflows": {}}'
    (tmp_path / "grants.json").write_text(text)
    (tmp_path / "grants.json").chmod(0o600)
    assert Remembered(tmp_path).grants(ONE) == ()
    assert "newer Phloem" in caplog.text
    with pytest.raises(ConfigError, match="newer Phloem"):
        Remembered(tmp_path).add(ONE, [NET])
    assert (tmp_path / "grants.json").read_text() == text


def test_a_file_that_others_may_write_to_does_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Remembered(tmp_path).add(ONE, [NET])
    (tmp_path / "grants.json").chmod(0o666)
    assert Remembered(tmp_path).grants(ONE) == ()
    assert "others may write to it" in caplog.text
    with pytest.raises(ConfigError):
        Remembered(tmp_path).add(OTHER, [NET])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_does_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Remembered(tmp_path).add(ONE, [NET])
    os.chown(tmp_path / "grants.json", 1234, -1)
    assert Remembered(tmp_path).grants(ONE) == ()
    assert "others may write to it" in caplog.text
    with pytest.raises(ConfigError):
        Remembered(tmp_path).add(OTHER, [NET])


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ConfigError, match="cannot remember"):
        Remembered(tmp_path / "home").add(ONE, [NET])


def _add(home: Path, number: int) -> None:
    for at in range(5):
        Remembered(home).add(f"{number * 10 + at:040x}", [NET])


def test_processes_that_remember_at_once_lose_nothing(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.starmap(_add, [(tmp_path, number) for number in range(3)])
    assert len(Remembered(tmp_path).all()) == 15


def test_what_is_said_for_people_does_not_count(home) -> None:
    engine = Engine(home)
    first = workflow()
    said = replace(
        first, title="other", about="more", layout={"t": [0, 0]},
        nodes={"c": first.nodes["c"], "t": replace(first.nodes["t"], title="", note="Look!")},
        inputs={"a": replace(first.inputs["a"], about="any")},
    )  # fmt: skip
    assert digest(engine, first) == digest(engine, said)
    assert digest(engine, first) != content_digest(first)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: workflow("{{ a }}!"), lambda one: replace(one, inputs={"a": given("text", "y")}),
        lambda one: one.with_setting("c", "to", "lower"), lambda one: replace(one, model="local:demo"),
        lambda one: one.with_node("d", box("text.case", {"text": "c.text"}, {"to": "lower"})), lambda one: one.without_node("c"),
        lambda one: one.with_node("c", replace(one.nodes["c"], disabled=True)), lambda one: replace(one, outputs={}),
        lambda one: one.with_renamed({"c": "k"}),
    ],
)  # fmt: skip
def test_whatever_changes_what_it_does_counts(home, change) -> None:
    engine = Engine(home)
    assert digest(engine, workflow()) != digest(engine, change(workflow()))


def test_bodies_and_called_files_count(home, tmp_path: Path) -> None:
    from phloem.runtime.document import load

    inner = "phloem: 1\ninputs: {a: {type: text}}\nnodes:\n  c: {kind: text.case@1, in: {text: input.a}, set: {to: %s}}\noutputs: {b: c.text}\n"
    outer = (
        "phloem: 1\nnodes:\n  call: {kind: flow.call@1, set: {workflow: inner.flow.yaml, a: x}}\noutputs: {b: call.b}\n"
    )
    (tmp_path / "outer.flow.yaml").write_text(outer)
    found = []
    for to in ("upper", "lower"):
        (tmp_path / "inner.flow.yaml").write_text(inner % to)
        found.append(content_digest(Engine(home).check(load(tmp_path / "outer.flow.yaml"))))
    assert len(set(found)) == 2


def test_a_run_may_what_was_allowed_always(home, tmp_path: Path) -> None:
    engine = Engine(home)
    plan = engine.plan(workflow())
    engine.remember(plan.checked, tmp_path / "a.flow.yaml", [NET])
    assert NET in engine.permissions(Options(), None, plan.checked).grants
    assert NET not in engine.permissions(Options(), None, engine.check(workflow("other {{ a }}"))).grants
    assert NET not in engine.permissions(Options(), None).grants


def test_what_cannot_be_kept_is_told_and_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from phloem.runtime.home import Home

    (tmp_path / "home").write_text("a file")
    engine = Engine(Home(tmp_path / "home"))
    engine.remember(workflow(), None, [NET])
    assert "cannot remember" in caplog.text
