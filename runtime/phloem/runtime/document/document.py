"""A workflow with all that its file says about it: where things stand, what people commented, what looks odd."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from phloem.runtime.document.comments import Comments, follow, settled
from phloem.runtime.document.data import workflow_data
from phloem.runtime.document.find_comments import comments_in, has_comments
from phloem.runtime.document.read import read_workflow
from phloem.runtime.document.tree import Marks, Span, Text, error_of, planted
from phloem.runtime.document.words import BODY_KEYS, NODE_KEYS, TOP_KEYS
from phloem.runtime.errors import DocumentError, Problem
from phloem.runtime.workflow import Workflow

__all__ = ["MOST_BYTES", "WorkflowFile", "dump", "dump_json", "parse", "text_of"]

MOST_BYTES: Final = 16_000_000
"""How large a workflow file may be, unless the caller says otherwise."""

Form = Literal["yaml", "json"]


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """A workflow and its file.

    `marks.of("nodes", "read", "set", "size")` is the line and column of a thing in the text that was
    read. `warnings` are problems that do not keep the workflow from running. `form` is how the file
    was written. `comments` are what people wrote in it, for `dump` to write again. `text` is what was read; empty for
    a document that was not read, or was edited.
    """

    workflow: Workflow
    path: Path | None = None
    comments: Comments = field(default_factory=Comments, repr=False)
    marks: Marks = field(default_factory=Marks, repr=False, compare=False)
    warnings: tuple[Problem, ...] = ()
    form: Form = "yaml"
    text: str = field(default="", repr=False, compare=False)

    def replace(self, workflow: Workflow) -> WorkflowFile:
        """The document after an edit. Comments go with what they speak of, renamed nodes included."""
        if workflow is self.workflow or not self.comments.paths():
            return replace(self, workflow=workflow, text=self.text if workflow is self.workflow else "")
        from phloem.runtime.difference import renamed_everywhere

        old, new = workflow_data(self.workflow), workflow_data(workflow)
        comments = follow(self.comments, old, new, renamed_everywhere(self.workflow, workflow))
        return replace(self, workflow=workflow, comments=comments, text="")


def parse(text: str | bytes, *, path: str | Path | None = None, limit: int = MOST_BYTES) -> WorkflowFile:
    """The document that a text holds: JSON if `path` ends in `.json` or the text begins like JSON, else YAML.

    `path` names it in problems; `limit` is its greatest size in bytes. DocumentError holds the first
    problem of a text that is no YAML or JSON, and otherwise every problem that its structure has.
    """
    file = None if path is None else str(path)
    source = Text(_decoded(text, file, limit), file)
    form: Form = "json" if _is_json(source.text, file) else "yaml"
    comments = Comments()
    if form == "json":
        from phloem.runtime.document.json_tree import json_tree

        tree = json_tree(source)
    else:
        from phloem.runtime.document.yaml_tree import yaml_tree

        spans: list[Span] | None = [] if has_comments(source.text) else None
        tree = yaml_tree(source, spans)
        if spans is not None:
            comments = comments_in(source.text, tree, spans, source.lines)
    workflow, warnings = read_workflow(source, tree)
    if source.problems:
        raise error_of(source.problems, source.left_out, file)
    if comments.paths():
        comments = settled(comments, workflow_data(workflow))
    where = None if path is None else Path(path)
    return WorkflowFile(workflow, where, comments, Marks(tree, source.lines), _in_order(warnings), form, source.text)


def dump(document: WorkflowFile | Workflow) -> str:
    """The canonical YAML of a document, with its comments, or of a workflow.

    `parse` gives the same workflow back. DocumentError if it holds what no file can: a name that is
    none, a number beyond measure, a value that is not JSON.
    """
    from phloem.runtime.document.write import write_yaml

    if isinstance(document, Workflow):
        document = WorkflowFile(document)
    return write_yaml(_writable(document.workflow), document.comments)


def dump_json(document: WorkflowFile | Workflow) -> str:
    """The canonical JSON of a document or a workflow; JSON has no comments. DocumentError as for `dump`."""
    from phloem.runtime.document.write_json import write_json

    return write_json(_writable(document if isinstance(document, Workflow) else document.workflow))


def text_of(document: WorkflowFile, path: Path | None = None) -> str:
    """What saving a document to `path`, or else to its own, writes: JSON or YAML as the name says, else as before."""
    path = path or document.path
    form = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}.get(path.suffix.lower() if path else "", document.form)
    return dump_json(document) if form == "json" else dump(document)


_BEGINS_JSON: Final = re.compile(r"\s*\{\s*[\"}]")
_UNREADABLE: Final = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))


def _is_json(text: str, file: str | None) -> bool:
    return bool(file and file.lower().endswith(".json")) or _BEGINS_JSON.match(text) is not None


def _decoded(text: str | bytes, file: str | None, limit: int) -> str:
    """The text, without a byte-order mark; DocumentError if it is too large, not UTF-8, or holds control characters."""
    if len(text) > limit:
        hint = "Keep data in files of its own, and read them with a node."
        raise DocumentError(Problem(f"the file is larger than {limit:,} bytes", hint, file))
    if isinstance(text, bytes):
        text = _from_bytes(text, file)
    text = text.removeprefix("\ufeff")
    found = _UNREADABLE.search(text)
    if found:
        line, column = Text(text).lines.at(found.start())
        message = f"the character U+{ord(found.group()):04X} cannot stand in a file as it is"
        hint = f'Remove it, or write it as "\\u{ord(found.group()):04x}" in double quotes.'
        raise DocumentError(Problem(message, hint, file, line, column))
    return text


def _from_bytes(data: bytes, file: str | None) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError(Problem("the file is UTF-16", "Save it as UTF-8.", file, 1, 1))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = Text(before).lines.at(len(before))
        message = f"byte {error.start:,} of the file (0x{data[error.start]:02x}) is not UTF-8"
        raise DocumentError(Problem(message, "Save it as UTF-8.", file, line, column)) from None


def _writable(workflow: Workflow) -> dict[str, Any]:
    """What the file holds, once it is sure that it can be read back: it goes through the same rules as a file."""
    from phloem.runtime.document.write import check_size

    data = workflow_data(workflow)
    check_size(data)
    for extra, known, node in _extras(workflow, TOP_KEYS, ""):
        for key in extra:
            if key in known:
                raise DocumentError(Problem(f"`{key}` is given as an unknown key, which it is not", node=node or None))
    source = Text("")
    read_workflow(source, planted(data))
    if source.problems:
        raise DocumentError(_unplaced(source.problems))
    return data


def _extras(
    workflow: Workflow, known: tuple[str, ...], path: str
) -> Iterator[tuple[Mapping[str, Any], tuple[str, ...], str]]:
    """What is kept beside the known keys of a workflow and of each node in it, bodies included."""
    yield workflow.extra, known, path
    for id, node in workflow.nodes.items():
        here = f"{path}/{id}" if path else id
        yield node.extra, NODE_KEYS, here
        if node.do is not None:
            yield from _extras(node.do, BODY_KEYS, here)


def _unplaced(problems: list[Problem]) -> list[Problem]:
    return [replace(problem, line=None, column=None) for problem in problems]
