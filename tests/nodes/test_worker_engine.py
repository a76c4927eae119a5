"""Many answers at once from one model: the same texts as alone, to the last bit, whoever comes, goes or fails."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes.services.models.local.gguf import read_header
from phloem.nodes.services.models.local.llama import Aborted, Entry, Loaded, library
from phloem.runtime.errors import PhloemError, ServiceError
from phloem.runtime.values import Message
from support.engines import InProcess, engine_of, load
from support.model_files import DEMO, talkative

pytestmark = pytest.mark.slow

STORY = "The river is long and the market is old. " * 12
WORDS = [
    "river",
    "long",
    "market",
    "old",
    "price",
    "color",
    "red",
    "green",
    "the",
    "is",
    "of",
    "and",
    "Bolan",
    "12",
    "euros",
    "tower",
    "bread",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talkative(tmp_path_factory.mktemp("models") / "talkative.gguf")


@pytest.fixture
def eight(path: Path) -> Iterator[InProcess]:
    model = engine_of(path, streams=8, context=1024)
    yield model
    model.close()


@pytest.fixture
def alone(path: Path) -> Iterator[InProcess]:
    model = engine_of(path, streams=1, context=1024)
    yield model
    model.close()


def some_requests(chance: random.Random, count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Prompts that share beginnings of various lengths, with forms and settings of many kinds."""
    story = " ".join(chance.choice(WORDS) for _ in range(200))
    found = []
    for seed in range(count):
        end = " ".join(chance.choice(WORDS) for _ in range(chance.choice([3, 30, 90])))
        wording = {
            "max_tokens": chance.choice([1, 4, 16, 40]),
            "temperature": chance.choice([0.0, 0.0, 1.0]),
            "seed": seed,
            "repeat_penalty": chance.choice([1.0, 1.0, 1.3]),
        }
        gbnf = chance.choice(["", "", "", "root ::= [a-z ]{5,30}"])
        found.append((story[: chance.choice([0, 150, 500, 1000])] + end, gbnf, wording))
    return found


def bits(loaded: Loaded, index: int) -> bytes:
    return ctypes.string_at(loaded.scores(index), 4 * loaded.vocabulary_size)


# The same as alone


@pytest.mark.parametrize("seed", range(4))
def test_any_schedule_gives_the_texts_that_each_request_has_alone(
    eight: InProcess, alone: InProcess, seed: int
) -> None:
    chance = random.Random(seed)
    requests = some_requests(chance, 20)
    expected = [alone.text(asked, gbnf, **wording) for asked, gbnf, wording in requests]
    waiting = list(range(len(requests)))
    chance.shuffle(waiting)
    keys: dict[int, int] = {}
    doomed: list[int] = []
    while waiting or eight.engine.busy:
        if waiting and chance.random() < 0.3:
            number = waiting.pop()
            asked, gbnf, wording = requests[number]
            keys[number] = eight.ask(asked, gbnf, **wording)
            if chance.random() < 0.4:
                doomed.append(eight.ask(*requests[chance.randrange(20)][:1], max_tokens=40))
        if doomed and chance.random() < 0.1:
            eight.engine.cancel(doomed.pop())
        eight.engine.step()
    assert [eight.told.texts.get(keys[number], "") for number in range(len(requests))] == expected


def requantised(path: Path, target: Path, kind: int) -> Path:
    """The model with its weights stored in another way, by the number that llama.h gives that (llama_ftype)."""
    llama = library()
    settings = llama.llama_model_quantize_default_params()
    settings.ftype, settings.allow_requantize, settings.nthread = kind, True, 1
    assert llama.llama_model_quantize(bytes(path), bytes(target), ctypes.byref(settings)) == 0
    return target


@pytest.mark.parametrize(("name", "kind"), [("F32", 0), ("F16", 1), ("Q4_0", 2), ("Q5_1", 9)])
def test_however_weights_are_stored_texts_do_not_depend_on_company(
    path: Path, tmp_path: Path, name: str, kind: int
) -> None:
    """Of some kinds llama.cpp adds up in another order for one stream than for several: the engine finds that out."""
    other = requantised(path, tmp_path / "other.gguf", kind)
    assert read_header(other).quantisation == name
    eight, alone = engine_of(other, streams=8, context=1024), engine_of(other, context=1024)
    requests = some_requests(random.Random(kind), 12)
    requests += [
        (f"Number {number}", "", {"max_tokens": 30, "temperature": 1.0, "seed": number}) for number in range(8)
    ]
    expected = [alone.text(asked, gbnf, **wording) for asked, gbnf, wording in requests]
    keys = [eight.ask(asked, gbnf, **wording) for asked, gbnf, wording in requests]
    told = eight.finish()
    assert [told.texts.get(key, "") for key in keys] == expected
    if name in ("F32", "F16"):
        assert eight.engine._groups._refused, "no number of streams was found to make a difference"
    eight.close()
    alone.close()


