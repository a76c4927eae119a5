"""`phloem runs`: what was run, as a person and as a program reads it."""

from __future__ import annotations

import asyncio
import json
import threading
import zipfile

import pytest
from phloem.runtime import events as e
from phloem.runtime.cache import store
from phloem.runtime.cli import main
from phloem.runtime.cli.runs.words import duration, size, table
from phloem.runtime.egress import Egress
from phloem.runtime.events import from_json
from phloem.runtime.journal import Journal, Question, Recorded
from phloem.runtime.recording import Head, LogKeeper, read_recording
from phloem.runtime.values import UNLIT, Blob, Document, Message
from phloem.runtime.view import fold
from support.journals import a_run, begun, ended, finish, start

FIRST, SECOND = "20261121-085300-3fa9c1", "20261121-085301-aaaaaa"


@pytest.fixture
def journal(home):
    journal = Journal(home.journal)
    yield journal
    journal.close()


@pytest.fixture
def phloem(capsys):
    """Runs a command; its exit code, and what it printed on both."""

    def phloem(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return phloem


def terminal(monkeypatch, columns: int) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))


# ---- list


def test_without_a_run_it_says_how_to_get_one(phloem):
    assert phloem("runs", "list") == (0, "There is no run yet. `phloem run FILE` makes one.\n", "")
    assert phloem("runs", "list", "--json") == (0, "[]\n", "")
    code, _, complaint = phloem("runs", "show", "last")
    assert (code, complaint) == (2, "error: there is no run yet\n  `phloem run FILE` makes one.\n")


def test_the_list_has_a_line_a_run(journal, phloem):
    a_run(journal, FIRST, {"one": {"text": "x"}}, began=1.0)
    log = begun(journal, SECOND, title="", began=2.0)
    finish(log, "one", {"text": "x"}, tokens_in=1_000, tokens_out=200, money=0.0125)
    log.settle()
    code, out, _ = phloem("runs", "list")
    rows = [line.split("  ") for line in out.splitlines()]
    assert code == 0 and len(rows) == 3
    assert [cell for cell in rows[1] if cell][0:2] == [SECOND, "running"]
    assert "1,200 tokens, $0.0125" in out and "test.flow.yaml" in out
    assert phloem("runs", "list", "-n", "1")[1].endswith("… and earlier ones: --all lists them\n")
    assert len(json.loads(phloem("runs", "list", "--all", "--json")[1])) == 2
    for wrong in ("0", "-3", "many", "²"):
        code, _, complaint = phloem("runs", "list", "-n", wrong)
        assert code == 2 and f"{wrong} is not a whole number above 0" in complaint


def test_tables_fit_a_terminal_and_are_whole_in_a_pipe(journal, phloem, monkeypatch, capsys):
    a_run(journal, FIRST, {"one": {"text": "word " * 100}}, title="長い " * 40)
    out = phloem("runs", "list")[1] + phloem("runs", "show", "last")[1]
    assert "長い " * 39 in out
    from rich.cells import cell_len

    rows = [("a", "b" * 100, "c" * 100), ("長い" * 50, "b", "")]
    assert all(cell_len(line) > 80 for line in table(rows).splitlines()[:1])
    terminal(monkeypatch, 80)
    assert all(cell_len(line) <= 80 for line in table(rows, indent="  ").splitlines())
    lines = [line for line in table(rows).splitlines()]
    assert all("…" in line for line in lines)


# ---- show


def test_a_run_is_told_whole(journal, phloem):
    log = begun(journal, FIRST, ["read", "ask", "reply", "rest"], inputs={"question": store("Why\nnow?")})
    finish(log, "read", {"text": "Looms \x1b[31m are old."}, 1, cached=True)
    start(log, "reply", 2)
    log.take(e.NodeFailed(FIRST, 3, 1.0, "reply", "ServiceError", "the model is gone", "Load it again."))
    log.take(e.NodeSkipped(FIRST, 4, 1.0, "rest", "reply failed"))
    log.ask(Question("ask", "Which loom?", choices=("old", "new"), deadline=4e9))
    log.egress(Egress("read", "example.org", 443, "93.184.215.14", "GET", "https://example.org/looms", 120, 5_300, 200))
    ended(log, "failed", 5, {"answer": None}, tokens_in=3, tokens_out=4, message="the model is gone")
    code, out, _ = phloem("runs", "show", "3fa9")
    assert code == 0
    for part in (
        f"{FIRST}  Test", "failed, ", "0.50 s, 3 tokens read and 4 written", "/w/test.flow.yaml", "✓ cached", "✗ failed",
        "– skipped", "Looms � are old."[:5], "error: reply: the model is gone\n  Load it again.", "ask asks: Which loom?",
        "old or new", "until 2096", "200", "GET https://example.org/looms", "120 bytes out, 5.3 kB in", "question: Why now?", "answer: (nothing)",
    ):  # fmt: skip
        assert part in out, part
    assert "\x1b" not in out


