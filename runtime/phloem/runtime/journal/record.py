"""What the journal knows of a run besides its events: how it was begun, what it asked, whom it spoke to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from phloem.runtime.cache import Stored
from phloem.runtime.codec import json_form
from phloem.runtime.events import NodeFinished
from phloem.runtime.journal.loading import GONE, loaded

__all__ = ["Deadline", "Effect", "FinishedNode", "Question", "Recorded", "RunRecord", "RunStatus", "Summary"]

RunStatus = Literal["running", "waiting", "done", "failed", "limited", "cancelled", "interrupted"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run is begun with: enough to begin it again when the file is changed or gone.

    `text` is the workflow's file as it was, `files` are the texts of those it calls, by path; one is empty that has no
    form for a file, or is lost. An input is None if its value has no stored form, or is lost. `options` is plain data:
    model, seed, limits, `to`, the grants asked for. `began` is in seconds since 1970.
    """

    id: str
    text: str
    title: str = ""
    file: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Stored | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in a list of runs.

    `status` is `interrupted` for one whose process died. Times are seconds since 1970, `seconds` how long
    it took; `money` is in US dollars. `message` says what went wrong, if something did. `here` is true while a
    process is at work on it.
    """

    id: str
    title: str
    file: str
    status: RunStatus
    began: float
    ended: float | None = None
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    message: str = ""
    here: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What a node asks a person. `type` is that of the answer's port; `choices`, if there are any, are all that
    may be answered; after `deadline` (seconds since 1970) no answer is taken."""

    node: str
    asks: str
    type: str = "text"
    choices: Sequence[str] = ()
    deadline: float | None = None
    asked: float = 0.0
    answer: Stored | None = None
    answered: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The question as JSON data, with its answer; null if there is none."""
        answer = loaded(self.answer)
        return {
            "node": self.node, "asks": self.asks, "type": self.type, "choices": list(self.choices),
            "deadline": self.deadline, "asked": self.asked, "answer": None if answer is GONE else json_form(answer),
            "answered": self.answered,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Effect:
    """A node was about to change something outside. If it has not finished, nobody knows whether it did."""

    at: float
    node: str


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when a node waits, in seconds since 1970; it holds on when the run is resumed."""

    node: str
    until: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer from outside. `asked` is the digest of what was asked with `call`, `number` the how-manieth time
    the node asked exactly that, from 0."""

    node: str
    call: str
    asked: bytes
    number: int
    answer: Stored | None


@dataclass(frozen=True, slots=True)
class FinishedNode:
    """A node that finished, with its outputs by port; None stands for one that has no stored form."""

    event: NodeFinished
    outputs: Mapping[str, Stored | None]

    @property
    def whole(self) -> bool:
        """True if all of its outputs can be had again."""
        return None not in self.outputs.values()
