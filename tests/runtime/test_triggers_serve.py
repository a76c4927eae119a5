"""Schedules at work, in real processes: what is due runs, once, and whoever looks after them may come and go."""

from __future__ import annotations

import asyncio
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
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal
from phloem.runtime.triggers import serve as serve_module
from phloem.runtime.triggers.history import History
from phloem.runtime.triggers.schedule import Schedule
from phloem.runtime.triggers.schedules import Schedules
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


@pytest.fixture
def page_slow_at_first() -> Iterator[tuple[str, list[float]]]:
    """A page that takes half a minute to come when it is asked for the first time, and when it was asked for."""
    from support.web_server import Answer, Asked, serving

    asked: list[float] = []

    def answer(_: Asked) -> Answer:
        asked.append(time.monotonic())
        return Answer([b"a"] * 300, pause=0.1 if len(asked) == 1 else 0.0)

    with serving({"/": answer}) as server:
        yield server.url(), asked


LONG = """\
phloem: 1
inputs:
  url: {type: text}
nodes:
  before:
    kind: files.write@1
    set: {path: before.txt, text: "x", mode: append}
  ready:
    kind: text.template@1
    in: {url: input.url, written: before.path}
    set: {template: "{{ url }}?{{ written | length }}"}
  get:
    kind: web.fetch@1
    in: {url: ready.text}
    set: {timeout: 60}
  after:
    kind: files.write@1
    in: {text: get.text}
    set: {path: after.txt, mode: append}
outputs: {path: after.path}
"""


def long(folder: Path, url: str, ago: float = 3_600, **rest: Any) -> Schedule:
    """A schedule that was added so many seconds ago and is due every 50 minutes. It writes a file before and one after
    it has fetched the page."""
    (folder / "long.flow.yaml").write_text(LONG)
    since = datetime.now(UTC) - timedelta(seconds=ago)
    grants = (f"net={url.split('/')[2]}", "write=before.txt", "write=after.txt")
    known: dict[str, Any] = {"folder": folder, "inputs": {"url": url}, "allow": grants, "since": since, **rest}
    return Schedule("long", folder / "long.flow.yaml", Every(3_000, since), **known)


def kill(home: Home, server: subprocess.Popen[str], whom: str) -> None:
    """Kill the run of `long`, or whoever serves, or both as a power cut does, without a word."""
    last = History(home, "long").last
    assert last is not None and last.status == "running"
    if whom != "the run":
        server.kill()
        server.wait()
    if whom != "the server":
        os.kill(last.pid, signal.SIGKILL)


@pytest.mark.parametrize("whom", ["both", "the run", "the server"])
def test_a_run_that_was_killed_goes_on_where_it_was(home, folder, serve, page_slow_at_first, whom):
    url, asked = page_slow_at_first
    Schedules(home).add(long(folder, url, options=("--no-cache", "--model", "local:demo")))
    server = serve()
    until(lambda: asked, "the first run")
    kill(home, server, whom)
    number = 0
    if whom != "the run":
        server, number = serve(), 1
    if whom == "the server":
        # Its run goes on without it, until that is killed too.
        until(lambda: "long: every 50 min" in log_of(folder, 1), "the next one who serves")
        kill(home, server, "the run")
    until(lambda: "long: done" in log_of(folder, number), "the end of the run")
    assert "long: was interrupted; going on with " in log_of(folder, number)
    assert ((folder / "before.txt").read_text(), (folder / "after.txt").read_text()) == ("x", "a" * 300)
    (run,) = Journal(home.journal).runs()
    history = History(home, "long")
    assert history.last is not None
    assert (history.last.run, history.last.status, history.last.resumes) == (run.id, "done", 1)
    assert (history.unfinished, history.failures) == ([], 0)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0


@pytest.mark.parametrize("whom", ["the server", "all"])
def test_what_is_broken_off_so_that_the_server_can_end_goes_on_with_the_next(
    home, folder, serve, page_slow_at_first, whom
):
    """Also when everything is told to end at once, as by a machine that is shut down."""
    url, asked = page_slow_at_first
    Schedules(home).add(long(folder, url))
    server = serve("--grace", "0.2s" if whom == "the server" else "60s")
    until(lambda: asked, "the first run")
    server.send_signal(signal.SIGTERM)
    if whom == "all":
        last = History(home, "long").last
        assert last is not None
        os.kill(last.pid, signal.SIGTERM)
    assert server.wait(60) == 0
    last = History(home, "long").last
    assert last is not None and last.status == "interrupted"
    serve()
    until(lambda: f"long: was interrupted; going on with {last.run}" in log_of(folder, 1), "its going on")
    until(lambda: "long: done" in log_of(folder, 1), "the end of the run")
    assert ((folder / "before.txt").read_text(), (folder / "after.txt").read_text()) == ("x", "a" * 300)
    last = History(home, "long").last
    assert last is not None and last.resumes == 0