def test_what_went_on_inside_of_nodes_is_told_when_it_is_asked_for(journal, phloem):
    log = begun(journal, FIRST, ["each"])
    for number in range(2_000):
        finish(log, f"each/{number}/read", {"text": "x"}, number + 1)
    log.take(e.NodeFailed(FIRST, 3_000, 1.0, "each/7/parse", "NodeError", "no number"))
    ended(log, "failed", 3_001)
    out = phloem("runs", "show", "last")[1]
    assert "… and 2,000 inside of these: --all tells of them" in out and "each/7/parse  ✗ failed" in out
    assert len(out.splitlines()) < 20
    assert "each/1999/read  ✓ done" in phloem("runs", "show", "last", "--all")[1]
    assert phloem("runs", "show", "last", "each/1999/read")[1] == "x\n"


def test_a_node_gives_all_that_it_gave(journal, phloem):
    a_run(journal, FIRST, {"one": {"text": "line\n" * 1_000}, "two": {"a": 1, "b": UNLIT}})
    assert phloem("runs", "show", "last", "one")[1] == "line\n" * 1_000
    assert json.loads(phloem("runs", "show", "last", "two", "--json")[1]) == {"a": 1, "b": None}
    assert (
        phloem("runs", "show", "last", "onee")[2] == f"error: the run {FIRST} has no node onee\n  Did you mean one?\n"
    )
    start(begun(journal, SECOND), "one")
    journal.close()
    assert "no outputs" in phloem("runs", "show", SECOND, "one")[2]


def test_a_value_that_is_gone_is_said_to_be(journal, phloem):
    for id in (FIRST, SECOND):
        a_run(journal, id, {"one": {"text": f"{id} " * 5_000}})
    journal.files.path(store(f"{SECOND} " * 5_000).hash).write_bytes(b"short")
    code, _, complaint = phloem("runs", "show", "last", "one")
    assert code == 1 and "one.text" in complaint and "no longer kept" in complaint
    assert "text: (no longer kept)" in phloem("runs", "show", "last")[1]
    code, out, _ = phloem("runs", "diff", FIRST, SECOND)
    assert code == 1 and "    text: (kept) → (no longer kept)" in out.splitlines()


def test_programs_get_everything_as_json(journal, phloem):
    a_run(journal, FIRST, {"one": {"text": "x"}}, inputs={"q": store(Document("d"))}, options={"seed": 1})
    told = json.loads(phloem("runs", "show", "last", "--json")[1])
    assert told["status"] == "done" and told["nodes"]["one"]["outputs"]["text"]["text"] == "x"
    assert told["inputs"]["q"]["text"] == "d" and told["outputs"] == {"text": "x"} and told["options"] == {"seed": 1}


def test_a_run_that_is_left_in_doubt_warns(journal, phloem):
    log = begun(journal, FIRST)
    asyncio.run(log.before_effect("send"))
    assert "send was about to change something outside" in phloem("runs", "show", "last")[1]


# ---- diff


def test_the_same_outputs_are_no_difference(journal, phloem):
    for id in (FIRST, SECOND):
        a_run(journal, id, {"one": {"text": "x"}, "two": {"number": 2}})
    code, out, _ = phloem("runs", "diff", "3fa9", "last")
    assert (code, out) == (0, f"{FIRST} → {SECOND}\n2 of 2 nodes gave the same\n")


