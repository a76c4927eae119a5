"""The record of runs: what was put in comes out, here and in any other process, now and after a restart."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from phloem.runtime import events as e
from phloem.runtime.cache import INLINE_LIMIT, Cache, Entry, store, value_file
from phloem.runtime.egress import Egress
from phloem.runtime.errors import JournalError
from phloem.runtime.events import preview
from phloem.runtime.journal import Journal, Question, Recorded, entries
from phloem.runtime.values import UNLIT, Document
from support.journals import TEXT, a_run, begun, elsewhere, ended, finish, loaded, record, start
from support.values import link_values

RUN = "20261121-085300-3fa9c1"


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal", cache=tmp_path / "cache")
    yield journal
    journal.close()


# ---- What comes out


def test_a_run_comes_out_as_it_was_put_in(journal):
    log = begun(
        journal, nodes=["a", "b"], inputs={"q": store("Why?"), "lost": None}, options={"seed": 7, "allow": ["net=x"]},
        files={"other.flow.yaml": "phloem: 1\n"},
    )  # fmt: skip
    start(log, "a")
    finish(log, "a", {"text": "small", "big": "x" * 100_000, "dark": UNLIT}, tokens_in=3, tokens_out=4, money=0.01)
    log.take(e.NodeFailed(RUN, 3, 1.0, "b", "ServiceError", "no", "try later"))
    ended(log, "failed", 4, {"answer": [1, 2**80]}, tokens_in=3, tokens_out=4, money=0.01, message="b failed")

    kept = elsewhere(journal).run()
    assert [type(one).__name__ for one in kept.events] == [
        "RunStarted",
        "NodeStarted",
        "NodeFinished",
        "NodeFailed",
        "RunFinished",
    ]
    assert [one.seq for one in kept.events] == [0, 1, 2, 3, 4]
    assert kept.events[2].outputs["big"] == preview("x" * 100_000)
    assert kept.events[4].outputs == {"answer": [1, 2**80]}
    assert loaded(kept.finished["a"].outputs) == {"text": "small", "big": "x" * 100_000, "dark": UNLIT}
    assert kept.finished["a"].whole and "b" not in kept.finished
    assert loaded(kept.outputs) == {"answer": [1, 2**80]}
    assert kept.view.nodes["b"].hint == "try later"
    assert (kept.summary.status, kept.summary.message, kept.summary.money) == ("failed", "b failed", 0.01)
    assert kept.record.text == TEXT and kept.record.files == {"other.flow.yaml": "phloem: 1\n"}
    assert kept.record.options == {"seed": 7, "allow": ["net=x"]}
    assert kept.record.inputs["q"].load() == "Why?" and kept.record.inputs["lost"] is None
    assert kept.next_seq == 5 and kept.damaged == 0


def test_every_event_there_is_comes_out_as_it_was(journal):
    log = begun(journal)
    told = [
        e.NodeStarted(RUN, 1, 1.5, "n"),
        e.NodePrompt(RUN, 2, 2.5, "n", "local:demo", "Hi \ud800 there", 3),
        e.NodeRetrying(RUN, 3, 3.5, "n", 1, 0.5, "busy"),
        e.NodeWaiting(RUN, 4, 4.5, "n", "a person"),
        e.NodeSkipped(RUN, 5, 5.5, "m", "it is switched off"),
        e.NodeFailed(RUN, 6, 6.5, "n", "NodeError", "bad", None, "skip", 0.25, 1, 2, 0.5),
        e.NodeFinished(RUN, 7, 7.5, "o", {}, 0.5, True),
    ]
    for event in told:
        log.take(event)
    log.settle()
    assert journal.run().events[1:] == told


def test_what_passes_by_is_not_kept(journal):
    log = begun(journal)
    log.take(e.NodeChunk(RUN, 1, 1.0, "one", "text", "Hel"))
    log.take(e.NodeProgress(RUN, 2, 1.0, "one", 0.5, ""))
    finish(log, "one", {"text": "Hello"}, 3)
    log.settle()
    assert [one.seq for one in journal.run().events] == [0, 3]
    assert loaded(journal.run().finished["one"].outputs) == {"text": "Hello"}


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(value=link_values())
def test_any_value_of_a_link_is_the_same_afterwards(tmp_path_factory, value):
    journal = Journal(tmp_path_factory.mktemp("any") / "journal")
    try:
        log = begun(journal)
        finish(log, "one", {"out": value})
        log.settle()
        assert journal.run().finished["one"].outputs["out"].hash == store(value).hash
    finally:
        journal.close()


def test_what_has_no_form_does_not_harm_the_rest(journal):
    log = begun(journal)
    log.take(e.NodeFailed(RUN, 1, 1.0, "odd", "NodeError", object(), 2**70, "skip"))
    event = e.NodeFinished(RUN, 2, 1.0, "one", {"a": preview("x"), "b": preview(1)}, 0.1)
    log.finished(event, [store("x"), None])
    log.settle()
    kept = journal.run()
    assert kept.events[1].message.startswith("<object") and kept.events[1].hint == hex(2**70)
    assert not kept.finished["one"].whole and loaded(kept.finished["one"].outputs) == {"a": "x", "b": None}


def test_what_is_no_text_does_not_harm_the_record(journal):
    log = begun(journal, title="t\ud800", file="/w/\udcff.flow.yaml", text="# \ud800\n")
    ended(log, "limited", message="spent \ud800")
    kept = journal.run()
    assert (kept.summary.title, kept.summary.file, kept.summary.message) == ("t?", "/w/?.flow.yaml", "spent ?")
    assert kept.record.text == "# \ud800\n" and kept.view.message == "spent \ud800"


def test_a_node_that_finished_twice_has_what_it_gave_last(journal):
    log = begun(journal)
    finish(log, "one", {"text": "first"}, 1)
    finish(log, "one", {"text": "last"}, 2)
    log.settle()
    assert loaded(journal.run().finished["one"].outputs) == {"text": "last"}


def test_answers_from_outside_come_back_in_order(journal):
    log = begun(journal)
    for number in range(3):
        log.recorded(Recorded("each/1/ask", "models.generate", b"digest", number, store(f"answer {number}")))
    log.recorded(Recorded("page", "http.get", b"other", 0, store(Document("big" * 10_000))))
    log.settle()
    found = elsewhere(journal).run().recorded
    assert [(one.node, one.number, one.asked) for one in found[:3]] == [("each/1/ask", n, b"digest") for n in range(3)]
    assert [one.answer.load() for one in found[:3]] == ["answer 0", "answer 1", "answer 2"]
    assert found[3].answer.load() == Document("big" * 10_000)


def test_whom_a_run_spoke_to_is_kept(journal):
    log = begun(journal)
    spoken = Egress("page", "example.org", 443, "93.184.215.14", "GET", "https://example.org/", 120, 5_000, 200, 1.5)
    log.egress(spoken)
    log.settle()
    assert journal.run().egress == [spoken]


def test_a_node_that_waits_keeps_its_time_when_the_run_goes_on(journal):
    first = Journal(journal.folder)
    log = begun(first)
    assert log.deadline("wait", 100.0) == 100.0 == log.deadline("wait", 200.0)
    log.settle()
    first.close()
    _, log = journal.resume("last")
    assert log.deadline("wait", 300.0) == 100.0 and log.deadline("other", 300.0) == 300.0


def test_a_node_is_in_doubt_from_before_its_effect_until_its_end(journal):
    log = begun(journal, nodes=["write", "other"])

    async def work():
        start(log, "write")
        await log.before_effect("write")
        # It is on disk now: whatever happens next, somebody will know.
        assert list(elsewhere(journal).run().in_doubt) == ["write"]
        finish(log, "write", {"path": "out.txt"})
        await log.before_effect("other")
        log.take(e.NodeFailed(RUN, 9, 1.0, "other", "ServiceError", "no"))
        await log.settled()

    asyncio.run(work())
    assert journal.run().in_doubt == {}


def test_a_piece_knows_its_own_fields(journal, monkeypatch):
    """A version that has other fields reads what it knows."""
    log = begun(journal)
    start(log, "one")
    log.settle()
    monkeypatch.setattr(entries, "_FIELDS", {e.NodeStarted: ("seq", "at", "node", "colour")})
    monkeypatch.setattr(entries, "_READ", {e.NodeStarted: lambda one: (one.seq, one.at, one.node, "red")})
    start(log, "two", 2)
    log.settle()
    assert [one.node for one in journal.run().events[1:]] == ["one", "two"]


def test_a_damaged_piece_is_counted_and_the_rest_is_there(journal):
    log = begun(journal)
    log.settle()
    finish(log, "one", {"text": "x"})
    log.settle()
    finish(log, "two", {"text": "y"}, 3)
    log.settle()
    with sqlite3.connect(journal.folder / "journal.db") as other:
        number, data = other.execute("SELECT number, data FROM pieces ORDER BY number").fetchall()[1]
        other.execute("UPDATE pieces SET data = ? WHERE number = ?", (data[:-1] + b"\x00", number))
    other.close()
    kept = journal.run()
    assert kept.damaged == 1 and list(kept.finished) == ["two"]


def test_a_question_or_a_beginning_that_is_damaged_takes_nothing_else_with_it(journal):
    log = begun(journal)
    log.ask(Question("ask", "Which?"))
    finish(log, "one", {"text": "x"})
    log.settle()
    with sqlite3.connect(journal.folder / "journal.db") as other:
        other.execute("UPDATE questions SET question = ?", (b"\x01",))
        other.execute("UPDATE runs SET record = ?", (b"\x91\x01",))
    other.close()
    kept = journal.run()
    assert kept.damaged == 1 and kept.questions == {} and list(kept.finished) == ["one"]
    with pytest.raises(JournalError, match="was begun can no longer be read"):
        _ = kept.record


def test_the_time_of_a_run_that_is_left_again_is_that_since_it_was_resumed(journal):
    for first, at in ((0, 100.0), (2, 90_000.0)):
        one = Journal(journal.folder)
        log = one.resume(RUN)[1] if first else one.begin(record(began=at))
        log.take(e.RunStarted(RUN, first, at, "Test", ["a"], resumed=bool(first)))
        log.take(e.NodeStarted(RUN, first + 1, at + 5, "a"))
        log.settle()
        one.close()
        assert journal.run().summary.seconds == 5


# ---- Values in files


def test_a_large_value_lies_in_a_file_once(journal):
    value = "y" * (INLINE_LIMIT + 1)
    log = begun(journal)
    finish(log, "one", {"text": value})
    finish(log, "two", {"text": value}, 3)
    log.settle()
    assert [path.name for path in journal.files.folder.iterdir()] == [store(value).hash.hex()]
    assert len((journal.folder / "journal.db-wal").read_bytes()) < 10 * INLINE_LIMIT


def test_a_value_that_the_cache_has_is_a_second_name_of_its_file(journal, tmp_path):
    value = store("z" * 50_000)
    cache = Cache(tmp_path / "cache")
    cache.put(b"key", Entry([value], [preview("z")]))
    cache.close()
    theirs = value_file(tmp_path / "cache", value.hash)
    log = begun(journal)
    finish(log, "one", {"text": "z" * 50_000})
    log.settle()
    assert theirs.samefile(journal.files.path(value.hash))
    theirs.unlink()
    assert journal.run().finished["one"].outputs["text"].load() == "z" * 50_000


def test_a_damaged_file_of_the_cache_is_not_taken_over(journal, tmp_path):
    value = store("z" * 50_000)
    theirs = value_file(tmp_path / "cache", value.hash)
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(value.data[:-1] + b"?")
    log = begun(journal)
    finish(log, "one", {"text": "z" * 50_000})
    log.settle()
    assert journal.run().finished["one"].outputs["text"].load() == "z" * 50_000


def test_a_value_that_came_from_the_cache_and_left_it_is_kept_all_the_same(journal, tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.put(b"key", Entry([store("z" * 50_000)], [preview("z")]))
    cache.close()
    found = Cache(tmp_path / "cache").get(b"key").outputs[0]
    found.load()
    value_file(tmp_path / "cache", found.hash).unlink()
    log = begun(journal)
    log.finished(e.NodeFinished(RUN, 1, 1.0, "one", {"text": preview("z")}, 0.1), [found])
    log.settle()
    assert journal.run().finished["one"].outputs["text"].load() == "z" * 50_000


def test_a_value_whose_file_is_gone_or_short_is_missing(journal):
    log = begun(journal)
    finish(log, "one", {"text": "a" * 50_000, "more": "b"})
    log.settle()
    path = next(journal.files.folder.iterdir())
    path.write_bytes(b"short")
    assert not journal.run().finished["one"].whole
    path.unlink()
    assert loaded(journal.run().finished["one"].outputs) == {"text": None, "more": "b"}


def test_runs_of_one_workflow_share_its_text(journal):
    text = "phloem: 1\n" + "# a long comment\n" * 100
    for number in range(5):
        a_run(journal, f"run-{number}", {"one": {"text": "x"}}, text=text)
    assert len(list(journal.files.folder.iterdir())) == 1
    assert journal.run("run-3").record.text == text


def test_only_the_user_can_read_it(journal):
    os.umask(os.umask(0o022))
    log = begun(journal)
    finish(log, "one", {"text": "a" * 50_000})
    log.settle()
    for path in [journal.folder, *journal.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
