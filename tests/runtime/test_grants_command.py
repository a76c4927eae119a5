"""`phloem grants`, and what `phloem run` and `phloem check` say of settings that deny."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from phloem.runtime.cli import main
from phloem.runtime.document import load
from phloem.runtime.engine import Engine
from phloem.runtime.grants import Grant
from phloem.runtime.home import Home

FLOW = """\
phloem: 1
title: "Copy \\e[31m it"
inputs: {path: {type: text, value: ../outside/a.txt}}
nodes: {read: {kind: files.read@1, in: {path: input.path}}}
outputs: {text: read.text}
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("flows", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside/a.txt").write_text("there")
    (tmp_path / "flows/a.flow.yaml").write_text(FLOW)
    return tmp_path / "flows/a.flow.yaml"


def remember(home: Home, flow: Path, *grants: Grant) -> None:
    engine = Engine(home)
    engine.remember(engine.check(load(flow)), flow, grants)


def test_what_is_allowed_always_is_listed_used_and_taken_back(home: Home, flow: Path, capsys) -> None:
    assert main(["grants", "list"]) == 0
    assert "Nothing is allowed always." in capsys.readouterr().err
    assert main(["run", "flows/a.flow.yaml"]) == 2
    remember(home, flow, Grant("read", f"{flow.parent.parent}/outside/a.txt"), Grant("net", "xn--80ak6aa92e.com"))
    capsys.readouterr()
    assert main(["run", "flows/a.flow.yaml"]) == 0
    assert capsys.readouterr().out == "there\n"
    assert main(["check", "flows/a.flow.yaml"]) == 0
    assert "needs" not in capsys.readouterr().out
    assert main(["grants", "list"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"Copy \x1b[31m it  (flows/a.flow.yaml, 20" in shown
    assert "аррӏе" in shown
    assert main(["grants", "list", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["file"] == str(flow)
    assert main(["grants", "forget", told["id"][:8]]) == 0
    assert main(["run", "flows/a.flow.yaml"]) == 2


def test_a_file_is_forgotten_by_its_name_and_by_its_content(home: Home, flow: Path, tmp_path: Path, capsys) -> None:
    remember(home, flow, Grant("net", "example.org"))
    (tmp_path / "copy.flow.yaml").write_text(FLOW)
    assert main(["grants", "forget", "copy.flow.yaml"]) == 0
    assert "1 workflow may" in capsys.readouterr().err
    remember(home, flow, Grant("net", "example.org"))
    flow.write_text("not a workflow")
    assert main(["grants", "forget", str(flow)]) == 0
    flow.write_text(FLOW)
    remember(home, flow, Grant("net", "example.org"))
    assert main(["grants", "forget", "--all"]) == 0
    assert main(["grants", "list", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("arguments", [[], ["--all", "abcd"], ["abcd"], ["a"], ["none.flow.yaml"]])
def test_what_cannot_be_forgotten_is_told(home: Home, flow: Path, capsys, arguments: list[str]) -> None:
    remember(home, flow, Grant("net", "example.org"))
    assert main(["grants", "forget", *arguments]) == 2
    assert "error: " in capsys.readouterr().err


def test_a_denial_is_told_with_its_line_before_the_run(home: Home, flow: Path, tmp_path: Path, capsys) -> None:
    remember(home, flow, Grant("read", f"{tmp_path}/outside/a.txt"))
    (home.path / "settings.yaml").write_text(f"models: {{}}\ndeny:\n  - read={tmp_path}/outside\n")
    for arguments in ([], ["--allow", "read=outside"], ["-i", "path=outside/a.txt"]):
        assert main(["run", "flows/a.flow.yaml", *arguments]) == 2
        told = capsys.readouterr().err
        assert "The workflow is not allowed what it wants: read would read" in told
        assert f"{home.path}/settings.yaml:3 says so" in told
    assert main(["check", "--json", "flows/a.flow.yaml"]) == 0
    (wish,) = json.loads(capsys.readouterr().out)[0]["touches"]
    assert wish["flag"] is None
    assert "settings.yaml:3" in wish["denied"]
    assert main(["check", "flows/a.flow.yaml"]) == 0
    assert "(not allowed: " in capsys.readouterr().out


def test_settings_that_allow_need_no_flag(home: Home, flow: Path, tmp_path: Path, capsys) -> None:
    home.path.mkdir(parents=True)
    (home.path / "settings.yaml").write_text(f"allow: ['read={tmp_path}/outside']\n")
    assert main(["run", "flows/a.flow.yaml"]) == 0
    (tmp_path / "outside/.env").write_text("KEY=x")
    (tmp_path / "flows/b.flow.yaml").write_text(FLOW.replace("a.txt", ".env"))
    assert main(["run", "flows/b.flow.yaml"]) == 2
    assert "--allow read=outside/.env" in capsys.readouterr().err


def test_settings_that_cannot_be_read_stop_the_run(home: Home, flow: Path, capsys) -> None:
    home.path.mkdir(parents=True)
    (home.path / "settings.yaml").write_text("deny: [nett=x]\n")
    for command in ("run", "check"):
        assert main([command, "flows/a.flow.yaml"]) == 2
        assert (
            "settings.yaml:1: deny nett=x: not something that can be denied\n  Did you mean net=x?"
            in capsys.readouterr().err
        )
