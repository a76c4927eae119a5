"""Schedules in the home: their files, damaged ones too, what became of their runs, and the command that keeps them."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from phloem.runtime.cli import main
from phloem.runtime.errors import ConfigError, DocumentError
from phloem.runtime.home import Home
from phloem.runtime.triggers import history as history_module
from phloem.runtime.triggers.history import Ending, History, Last, ending_in
from phloem.runtime.triggers.locks import Lock
from phloem.runtime.triggers.schedule import Schedule
from phloem.runtime.triggers.schedules import Schedules
from phloem.runtime.triggers.times import Cron, Every

HELLO = """\
phloem: 1
inputs:
  name: {type: text, value: world}
  times: {type: number, value: 1}
nodes:
  greeting:
    kind: text.template@1
    in: {name: input.name}
    set: {template: "Hello {{ name }}"}
outputs: {greeting: greeting.text}
"""
SINCE = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
FULL = Schedule(
    name="morning",
    file=Path("/home/ada/news.flow.yaml"),
    times=Cron.parse("0 7 * * 1-5"),
    timezone="Europe/Berlin",
    folder=Path("/home/ada"),
    inputs={"topic": "looms: power, hand", "n": "3"},
    allow=("net=example.org",),
    options=("--model", "local:mine", "--no-cache"),
    missed="skip",
    overlap=True,
    paused=True,
    since=SINCE,
)


@pytest.fixture
def schedules(home: Home) -> Schedules:
    return Schedules(home)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    (place / "hello.flow.yaml").write_text(HELLO)
    monkeypatch.chdir(place)
    return place


# ---- Files


@pytest.mark.parametrize(
    "schedule",
    [
        FULL,
        Schedule("a", Path("/a.yaml"), Every(600, SINCE), since=SINCE),
        Schedule("b", Path("/a.yaml"), Every(90)),
        Schedule("b", Path("/a.yaml"), Every(1_234_567)),
        Schedule("b", Path("/a.yaml"), Every(1.5)),
        Schedule("c", Path("/a.yaml"), Cron.parse("@daily"), inputs={"x": "-1", "y": "a\nb"}),
    ],
)
def test_what_is_kept_is_read_back(schedules, schedule):
    schedules.add(schedule)
    assert schedules.read(schedule.name) == schedule
    assert schedules.names() == [schedule.name]


def test_a_file_is_private_and_says_what_a_person_would(schedules):
    schedules.add(FULL)
    path = schedules.path("morning")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().startswith("schedule: 1\nfile: /home/ada/news.flow.yaml\ncron: 0 7 * * 1-5\n")
    assert FULL.words == [
        "/home/ada/news.flow.yaml", "-i", "topic=looms: power, hand", "-i", "n=3", "--allow", "net=example.org",
        "--model", "local:mine", "--no-cache",
    ]  # fmt: skip


def test_comments_survive_a_pause(schedules):
    schedules.add(Schedule("a", Path("/a.yaml"), Every(600)))
    path = schedules.path("a")
    path.write_text("# For Grace.\n" + path.read_text().replace("every: 10 min", "every: 10 min  # or less"))
    assert schedules.pause("a", True).paused
    assert schedules.read("a").paused
    text = path.read_text()
    assert "# For Grace." in text and "# or less" in text and "paused: true" in text
    schedules.pause("a", False)
    assert path.read_text() == text.replace("paused: true\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this one is empty"),
        ("- a", "this one is a list"),
        ("schedule: 2\nfile: /a", "Install a newer Phloem"),
        ("file: /a\ncron: '@daily'", "Its first line is `schedule: 1`."),
        ("schedule: 1\nfile: /a", "does not say when"),
        ("schedule: 1\nfile: /a\ncron: '@daily'\nevery: 1h", "has both"),
        ("schedule: 1\ncron: '@daily'", "names no `file`"),
        ("schedule: 1\nfile: a.yaml\ncron: '@daily'", ":2:7: `file` must be a path from the root on"),
        ("schedule: 1\nfile: /a\ncron: 0 7 * *", ":3:7: the cron expression '0 7 * *' has 4 fields"),
        ("schedule: 1\nfile: /a\nevery: 0s", ":3:8: `every` must be longer than nothing"),
        ("schedule: 1\nfile: /a\nevery: 0.5s", ":3:8: the time from one run to the next must be 1 s at least"),
        ("schedule: 1\nfile: /a\nevery: 36526d", ":3:8: `every` must be a length of time"),
        ("schedule: 1\nfile: /a\nevery: 1h\nsince: 0001-01-01", ":4:8: `since` must be a date and time"),
        ("schedule: 1\nfile: /a\nevery: often", ":3:8: `every` must be a length of time"),
        ("schedule: 1\nfile: /a\ncron: '@daily'\ntimezone: Berlin", ":4:11: there is no time zone called Berlin"),
        ("schedule: 1\nfile: /a\ncron: '@daily'\nalow: [x]", r":4:1: the schedule has no `alow`"),
        ("schedule: 1\nfile: /a\ncron: '@daily'\nallow: net=x", ":4:8: `allow` must be a list of texts"),
        ("schedule: 1\nfile: /a\ncron: '@daily'\npaused: yes", ":4:9: `paused` must be true or false, not `yes`"),
        ("schedule: 1\nfile: /a\ncron: '@daily'\nmissed: never", ":4:9: `missed` must be run-once or skip"),
        ("schedule: 1\nfile: /a\ncron: '@daily'\nsince: today", ":4:8: `since` must be a date and time"),
        ("schedule: 1\nfile: [/a", ":2:7: this list in [ ] is not closed"),
        ("schedule: &x 1", "anchor"),
    ],
)
def test_a_damaged_file_is_told_with_its_line(schedules, text, message):
    schedules.folder.mkdir(parents=True)
    schedules.path("a").write_text(text)
    with pytest.raises(DocumentError) as told:
        schedules.read("a")
    assert message in str(told.value)
    assert str(schedules.path("a")) in str(told.value)


def test_a_name_is_a_name_and_is_there_once(schedules):
    schedules.add(FULL)
    with pytest.raises(ConfigError, match="already"):
        schedules.add(FULL)
    for name in ("../evil", "a/b", "", "1a", "a.b"):
        with pytest.raises(ConfigError, match="cannot be the name"):
            schedules.add(Schedule(name, Path("/a"), Every(60)))
        with pytest.raises(ConfigError, match="no schedule called"):
            schedules.read(name)
    with pytest.raises(ConfigError, match=r"Did you mean morning\?"):
        schedules.read("mornin")
    with pytest.raises(ConfigError, match="no schedule"):
        schedules.remove("other")


def test_only_a_schedule_is_removed_whatever_its_name_looks_like(home, schedules):
    schedules.add(FULL)
    (home.path / "settings.yaml").write_text("models: {}\n")
    with pytest.raises(ConfigError, match="there is no schedule called"):
        schedules.remove("../settings")
    assert main(["schedule", "remove", "../settings"]) == 2
    assert (home.path / "settings.yaml").exists()
    schedules.path("odd").mkdir()
    with pytest.raises(ConfigError, match=r"cannot remove .*odd\.yaml"):
        schedules.remove("odd")


# ---- What became of them


def test_the_history_of_a_schedule_is_kept_and_a_damaged_one_is_as_if_there_was_none(home):
    history = History(home, "a")
    log = history.new_log(SINCE)
    history.handle(SINCE, "every 1 h")
    assert history.handled("every 1 h") == SINCE
    assert history.handled("every 2 h") is None
    last = Last(began=SINCE.isoformat(), log=log.name)
    history.begin(last)
    history.end(last, Ending("r1", "failed", "it broke"), SINCE + timedelta(seconds=3))
    assert (history.last.status, history.last.error, history.last.run) == ("failed", "it broke", "r1")
    assert history.failures == 1
    history.end(last, Ending("r2", "done"))
    assert history.failures == 0
    (history.folder / "last.json").write_text('{"last": {"no": 1}, "handled": "soon", "failures": "x"')
    assert (history.last, history.handled("every 1 h"), history.failures) == (None, None, 0)
    (history.folder / "last.json").write_text('{"last": {"no": 1}, "handled": "soon", "when": "w", "failures": "x"}')
    assert (history.last, history.handled("w"), history.failures) == (None, None, 0)


@pytest.mark.parametrize(
    "last",
    [
        5, {"began": 5, "log": "a.log"}, {"began": "soon", "log": "a.log"}, {"began": SINCE.isoformat(), "log": 3},
        {"began": SINCE.isoformat(), "log": "../../settings.yaml"},
        {"began": SINCE.isoformat(), "log": "a.log", "due": "soon"},
        {"began": SINCE.isoformat(), "log": "a.log", "ended": 3},
        {"began": SINCE.isoformat(), "log": "a.log", "error": None},
    ],
)  # fmt: skip
def test_a_run_whose_record_is_damaged_is_as_if_it_had_not_been(home, last):
    history = History(home, "a")
    history.folder.mkdir(parents=True)
    (history.folder / "last.json").write_text(json.dumps({"last": last, "unfinished": [last]}))
    assert (history.last, history.unfinished) == (None, [])
    (history.folder / "last.json").write_text(json.dumps({"unfinished": last}))
    assert history.unfinished == []


def test_a_run_that_ends_after_its_schedule_was_removed_leaves_nothing(home):
    history = History(home, "a")
    last = Last(began=SINCE.isoformat(), log=history.new_log(SINCE).name)
    history.begin(last)
    history.remove()
    history.end(last, Ending("r1", "done"))
    assert list(home.schedules.iterdir()) == []


def test_to_wait_for_a_person_is_no_failure(home):
    history = History(home, "a")
    last = Last(began=SINCE.isoformat(), log=history.new_log(SINCE).name)
    history.begin(last)
    (history.logs / last.log).write_text('a\n{"run": "r1", "status": "waiting"}\n')
    ending = ending_in(history.logs / last.log, 4)
    assert ending == Ending("r1", "waiting", "`phloem runs show r1` says for what")
    history.end(last, ending)
    assert (history.failures, history.unfinished) == (0, [])


def test_what_is_begun_and_what_is_dealt_with_are_noted_at_once(home):
    history = History(home, "a")
    last = Last(began=SINCE.isoformat(), log=history.new_log(SINCE).name, due=SINCE.isoformat())
    history.begin(last, when="every 1 h")
    assert (history.handled("every 1 h"), history.unfinished) == (SINCE, [last])


def test_how_a_run_ended_is_told_by_its_log_and_its_code(tmp_path):
    log = tmp_path / "log"
    log.write_text('x\n✓ a\n{"run": "r1", "status": "done", "outputs": {"a": "' + "b" * 2_000_000 + '"}}\n')
    assert ending_in(log) == Ending("r1", "done")
    log.write_text('x\nerror: a: it broke\n  mend it\n{"run": "r1", "status": "failed", "outputs": {}}\n')
    assert ending_in(log, 1) == Ending("r1", "failed", "a: it broke")
    log.write_text("x\nerror: there is no such file\n")
    assert ending_in(log, 2) == Ending("", "refused", "there is no such file")
    assert ending_in(log, -9) == Ending("", "crashed", "its process was ended by signal 9")
    assert ending_in(log, 130).status == "cancelled"
    assert ending_in(log) is None
    log.write_text('he said {"run": "x", "status": "done"\n')
    assert ending_in(log) is None
    assert ending_in(tmp_path / "none", 3).status == "crashed"


def test_a_run_whose_process_is_gone_was_interrupted_and_one_that_ended_unseen_is_told(home):
    history = History(home, "a")
    log = history.new_log(SINCE)
    history.begin(Last(began=SINCE.isoformat(), log=log.name))
    log.write_text("a\n")
    held = Lock(history.lock)
    assert held.take()
    assert history.is_running and history.last.status == "running"
    held.release()
    assert history.last.status == "interrupted"
    log.write_text('a\n{"run": "r1", "status": "done"}\n')
    assert history.last.status == "done"


def test_logs_do_not_grow_for_ever(home, monkeypatch):
    monkeypatch.setattr(history_module, "MOST_LOGS", 3)
    monkeypatch.setattr(history_module, "LONGEST", 3_000)
    monkeypatch.setattr(history_module, "_KEPT", 1_000)
    history = History(home, "a")
    for second in range(5):
        log = history.new_log(SINCE + timedelta(seconds=second))
        log.write_text("a" * 10_000 + "end")
        history.end(Last("", log.name), Ending("", "done"))
    kept = history.newest_logs(10)
    assert [one.name for one in kept] == [f"20261121T18000{second}Z.log" for second in (4, 3, 2)]
    assert all(one.stat().st_size < 2_200 and one.read_text().endswith("end") for one in kept)
    assert "8,003 bytes were left out" in kept[0].read_text()
    assert history.new_log(SINCE + timedelta(seconds=4)).name == "20261121T180004Z-1.log"


def test_a_lock_is_let_go_of_by_the_system_when_its_holder_dies(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from phloem.runtime.triggers.locks import Lock;"
        "lock = Lock(Path(sys.argv[1])); print(lock.take(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        lock = Lock(path)
        assert not lock.take() and not Lock.is_free(path)
        holder.kill()
        holder.wait()
    assert lock.take() and not Lock.is_free(path)
    lock.release()
    shared, another = Lock(path), Lock(path)
    assert shared.take(shared=True) and another.take(shared=True) and not Lock.is_free(path)
    shared.release()
    another.release()
    assert Lock.is_free(path)


def test_whoever_only_looks_whether_a_lock_is_free_is_not_taken_for_its_holder(tmp_path):
    looking, lock = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert looking.take()
    done = threading.Timer(0.08, looking.release)
    done.start()
    assert lock.take()
    done.join()
    lock.release()


def test_what_was_missed_is_counted_and_the_last_of_very_many_is_found_at_once():
    hourly = Schedule("a", Path("/a"), Cron.parse("0 * * * *"), "UTC")
    now = SINCE + timedelta(minutes=5)
    assert hourly.last_due(SINCE - timedelta(hours=3), now) == (SINCE, 3)
    assert hourly.last_due(SINCE, now) == (None, 0)
    often = Schedule("a", Path("/a"), Every(1, SINCE - timedelta(days=900)))
    assert often.last_due(SINCE - timedelta(days=800), now) == (now, 1_000)
    daily = Schedule("a", Path("/a"), Cron.parse("0 7 * * *"), "UTC")
    assert daily.last_due(SINCE - timedelta(days=3_000), now) == (datetime(2026, 11, 21, 7, tzinfo=UTC), 1_000)


# ---- The command


def test_a_schedule_is_added_listed_shown_paused_and_removed(folder, home, capsys):
    words = ["-i", "name=Ada", "--limit", "tokens=5", "--no-cache", "--seed", "3", "--allow", "write=out"]
    assert (
        main(["schedule", "add", "hello.flow.yaml", "--cron", "0 7 * * 1-5", "--timezone", "Europe/Berlin", *words])
        == 0
    )
    out, err = capsys.readouterr()
    assert out.startswith("hello: 0 7 * * 1-5 (Europe/Berlin), first ")
    assert "phloem schedule serve" in err
    kept = Schedules(home).read("hello")
    assert (kept.file, kept.folder) == (folder / "hello.flow.yaml", folder)
    assert (kept.inputs, kept.allow) == ({"name": "Ada"}, ("write=out",))
    assert sorted(kept.options) == sorted(["--limit", "tokens=5", "--no-cache", "--seed", "3"])

    assert main(["schedule", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["last"], len(row["next"]), row["failures"]) == ("hello", None, 3, 0)
    assert main(["schedule", "pause", "hello"]) == 0
    assert main(["schedule", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "hello",
        *["0", "7", "*", "*", "1-5", "(Europe/Berlin)"],
        "paused",
        "has",
        "not",
        "run",
        "yet",
    ]
    assert main(["schedule", "resume", "hello"]) == 0
    assert History(home, "hello").handled(kept.when) > SINCE - timedelta(days=9_999)
    assert main(["schedule", "show", "hello"]) == 0
    assert "--allow write=out" in capsys.readouterr().out
    assert main(["schedule", "remove", "hello"]) == 0
    assert list(home.schedules.iterdir()) == []
    assert main(["schedule", "remove", "hello"]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hello.flow.yaml", "--cron", "0 7 * *"], "has 4 fields"),
        (["hello.flow.yaml", "--every", "often"], "not a length of time"),
        (["hello.flow.yaml", "--every", "0.5s"], "must be 1 s at least"),
        (["hello.flow.yaml", "--every", "99999999999999d"], "must be 1 s at least, and 11574 d at most"),
        (["hello.flow.yaml"], "one of the arguments --cron --every is required"),
        (["hello.flow.yaml", "--every", "1h", "--cron", "@daily"], "not allowed with"),
        (["helo.flow.yaml", "--every", "1h"], "Did you mean helo.flow.yaml?".replace("helo", "hello")),
        (["hello.flow.yaml", "--every", "1h", "-i", "nam=x"], "Did you mean name?"),
        (["hello.flow.yaml", "--every", "1h", "-i", "times=many"], "is not a number"),
        (["hello.flow.yaml", "--every", "1h", "-i", "name=@-"], "no standard input"),
        (["hello.flow.yaml", "--every", "1h", "--name", "a b"], "cannot be the name"),
        (["hello.flow.yaml", "--every", "1h", "--timezone", "Mars"], "no time zone"),
        (["hello.flow.yaml", "--every", "1h", "--allow", "ned=x"], "Did you mean --allow net=x?"),
        (["hello.flow.yaml", "--every", "1h", "--json"], "there is no --json"),
        (["write.flow.yaml", "--every", "1h"], "add --allow write=out.txt"),
    ],
)
def test_what_would_never_run_is_not_added(folder, home, capsys, words, message):
    (folder / "write.flow.yaml").write_text(
        "phloem: 1\nnodes:\n  w:\n    kind: files.write@1\n    set: {path: out.txt, text: a}\noutputs: {path: w.path}\n"
    )
    assert main(["schedule", "add", *words]) == 2
    assert message in capsys.readouterr().err
    assert Schedules(home).names() == []


def test_a_name_that_is_taken_is_told_before_grants_are_asked_for(folder, home, capsys):
    assert main(["schedule", "add", "hello.flow.yaml", "--every", "1h"]) == 0
    (folder / "hello.flow.yaml").write_text("phloem: 1\nnodes:\n  w: {kind: files.wrote@1}\n")
    assert main(["schedule", "add", "hello.flow.yaml", "--every", "1h"]) == 2
    assert "there is a schedule called hello already" in capsys.readouterr().err


@pytest.mark.parametrize("grace", ["²", "soon", "-5", ""])
def test_a_grace_that_is_no_length_of_time_is_told(home, capsys, grace):
    assert main(["schedule", "serve", f"--grace={grace}"]) == 2
    assert "not a length of time" in capsys.readouterr().err


def test_a_damaged_schedule_does_not_hide_the_others(folder, home, capsys):
    assert main(["schedule", "add", "hello.flow.yaml", "--every", "1h"]) == 0
    (home.schedules / "bad.yaml").write_text("schedule: 1\nfile: /a\ncron: x\n")
    assert main(["schedule", "list"]) == 2
    out, err = capsys.readouterr()
    assert "hello" in out and "bad.yaml:3:7" in err
    assert main(["schedule", "remove", "bad"]) == 0
    assert main(["schedule", "list"]) == 0
