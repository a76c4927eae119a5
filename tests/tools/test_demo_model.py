"""The demo model: its lessons can be learned, its tokenizer and file are llama.cpp's, and it answers as its card says."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "nodes" / "phloem" / "nodes" / "services" / "models" / "data"
sys.path.insert(0, str(ROOT))

pytest.importorskip("tokenizers")
from tools.demo_model import entities, evaluate, facts, stories, tasks, tokenizer, words  # noqa: E402
from tools.demo_model.grammar import participle, past, plural, third  # noqa: E402

GATE = evaluate.WRITTEN / "gate.txt"


def lessons(count: int, seed: int = 1) -> Iterator[tasks.Lesson]:
    r = random.Random(seed)
    for number in range(count):
        yield tasks.lesson(r, number / count)


# The lessons


@pytest.mark.parametrize(
    ("verb", "does", "did", "done"),
    [
        ("carry", "carries", "carried", "carried"),
        ("stop", "stops", "stopped", "stopped"),
        ("write", "writes", "wrote", "written"),
        ("open", "opens", "opened", "opened"),
        ("use", "uses", "used", "used"),
        ("play", "plays", "played", "played"),
        ("fix", "fixes", "fixed", "fixed"),
    ],
)
def test_verbs_have_their_forms(verb: str, does: str, did: str, done: str) -> None:
    assert (third(verb), past(verb), participle(verb)) == (does, did, done)


def test_nouns_have_their_plurals() -> None:
    assert [plural(noun) for noun in ("lamp", "box", "city", "day", "man")] == [
        "lamps",
        "boxes",
        "cities",
        "days",
        "men",
    ]


@pytest.mark.slow
def test_every_answer_stands_in_its_passage() -> None:
    r = random.Random(2)
    asked = 0
    for _ in range(1500):
        said = stories.passage(r, r.randint(1, 8))
        text = " ".join(said.sentences).lower()
        for question, answer in said.questions:
            asked += 1
            assert answer.lower() in text, (question, answer, text)
            assert "{" not in question + answer + text
    assert asked > 5000


def test_no_question_of_a_passage_has_two_answers() -> None:
    r = random.Random(3)
    for _ in range(500):
        said = stories.passage(r, 6)
        answers: dict[str, set[str]] = {}
        for question, answer in said.questions:
            answers.setdefault(question, set()).add(answer)
        assert all(len(found) == 1 for found in answers.values())


def test_every_relation_can_be_asked_about() -> None:
    r = random.Random(4)
    for kind, relations in facts.relations().items():
        for relation in relations:
            subject = entities.SUBJECTS[kind](r)
            assert any(facts.state(r, relation, subject).questions for _ in range(60)), relation


@pytest.mark.slow
def test_all_tasks_are_taught_and_lessons_repeat_with_their_seed() -> None:
    first = list(lessons(1500))
    assert {lesson.task for lesson in first} == {
        "questions", "json", "sentiment", "summary", "lists", "rewrite", "copying", "looking up",
    }  # fmt: skip
    assert first == list(lessons(1500))


@pytest.mark.slow
def test_nothing_of_the_gate_is_taught() -> None:
    """None of its names, and none of its sentences."""
    passages = {context for context, _, _ in evaluate.asked(GATE)}
    names = evaluate.names(GATE)
    assert len(names) >= 8
    surnames = {name.split()[1] for name in names} - {noun.capitalize() for noun in words.NOUNS} - set(words.BUILDINGS)
    assert not surnames & {*words.FIRST, *words.LAST, *words.PLACES}
    taught = "\n".join(lesson.beginning for lesson in lessons(6000, seed=5))
    assert [name for name in names if name in taught] == []
    sentences = {sentence for passage in passages for sentence in re.split(r"(?<=[.]) ", passage)}
    assert [sentence for sentence in sentences if sentence in taught] == []


# The tokenizer


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    return path, tokenizer.build(path, 3000)


def texts() -> list[str]:
    found = [
        f"{lesson.beginning}{asked}\n{answer}" for lesson in lessons(100, seed=6) for asked, answer in lesson.turns
    ]
    strange = [
        "", " ", "  two  spaces ", "\n\n\n", "a\tb", "Don't! It's 12:30…", "naïve Ångström Ελλάς 漢字 🙂", "x=1;y=2", "\u00a0nbsp",
        'JSON {"key": "value", "n": [1, 2.5, null]}', "12,345.67 €", "ALLCAPS camelCase snake_case", "e\u0301", "…—“quoted”",
    ]  # fmt: skip
    return [*strange, *found][:220]


def test_the_tokenizer_gives_every_text_back(pieces: tuple[Path, Any]) -> None:
    for text in texts():
        assert pieces[1].decode(pieces[1].encode(text).ids) == text


def test_a_word_has_the_same_pieces_wherever_it_stands(pieces: tuple[Path, Any]) -> None:
    def ids(text: str) -> list[int]:
        return list(pieces[1].encode(text).ids)

    for name in ("Whitcomb", "Zorrel", "lighthouse", "4417", "river27"):
        own = ids(name)
        for text in (f"The {name}", f"\n{name}", f'"{name}"', f"({name})"):
            inside = ids(text)
            assert any(inside[at : at + len(own)] == own for at in range(len(inside))), text


# The network and its file


@pytest.fixture(scope="module")
def tiny(pieces: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A network of random weights, and its GGUF file, not quantized."""
    torch = pytest.importorskip("torch")
    from tools.demo_model import export
    from tools.demo_model.model import Network, Shape

    torch.manual_seed(0)
    network = Network(Shape(pieces[1].get_vocab_size(), width=64, layers=2, heads=2, feed=96, context=256))
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    export.write(path, network.shape, network.state_dict(), pieces[0], quantized=False)
    return network, path


