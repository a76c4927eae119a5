"""How the workflow inside a node is joined to it: which one it is, what goes in, and what comes out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phloem.runtime.checked import CheckedBody, CheckedNode, CheckedWorkflow
from phloem.runtime.document import WorkflowFile
from phloem.runtime.errors import DocumentError, NodeError, PermissionDenied, PermissionNeeded
from phloem.runtime.kinds import Inside, Nesting
from phloem.runtime.mapped import item_types
from phloem.runtime.ports import REQUIRED, Coercion, Port, PortType, join_link, type_of_value
from phloem.runtime.workflow import INPUT, Input, Workflow

if TYPE_CHECKING:
    from phloem.runtime.checks import Checker

__all__ = ["join_body", "unknown_input", "used_inputs"]

DEEPEST_CALL: Final = 32
"""Files that may call one another in a row."""

_ANY: Final = PortType("any")

Types = Mapping[str, PortType]
Turns = dict[str, Coercion | None]


def join_body(checker: Checker, found: CheckedNode, types: Types) -> bool:
    """Check the body of a node whose kind nests, and give the node the ports that come of it; False, with a problem
    or a missing grant, if it cannot be told which ports these are. `types` are those of the node's links."""
    nesting = found.kind.nests
    assert nesting is not None
    if not checker.shapes_fit(found):
        return False
    inner = _called(checker, found, nesting) if nesting.file else _nested(checker, found)
    if inner is None:
        return False
    arriving = {**{name: type_of_value(value) for name, value in found.node.set.items()}, **types}
    declared = {name: _port(name, one) for name, one in inner.workflow.inputs.items()}
    try:
        given = nesting.given(found.node.set, item_types({**found.kind.inputs, **declared}, arriving))
    except Exception as error:
        checker.misshapen(found, error)
        return False
    if not _add_inputs(inner, found, given, declared, arriving):
        return False
    turns = _given_turns(inner, found, given)
    # The problems of a file that is called are those of the file, and are told once, however often it is called.
    known = checker.called.checked
    place = inner.calls[-1] if nesting.file else None
    key = None if place is None else (place, tuple(inner.workflow.inputs))
    checked = known[key] if key in known else inner.run()
    if key is not None:
        known[key] = checked
    outputs = {name: _output_type(checked, name) for name in inner.workflow.outputs}
    inside = Inside({name: one.type for name, one in inner.workflow.inputs.items()}, outputs)
    carried = _carried_turns(inner, found, inside, given) if nesting.carries else {}
    try:
        found.outputs = dict(nesting.outputs(found.node.set, inside))
    except Exception as error:
        checker.misshapen(found, error)
        return False
    if checked is not None:
        document = checker.called.documents.get(place) if place is not None else None
        found.body = CheckedBody(checked, turns, carried, document, place)
    return True


def unknown_input(found: CheckedNode, name: str, hint: str) -> str:
    """What to do about a link into an input that neither the kind nor the body of a node has."""
    if found.kind.nests is not None and found.kind.nests.file:
        return hint
    return f"{hint} What the body uses as `{INPUT}.{name}` becomes an input of the node."


def _nested(checker: Checker, found: CheckedNode) -> Checker | None:
    """A checker for the workflow under `do`; None with a problem if there is none."""
    node, id = found.node, found.id
    if node.do is None:
        hint = "Write a workflow under `do`: its nodes and its outputs, and inputs if it has any of its own."
        checker.problem(("nodes", id), f"{found.kind.name} has no body to run", hint, id)
        return None
    inner = checker.inner(node.do, checker.place, checker.file)
    inner.way = (*checker.way, "nodes", id, "do")
    inner.inside = f"{checker.inside}{id}/"
    inner.folder, inner.calls = checker.folder, checker.calls
    return inner


def _called(checker: Checker, found: CheckedNode, nesting: Nesting) -> Checker | None:
    """A checker for the file that a node calls; None with a problem, or a missing grant, if it cannot be read."""
    assert nesting.file is not None
    id, setting = found.id, nesting.file
    name, way = found.node.set.get(setting), ("nodes", id, "set", setting)
    if found.node.do is not None:
        message = f"{found.kind.name} runs a file, so what stands under `do` would never run"
        checker.problem(("nodes", id, "do"), message, "Remove it, or use flow.group.", id)
    if not isinstance(name, str) or not name.strip():
        checker.problem(("nodes", id), "it is not said which file to run", f"Write its path: `{setting}: …`.", id)
        return None
    try:
        place = checker.called.place(name, checker.folder)
        _check_calls(checker, place)
        return _of_file(checker, checker.called.read(place), place)
    except PermissionDenied as error:
        checker.problem(way, error.message, error.hint, id, setting)
    except PermissionNeeded as error:
        checker.lacking += [(checker.inside + id, name, flag) for flag in error.flags]
    except DocumentError as error:
        for one in error.problems:
            if one.line is None:
                checker.problem(way, f"{name}: {one.message}", one.hint, id, setting)
        checker.problems += [one for one in error.problems if one.line is not None and one not in checker.problems]
    except NodeError as error:
        checker.problem(way, error.message, error.hint, id, setting)
    return None