def test_each_node_that_gave_something_else_is_told(journal, phloem):
    a_run(
        journal,
        FIRST,
        {"gone": {"x": 1}, "text": {"text": "The lazy dog sleeps."}, "n": {"n": 9}},
        inputs={"q": store("a")},
    )
    log = begun(journal, SECOND, ["text", "n", "new"], text="phloem: 1\n", inputs={"q": store("b")})
    finish(log, "text", {"text": "The quick dog sleeps."}, 1, seconds=2.0, tokens_in=5, money=0.5)
    log.take(e.NodeFailed(SECOND, 2, 1.0, "n", "NodeError", "no number"))
    finish(log, "new", {"x": [1, 2]}, 3)
    ended(log, "failed", 4, {"n": None})
    code, out, _ = phloem("runs", "diff", "3fa9", "aaaa")
    assert code == 1
    for line in (
        "~ status: done → failed", "~ the workflow itself", "~ input q: [-a-]{+b+}", "- gone: done, 1", "+ new: done, [1, 2]",
        "~ text: 0.01 s → 2.00 s, 0 → 5 tokens, $0.00 → $0.50", "    text: The [-lazy-]{+quick+} dog sleeps.",
        "~ n: done → failed (no number)", "~ output n: 9 → null",
    ):  # fmt: skip
        assert line in out.splitlines(), (line, out)
    told = json.loads(phloem("runs", "diff", "3fa9", "aaaa", "--json")[1])
    assert told["differs"] and told["nodes"]["text"]["outputs"]["text"] == {
        "before": "The lazy dog sleeps.",
        "after": "The quick dog sleeps.",
    }
    assert {name: one["change"] for name, one in told["nodes"].items()} == {
        "text": "changed",
        "n": "changed",
        "new": "added",
        "gone": "removed",
    }


# ---- export