def test_a_step_that_was_stopped_is_done_again_and_changes_nothing(eight: InProcess, alone: InProcess) -> None:
    requests = some_requests(random.Random(9), 8)
    expected = [alone.text(asked, gbnf, **wording) for asked, gbnf, wording in requests]
    keys = [eight.ask(asked, gbnf, **wording) for asked, gbnf, wording in requests]
    stopped = 0
    steps = 0
    while eight.engine.busy:
        steps += 1
        if steps % 3 == 0:
            timer = threading.Timer(0.0005, eight.engine.loaded.stop)
            timer.start()
        elif steps % 7 == 0:
            eight.engine.loaded.stop()
            stopped += 1
        eight.engine.step()
        if steps % 3 == 0:
            timer.join()
        eight.engine.loaded.resume()
    assert [eight.told.texts.get(key, "") for key in keys] == expected
    assert stopped > 3


def test_streams_together_give_the_bits_of_each_alone_where_the_engine_computes_them_together(path: Path) -> None:
    loaded = load(path, streams=8, context=512)
    tokens = loaded.tokens(STORY, marks=False, ends=False)
    lengths = [3, 40, 64, 5, 17, 30, 64, 9]
    for stream, length in enumerate(lengths):
        loaded.decode([Entry(tokens[at], at, stream, False) for at in range(length)])
    after = [Entry(tokens[100 + stream], length, stream, True) for stream, length in enumerate(lengths)]
    loaded.decode(after)
    together = [bits(loaded, index) for index in range(8)]
    for stream, length in enumerate(lengths):
        loaded.cut(stream, length)
        loaded.decode([after[stream]])
        assert bits(loaded, 0) == together[stream]
    loaded.close()


def test_a_copied_beginning_is_the_beginning_to_the_last_bit(path: Path) -> None:
    loaded = load(path, streams=3, context=512)
    tokens = loaded.tokens(STORY, marks=False, ends=False)[:128]
    for start in (0, 64):
        loaded.decode([Entry(tokens[at], at, 0, at == start + 63) for at in range(start, start + 64)])
    loaded.copy(0, 2, 64)
    expected = bits(loaded, -1)
    loaded.decode([Entry(tokens[at], at, 2, at == 127) for at in range(64, 128)])
    assert bits(loaded, -1) == expected
    loaded.close()


# Common beginnings


def test_eight_that_come_together_read_what_they_share_once(eight: InProcess) -> None:
    keys = [eight.ask(STORY + f"Number {number}.", max_tokens=4) for number in range(8)]
    told = eight.finish()
    fresh = sum(read - cached for read, cached in (told.reads[key] for key in keys))
    longest = max(read for read, _ in told.reads.values())
    assert fresh < longest + 8 * 64


def test_a_conversation_goes_on_without_reading_its_beginning_again(eight: InProcess) -> None:
    said = [Message("user", STORY), Message("assistant", "Yes."), Message("user", "And then?")]
    eight.ask(said[:1], max_tokens=3)
    eight.finish()
    key = eight.ask(said, max_tokens=3)
    read, cached = eight.finish().reads[key]
    assert read - cached < 128


# Fairness


def test_nobody_waits_for_another_to_end(eight: InProcess) -> None:
    long = eight.ask("Hello", max_tokens=900, temperature=1.0, seed=1)
    for _ in range(20):
        eight.engine.step()
    short = [eight.ask(f"Say {number}", max_tokens=5, temperature=1.0, seed=2) for number in range(7)]
    while not all(key in eight.told.ends for key in short):
        eight.engine.step()
    assert long not in eight.told.ends
    assert eight.told.counts[long] < 300


def test_more_requests_than_streams_are_all_answered(eight: InProcess, alone: InProcess) -> None:
    keys = [eight.ask(f"Number {number}", max_tokens=6) for number in range(30)]
    told = eight.finish()
    assert [told.texts[key] for key in keys] == [alone.text(f"Number {number}", max_tokens=6) for number in range(30)]