@pytest.mark.slow
def test_llama_cpp_cuts_every_text_as_the_trainer_does(tiny: tuple[Any, Path], pieces: tuple[Path, Any]) -> None:
    from llama_cpp import Llama

    model = Llama(str(tiny[1]), vocab_only=True, verbose=False)
    different = [text for text in texts() if model.tokenize(text.encode(), False, False) != pieces[1].encode(text).ids]
    assert different == []
    assert len(texts()) >= 200


@pytest.mark.slow
def test_llama_cpp_computes_what_the_trainer_computes(tiny: tuple[Any, Path], pieces: tuple[Path, Any]) -> None:
    import numpy as np
    import torch
    from llama_cpp import Llama

    network, path = tiny
    tokens = [tokenizer.USER, *pieces[1].encode("The code of the gate is 4417. What is it?").ids, tokenizer.END]
    time = len(tokens)
    mask = torch.full((time, time), -1e4).triu(1)[None].expand(2, time, time)
    with torch.no_grad():
        states = network(torch.tensor([tokens]), torch.arange(time)[None], mask, torch.tensor([time - 1]))
        ours = network.logits(states)[0].numpy()
    model = Llama(str(path), n_ctx=128, n_threads=1, logits_all=True, verbose=False)
    model.eval(tokens)
    theirs = np.asarray(model.scores[time - 1])
    assert int(ours.argmax()) == int(theirs.argmax())
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(ours).max()


@pytest.mark.slow
def test_a_file_says_what_it_is(tiny: tuple[Any, Path]) -> None:
    import gguf

    fields = gguf.GGUFReader(str(tiny[1])).fields
    said = {key: fields[key].contents() for key in ("general.name", "general.license", "llama.context_length")}
    assert said == {"general.name": "Phloem demo", "general.license": "apache-2.0", "llama.context_length": 256}


@pytest.mark.slow
def test_a_file_gives_weights_and_tokenizer_back_so_that_training_can_go_on(
    tiny: tuple[Any, Path], pieces: tuple[Path, Any], tmp_path: Path
) -> None:
    import torch
    from tokenizers import Tokenizer

    from tools.demo_model import export

    shape, state = export.read(tiny[1], tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [again.encode(text).ids for text in texts()] == [pieces[1].encode(text).ids for text in texts()]
    assert shape == tiny[0].shape
    assert state.keys() == tiny[0].state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in tiny[0].state_dict().items())


@pytest.mark.slow
def test_many_questions_in_a_row_are_computed_as_each_alone(pieces: tuple[Path, Any]) -> None:
    torch = pytest.importorskip("torch")
    from tools.demo_model import rows
    from tools.demo_model.model import Network, Shape

    torch.manual_seed(1)
    network = Network(Shape(pieces[1].get_vocab_size(), width=64, layers=2, heads=2, feed=96, context=256))
    given = tasks.Lesson(
        "questions", "The lamp is red. The door is blue.", ((" Lamp?", "red"), (" And the door?", "blue"))
    )

    def answers(lesson: tasks.Lesson) -> list[Any]:
        made = rows.row(pieces[1], lesson)
        batch = rows.stacked([made], 2)
        where = (batch.weights.flatten() >= rows.ANSWER).nonzero()[:, 0]
        with torch.no_grad():
            return list(network(batch.tokens, batch.positions, batch.mask.float(), where))

    together = answers(given)
    alone = [state for turn in given.turns for state in answers(tasks.Lesson("questions", given.beginning, (turn,)))]
    assert len(together) == len(alone) == 4
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_a_training_learns_and_goes_on_where_it_was(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tools.demo_model import train

    tokenizer.build(tmp_path / "tokenizer.json", 1200)
    before = torch.get_num_threads()
    try:
        train.train(tmp_path, 0.06, 0, 1, 600)
        first = torch.load(tmp_path / "checkpoint.pt")
        assert first["step"] >= 1
        train.train(tmp_path, 0.1, 0, 1, 600)
    finally:
        torch.set_num_threads(before)
    second = torch.load(tmp_path / "checkpoint.pt")
    assert second["step"] > first["step"]
    assert second["seen"] > first["seen"]


# The model that is shipped


def promised(task: str) -> int:
    found = re.search(rf"{re.escape(task)}.*?\| (\d+) of (\d+)", (DATA / "MODELS.md").read_text("utf-8"))
    assert found, f"MODELS.md says nothing of {task}"
    return int(found[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("gate", "26 questions about eight passages written by hand"),
        ("dev", "83 questions about twenty others"),
    ],
)
def test_the_demo_model_answers_as_its_card_says(name: str, task: str) -> None:
    right, wrong = evaluate.score(evaluate.asking(DATA / "demo.gguf"), evaluate.asked(evaluate.WRITTEN / f"{name}.txt"))
    assert right >= promised(task), wrong


def test_the_demo_model_is_small() -> None:
    assert (DATA / "demo.gguf").stat().st_size <= 8_000_000