def test_an_export_can_be_read_without_phloem(journal, phloem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nodes = {
        "one": {"text": "Ä text", "file": Blob(b"\x89PNG", "a.png", "image/png"), "dark": UNLIT},
        "each/3/read": {"document": Document("d", "t"), "message": Message("user", "hi", (Blob(b"ab", "b.png"),))},
    }
    a_run(
        journal,
        FIRST,
        nodes,
        inputs={"q": store("Why?"), "../../etc/passwd": store(1)},
        files={"../lib/other.flow.yaml": "phloem: 1\n"},
    )
    assert phloem("runs", "export", "last") == (0, f"{FIRST}.zip\n", "")
    with zipfile.ZipFile(tmp_path / f"{FIRST}.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert all(".." not in name.split("/") and not name.startswith("/") for name in names) and len(
            set(names)
        ) == len(names)
        about = json.loads(archive.read("run.json"))
        assert about["id"] == FIRST and about["status"] == "done" and about["damaged"] == 0
        one = about["nodes"]["one"]
        assert archive.read(one["text"]["file"]).decode() == "Ä text" and one["text"]["file"] == "nodes/one/text.txt"
        assert archive.read(one["file"]["file"]) == b"\x89PNG" and one["file"]["file"].endswith(".png")
        assert one["dark"] == {"type": "unlit", "file": None}
        other = about["nodes"]["each/3/read"]
        assert json.loads(archive.read(other["document"]["file"]))["text"] == "d"
        assert json.loads(archive.read(other["message"]["file"]))["images"][0]["data"] == {"base64": "YWI="}
        assert archive.read(about["called"]["../lib/other.flow.yaml"]).decode() == "phloem: 1\n"
        view = fold(from_json(json.loads(line)) for line in archive.read("events.jsonl").splitlines())
        assert view.status == "done" and set(view.nodes) == set(nodes)
    first = (tmp_path / f"{FIRST}.zip").read_bytes()
    assert phloem("runs", "export", "last", "-o", "again.zip")[0] == 0
    assert (tmp_path / "again.zip").read_bytes() == first


def test_an_export_has_what_was_asked_and_answered(journal, phloem, tmp_path):
    log = begun(journal, FIRST)
    log.recorded(Recorded("one", "http.get", b"\x01", 0, store("page")))
    log.recorded(Recorded("one", "http.get", b"\x01", 0, None))
    log.ask(Question("ask", "Which?"))
    ended(log)
    phloem("runs", "export", "last", "-o", str(tmp_path / "out.zip"))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        about = json.loads(archive.read("run.json"))
        assert archive.read(about["answers"][0]["file"]) == b"page" and about["answers"][1]["file"] is None
        assert about["questions"][0]["asks"] == "Which?"


def test_an_export_is_utf_8_and_json_whatever_is_in_it(journal, phloem, tmp_path):
    deep: list = [b"in the deep"]
    for _ in range(400):
        deep = [deep]
    half = "a\udcffb"
    a_run(journal, FIRST, {"one": {"deep": deep, "text": half, "listed": [half]}}, title=half)
    assert phloem("runs", "export", "last", "-o", str(tmp_path / "out.zip"))[0] == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert json.loads(texts["nodes/one/listed.json"]) == [half]
    assert texts["nodes/one/text.txt"] == "a\\udcffb"
    assert texts["nodes/one/deep.json"] == "[" * 200 + '"…"' + "]" * 200
    assert all(json.loads(line) for line in texts["events.jsonl"].splitlines())


def test_what_was_recorded_is_exported_as_a_recording(journal, phloem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = begun(journal, FIRST)
    LogKeeper(log, Head(seed=7, model="local:demo", embedding="local:minilm"))
    ended(log)
    name = f"{FIRST}.phloem-recording"
    assert phloem("runs", "export", "3fa9", "--recording") == (0, f"{name}\n", "")
    assert read_recording(tmp_path / name).head.seed == 7
    assert phloem("runs", "export", "3fa9", "-o", "other.phloem-recording")[0] == 0
    assert (tmp_path / "other.phloem-recording").read_bytes() == (tmp_path / name).read_bytes()
    a_run(journal, SECOND, {"one": {"text": "x"}})
    code, _, complaint = phloem("runs", "export", SECOND, "--recording", "-o", "none")
    assert code == 2 and "was not recorded" in complaint and "--record" in complaint
    assert not (tmp_path / "none").exists()


def test_a_run_whose_workflow_is_lost_can_be_looked_at(journal, phloem, tmp_path):
    for id, text in ((FIRST, "first: 1\n" * 100), (SECOND, "second: 1\n" * 100)):
        a_run(journal, id, {"one": {"text": "x"}}, text=text, files={"inner.flow.yaml": text})
    journal.files.path(store("second: 1\n" * 100).hash).unlink()
    assert "one   ✓ done" in phloem("runs", "show", "last")[1]
    assert phloem("runs", "diff", FIRST, SECOND)[0] == 0
    assert phloem("runs", "export", "last", "-o", str(tmp_path / "out.zip"))[0] == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert "events.jsonl" in archive.namelist() and "workflow.flow.yaml" not in archive.namelist()


def test_an_export_that_fails_leaves_nothing(journal, phloem, tmp_path):
    a_run(journal, FIRST, {"one": {"text": "x"}})
    code, _, complaint = phloem("runs", "export", "last", "-o", str(tmp_path / "no" / "where.zip"))
    assert code == 2 and complaint.startswith("error: cannot write ") and "no such file or directory" in complaint
    (tmp_path / "folder").mkdir()
    assert phloem("runs", "export", "last", "-o", str(tmp_path / "folder"))[0] == 2
    assert not list(tmp_path.glob(".folder*")) and not list(tmp_path.glob(".where*"))


# ---- gc, cancel


def test_collecting_says_what_went(journal, phloem):
    a_run(journal, FIRST, {"one": {"text": "x" * 50_000}})
    assert phloem("runs", "gc") == (0, "dropped 0 runs and 0 files of values, 0 bytes\n", "")
    for option in (("--older", "0s"), ("--keep-size", "0")):
        out = phloem("runs", "gc", *option, "--dry-run")[1]
        assert out.startswith(f"{FIRST}  done\nwould drop 1 run and 1 file of values, 5")
    assert phloem("runs", "gc", "--older", "30d")[1].startswith("dropped 0 runs")
    assert phloem("runs", "gc", "--keep-size", "0")[1].startswith(f"{FIRST}  done\ndropped 1 run and 1 file of values")
    assert (
        phloem("runs", "gc", "--older", "long")[2]
        == "error: --older long: not a length of time\n  Write --older 30d, or 12h.\n"
    )
    assert phloem("runs", "gc", "--keep-size", "much")[0] == 2


def test_a_run_elsewhere_is_stopped_and_waited_for(journal, phloem, home):
    asked = threading.Event()
    log = begun(journal, FIRST, on_cancel=asked.set)
    log.settle()

    def stop():
        assert asked.wait(5)
        ended(log, "cancelled")

    thread = threading.Thread(target=stop)
    thread.start()
    assert phloem("runs", "cancel", "last") == (0, f"{FIRST} is cancelled\n", "")
    thread.join()
    code, _, complaint = phloem("runs", "cancel", "last")
    assert (code, complaint) == (2, f"error: the run {FIRST} has ended already: cancelled\n")


def test_a_run_whose_process_dies_of_the_wish_is_cancelled_all_the_same(journal, phloem):
    asked, dying = threading.Event(), Journal(journal.folder)
    begun(dying, FIRST, on_cancel=asked.set).settle()
    thread = threading.Thread(target=lambda: asked.wait(5) and dying.close())
    thread.start()
    assert phloem("runs", "cancel", "last") == (0, f"{FIRST} is cancelled\n", "")
    thread.join()
    assert journal.run().summary.status == "cancelled"


def test_a_run_that_does_not_listen_is_an_error(journal, phloem, monkeypatch):
    monkeypatch.setattr("phloem.runtime.cli.runs.cancel.PATIENCE", 0.3)
    begun(journal, FIRST).settle()
    code, _, complaint = phloem("runs", "cancel", "last")
    assert code == 1 and "has not yet" in complaint


# ---- answer


def test_an_answer_is_not_taken_with_words_that_cannot_be_meant(journal, phloem):
    first = Journal(journal.folder)
    log = begun(first, FIRST)
    log.ask(Question("ask", "Which?"))
    log.waits(True)
    log.settle()
    first.close()
    for wrong in (("--json", "--events"), ("--limit", "cats=3")):
        assert phloem("runs", "answer", "last", "ask", "red", "--resume", *wrong)[0] == 2
        assert journal.run().questions["ask"].answer is None
    assert phloem("runs", "answer", "last", "ask", "red")[0] == 0
    code, _, complaint = phloem("runs", "answer", "last", "ask", "blue")
    assert code == 2 and complaint.endswith(f"  `phloem runs resume {FIRST}` goes on with it.\n")


# ---- What may be wrong


def test_a_damaged_record_is_told_and_then_its_place(journal, phloem, home):
    home.journal.mkdir(parents=True)
    (home.journal / "journal.db").write_text("no database " * 1_000)
    code, _, complaint = phloem("runs", "list")
    assert code == 1 and "is damaged" in complaint and "phloem runs gc" in complaint
    code, _, complaint = phloem("runs", "gc")
    assert code == 0 and "kept in" in complaint and ".damaged.db" in complaint
    code, out, complaint = phloem("runs", "list")
    assert out.startswith("There is no run yet") and ".damaged.db" in complaint


def test_a_name_that_is_no_text_is_no_run(journal, phloem):
    a_run(journal, FIRST, {"one": {"text": "x"}})
    for words in (("show", "\udcff"), ("cancel", "\udcff"), ("resume", "\udcff")):
        assert phloem("runs", *words)[0] == 2


def test_a_home_of_nobody_is_an_error_of_the_one_who_named_it(phloem, monkeypatch):
    monkeypatch.setenv("PHLOEM_HOME", "~nobody-is-called-so/home")
    code, _, complaint = phloem("runs", "list")
    assert code == 2 and "PHLOEM_HOME is ~nobody-is-called-so/home" in complaint


def test_wrong_words_are_answered_with_right_ones(phloem):
    assert "Did you mean list?" in phloem("runs", "lst")[2]
    assert "Did you mean --keep-size?" in phloem("runs", "gc", "--keepsize", "1GB")[2]
    assert phloem("runs")[0] == 2


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.004, "0.00 s"), (9.99, "9.99 s"), (9.999, "10.0 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (4_200, "4.2 kB"), (999_999, "1 MB"), (1_300_000_000, "1.3 GB")],
)
def test_sizes(count, said):
    assert size(count) == said
