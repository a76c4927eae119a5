"""A run as the journal has it: how it was begun, what happened, what came out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import msgpack
from phloem.runtime import events as e
from phloem.runtime.cache import Stored
from phloem.runtime.codec import json_form
from phloem.runtime.egress import Egress
from phloem.runtime.errors import JournalError
from phloem.runtime.journal.entries import Entry, Reference, decode
from phloem.runtime.journal.loading import GONE, loaded
from phloem.runtime.journal.record import Deadline, Effect, FinishedNode, Question, Recorded, RunRecord, Summary
from phloem.runtime.journal.rows import unpacked_question, unpacked_record
from phloem.runtime.journal.values import ValueFiles
from phloem.runtime.view import NodeView, RunView

__all__ = ["KeptRun"]

_UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, msgpack.UnpackException)
"""What comes of bytes that are not what was written."""


class KeptRun:
    """One run, as it was when it was asked for; Journal.run gives it.

    `damaged` is how many pieces of its history, and questions, cannot be read any more: what they held is missing
    from everything below.
    """

    def __init__(
        self,
        summary: Summary,
        record: bytes,
        pieces: Sequence[bytes],
        questions: Sequence[tuple[str, bytes, bytes | None, float | None]],
        files: ValueFiles,
    ) -> None:
        self.damaged = 0
        self._summary = summary
        self._record = record
        self._files = files
        self._entries: list[tuple[Entry, list[Stored | None] | None]] = []
        for piece in pieces:
            try:
                self._entries.extend(decode(summary.id, piece, self._find))
            except _UNREADABLE:
                self.damaged += 1
        self.questions: dict[str, Question] = {}
        """What it asked people, by node, with the answers that have been given."""
        for row in questions:
            try:
                self.questions[row[0]] = unpacked_question(*row)
            except _UNREADABLE:
                self.damaged += 1

    @property
    def id(self) -> str:
        return self._summary.id

    @cached_property
    def summary(self) -> Summary:
        """The run in short; of one that has not ended, with what it has spent so far, and how long it has been at it
        since it was begun or resumed."""
        view, about = self.view, self._summary
        if about.ended is not None:
            return about
        last = max((event.at for event in self.events), default=about.began)
        begun = max((event.at for event in self.events if isinstance(event, e.RunStarted)), default=about.began)
        return dataclasses.replace(
            about, seconds=max(last - begun, 0.0), tokens_in=view.tokens_in, tokens_out=view.tokens_out,
            money=view.money,
        )  # fmt: skip

    @cached_property
    def record(self) -> RunRecord:
        """How it was begun; JournalError if that can no longer be read."""
        about = self._summary
        try:
            return unpacked_record(about.id, about.title, about.file, about.began, self._record, self._find)
        except _UNREADABLE as error:
            raise JournalError(
                f"how the run {about.id} was begun can no longer be read: {error}", hint="Run the workflow again."
            ) from error

    @cached_property
    def events(self) -> list[e.Event]:
        """Its events, in order; without those that passed by (NodeChunk and NodeProgress)."""
        found = []
        for entry, values in self._entries:
            if isinstance(entry, e.RunFinished) and values:
                entry.outputs = {name: _json(value) for name, value in zip(entry.outputs, values, strict=True)}
            if isinstance(entry, e.Event):
                found.append(entry)
        return found

    @cached_property
    def view(self) -> RunView:
        """What a screen would show of it: the nodes of the workflow itself, see `nodes` for those inside of them."""
        view = RunView()
        for event in self.events:
            # One that was resumed has begun again, and what it had done before still holds.
            if not (isinstance(event, e.RunStarted) and view.status != "new"):
                view.apply(event)
            view.last = max(view.last, event.seq)
        return view

    @cached_property
    def nodes(self) -> Mapping[str, NodeView]:
        """Every node as it stands at last, by path, those inside of others (`each/3/read`) too."""
        found = dict(self.view.nodes)
        for event in self.events:
            node = getattr(event, "node", "")
            if "/" not in node:
                continue
            match event:
                case e.NodeStarted():
                    found[node] = NodeView("running", event.at)
                case e.NodeFinished():
                    found[node] = NodeView(
                        "cached" if event.cached else "done", seconds=event.seconds, outputs=event.outputs,
                        tokens_in=event.tokens_in, tokens_out=event.tokens_out, money=event.money,
                    )  # fmt: skip
                case e.NodeFailed():
                    found[node] = NodeView(
                        "failed", seconds=event.seconds, message=event.message, hint=event.hint,
                        tokens_in=event.tokens_in, tokens_out=event.tokens_out, money=event.money,
                    )  # fmt: skip
                case e.NodeSkipped():
                    found[node] = NodeView("skipped", message=event.because)
        return found

    @property
    def next_seq(self) -> int:
        """The number of the event with which the run would go on."""
        return max((event.seq for event in self.events), default=-1) + 1

    @cached_property
    def finished(self) -> Mapping[str, FinishedNode]:
        """The nodes that finished, by path, each with its outputs; of one that did so twice the last."""
        found = {}
        for entry, values in self._entries:
            if isinstance(entry, e.NodeFinished):
                ports = list(entry.outputs)
                whole = values if values is not None and len(values) == len(ports) else [None] * len(ports)
                found[entry.node] = FinishedNode(entry, dict(zip(ports, whole, strict=True)))
        return found

    @cached_property
    def ended(self) -> Mapping[str, FinishedNode | e.NodeFailed]:
        """The nodes that a run which goes on need not run again, by path: those that finished, and those that failed
        and whose `on_error` let the run go on."""
        found: dict[str, FinishedNode | e.NodeFailed] = {}
        for entry, _ in self._entries:
            match entry:
                case e.NodeFinished(node=node):
                    found[node] = self.finished[node]
                case e.NodeFailed(node=node, action="stop" | "limit"):
                    found.pop(node, None)
                case e.NodeFailed(node=node):
                    found[node] = entry
                case e.NodeRetrying(node=node):
                    # What is nested in it begins anew with every attempt.
                    for path in [one for one in found if one.startswith(f"{node}/")]:
                        del found[path]
        return found

    @cached_property
    def outputs(self) -> Mapping[str, Stored | None]:
        """The workflow's outputs, by name; empty for a run that has not ended."""
        for entry, values in reversed(self._entries):
            if isinstance(entry, e.RunFinished) and values:
                return dict(zip(entry.outputs, values, strict=True))
        return {}

    @cached_property
    def in_doubt(self) -> Mapping[str, Effect]:
        """The nodes that began to change something outside and have not come to an end since, by path."""
        found: dict[str, Effect] = {}
        for entry, _ in self._entries:
            if isinstance(entry, Effect):
                found[entry.node] = entry
            elif isinstance(entry, e.NodeFinished | e.NodeFailed):
                found.pop(entry.node, None)
        return found

    @property
    def recorded(self) -> list[Recorded]:
        """The answers from outside, in the order in which they came."""
        return [entry for entry, _ in self._entries if isinstance(entry, Recorded)]

    @property
    def egress(self) -> list[Egress]:
        """Its exchanges with servers, in order."""
        return [entry for entry, _ in self._entries if isinstance(entry, Egress)]

    @property
    def deadlines(self) -> Mapping[str, float]:
        """Until when its nodes were to wait, in seconds since 1970, by path."""
        return {entry.node: entry.until for entry, _ in self._entries if isinstance(entry, Deadline)}

    def _find(self, place: Reference) -> Stored | None:
        """The value that lies somewhere; None if it has gone."""
        if place is None:
            return None
        if isinstance(place, bytes):
            return Stored(None, place)
        hash, size = place
        return self._files.stored(hash) if self._files.has(hash, size) else None


def _json(stored: Stored | None) -> Any:
    value = loaded(stored)
    return None if value is GONE else json_form(value)
