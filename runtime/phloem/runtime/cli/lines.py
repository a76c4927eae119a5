"""The progress of a run as lines, for logs: one per node that ends, or only what went wrong.

What is nested in a node may run ten thousand times, so of that only failures are told: when the node around it has
ended, the first few with their number. If it was them that failed the node, its own error says so.
"""

from __future__ import annotations

import sys
from typing import Final

from phloem.runtime import events as e
from phloem.runtime.budget import dollars, spent_words
from phloem.runtime.words import printable

__all__ = ["lines", "prompt_words", "quiet"]

MOST_TOLD: Final = 5
"""Failures inside a node that are told one by one."""


def lines(event: e.Event) -> None:
    """Print a line for each node that came to its end, and one for the run."""
    if _is_inside(event):
        quiet(event)
        return
    match event:
        case e.NodeFinished():
            how = "cached" if event.cached else f"{event.seconds:.2f} s"
            tokens = f", {event.tokens_out} tokens" if event.tokens_out else ""
            money = f", {dollars(event.money)}" if event.money and not event.cached else ""
            shown = next(iter(event.outputs.values()), None)
            text = " ".join(shown.text.split()) if shown else ""
            _say(f"✓ {event.node} ({how}{tokens}{money})" + (f"  {text[:80]}" if text else ""))
            quiet(event)
        case e.NodeFailed(action="limit"):
            _say(f"✗ {event.node} interrupted")
        case e.NodeSkipped():
            _say(f"– {event.node} skipped: {event.because}")
        case e.NodeRetrying():
            _say(f"↻ {event.node} failed: {event.message}; trying again in {event.wait:g} s")
            quiet(event)
        case e.NodeWaiting():
            _say(f"◷ {event.node} waits {'for' if event.until is None else 'until'} {event.waits_for}")
        case e.RunFinished():
            quiet(event)
            spent = spent_words(event.tokens_in, event.tokens_out, event.money)
            _say(f"{event.status} in {event.seconds:.2f} s" + (f", {spent}" if spent else ""))
        case _:
            quiet(event)


class Quiet:
    """Prints what went wrong, with what to do about it; and prompts, which come only where they are asked for."""

    def __init__(self) -> None:
        self._inside: dict[str, list[e.NodeFailed]] = {}
        self._count: dict[str, int] = {}

    def __call__(self, event: e.Event) -> None:
        match event:
            case e.RunStarted():
                self._inside, self._count = {}, {}
            case e.NodeFailed() if "/" in event.node:
                self._hold(event)
            case e.NodeFinished() if event.node in self._inside:
                self._tell_inside(event.node)
            case e.NodeFailed(action="limit"):
                pass
            case e.NodeFailed():
                self._forget_inside(event.node)
                _tell_failure(event, event.action)
            case e.NodeRetrying():
                # All of it is done anew.
                self._forget_inside(event.node)
            case e.NodePrompt():
                _say(prompt_words(event))
            case e.RunFinished(status="limited"):
                _say(f"error: {event.message}" + (f"\n  {event.hint}" if event.hint else ""))

    def _hold(self, event: e.NodeFailed) -> None:
        """Keep a failure inside a node until that has ended; what failed around it is the same failure."""
        outer = event.node.partition("/")[0]
        held = self._inside.setdefault(outer, [])
        if held and held[-1].node.startswith(f"{event.node}/"):
            return
        self._count[outer] = self._count.get(outer, 0) + 1
        if len(held) < MOST_TOLD:
            held.append(event)

    def _tell_inside(self, node: str) -> None:
        """Tell the failures inside a node that went on all the same."""
        for one in self._inside[node]:
            _tell_failure(one, one.action if one.action != "stop" else "")
        more = self._count[node] - MOST_TOLD
        if more > 0:
            _say(f"warning: {node}: and {more:,} more failed inside")
        self._forget_inside(node)

    def _forget_inside(self, node: str) -> None:
        self._inside.pop(node, None)
        self._count.pop(node, None)


quiet = Quiet()


def _tell_failure(event: e.NodeFailed, action: str) -> None:
    after = f" (on_error: {action})" if action not in ("", "stop") else ""
    word = "error" if action == "stop" else "warning"
    _say(f"{word}: {event.node}: {event.message}{after}" + (f"\n  {event.hint}" if event.hint else ""))


def _is_inside(event: e.Event) -> bool:
    return "/" in getattr(event, "node", "")


def prompt_words(event: e.NodePrompt) -> str:
    """The text that goes to a model, below a line that says whose it is."""
    item = "" if event.item is None else f", item {event.item + 1}"
    return f"→ {event.node}{item} to {event.model}:\n{event.text}"


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
