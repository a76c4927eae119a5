"""The values a workflow is started with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phloem.runtime.errors import CheckError, NodeError, Problem
from phloem.runtime.paths import absolute_paths, path_inputs
from phloem.runtime.plan import Plan
from phloem.runtime.ports import PortType, expect
from phloem.runtime.values import Document
from phloem.runtime.words import nearest, or_list

__all__ = ["absolute_paths", "input_values", "parse_input", "path_inputs"]


def input_values(plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every input that the plan reads; CheckError with all that are missing or do not fit."""
    declared = plan.checked.workflow.inputs
    problems = []
    for name in given:
        if name not in declared:
            near = nearest(name, declared)
            known = f"The inputs are {or_list(list(declared), 'and')}." if declared else "The workflow has no inputs."
            problems.append(Problem(f"there is no input called {name}", f"Did you mean {near}?" if near else known))
    values = {}
    for name, wanted in declared.items():
        if name in given:
            try:
                values[name] = expect(given[name], wanted.type)
            except NodeError as error:
                problems.append(Problem(f"input {name}: {error.message}"))
        elif wanted.has_value:
            values[name] = expect(wanted.value, wanted.type)
        elif plan.readers[plan.inputs[name]]:
            about = f" ({wanted.about})" if wanted.about else ""
            problems.append(Problem(f"the input {name}{about} has no value", f"Give it with -i {name}=…"))
    if problems:
        raise CheckError(problems)
    return values


def parse_input(name: str, text: str, wanted: PortType) -> Any:
    """The value that a text on a command line stands for; CheckError if it is none of the type."""
    import json

    if wanted in (PortType("text"), PortType("model")):
        return text
    if wanted == PortType("boolean") and text.lower() in ("true", "false", "yes", "no", "1", "0"):
        return text.lower() in ("true", "yes", "1")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if wanted == PortType("any") or wanted == PortType("document"):
            return Document(text) if wanted.base == "document" else text
        if wanted == PortType("text", 1) and not text.lstrip().startswith("["):
            return text.splitlines()
        raise CheckError(Problem(f"input {name}: {text[:60]!r} is not a {wanted}", _write_as(wanted))) from None
    try:
        return expect(value, wanted)
    except NodeError as error:
        raise CheckError(Problem(f"input {name}: {error.message}", _write_as(wanted))) from None


def _write_as(wanted: PortType) -> str:
    if wanted.depth:
        return "Write it as JSON, such as '[…, …]', or put it in a file and give @FILE."
    return {"number": "Write a number, such as 3 or 2.5.", "boolean": "Write true or false."}.get(
        wanted.base, "Write it as JSON, or put it in a file and give @FILE."
    )
