"""Whose a run is in the record, how it is found, and how a word for it reaches the process it is in."""

from __future__ import annotations

import os
import threading
import time

import pytest
from phloem.runtime import events as e
from phloem.runtime.cache import store
from phloem.runtime.errors import ConfigError, JournalError
from phloem.runtime.journal import Journal, Question, locks
from phloem.runtime.journal import writer as writer_module
from phloem.runtime.journal.locks import Hold, is_held
from support.journals import a_run, begun, elsewhere, ended, failing, finish, loaded, record, wait_for

RUN = "20261121-085300-3fa9c1"


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal", cache=tmp_path / "cache")
    yield journal
    journal.close()


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


def test_a_lock_that_cannot_be_had_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_lock", failing(OSError(37, "No locks available")))
    with pytest.raises(OSError, match="No locks"):
        Hold(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


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


def test_a_run_that_nobody_is_at_work_on_is_cancelled_at_once_with_what_it_had_spent(journal):
    first = Journal(journal.folder)
    log = first.begin(record(began=100.0))
    log.take(e.RunStarted(RUN, 0, 100.0, "Test", ["one"]))
    log.finished(e.NodeFinished(RUN, 1, 105.0, "one", {}, 5.0, False, 30, 4, 0.5), [])
    log.settle()
    first.close()
    assert journal.cancel("last") == "cancelled"
    found = journal.run().summary
    assert (found.status, found.tokens_in, found.tokens_out, found.money) == ("cancelled", 30, 4, 0.5)
    assert found.seconds == 5 and journal.runs()[0] == found
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
def test_looking_for_words_asks_the_database_only_when_there_is_one(journal, monkeypatch):
    looks, asked = [], []
    mark, pass_on = writer_module._mark, writer_module.Writer._pass_on
    monkeypatch.setattr(writer_module, "_mark", lambda folder: looks.append(1) or mark(folder))
    monkeypatch.setattr(writer_module.Writer, "_pass_on", lambda *words: asked.append(1) or pass_on(*words))
    log = begun(journal, on_cancel=lambda: None)
    log.settle()
    looks.clear()
    began = time.monotonic()
    wait_for(lambda: len(looks) >= 3)
    assert len(looks) <= (time.monotonic() - began) / writer_module.LOOK_EVERY + 2 and asked == []
    elsewhere(journal).cancel(RUN)
    wait_for(lambda: log.cancel_told)
    assert asked == [1]


def test_a_word_comes_to_a_run_after_the_connection_was_lost(journal, monkeypatch):
    """One run could not be written, and the other waits: it writes nothing that would open the record again."""
    heard = threading.Event()
    waiting = begun(journal, on_cancel=heard.set)
    waiting.settle()
    monkeypatch.setattr(journal.files, "write", failing(OSError(5, "Input/output error")))
    with pytest.raises(JournalError):
        begun(journal, "other").settle()
    elsewhere(journal).cancel(RUN)
    assert heard.wait(5)
