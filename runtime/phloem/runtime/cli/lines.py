"""The progress of a run as lines, for logs: one per node that ends, or only what went wrong."""

from __future__ import annotations

import sys

from phloem.runtime import events as e
from phloem.runtime.budget import dollars, spent_words
from phloem.runtime.words import printable

__all__ = ["lines", "prompt_words", "quiet"]


def lines(event: e.Event) -> None:
    """Print a line for each node that came to its end, and one for the run."""
    match event:
        case e.NodeFinished():
            how = "cached" if event.cached else f"{event.seconds:.2f} s"
            tokens = f", {event.tokens_out} tokens" if event.tokens_out else ""
            money = f", {dollars(event.money)}" if event.money and not event.cached else ""
            shown = next(iter(event.outputs.values()), None)
            text = " ".join(shown.text.split()) if shown else ""
            _say(f"✓ {event.node} ({how}{tokens}{money})" + (f"  {text[:80]}" if text else ""))
        case e.NodeFailed(action="limit"):
            _say(f"✗ {event.node} interrupted")
        case e.NodeSkipped():
            _say(f"– {event.node} skipped: {event.because}")
        case e.NodeRetrying():
            _say(f"↻ {event.node} failed: {event.message}; trying again in {event.wait:g} s")
        case e.RunFinished():
            quiet(event)
            spent = spent_words(event.tokens_in, event.tokens_out, event.money)
            _say(f"{event.status} in {event.seconds:.2f} s" + (f", {spent}" if spent else ""))
        case _:
            quiet(event)


def quiet(event: e.Event) -> None:
    """Print what went wrong, with what to do about it; and prompts, which come only where they are asked for."""
    match event:
        case e.NodeFailed(action="limit"):
            pass
        case e.NodeFailed():
            after = "" if event.action == "stop" else f" (on_error: {event.action})"
            word = "error" if event.action == "stop" else "warning"
            _say(f"{word}: {event.node}: {event.message}{after}" + (f"\n  {event.hint}" if event.hint else ""))
        case e.NodePrompt():
            _say(prompt_words(event))
        case e.RunFinished(status="limited"):
            _say(f"error: {event.message}" + (f"\n  {event.hint}" if event.hint else ""))


def prompt_words(event: e.NodePrompt) -> str:
    """The text that goes to a model, below a line that says whose it is."""
    item = "" if event.item is None else f", item {event.item + 1}"
    return f"→ {event.node}{item} to {event.model}:\n{event.text}"


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