def _of_file(checker: Checker, document: WorkflowFile, place: Path) -> Checker:
    """A checker for a file that is called, which lies at `place`."""
    file = None if document.path is None else str(document.path)
    inner = checker.inner(document.workflow, document.marks.of, file)
    inner.folder, inner.calls = place.parent, (*checker.calls, place)
    return inner


def _check_calls(checker: Checker, place: Path) -> None:
    """NodeError for a file that is called from itself, whatever lies between, and for too many in a row."""
    calls = checker.calls
    if place in calls:
        folder = calls[0].parent
        names = [_seen_from(folder, one) for one in (*calls[calls.index(place) :], place)]
        raise NodeError(
            f"the files call one another in a circle: {' → '.join(names)}",
            hint="A file cannot run inside itself. To do something again and again use flow.repeat.",
        )
    if len(calls) > DEEPEST_CALL:
        raise NodeError(f"more than {DEEPEST_CALL} files call one another in a row")


def _seen_from(folder: Path, place: Path) -> str:
    try:
        return os.path.relpath(place, folder)
    except ValueError:
        # On Windows they may lie on two drives.
        return str(place)


def _port(name: str, one: Input) -> Port:
    return Port(name, one.type, one.about, one.value if one.has_value else REQUIRED)


def _add_inputs(
    inner: Checker, found: CheckedNode, given: Types, declared: Mapping[str, Port], arriving: Types
) -> bool:
    """Make the inputs of the body those of the node, but for what the kind gives it, and declare in the body what it
    uses without. False with a problem for a name that means two things."""
    own = found.kind.inputs
    used = used_inputs(inner.workflow)
    fine = True
    for name in [name for name in declared if name in own and name not in given]:
        what = "setting" if own[name].setting else "input"
        message = f"{found.kind.name} has {_an(what)} called {name} of its own, so its body cannot have that input"
        inner.problem(("inputs", name), message, "Give the input of the body another name.")
        fine = False
    linked = {name for name, sources in found.node.links.items() if sources} | found.node.set.keys()
    implied = {
        name: Port(name, arriving.get(name, _ANY))
        for name in (() if found.kind.nests is not None and found.kind.nests.file else used)
        if name in linked and name not in declared and name not in given and name not in own
    }
    found.inputs.update({name: port for name, port in declared.items() if name not in given and name not in own})
    found.inputs.update(implied)
    more = {name: Input(one) for name, one in given.items() if name not in declared}
    more |= {name: Input(port.type) for name, port in implied.items()}
    inner.workflow = replace(inner.workflow, inputs={**inner.workflow.inputs, **more})
    return fine


def used_inputs(body: Workflow) -> dict[str, None]:
    """The inputs that links of a body name."""
    sources = [source for node in body.nodes.values() for links in node.links.values() for source in links]
    return dict.fromkeys(one.port for one in [*sources, *body.outputs.values()] if one.node == INPUT)


def _given_turns(inner: Checker, found: CheckedNode, given: Types) -> Turns:
    """What turns each value that the kind gives the body into what the body declares; a problem where nothing can."""
    turns: Turns = {}
    for name, arriving in given.items():
        wanted = inner.workflow.inputs[name].type
        fit = join_link(arriving, Port(name, wanted))
        if isinstance(fit, str) or fit.maps:
            message = f"the input {name} is declared as {wanted}, and {found.kind.name} gives it {arriving}"
            inner.problem(("inputs", name), message, f"Declare it as {arriving}, or leave it out.")
        else:
            turns[name] = fit.coerce
    return turns


def _carried_turns(inner: Checker, found: CheckedNode, inside: Inside, given: Types) -> Turns:
    """What turns each output that becomes an input; a problem where nothing can."""
    turns: Turns = {}
    for name in inside.outputs:
        if name not in inside.inputs or name in given:
            continue
        arriving, wanted = inside.outputs[name], inside.inputs[name]
        fit = join_link(arriving, Port(name, wanted))
        if isinstance(fit, str) or fit.maps:
            message = f"the output {name} gives {arriving}, and becomes the input {name}, which takes {wanted}"
            hint = f"Declare the input as {arriving}, or give the output another name."
            inner.problem(("outputs", name), message, hint)
        else:
            turns[name] = fit.coerce
    return turns


def _output_type(checked: CheckedWorkflow | None, name: str) -> PortType:
    """The type of an output of a body; `any` while the body has problems."""
    if checked is None:
        return _ANY
    source = checked.workflow.outputs[name]
    if source.node == INPUT:
        return checked.workflow.inputs[source.port].type
    return checked.nodes[source.node].outputs[source.port]


def _an(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
