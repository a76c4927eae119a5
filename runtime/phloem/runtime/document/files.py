"""Workflow files on disk: reading one, and saving one so that it is never half written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from phloem.runtime.disk import replace_file
from phloem.runtime.document.document import MOST_BYTES, WorkflowFile, parse, text_of
from phloem.runtime.errors import DocumentError, Problem

__all__ = ["load", "save"]

_NAMES = ("*.yaml", "*.yml", "*.json")


def load(path: str | Path, *, limit: int = MOST_BYTES) -> WorkflowFile:
    """The document in a file. DocumentError if it is not there, cannot be read, or is not a workflow file.

    `limit` is the greatest size in bytes; no more than that is read.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            data = opened.read(limit + 1)
    except FileNotFoundError:
        raise DocumentError(Problem("there is no such file", _nearest_file(file), str(path))) from None
    except IsADirectoryError:
        raise DocumentError(Problem("this is a folder", "Name a workflow file in it.", str(path))) from None
    except (OSError, ValueError) as error:
        raise DocumentError(Problem(f"the file cannot be read: {_reason(error)}", file=str(path))) from error
    return parse(data, path=path, limit=limit)


def save(document: WorkflowFile, path: str | Path | None = None) -> WorkflowFile:
    """Write a document to `path`, or to the file it came from; the document with that path.

    The file is replaced as a whole: on DocumentError (no room, no permission) what was there is
    there still. A symbolic link stays one, and the file that it leads to is replaced.
    """
    target = document.path if path is None else Path(path)
    if target is None:
        raise DocumentError(Problem("the workflow has no file yet", "Say under which name to save it."))
    data = text_of(document, target).encode()
    if len(data) > MOST_BYTES:
        message = f"the workflow takes {len(data):,} bytes; a file of more than {MOST_BYTES:,} could not be read back"
        raise DocumentError(Problem(message, "Keep data in files of its own.", str(target)))
    try:
        replace_file(target.resolve(), data)
    except (OSError, ValueError, RuntimeError) as error:
        hint = "What was saved there before is as it was." if target.exists() else None
        raise DocumentError(Problem(f"the file cannot be saved: {_reason(error)}", hint, str(target))) from error
    return replace(document, path=target)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _nearest_file(path: Path) -> str | None:
    """A hint at the workflow file beside `path` whose name is nearest to its."""
    from phloem.runtime.words import nearest

    try:
        beside = [one.name for pattern in _NAMES for one in path.parent.glob(pattern)]
    except (OSError, ValueError):
        return None
    near = nearest(path.name, beside)
    return f"Did you mean {path.with_name(near)}?" if near else None