def test_what_could_have_been_the_beginning_of_a_stop_text_is_told_at_the_end() -> None:
    question = "Context:\nThe price of Bolan is 12 euros.\n\nQuestion: What is the price of Bolan?"
    model = engine_of(DEMO)
    whole = model.text(question, max_tokens=16)
    assert model.text(question, max_tokens=16, stop=(whole[-3:] + " and more",)) == whole
    model.close()


# What goes wrong is one request's


@pytest.mark.parametrize("error", [ServiceError("the grammar cannot go on"), ValueError("this cannot go on")])
def test_an_error_in_one_answer_leaves_the_others_alone(
    eight: InProcess, alone: InProcess, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected = alone.text("Good", max_tokens=20)
    good = eight.ask("Good", max_tokens=20)
    bad = eight.ask("Bad", max_tokens=20)

    def fail(index: int) -> int:
        raise error

    monkeypatch.setattr(eight.engine._writings[bad]._chooser, "next", fail)
    told = eight.finish()
    assert told.texts[good] == expected
    assert "cannot go on" in str(told.errors[bad])
    assert not eight.engine._writings


def test_a_computation_that_fails_ends_the_requests_in_it_and_no_other(
    eight: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = eight.ask("One", max_tokens=10)
    eight.engine.step()
    decode = eight.engine.loaded.decode

    def fail(entries: Any) -> None:
        raise ServiceError("llama.cpp failed")

    monkeypatch.setattr(eight.engine.loaded, "decode", fail)
    eight.engine.step()
    monkeypatch.setattr(eight.engine.loaded, "decode", decode)
    second = eight.ask("Two", max_tokens=10)
    told = eight.finish()
    assert isinstance(told.errors[first], PhloemError)
    assert told.ends[second] == "length"


def test_reading_stops_in_the_middle_of_a_computation(path: Path) -> None:
    loaded = load(path, context=2048, batch=2048)
    tokens = loaded.tokens("The river is long. " * 300, marks=False, ends=False)[:1500]
    entries = [Entry(token, at, 0, at == len(tokens) - 1) for at, token in enumerate(tokens)]
    began = time.perf_counter()
    loaded.decode(entries)
    whole = time.perf_counter() - began
    loaded.cut(0, 0)
    threading.Timer(whole / 10, loaded.stop).start()
    began = time.perf_counter()
    with pytest.raises(Aborted):
        loaded.decode(entries)
    assert time.perf_counter() - began < whole
    loaded.resume()
    loaded.cut(0, 0)
    loaded.decode(entries)
    loaded.close()


# How likely a token was


def test_the_chances_of_tokens_are_told_with_others(alone: InProcess) -> None:
    key = alone.ask("Copy this text: The river is long and the market is old.", max_tokens=6, logprobs=3)
    told = alone.finish()
    chances = told.chances[key]
    assert len(chances) == told.counts[key] == 6
    assert "".join(text for text, *_ in chances) == told.texts[key]
    for text, logprob, others in chances:
        assert len(others) == 3
        assert others[0] == [text, logprob], "the likeliest token was chosen"
        assert sorted((other[1] for other in others), reverse=True) == [other[1] for other in others]
        assert logprob <= 0


def test_chances_are_of_the_model_and_not_of_the_settings(alone: InProcess) -> None:
    def first(**wording: Any) -> list[Any]:
        key = alone.ask("Hello", max_tokens=1, logprobs=2, **wording)
        chances: list[Any] = alone.finish().chances[key][0]
        return chances[2]

    assert first() == first(temperature=2.0, seed=5, top_k=1) == first(repeat_penalty=1.5)


def test_no_alternatives_are_told_if_none_are_asked_for(alone: InProcess) -> None:
    key = alone.ask("Hello", max_tokens=2, logprobs=0)
    assert [others for _, _, others in alone.finish().chances[key]] == [[], []]


def test_the_bundled_model_says_the_same_with_one_stream_and_with_many() -> None:
    question = "Context:\nThe price of Bolan is 12 euros.\n\nQuestion: What is the price of Bolan?"
    texts = []
    for streams in (1, 3, 8):
        model = engine_of(DEMO, streams=streams)
        keys = [model.ask(question, max_tokens=16) for _ in range(streams)]
        told = model.finish()
        texts += [told.texts[key] for key in keys]
        model.close()
    assert len(set(texts)) == 1


def test_whoever_wants_the_whole_of_llama_cpp_python_still_gets_it() -> None:
    code = (
        "from phloem.nodes.services.models.local.llama import library; ours = library();"
        "from llama_cpp import Llama; import llama_cpp.llama_cpp as theirs; assert ours is theirs"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
