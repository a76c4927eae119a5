"""The record of runs: what was put in comes out, here and in any other process, now and after a restart."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from phloem.runtime import events as e
from phloem.runtime.cache import INLINE_LIMIT, Cache, Entry, store, value_file
from phloem.runtime.egress import Egress
from phloem.runtime.errors import ConfigError, JournalError
from phloem.runtime.events import preview
from phloem.runtime.journal import Journal, Question, Recorded, entries
from phloem.runtime.journal.locks import Hold, is_held
from phloem.runtime.values import UNLIT, Document
from support.journals import TEXT, a_run, begun, ended, finish, start
from support.values import link_values

RUN = "20261121-085300-3fa9c1"


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal", cache=tmp_path / "cache")
    yield journal
    journal.close()


def elsewhere(journal: Journal) -> Journal:
    """The same folder as another process sees it. Nothing of it has to be closed unless it begins a run."""
    return Journal(journal.folder)


def loaded(outputs) -> dict:
    return {port: None if one is None else one.load() for port, one in outputs.items()}


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


# ---- Whose run it is


def test_a_run_of_a_process_that_ended_without_a_word_is_interrupted(journal):
    first = Journal(journal.folder)
    begun(first).settle()
    assert journal.runs()[0].status == "running" and journal.runs()[0].here
    first.close()
    assert journal.runs()[0].status == "interrupted" and not journal.runs()[0].here


def test_a_waiting_run_waits_on_when_its_process_ends(journal):
    first = Journal(journal.folder)
    log = begun(first)
    log.waits(True)
    log.settle()
    assert (journal.run().summary.status, journal.run().summary.here) == ("waiting", True)
    first.close()
    assert (journal.run().summary.status, journal.run().summary.here) == ("waiting", False)


def test_a_run_is_resumed_by_one_and_goes_on_where_it_was(journal):
    first = Journal(journal.folder)
    log = begun(first, nodes=["a", "b"])
    finish(log, "a", {"text": "kept"}, 2)
    log.settle()
    with pytest.raises(ConfigError, match="still under way"):
        journal.resume("last")
    first.close()
    kept, log = journal.resume("last")
    assert loaded(kept.finished["a"].outputs) == {"text": "kept"}
    assert log.next_seq == 3 and journal.runs()[0].status == "running"
    with pytest.raises(ConfigError, match="still under way"):
        elsewhere(journal).resume("last")
    log.take(e.RunStarted(RUN, 3, time.time(), "Test", ["a", "b"]))
    finish(log, "b", {"text": "new"}, 4)
    ended(log, seq=5)
    with pytest.raises(ConfigError, match="is done"):
        journal.resume(RUN)
    kept = journal.run()
    assert list(kept.finished) == ["a", "b"]
    assert {name: one.state for name, one in kept.view.nodes.items()} == {"a": "done", "b": "done"}


def test_of_many_who_would_resume_a_run_one_does(journal):
    first = Journal(journal.folder)
    begun(first).settle()
    first.close()
    journals = [Journal(journal.folder) for _ in range(6)]
    won = []

    def resume(one):
        try:
            won.append(one.resume(RUN))
        except ConfigError as error:
            assert "still under way" in str(error)

    threads = [threading.Thread(target=resume, args=(one,)) for one in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in journals:
        one.close()
    assert len(won) == 1


def test_a_lock_ends_with_the_holder_and_two_who_look_do_not_hold_it(tmp_path):
    path = tmp_path / "lock"
    hold = Hold(path)
    assert is_held(path)
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        # A child has not our lock, though it has our memory.
        hold.release()
        os._exit(0)
    hold.release()
    assert not is_held(path) and not path.exists()


# ---- Finding a run


def test_a_run_is_found_by_id_by_its_beginning_by_the_last_part_and_as_the_last(journal):
    for id in ("20261121-085300-3fa9c1", "20261121-085301-aaaaaa", "20261122-000000-3fb000"):
        a_run(journal, id, {"one": {"text": id}})
    assert journal.run("20261122").id == "20261122-000000-3fb000"
    assert journal.run("3fa").id == "20261121-085300-3fa9c1"
    assert journal.run("last").id == journal.run().id == journal.runs()[0].id == "20261122-000000-3fb000"
    assert [one.id for one in journal.runs(limit=2)] == ["20261122-000000-3fb000", "20261121-085301-aaaaaa"]
    for wrong, said in (
        ("2026", "3 runs are called 2026…"),
        ("3f", "2 runs"),
        ("085300", "no run called 085300"),
        ("", "no run"),
    ):
        with pytest.raises(ConfigError, match=said):
            journal.run(wrong)
    with pytest.raises(ConfigError, match="Did you mean 20261122-000000-3fb000"):
        journal.run("20261122-000000-3fb001")
    with pytest.raises(ConfigError):
        journal.run("%")


def test_of_two_runs_with_one_id_the_second_fails_and_no_other(journal):
    begun(journal).settle()
    again, other = begun(journal), begun(journal, "other")
    with pytest.raises(JournalError, match="another run is called"):
        again.settle()
    other.settle()
    assert {one.id for one in journal.runs()} == {RUN, "other"} and len(journal.run(RUN).events) == 1


def test_asking_for_runs_makes_nothing(journal):
    assert journal.runs() == []
    for ask in (lambda: journal.run(), lambda: journal.cancel("x"), lambda: journal.answer("x", "n", store(1))):
        with pytest.raises(ConfigError, match="no run"):
            ask()
    journal.collect()
    assert not journal.folder.exists()


# ---- Words from elsewhere


def wait_for(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def test_a_wish_to_cancel_reaches_the_run_once(journal):
    heard = []
    log = begun(journal, on_cancel=lambda: heard.append(threading.current_thread().name))
    other = begun(journal, "other", on_cancel=lambda: heard.append("wrong"))
    log.settle()
    other.settle()
    assert elsewhere(journal).cancel(RUN) == "asked"
    wait_for(lambda: heard)
    elsewhere(journal).cancel(RUN)
    time.sleep(0.4)
    assert heard == ["phloem-journal"]


def test_a_run_that_nobody_is_at_work_on_is_cancelled_at_once(journal):
    first = Journal(journal.folder)
    begun(first).settle()
    first.close()
    assert journal.cancel("last") == "cancelled"
    assert journal.run().summary.status == "cancelled"
    with pytest.raises(ConfigError, match="has ended already: cancelled"):
        journal.cancel("last")


def test_an_answer_reaches_the_run_and_the_first_one_counts(journal):
    heard = []
    log = begun(journal, on_answer=lambda node, value: heard.append((node, value.load())))
    log.ask(Question("ask", "Which?", choices=("red", "blue"), asked=1.0))
    log.ask(Question("late", "Still?", deadline=time.time() - 1))
    log.settle()
    other = elsewhere(journal)
    assert other.run().questions["ask"] == Question("ask", "Which?", choices=["red", "blue"], asked=1.0)
    for node, value, said in (
        ("ask", "green", "red or blue"), ("asked", "red", "Did you mean ask"), ("late", "x", "could be answered until"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            other.answer(RUN, node, store(value))
    other.answer(RUN, "ask", store("blue"))
    with pytest.raises(ConfigError, match="was answered already"):
        journal.answer(RUN, "ask", store("red"))
    wait_for(lambda: heard)
    assert heard == [("ask", "blue")]
    assert journal.run().questions["ask"].answer.load() == "blue"
    log.withdraw("late")
    log.withdraw("ask")
    log.settle()
    assert list(journal.run().questions) == ["ask"]


def test_an_answer_given_while_no_process_waits_is_there_at_the_resume(journal):
    first = Journal(journal.folder)
    log = begun(first)
    log.ask(Question("ask", "Which?"))
    log.waits(True)
    log.settle()
    first.close()
    elsewhere(journal).answer("last", "ask", store("blue"))
    heard = []
    kept, log = journal.resume("last", on_answer=lambda *answer: heard.append(answer))
    assert kept.questions["ask"].answer.load() == "blue"
    time.sleep(0.4)
    assert heard == []


def test_an_ended_run_takes_no_answer(journal):
    log = begun(journal)
    log.ask(Question("ask", "Which?"))
    ended(log)
    with pytest.raises(ConfigError, match="has ended already: done"):
        journal.answer(RUN, "ask", store("x"))


@pytest.mark.slow
def test_looking_for_words_costs_next_to_nothing(journal):
    begun(journal, on_cancel=lambda: None).settle()
    began = time.process_time()
    time.sleep(1)
    assert time.process_time() - began < 0.02


# ---- Settling


@pytest.mark.slow
def test_settled_means_that_another_process_sees_it(journal):
    async def work():
        log = begun(journal)
        for number in range(20):
            finish(log, f"n{number}", {"text": "x"}, number)
            await log.settled()
            assert f"n{number}" in elsewhere(journal).run().finished

    asyncio.run(work())


def test_one_who_gives_up_waiting_harms_nobody(journal):
    async def work():
        log = begun(journal)
        waiting = [asyncio.create_task(log.settled()) for _ in range(10)]
        await asyncio.sleep(0)
        for one in waiting[::2]:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        finish(log, "one", {"text": "x"})
        await log.settled()

    asyncio.run(work())
    assert "one" in journal.run().finished


def test_a_run_that_is_faster_than_the_disk_waits_for_it(journal, monkeypatch):
    from phloem.runtime.journal import log as log_module

    monkeypatch.setattr(log_module, "MOST_ROWS", 50)
    monkeypatch.setattr(log_module, "MOST_HELD", 100_000)
    log = begun(journal)
    for number in range(150):
        start(log, f"n{number}", 2 * number + 1)
        finish(log, f"n{number}", {}, 2 * number + 2)
        assert len(log.rows) <= 52
    for number in range(10):
        finish(log, f"big{number}", {"text": str(number) * 60_000}, 1_000 + number)
        assert log.held <= 200_000
    log.settle()
    assert len(journal.run().events) == 311


def test_a_closed_journal_says_so(journal):
    log = begun(journal)
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        log.settle()
    with pytest.raises(JournalError, match="closed"):
        begun(journal, "another")
    assert len(journal.run().events) == 1


@pytest.mark.slow
def test_many_runs_leave_no_threads_files_or_memory_behind(tmp_path):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    journal = Journal(tmp_path / "journal")
    a_run(journal, "warm", {"one": {"text": "x"}})
    threads, files = threading.active_count(), open_files()
    for number in range(60):
        a_run(journal, f"run-{number}", {"one": {"text": "x"}})
    assert (threading.active_count(), open_files()) == (threads, files)
    assert journal._writer._logs == []
    journal.close()
    assert len(journal.runs()) == 61
