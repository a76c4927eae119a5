"""The progress of a run as lines, for logs: one per node that ends, or only those that failed."""

from __future__ import annotations

import sys

from phloem.runtime import events as e
from phloem.runtime.words import printable

__all__ = ["failures", "lines"]


def lines(event: e.Event) -> None:
    """Print a line for each node that came to its end, and one for the run."""
    match event:
        case e.NodeFinished():
            how = "cached" if event.cached else f"{event.seconds:.2f} s"
            tokens = f", {event.tokens_out} tokens" if event.tokens_out else ""
            shown = next(iter(event.outputs.values()), None)
            text = " ".join(shown.text.split()) if shown else ""
            _say(f"✓ {event.node} ({how}{tokens})" + (f"  {text[:80]}" if text else ""))
        case e.NodeSkipped():
            _say(f"– {event.node} skipped: {event.because}")
        case e.NodeRetrying():
            _say(f"↻ {event.node} failed: {event.message}; trying again in {event.wait:g} s")
        case e.RunFinished():
            _say(f"{event.status} in {event.seconds:.2f} s")
        case _:
            failures(event)


def failures(event: e.Event) -> None:
    """Print a failure with what to do about it."""
    if isinstance(event, e.NodeFailed):
        after = "" if event.action == "stop" else f" (on_error: {event.action})"
        _say(
            f"{'error' if event.action == 'stop' else 'warning'}: {event.node}: {event.message}{after}"
            + (f"\n  {event.hint}" if event.hint else "")
        )


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
