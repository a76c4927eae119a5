"""The workflow files that nodes call: read once each, and only where they may be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from phloem.runtime.checked import CheckedWorkflow
from phloem.runtime.document import WorkflowFile, load
from phloem.runtime.grants import Permissions

__all__ = ["Called"]

Key = tuple[Path, tuple[str, ...]]


@dataclass(slots=True)
class Called:
    """The files that are called from one workflow, and from these.

    `permissions` say what may be read. `documents` are files that are known already, by their real paths: they are
    not read again. `checked` has what was checked so far, by path and the names of inputs, None for a file with
    problems.
    """

    permissions: Permissions
    documents: dict[Path, WorkflowFile] = field(default_factory=dict)
    checked: dict[Key | None, CheckedWorkflow | None] = field(default_factory=dict)

    @classmethod
    def beside(cls, path: Path | None, documents: Mapping[Path, WorkflowFile] | None = None) -> Called:
        """Those that lie beside the workflow file `path`, which need no grant."""
        return cls(Permissions(folder=None if path is None else path.parent), dict(documents or {}))

    def place(self, name: str, folder: Path | None) -> Path:
        """The real path of the file that a workflow in `folder` calls `name`. PermissionNeeded if it may not be
        read, InputError if nothing could be called that."""
        return self.permissions.at(folder).read(name)

    def read(self, place: Path) -> WorkflowFile:
        """The file at a real path; DocumentError if it is none."""
        if place not in self.documents:
            self.documents[place] = load(shown(place))
        return self.documents[place]


def shown(place: Path) -> Path:
    """A path as the user would type it: relative to the current folder where it lies below it."""
    here = Path(os.path.realpath(Path.cwd()))
    return place.relative_to(here) if place.is_relative_to(here) else place
