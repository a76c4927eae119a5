"""What a screen shows of a run: a fold of its events, the same for the terminal, the server and the editor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from phloem.runtime import events as e

__all__ = ["InsideView", "NodeView", "RunView", "fold"]

State = Literal["waiting", "running", "retrying", "asking", "sleeping", "done", "cached", "skipped", "failed"]
"""Of a node: it is `asking` while it waits for somebody or something outside, and `sleeping` for a time."""

TEXT_KEPT: Final = 100_000
"""How many of the last characters of a streamed text a view holds."""
MOST_UNDER_WAY: Final = 1_000
"""Of the nodes inside one node, how many of those under way a view holds; all are counted."""
MOST_FAILURES: Final = 20
"""Of the nodes inside one node, how many of the first that failed a view holds."""


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
    inside: InsideView | None = None


@dataclass(slots=True)
class InsideView:
    """What goes on inside a node that holds a workflow, however often it runs and however deep it lies.

    `done` are those that finished, some of them `cached`. `now` are those under way and `failures` the first that
    failed, by path; there are never more than a bounded number of either, as each turn of a loop is counted and
    forgotten. `beyond` are those under way that there was no room for. `last` is the one that ended last.
    """

    done: int = 0
    cached: int = 0
    failed: int = 0
    skipped: int = 0
    beyond: int = 0
    now: dict[str, NodeView] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    last: str = ""

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self.now) + self.beyond

    @property
    def ended(self) -> int:
        """How many have come to their end, whichever it was."""
        return self.done + self.failed + self.skipped


@dataclass(slots=True)
class RunView:
    """One run as it stands after the events applied so far. `nodes` are those of the workflow itself; what is nested
    in one of them is told by its `inside`.

    `tokens_in`, `tokens_out` and `money` are those of the nodes that ended, in the end those of the whole run;
    what came from the cache cost nothing. `message` and `hint` say at which limit the run stopped.
    """

    run: str = ""
    title: str = ""
    status: Literal["new", "running", "done", "failed", "limited", "cancelled", "waiting"] = "new"
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
        node = self.nodes.get(event.node)
        if node is None:
            outer = self.nodes.get(event.node.partition("/")[0])
            if outer is not None:
                self._apply_inside(outer, event)
                return
            node = self.nodes[event.node] = NodeView()
        self._apply_to(node, event)

    def _apply_to(self, node: NodeView, event: Any) -> None:
        match event:
            case e.NodeStarted():
                node.state, node.started = "running", event.at
                node.text = {}
            case e.NodeProgress():
                _go_on(node)
                node.fraction = event.fraction if event.fraction is not None else node.fraction
                node.message = event.message or node.message
            case e.NodeChunk():
                _go_on(node)
                node.text[event.port] = (node.text.get(event.port, "") + event.text)[-TEXT_KEPT:]
            case e.NodePrompt():
                node.prompt = event.text
            case e.NodeFinished() | e.NodeFailed() | e.NodeSkipped():
                self._apply_end(node, event)
            case e.NodeRetrying():
                node.state, node.message, node.attempts = "retrying", event.message, event.attempt + 1
                node.text, node.fraction, node.inside = {}, None, None
            case e.NodeWaiting():
                node.state = "asking" if event.until is None or event.asks else "sleeping"
                node.message = event.waits_for

    def _apply_inside(self, outer: NodeView, event: Any) -> None:
        """Take in an event of a node inside `outer`: it is held while it is under way, and counted when it ends."""
        inside = outer.inside
        if inside is None:
            inside = outer.inside = InsideView()
        path = event.node
        match event:
            case e.NodeFinished() | e.NodeFailed() | e.NodeSkipped():
                inside.last = path
                under_way = inside.now.pop(path, None)
                if under_way is None and inside.beyond and _had_begun(event):
                    inside.beyond -= 1
                _count(inside, event)
                if not isinstance(event, e.NodeSkipped) and (event.tokens_in or event.tokens_out or event.money):
                    self._spent_inside(outer, event, under_way)
            case e.NodeStarted():
                if len(inside.now) < MOST_UNDER_WAY:
                    self._apply_to(inside.now.setdefault(path, NodeView()), event)
                else:
                    inside.beyond += 1
            case _:
                if path in inside.now:
                    self._apply_to(inside.now[path], event)

    def _spent_inside(self, outer: NodeView, event: e.NodeFinished | e.NodeFailed, ended: NodeView | None) -> None:
        """Count what a node inside spent, for those around it too, less what was counted for those in it already."""
        if isinstance(event, e.NodeFinished) and event.cached:
            return
        before = ended or NodeView()
        more = (
            event.tokens_in - before.tokens_in, event.tokens_out - before.tokens_out, event.money - before.money,
        )  # fmt: skip
        parts = event.node.split("/")
        around = ["/".join(parts[:count]) for count in range(2, len(parts))]
        now = outer.inside.now if outer.inside is not None else {}
        counted: list[RunView | NodeView] = [self, outer, *(now[path] for path in around if path in now)]
        for one in counted:
            one.tokens_in += more[0]
            one.tokens_out += more[1]
            one.money += more[2]

    def _apply_end(self, node: NodeView, event: e.NodeFinished | e.NodeFailed | e.NodeSkipped) -> None:
        if node.inside is not None:
            node.inside.now, node.inside.beyond = {}, 0
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
        if count:
            # What was spent inside the node has been counted already.
            self.tokens_in += event.tokens_in - node.tokens_in
            self.tokens_out += event.tokens_out - node.tokens_out
            self.money += event.money - node.money
        node.tokens_in, node.tokens_out, node.money = event.tokens_in, event.tokens_out, event.money


def _go_on(node: NodeView) -> None:
    """A node that waited is at work again: what it waited for is no news any more."""
    if node.state in ("retrying", "asking", "sleeping"):
        node.state, node.message = "running", ""


def _had_begun(event: e.NodeFinished | e.NodeFailed | e.NodeSkipped) -> bool:
    return isinstance(event, e.NodeFailed) or (isinstance(event, e.NodeFinished) and not event.cached)


def _count(inside: InsideView, event: e.NodeFinished | e.NodeFailed | e.NodeSkipped) -> None:
    match event:
        case e.NodeFinished():
            inside.done += 1
            inside.cached += event.cached
        case e.NodeFailed():
            inside.failed += 1
            if len(inside.failures) < MOST_FAILURES:
                inside.failures[event.node] = event.message
        case e.NodeSkipped():
            inside.skipped += 1


def fold(events: Iterable[e.Event]) -> RunView:
    """The view after all of `events`."""
    view = RunView()
    for event in events:
        view.apply(event)
    return view
