"""What a screen shows of a run: a fold of its events, the same for the terminal, the server and the editor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from phloem.runtime import events as e

__all__ = ["NodeView", "RunView", "fold"]

State = Literal["waiting", "running", "retrying", "asking", "done", "cached", "skipped", "failed"]

TEXT_KEPT: Final = 100_000
"""How many of the last characters of a streamed text a view holds."""


@dataclass(slots=True)
class NodeView:
    """One node as it stands. `text` is what it streamed last, by port, a mapped node's items run together;
    `prompt` is the last text that it sent to a model, in a run that tells it."""

    state: State = "waiting"
    started: float | None = None
    seconds: float = 0.0
    fraction: float | None = None
    message: str = ""
    hint: str | None = None
    text: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, e.Preview] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    attempts: int = 1
    prompt: str = ""


@dataclass(slots=True)
class RunView:
    """One run as it stands after the events applied so far.

    `tokens_in`, `tokens_out` and `money` are those of the nodes that ended, in the end those of the whole run;
    what came from the cache cost nothing. `message` and `hint` say at which limit the run stopped.
    """

    run: str = ""
    title: str = ""
    status: Literal["new", "running", "done", "failed", "limited", "cancelled"] = "new"
    started: float = 0.0
    seconds: float = 0.0
    last: int = -1
    nodes: dict[str, NodeView] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    message: str = ""
    hint: str | None = None

    def count(self, *states: State) -> int:
        """How many nodes are in one of these states."""
        return sum(node.state in states for node in self.nodes.values())

    @property
    def ended(self) -> int:
        """How many nodes have come to their end, whichever it was."""
        return self.count("done", "cached", "skipped", "failed")

    def apply(self, event: e.Event) -> None:
        """Take in the next event; one that was applied already changes nothing."""
        if event.seq <= self.last and event.run == self.run:
            return
        self.last = event.seq
        match event:
            case e.RunStarted():
                self.run, self.title, self.started, self.status = event.run, event.title, event.at, "running"
                self.nodes = {name: NodeView() for name in event.nodes}
                self.tokens_in, self.tokens_out, self.money, self.message, self.hint = 0, 0, 0.0, "", None
            case e.RunFinished():
                self.status, self.outputs, self.seconds = event.status, event.outputs, event.seconds
                self.tokens_in, self.tokens_out, self.money = event.tokens_in, event.tokens_out, event.money
                self.message, self.hint = event.message, event.hint
            case _:
                self._apply_to_node(event)

    def _apply_to_node(self, event: Any) -> None:
        node = self.nodes.setdefault(event.node, NodeView())
        match event:
            case e.NodeStarted():
                node.state, node.started = "running", event.at
                node.text = {}
            case e.NodeProgress():
                node.state = "running" if node.state == "retrying" else node.state
                node.fraction = event.fraction if event.fraction is not None else node.fraction
                node.message = event.message or node.message
            case e.NodeChunk():
                node.state = "running" if node.state == "retrying" else node.state
                node.text[event.port] = (node.text.get(event.port, "") + event.text)[-TEXT_KEPT:]
            case e.NodePrompt():
                node.prompt = event.text
            case e.NodeFinished() | e.NodeFailed() | e.NodeSkipped():
                self._apply_end(node, event)
            case e.NodeRetrying():
                node.state, node.message, node.attempts = "retrying", event.message, event.attempt + 1
                node.text, node.fraction = {}, None
            case e.NodeWaiting():
                node.state, node.message = "asking", event.waits_for

    def _apply_end(self, node: NodeView, event: e.NodeFinished | e.NodeFailed | e.NodeSkipped) -> None:
        match event:
            case e.NodeFinished():
                node.state = "cached" if event.cached else "done"
                node.seconds, node.outputs = event.seconds, event.outputs
                if event.tokens_in or event.tokens_out or event.money:
                    self._spent(node, event, count=not event.cached)
                node.message, node.hint, node.text = "", None, {}
            case e.NodeFailed():
                node.state, node.message, node.hint, node.seconds = "failed", event.message, event.hint, event.seconds
                self._spent(node, event, count=True)
            case e.NodeSkipped():
                node.state, node.message = "skipped", event.because

    def _spent(self, node: NodeView, event: e.NodeFinished | e.NodeFailed, *, count: bool) -> None:
        node.tokens_in, node.tokens_out, node.money = event.tokens_in, event.tokens_out, event.money
        if count:
            self.tokens_in += event.tokens_in
            self.tokens_out += event.tokens_out
            self.money += event.money


def fold(events: Iterable[e.Event]) -> RunView:
    """The view after all of `events`."""
    view = RunView()
    for event in events:
        view.apply(event)
    return view
