"""How many questions about passages written by hand a model answers right, greedily and to the letter."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

WRITTEN = Path(__file__).with_name("written")
_NAME = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")
PROMPT = "Answer the question using only the context.\n\nContext:\n{c}\n\nQuestion: {q}"


def asked(path: Path) -> list[tuple[str, str, str]]:
    """(context, question, answer) of a file of passages: lines `? question = answer` below each."""
    found = []
    context = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("? "):
            question, answer = line[2:].rsplit(" = ", 1)
            found.append((context, question, answer))
        elif line and not line.startswith("#"):
            context = line
    return found


def names(path: Path) -> set[str]:
    """All that looks like a name of two words in a file of passages."""
    passages = {context for context, _, _ in asked(path)}
    return {name for passage in passages for name in _NAME.findall(passage)}


def score(ask: Callable[[str], str], questions: list[tuple[str, str, str]]) -> tuple[int, list[tuple[str, str, str]]]:
    """The number of right answers, and (question, answer given, right answer) of the others."""
    wrong = []
    for context, question, answer in questions:
        given = ask(PROMPT.format(c=context, q=question)).strip()
        if given != answer:
            wrong.append((question, given, answer))
    return len(questions) - len(wrong), wrong


def invented(ask: Callable[[str], str], count: int = 100) -> dict[str, int]:
    """How many of `count` lessons of every task, made up now, are answered right."""
    from . import tasks

    makers: dict[str, Callable[[Random], tasks.Lesson]] = {
        "questions about one or two facts": lambda r: tasks.questions(r, r.randint(1, 2)),
        "questions about four facts": lambda r: tasks.questions(r, 4),
        "JSON": tasks.fields,
        "sentiment": tasks.sentiment,
        "summaries": tasks.summary,
        "lists": tasks.lists,
        "rewrites": tasks.rewrite,
        "copying": tasks.copying,
    }
    right = {}
    for name, maker in makers.items():
        lessons = [maker(Random(f"{name} {number}")) for number in range(count)]
        answers = [(ask(lesson.beginning + lesson.turns[0][0]), lesson.turns[0][1]) for lesson in lessons]
        right[name] = sum(given == answer for given, answer in answers)
    return right


def asking(path: Path) -> Callable[[str], str]:
    """Asks a GGUF file, by llama.cpp, at temperature 0."""
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=1024, n_threads=1, verbose=False)

    def ask(prompt: str) -> str:
        said = model.create_chat_completion([{"role": "user", "content": prompt}], max_tokens=80, temperature=0)
        return str(said["choices"][0]["message"]["content"])

    return ask


def main() -> None:
    """`python -m tools.demo_model.evaluate MODEL.gguf [gate|dev|lessons] …`"""
    ask = asking(Path(sys.argv[1]))
    for name in sys.argv[2:] or ["gate", "dev", "lessons"]:
        if name == "lessons":
            for task, right in invented(ask).items():
                print(f"{task}: {right} of 100")
            continue
        questions = asked(WRITTEN / f"{name}.txt")
        right, wrong = score(ask, questions)
        for question, given, answer in wrong:
            print(f"  {question} -> {given!r} (right: {answer})")
        print(f"{name}: {right} of {len(questions)}")


if __name__ == "__main__":
    main()
