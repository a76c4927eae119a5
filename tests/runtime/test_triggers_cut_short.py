"""What became of a run of a schedule whose end nobody heard: told by its log, by the record of runs, or by neither."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from phloem.runtime.cli.arguments import parser
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal, RunRecord
from phloem.runtime.triggers.cut_short import MOST_RESUMES, CutShort, reason_to_leave, what_became_of
from phloem.runtime.triggers.history import Ending, History, Last
from phloem.runtime.triggers.launch import SETTLED, _words
from phloem.runtime.triggers.locks import Lock
from phloem.runtime.triggers.schedule import Schedule
from phloem.runtime.triggers.times import Every

BEGAN = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
HOURLY = Schedule("a", Path("/home/ada/a.flow.yaml"), Every(3600))
LAST = Last(began=BEGAN.isoformat(), log="a.log", due=BEGAN.isoformat(), seed=7)


@pytest.fixture(autouse=True)
def log(home: Home) -> Path:
    """The log of a run that was killed in its midst."""
    log = History(home, "a").new_log(BEGAN).with_name("a.log")
    log.write_text("a, 2026-11-21 18:00:00\n✓ one (0.01 s)\n")
    return log


def record(home: Home, id: str, *, seed: int = 7, file: str = "/home/ada/a.flow.yaml", later: float = 0.4) -> Journal:
    """A journal with a run in it that this process is at work on."""
    journal = Journal(home.journal)
    journal.begin(
        RunRecord(id, "phloem: 1", file=file, options={"seed": seed}, began=BEGAN.timestamp() + later)
    ).settle()
    return journal


def test_a_run_is_found_in_the_record_by_its_file_its_seed_and_its_time(home):
    assert what_became_of(home, HOURLY, LAST) == CutShort("")
    for id, more in (
        ("other-file", {"file": "/home/ada/b.flow.yaml"}), ("other-seed", {"seed": 8}), ("before", {"later": -60}),
    ):  # fmt: skip
        record(home, id, **more).close()
    assert what_became_of(home, HOURLY, LAST) == CutShort("")
    journal = record(home, "right")
    assert what_became_of(home, HOURLY, LAST) is None, "it is at work"
    journal.close()
    assert what_became_of(home, HOURLY, LAST) == CutShort("right")
    assert what_became_of(home, HOURLY, replace(LAST, began=BEGAN.replace(year=2027).isoformat(), run="right")) == (
        CutShort("right")
    )


def test_what_ended_by_itself_or_by_somebodys_will_does_not_go_on(home, log):
    record(home, "right").close()
    Journal(home.journal).cancel("right")
    assert what_became_of(home, HOURLY, LAST) == Ending("right", "cancelled")
    # When it was stopped only to end the server, nobody wanted it to be over.
    put_off = replace(LAST, run="right", status="interrupted")
    assert what_became_of(home, HOURLY, put_off) == CutShort("right")
    log.write_text('a\n{"run": "right", "status": "failed"}\n')
    assert what_became_of(home, HOURLY, LAST) == Ending("right", "failed")


def test_while_a_run_of_the_schedule_goes_on_nobody_can_tell(home):
    held = Lock(History(home, "a").lock)
    assert held.take()
    assert what_became_of(home, HOURLY, LAST) is None
    overlapping = replace(HOURLY, overlap=True)
    assert what_became_of(home, overlapping, LAST) is None
    record(home, "right").close()
    assert what_became_of(home, overlapping, LAST) == CutShort("right")
    held.release()


def test_what_is_left_though_it_could_go_on():
    assert reason_to_leave(HOURLY, LAST) is None
    assert reason_to_leave(HOURLY, replace(LAST, due=None)) == "a person had begun it"
    assert reason_to_leave(replace(HOURLY, missed="skip"), LAST) == "what is late is left out"
    assert reason_to_leave(HOURLY, replace(LAST, resumes=MOST_RESUMES - 1)) is None
    assert reason_to_leave(HOURLY, replace(LAST, resumes=MOST_RESUMES)) == "it was cut short 4 times"


def test_a_run_goes_on_with_the_options_that_it_was_not_begun_with():
    options = ("--model", "local:mine", "--on", "local:2", "--to=x", "--record", "--stay", "--seed", "3", "--no-ask")
    schedule = replace(HOURLY, options=options, allow=("net=example.org",), inputs={"a": "b"})
    assert _words(schedule, replace(LAST, run="r1")) == (
        ["--resume", "r1", "--allow", "net=example.org", "--on", "local:2", "--stay", "--no-ask"], 7,
    )  # fmt: skip
    assert _words(schedule, replace(LAST, run="")) == (schedule.words, 3)
    words, seed = _words(HOURLY, None)
    assert words == [*HOURLY.words, "--seed", str(seed)]


def test_every_option_that_cannot_be_given_again_is_known():
    def options(*words: str) -> set[str]:
        command = parser(words)
        for word in words:
            (below,) = (one for one in command._actions if isinstance(one, argparse._SubParsersAction))
            command = below.choices[word]
        return {one for one in command._option_string_actions if one.startswith("--")}

    assert options("run") - options("runs", "resume") == SETTLED | {"--input", "--resume"}


def test_a_run_that_is_put_off_counts_as_none_that_was_killed(home):
    history = History(home, "a")
    history.begin(LAST)
    history.end(LAST, Ending("r1", "interrupted"), BEGAN + timedelta(seconds=5), goes_on=True)
    (left,) = history.unfinished
    assert (left.run, left.status, history.failures) == ("r1", "interrupted", 0)
    history.begin(replace(LAST, log="b.log"), instead_of=left)
    assert [one.log for one in history.unfinished] == ["b.log"]
