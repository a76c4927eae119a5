"""`phloem check`: what is wrong with workflows, what they would touch, and what they may spend."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from phloem.runtime.budget import UNLIMITED
from phloem.runtime.checks import CheckedWorkflow
from phloem.runtime.cli import complain
from phloem.runtime.cli.limits import parse_limits
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.document import load
from phloem.runtime.document.data import limit_data
from phloem.runtime.engine import Engine
from phloem.runtime.errors import CheckError, PermissionNeeded, Problem, WorkflowError
from phloem.runtime.estimate import RunEstimate, estimate_run, may_spend
from phloem.runtime.runs import Options
from phloem.runtime.wishes import Wish, wishes
from phloem.runtime.words import printable
from phloem.runtime.workflow import Limit

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Check every file; 0 if all can run, 2 if any cannot."""
    engine = Engine()
    options = Options(allow=given.allow, model=given.model, limit=parse_limits(given.limit), offline=given.offline)
    if engine.permissions(options, None).offline:
        from phloem.runtime.offline import seal

        seal()
    findings = [_check(Path(file), engine, options) for file in given.files]
    if given.json:
        print(json.dumps([_as_json(one) for one in findings], ensure_ascii=False, indent=2))
    else:
        for one in findings:
            _tell(one)
    return 2 if any(one["error"] for one in findings) else 0


def _check(file: Path, engine: Engine, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {
        "file": str(file),
        "error": None,
        "warnings": [],
        "touches": [],
        "nodes": 0,
        "inside": 0,
        "outputs": [],
        "open": [],
        "estimate": RunEstimate(),
    }
    try:
        document = load(file)
        found["warnings"] = list(document.warnings)
        checked = engine.check(document, options)
    except WorkflowError as error:
        found["error"] = error
        return found
    except PermissionNeeded as error:
        # A file that is called and may not be read: what is in it, nobody can say.
        found["error"] = CheckError(Problem(error.message, error.hint, str(file)))
        return found
    found["warnings"] += [one for called in checked.called().values() for one in called.warnings]
    inputs = {name: one.value for name, one in checked.workflow.inputs.items() if one.has_value}
    models = engine.default_models(checked.workflow, options)
    found["touches"] = wishes(checked, inputs, engine.permissions(options, file.parent, checked), models)
    if may_spend(checked):
        limit = checked.workflow.limit.stricter(options.limit)
        found["estimate"] = asyncio.run(_estimated(engine, checked, inputs, models, limit))
        found["warnings"] += [Problem(text, None, str(file)) for text in found["estimate"].beyond]
    found["nodes"] = len(checked.nodes)
    found["inside"] = checked.size - len(checked.nodes)
    found["outputs"] = list(checked.workflow.outputs)
    found["open"] = [name for name, one in checked.workflow.inputs.items() if not one.has_value]
    return found


async def _estimated(
    engine: Engine, checked: CheckedWorkflow, inputs: dict[str, Any], models: DefaultModels, limit: Limit
) -> RunEstimate:
    try:
        return await estimate_run(checked, inputs, models, engine.services, limit)
    finally:
        await engine.services.close()


def _tell(found: dict[str, Any]) -> None:
    for problem in found["warnings"]:
        print(f"warning: {printable(str(problem))}", file=sys.stderr)
    if found["error"]:
        complain(found["error"])
        return
    inside = f" with {found['inside']:,} inside" if found["inside"] else ""
    nodes = f"{found['nodes']} node{'' if found['nodes'] == 1 else 's'}{inside}"
    print(f"{printable(found['file'])}: ok, {nodes}")
    if not found["outputs"]:
        print("  gives no outputs: name some under `outputs`, or see a node's with --to")
    if found["open"]:
        print(f"  needs a value: {', '.join(found['open'])}")
    for wish in found["touches"]:
        print(f"  {printable(_words(wish))}")
    estimate = found["estimate"]
    for one in estimate.nodes:
        print(f"  {printable(str(one))}")
    if estimate.nodes and (estimate.tokens is not None or estimate.money or estimate.limit != UNLIMITED):
        print(f"  in all: {estimate}")


def _words(wish: Wish) -> str:
    scope = "what the run will tell" if wish.scope is None else wish.scope
    text = f"{wish.node}: {wish.word} {scope}".rstrip()
    if wish.denied:
        return f"{text} (not allowed: {wish.denied})"
    return f"{text} (needs {wish.flag})" if wish.flag else text


def _as_json(found: dict[str, Any]) -> dict[str, Any]:
    problems = found["error"].problems if found["error"] else ()
    return {
        "file": found["file"],
        "ok": not problems,
        "nodes": found["nodes"],
        "nodes_inside": found["inside"],
        "problems": [dataclasses.asdict(problem) for problem in problems],
        "warnings": [dataclasses.asdict(problem) for problem in found["warnings"]],
        "outputs": found["outputs"],
        "inputs_without_value": found["open"],
        "touches": [dataclasses.asdict(wish) for wish in found["touches"]],
        "estimate": _estimate_json(found["estimate"]),
    }


def _estimate_json(estimate: RunEstimate) -> dict[str, Any]:
    return {
        "tokens": estimate.tokens,
        "money": estimate.money,
        "limit": limit_data(estimate.limit),
        "nodes": [
            {
                "node": one.node, "model": one.model, "read": one.read, "written": one.written, "money": one.money,
                "each": one.each, "more": one.more, "limit": limit_data(one.limit),
            }
            for one in estimate.nodes
        ],
    }  # fmt: skip
