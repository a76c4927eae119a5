"""What stderr shows of a run: every kind of event, as a line and in the live view."""

from __future__ import annotations

import sys
import threading

import pytest
from phloem.runtime import events as e
from phloem.runtime.cli.lines import lines, quiet
from phloem.runtime.cli.live import _doing, live
from phloem.runtime.view import RunView

SHOWN = {"text": e.Preview("text", "hello\nthere", 11)}
STORY: list[e.Event] = [
    e.RunStarted("r", 0, 1.0, "t", ["a", "b", "c", "d", "e"]),
    e.NodeStarted("r", 1, 1.0, "a"),
    e.NodePrompt("r", 2, 1.0, "a", "openai:x", "<|user|>[bold]Hi[/bold]\x1b[2J", 0),
    e.NodeFinished("r", 3, 2.0, "a", SHOWN, 0.5, False, 3, 4, 0.0012),
    e.NodeFinished("r", 4, 2.0, "b", SHOWN, 0.5, True, 3, 4, 9.0),
    e.NodeStarted("r", 5, 2.0, "c"),
    e.NodeFailed("r", 6, 3.0, "c", "LimitReached", "the run stopped", "Raise it.", "limit", 1.0, 5, 6, 0.5),
    e.NodeFailed("r", 7, 3.0, "d", "InputError", "it is bad", "Give another.", "skip", 1.0),
    e.NodeSkipped("r", 8, 3.0, "e", "the run stopped"),
    e.RunFinished("r", 9, 3.0, "limited", {}, 2.5, 8, 10, 0.5012, "the run stopped at its limit: 18 of 17 tokens", "Raise it."),
]  # fmt: skip


def test_lines_tell_each_end_and_what_was_spent(capsys):
    for event in STORY:
        lines(event)
    assert capsys.readouterr().err.splitlines() == [
        "→ a, item 1 to openai:x:",
        "<|user|>[bold]Hi[/bold]�[2J",
        "✓ a (0.50 s, 4 tokens, $0.0012)  hello there",
        "✓ b (cached, 4 tokens)  hello there",
        "✗ c interrupted",
        "warning: d: it is bad (on_error: skip)",
        "  Give another.",
        "– e skipped: the run stopped",
        "error: the run stopped at its limit: 18 of 17 tokens",
        "  Raise it.",
        "limited in 2.50 s, 8 tokens read and 10 written, $0.5012",
    ]


def test_without_progress_only_what_went_wrong_is_told(capsys):
    for event in STORY:
        quiet(event)
    assert capsys.readouterr().err.splitlines() == [
        "→ a, item 1 to openai:x:",
        "<|user|>[bold]Hi[/bold]�[2J",
        "warning: d: it is bad (on_error: skip)",
        "  Give another.",
        "error: the run stopped at its limit: 18 of 17 tokens",
        "  Raise it.",
    ]


def test_the_live_view_ends_with_the_limit_and_what_was_spent(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    with live() as listen:
        for event in STORY:
            listen(event)
    shown = capsys.readouterr().err
    assert "→ a, item 1 to openai:x:\n<|user|>[bold]Hi[/bold]�[2J" in shown
    assert "limited: 5 of 5 nodes, 1 from the cache, 2.5 s, 8 tokens read and 10 written, $0.5012" in shown
    assert "the run stopped at its limit: 18 of 17 tokens\n  Raise it." in shown


def test_failures_inside_an_attempt_that_is_made_again_are_not_told(capsys):
    inside = e.NodeFailed("r", 1, 1.0, "a/0/in", "InputError", "it is bad", None, "skip")
    for show in (lines, quiet):
        for event in [
            e.RunStarted("r", 0, 1.0, "t", ["a"]), inside, e.NodeRetrying("r", 2, 1.0, "a", 1, 0.5, "busy"), inside,
            e.NodeFinished("r", 3, 2.0, "a", SHOWN, 0.5),
        ]:  # fmt: skip
            show(event)
        assert capsys.readouterr().err.count("it is bad") == 1


@pytest.mark.slow
def test_the_live_view_is_drawn_while_events_come_from_another_thread(monkeypatch: pytest.MonkeyPatch):
    """What is nested begins and ends thousands of times while the rows are made."""
    view = RunView()
    for event in [e.RunStarted("r", 0, 1.0, "t", ["each"]), e.NodeStarted("r", 1, 1.0, "each")]:
        view.apply(event)
    failures: list[Exception] = []
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            try:
                _doing(view.nodes["each"])
            except Exception as error:
                failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for seq in range(2, 200_000, 100):
            for number in range(50):
                view.apply(e.NodeStarted("r", seq + number, 1.0, f"each/{number}/in"))
            for number in range(50):
                view.apply(e.NodeFinished("r", seq + 50 + number, 1.0, f"each/{number}/in", {}, 0.1))
    finally:
        sys.setswitchinterval(interval)
        over.set()
        thread.join()
    assert failures == []


def test_a_run_that_spent_nothing_says_nothing_of_it(capsys):
    lines(e.RunFinished("r", 0, 1.0, "done", {}, 0.25))
    assert capsys.readouterr().err == "done in 0.25 s\n"
