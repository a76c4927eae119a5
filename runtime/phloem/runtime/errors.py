"""Every error Phloem raises on purpose, and the Problem that describes one.

    PhloemError
      WorkflowError        the drawing or the file is wrong, and its author can mend it
        DocumentError      the file cannot be read or written; carries the line
        CheckError         the workflow cannot run as drawn; carries every problem at once
      NodeError            one node failed
        InputError         a value that reached the node is not usable
        SettingError       a setting of the node is not usable
        ServiceError       something the node relied on failed; says whether trying again may help
        NodeTimeout        the node took longer than it was allowed
        LimitReached       the node, or the run, spent what it may of tokens, money or time
        NodeCrashed        the node raised something it did not foresee
      PermissionNeeded     a grant is missing; carries the flag that would give it
        PermissionDenied   no grant can give it: the settings deny it, or the run is offline
        NotRecorded        a replay asks outside for what its recording has no answer to
      JournalError         the record of runs cannot be written or read
      ConfigError          the installation lacks something, or a setting of the program is wrong

Each message says what happened, where, and what to do. Cancelling is not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "CheckError",
    "ConfigError",
    "DocumentError",
    "InputError",
    "JournalError",
    "LimitReached",
    "NodeCrashed",
    "NodeError",
    "NodeTimeout",
    "NotRecorded",
    "PermissionDenied",
    "PermissionNeeded",
    "PhloemError",
    "Problem",
    "ServiceError",
    "SettingError",
    "WorkflowError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, where it is, and what to do about it.

    `line` and `column` count from 1. `node` is a node's path and `port` one of its ports; each part
    of the place is None where it does not apply.
    """

    message: str
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    node: str | None = None
    port: str | None = None

    @property
    def place(self) -> str:
        """`file:line:column: node.port`, as far as it is known; empty when nothing is."""
        spot = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        if self.file is None and self.line is not None:
            spot = f"line {self.line}" + (f", column {self.column}" if self.column is not None else "")
        name = ".".join(part for part in (self.node, self.port) if part)
        return ": ".join(part for part in (spot, name) if part)

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class PhloemError(Exception):
    """The root of everything Phloem raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class WorkflowError(PhloemError):
    """The workflow or its input is wrong; `problems` says everything that is."""

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DocumentError(WorkflowError):
    """A workflow file cannot be read or written."""


class CheckError(WorkflowError):
    """A workflow cannot run as it is drawn, or not with the inputs it was given."""


class NodeError(PhloemError):
    """One node failed. `retryable` says whether the same call may succeed later.

    `node` is the path of the node that failed, where the failure came out of a workflow nested in another node.
    """

    retryable = False
    node = ""


class InputError(NodeError):
    """A value that reached a node is not one it can use."""


class SettingError(NodeError):
    """A setting of a node is not one it can use."""


class ServiceError(NodeError):
    """A service behind a node (a model, a server, a store, the disk) failed."""

    def __init__(self, message: str, *, hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class NodeTimeout(NodeError):
    """A node took longer than it was allowed to."""

    retryable = True


class LimitReached(NodeError):
    """A node, or the run it is in, spent what it was allowed of tokens, money or time.

    `budget` is the one that is used up: that of the node, of the run, or of a run around it.
    """

    def __init__(self, message: str, *, hint: str | None = None, budget: object = None) -> None:
        super().__init__(message, hint=hint)
        self.budget = budget


class NodeCrashed(NodeError):
    """A node raised something it did not foresee: a bug in the node, told with its cause."""


class PermissionNeeded(PhloemError):
    """A workflow wants to touch something that nobody allowed. `flags` would allow it."""

    def __init__(self, message: str, *, flags: Sequence[str], hint: str | None = None) -> None:
        self.flags = tuple(flags)
        super().__init__(message, hint=hint or "To allow it, add " + " ".join(self.flags))


class JournalError(PhloemError):
    """The record of runs cannot be written or read: the disk is full, say, or the home may not be written."""


class PermissionDenied(PermissionNeeded):
    """A workflow wants to touch something that no grant can allow. There are no flags; the hint says who refuses."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message, flags=(), hint=hint)


class NotRecorded(PermissionDenied):
    """A node of a replay asks outside for what its recording has no answer to. The message says what differs."""


class ConfigError(PhloemError):
    """The program is not installed or set up for what was asked of it."""
