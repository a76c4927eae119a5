"""Schedules at work, in real processes: what is due runs, once, and whoever looks after them may come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime.cli import main
from phloem.runtime.triggers.history import History
from phloem.runtime.triggers.schedules import Schedule, Schedules
from phloem.runtime.triggers.times import Cron, Every

pytestmark = pytest.mark.slow

COUNT = """\
phloem: 1
inputs:
  text: {type: text, value: done}
nodes:
  note:
    kind: files.write@1
    in: {text: input.text}
    set: {path: count.txt, mode: append}
    cache: false
outputs: {path: note.path}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    (place / "count.flow.yaml").write_text(COUNT)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `phloem schedule serve`; what is still there after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        log = (folder / f"serve-{len(started)}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "phloem.runtime.cli", "schedule", "serve", *words], stderr=log, text=True
        )
        log.close()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)


def log_of(folder: Path, number: int = 0) -> str:
    return (folder / f"serve-{number}.log").read_text()


def kept(here: Path, name: str, times: Cron | Every, **rest: Any) -> Schedule:
    return Schedule(name, here / "count.flow.yaml", times, **{"allow": ("write=count.txt",), "folder": here, **rest})


def test_what_is_due_runs_a_file_that_changes_is_followed_and_there_is_only_one_who_serves(home, folder, serve, capsys):
    schedules = Schedules(home)
    schedules.add(kept(folder, "often", Every(1)))
    schedules.add(kept(folder, "never", Cron.parse("0 0 1 1 *")))
    one = serve()
    count = folder / "count.txt"
    until(lambda: count.exists() and count.read_text().count("done") >= 2, "two runs")
    another = serve()
    assert another.wait(60) == 2
    assert f"looked after already (process {one.pid})" in log_of(folder, 1)
    assert main(["schedule", "list"]) == 0
    assert "Nothing runs them" not in capsys.readouterr().err

    schedules.remove("often")
    (home.schedules / "bad.yaml").write_text("schedule: 1\n")
    schedules.pause("never", True)
    until(lambda: "often: removed" in log_of(folder) and "never: paused" in log_of(folder), "the changes")
    until(lambda: "bad.yaml:1:1: the schedule does not say when" in log_of(folder), "the damaged one")
    until(lambda: not History(home, "often").is_running, "the end of the last run")
    before = count.read_text()
    time.sleep(1.5)
    assert count.read_text() == before
    one.send_signal(signal.SIGTERM)
    assert one.wait(60) == 0
    history = History(home, "often")
    assert history.last is not None and history.last.status == "done" and history.last.run
    log = history.logs / history.last.log
    assert '"status": "done"' in log.read_text() and log.stat().st_mode & 0o077 == 0


def test_what_was_missed_runs_once_or_not_at_all_as_the_schedule_says(home, folder, serve):
    since = datetime.now(UTC) - timedelta(hours=5)
    schedules = Schedules(home)
    schedules.add(kept(folder, "once", Every(3600, since), since=since, inputs={"text": "once "}))
    schedules.add(kept(folder, "skipped", Every(3607, since), since=since, inputs={"text": "skipped "}, missed="skip"))
    process = serve()
    until(lambda: "once: done" in log_of(folder) and "skipped: missed" in log_of(folder), "both")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "with 4 more that were missed" in log_of(folder)
    assert (folder / "count.txt").read_text() == "once "
    # Whoever comes next finds nothing left to do.
    again = serve()
    until(lambda: "once: every 1 h" in log_of(folder, 1), "the start")
    again.send_signal(signal.SIGTERM)
    assert again.wait(60) == 0
    assert (folder / "count.txt").read_text() == "once "


SLOW = """\
phloem: 1
inputs:
  url: {type: text}
nodes:
  get:
    kind: web.fetch@1
    in: {url: input.url}
    set: {timeout: 60}
outputs: {text: get.text}
"""


@pytest.fixture
def slow_page() -> Iterator[tuple[str, list[float]]]:
    """A page that takes half a minute to come, and when it was asked for."""
    from support.web_server import Answer, Asked, serving

    asked: list[float] = []

    def wait(_: Asked) -> Answer:
        asked.append(time.monotonic())
        return Answer([b"a"] * 300, pause=0.1)

    with serving({"/": wait}) as server:
        yield server.url(), asked


def slow(folder: Path, url: str) -> Schedule:
    (folder / "slow.flow.yaml").write_text(SLOW)
    host = url.split("/")[2]
    return Schedule(
        "slow", folder / "slow.flow.yaml", Every(1), folder=folder, inputs={"url": url}, allow=(f"net={host}",)
    )


def test_a_schedule_does_not_overlap_itself_even_when_its_server_was_killed(home, folder, serve, slow_page):
    url, asked = slow_page
    Schedules(home).add(slow(folder, url))
    one = serve()
    until(lambda: asked, "the first run")
    one.kill()
    one.wait()
    assert History(home, "slow").is_running
    another = serve()
    until(lambda: "the run before it still goes on" in log_of(folder, 1), "the one that was left out")
    assert len(asked) == 1
    another.send_signal(signal.SIGTERM)
    assert another.wait(60) == 0
    last = History(home, "slow").last
    assert last is not None and last.status == "running"
    os.kill(last.pid, signal.SIGKILL)
    until(lambda: not History(home, "slow").is_running, "its end")
    last = History(home, "slow").last
    assert last is not None and last.status == "interrupted"


def test_a_polite_kill_cancels_what_does_not_end_in_time(home, folder, serve, slow_page, capsys):
    url, asked = slow_page
    Schedules(home).add(slow(folder, url))
    process = serve("--grace", "0.2s")
    until(lambda: asked, "the run")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert time.monotonic() - began < 20
    assert "waiting for slow at most 0.2 s" in log_of(folder)
    assert "slow: cancelled" in log_of(folder)
    assert not History(home, "slow").is_running


def test_run_now_shows_what_happens_and_gives_the_code_of_the_run(home, folder, capfd):
    Schedules(home).add(kept(folder, "count", Cron.parse("0 0 1 1 *")))
    assert main(["schedule", "run-now", "count"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith('{"run": ') and "✓ note" in err and "count: done; its log is " in err
    (folder / "count.flow.yaml").write_text(COUNT.replace("files.write", "files.wrote"))
    assert main(["schedule", "run-now", "count"]) == 2
    assert "Did you mean files.write@1?" in capfd.readouterr().err
    assert main(["schedule", "show", "count"]) == 0
    shown = capfd.readouterr().out
    assert "refused" in shown and "there is no kind of node called files.wrote@1" in shown
    history = History(home, "count")
    assert (history.failures, history.last.run) == (1, "")
    (folder / "count.flow.yaml").unlink()
    assert main(["schedule", "run-now", "count"]) == 2
    assert "no such file" in capfd.readouterr().err


def test_the_folder_of_a_schedule_may_have_gone(home, folder, capfd):
    Schedules(home).add(kept(folder, "count", Cron.parse("0 0 1 1 *"), folder=folder / "gone"))
    assert main(["schedule", "run-now", "count"]) == 2
    assert "count cannot be run: no such file or directory" in capfd.readouterr().err
    assert not History(home, "count").is_running
