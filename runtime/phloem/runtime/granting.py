"""Asking, before a run, for the grants that it is known to lack. What it lacks while it goes on, `asking` asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phloem.runtime.asking import Question
from phloem.runtime.checked import CheckedWorkflow
from phloem.runtime.document import WorkflowFile
from phloem.runtime.errors import PermissionNeeded
from phloem.runtime.grants import Grant
from phloem.runtime.inputs import input_values
from phloem.runtime.runs import Options
from phloem.runtime.wishes import lacking, missing
from phloem.runtime.workflow import Workflow

if TYPE_CHECKING:
    from phloem.runtime.engine import Engine

__all__ = ["ask", "ask_to_call"]


async def ask(engine: Engine, document: WorkflowFile, inputs: Mapping[str, Any], options: Options) -> Options:
    """See Engine.ask."""
    options = await ask_to_call(engine, document, options)
    plan = engine.plan(document, to=options.to, options=options)
    values = input_values(plan, inputs)
    permissions = engine.permissions(options, plan.folder, plan.checked)
    models = engine.default_models(plan.checked.workflow, options)
    found = missing(plan, values, permissions, models)
    if found is None:
        return options
    wishes = lacking(plan, values, permissions, models) if found.flags else []
    wanted = [Question(one.node, Grant.of_flag(one.flag)) for one in wishes if one.flag]
    return await _asked(engine, wanted, found, plan.checked, document.path, options)


async def ask_to_call(engine: Engine, document: WorkflowFile, options: Options) -> Options:
    """See Engine.ask_to_call."""
    while options.ask is not None:
        try:
            engine.check(document, options)
            break
        except PermissionNeeded as refusal:
            wanted = [Question("the workflow", Grant.of_flag(flag)) for flag in refusal.flags]
            options = await _asked(engine, wanted, refusal, document.workflow, document.path, options)
    return options


async def _asked(
    engine: Engine,
    wanted: Sequence[Question],
    refusal: PermissionNeeded,
    checked: CheckedWorkflow | Workflow,
    file: Path | None,
    options: Options,
) -> Options:
    """The options with the grants that are `wanted`, or the refusal."""
    grants = list(dict.fromkeys(one.grant for one in wanted))
    # What was given and does not help would be asked for ever.
    if options.ask is None or set(grants) <= {*options.allow}:
        raise refusal
    answer = await options.ask.ask(list(dict.fromkeys(wanted)))
    if answer == "no":
        raise refusal
    if answer == "always":
        engine.remember(checked, file, grants)
    return replace(options, allow=[*options.allow, *grants])
