"""`phloem check`: what is wrong with workflows, and what they would touch."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from phloem.runtime.cli import complain
from phloem.runtime.document import load
from phloem.runtime.engine import Engine
from phloem.runtime.errors import WorkflowError
from phloem.runtime.runs import Options
from phloem.runtime.wishes import Wish, wishes

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Check every file; 0 if all can run, 2 if any cannot."""
    engine = Engine()
    findings = [_check(Path(file), engine, given.allow) for file in given.files]
    if given.json:
        print(json.dumps([_as_json(one) for one in findings], ensure_ascii=False, indent=2))
    else:
        for one in findings:
            _tell(one)
    return 2 if any(one["error"] for one in findings) else 0


def _check(file: Path, engine: Engine, allow: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "file": str(file),
        "error": None,
        "warnings": [],
        "touches": [],
        "nodes": 0,
        "outputs": [],
        "open": [],
    }
    try:
        document = load(file)
        found["warnings"] = list(document.warnings)
        checked = engine.check(document)
    except WorkflowError as error:
        found["error"] = error
        return found
    inputs = {name: one.value for name, one in checked.workflow.inputs.items() if one.has_value}
    permissions = engine.permissions(Options(allow=allow), file.parent)
    found["touches"] = wishes(checked, inputs, permissions)
    found["nodes"] = len(checked.nodes)
    found["outputs"] = list(checked.workflow.outputs)
    found["open"] = [name for name, one in checked.workflow.inputs.items() if not one.has_value]
    return found


def _tell(found: dict[str, Any]) -> None:
    for problem in found["warnings"]:
        print(f"warning: {problem}", file=sys.stderr)
    if found["error"]:
        complain(found["error"])
        return
    print(f"{found['file']}: ok, {found['nodes']} node{'' if found['nodes'] == 1 else 's'}")
    if not found["outputs"]:
        print("  gives no outputs: name some under `outputs`, or see a node's with --to")
    if found["open"]:
        print(f"  needs a value: {', '.join(found['open'])}")
    for wish in found["touches"]:
        print(f"  {_words(wish)}")


def _words(wish: Wish) -> str:
    scope = "what the run will tell" if wish.scope is None else wish.scope
    text = f"{wish.node}: {wish.word} {scope}".rstrip()
    return f"{text} (needs {wish.flag})" if wish.flag else text


def _as_json(found: dict[str, Any]) -> dict[str, Any]:
    problems = found["error"].problems if found["error"] else ()
    return {
        "file": found["file"],
        "ok": not problems,
        "nodes": found["nodes"],
        "problems": [dataclasses.asdict(problem) for problem in problems],
        "warnings": [dataclasses.asdict(problem) for problem in found["warnings"]],
        "outputs": found["outputs"],
        "inputs_without_value": found["open"],
        "touches": [dataclasses.asdict(wish) for wish in found["touches"]],
    }