def test_a_schedule_that_leaves_out_what_is_late_leaves_a_run_that_was_cut_short(
    home, folder, serve, page_slow_at_first
):
    url, asked = page_slow_at_first
    Schedules(home).add(long(folder, url, ago=2_997, missed="skip"))
    server = serve()
    until(lambda: asked, "the first run")
    kill(home, server, "both")
    serve()
    until(lambda: "long: was interrupted, and is left so: what is late is left out" in log_of(folder, 1), "a word")
    last = History(home, "long").last
    assert last is not None and last.status == "interrupted" and "phloem runs resume 20" in last.error


def test_what_waits_for_a_place_is_not_lost_when_the_server_ends(home, folder, serve, page_slow_at_first):
    url, asked = page_slow_at_first
    Schedules(home).add(long(folder, url))
    since = datetime.now(UTC) - timedelta(hours=1)
    server = serve("--at-once", "1", "--grace", "0s")
    until(lambda: asked, "the first run")
    Schedules(home).add(kept(folder, "other", Every(3_000, since), since=since))
    until(lambda: "other: every 50 min" in log_of(folder), "the other")
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    assert not (folder / "count.txt").exists()
    serve()
    until(lambda: "other: done" in log_of(folder, 1), "the other")
    assert (folder / "count.txt").read_text() == "done"


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
    assert "slow: interrupted: schedules were no longer looked after" in log_of(folder)
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


def test_the_log_of_a_run_says_in_one_line_how_it_was_begun(home, folder):
    words = {"text": 'a\n{"run": "x", "status": "done"'}
    Schedules(home).add(kept(folder, "count", Cron.parse("0 0 1 1 *"), inputs=words))
    assert main(["schedule", "run-now", "count"]) == 0
    (log,) = History(home, "count").newest_logs(9)
    lines = log.read_text().splitlines()
    assert '"run": "x"' in lines[0] and lines[1].startswith("✓ note")


ASK = """\
phloem: 1
nodes:
  fine:
    kind: human.approve@1
    set: {about: "Send it?", value: a letter}
outputs: {sent: fine.approved}
"""


def test_run_now_has_a_code_of_its_own_for_what_waits_for_a_person(home, folder, capfd):
    (folder / "ask.flow.yaml").write_text(ASK)
    Schedules(home).add(Schedule("ask", folder / "ask.flow.yaml", Every(3600)))
    assert main(["schedule", "run-now", "ask"]) == 4
    assert "phloem runs answer" in capfd.readouterr().err
    assert main(["schedule", "list"]) == 0
    assert "says for what" in capfd.readouterr().out


def test_a_clock_that_is_set_back_is_noticed(home, folder, monkeypatch):
    """As on a machine that begins in 2036 and is told the time by the network."""
    monkeypatch.setattr(serve_module, "LOOK_EVERY", 0.02)
    Schedules(home).add(kept(folder, "hourly", Every(3600)))
    told: list[str] = []

    async def whole() -> datetime:
        service = serve_module.Service(home, tell=told.append)
        running = asyncio.ensure_future(service.run())
        while not told:
            await asyncio.sleep(0.01)
        wrong = datetime.now(UTC) + timedelta(days=3_650)
        service._jobs.modify_job("hourly", next_run_time=wrong)
        History(home, "hourly").handle(wrong, "every 1 h")
        service._looked = wrong
        while service._looked == wrong:
            await asyncio.sleep(0.01)
        due = service._jobs.get_job("hourly").next_run_time
        service.stop()
        await running
        return due

    soon = datetime.now(UTC) + timedelta(hours=1, minutes=1)
    assert asyncio.run(whole()) < soon
    handled = History(home, "hourly").handled("every 1 h")
    assert handled is not None and handled < soon


def test_an_error_of_ours_in_one_schedule_is_told_and_the_others_go_on(home, folder, monkeypatch):
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(serve_module.Launch, "begin", broken)
    since = datetime.now(UTC) - timedelta(hours=1)
    Schedules(home).add(kept(folder, "once", Every(3_000, since), since=since))
    told: list[str] = []

    async def whole() -> None:
        service = serve_module.Service(home, tell=told.append)
        running = asyncio.ensure_future(service.run())
        while not any("this is a bug in Phloem: ZeroDivisionError" in line for line in told):
            await asyncio.sleep(0.01)
        service.stop()
        await running

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_the_folder_of_a_schedule_may_have_gone(home, folder, capfd):
    Schedules(home).add(kept(folder, "count", Cron.parse("0 0 1 1 *"), folder=folder / "gone"))
    assert main(["schedule", "run-now", "count"]) == 2
    assert "count cannot be run: no such file or directory" in capfd.readouterr().err
    last = History(home, "count").last
    assert last is not None and last.status == "refused" and "no such file" in last.error
    assert not History(home, "count").is_running
