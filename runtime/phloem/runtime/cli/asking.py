"""Asking a person at the terminal: for grants that a run lacks, and what its nodes ask."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from phloem.runtime.asking import Answer, Question
from phloem.runtime.cli.answers import parse_answer
from phloem.runtime.errors import WorkflowError
from phloem.runtime.grants.shown import remark_on, shown_name, shown_scope
from phloem.runtime.journal import Question as NodeQuestion
from phloem.runtime.people import NOBODY
from phloem.runtime.words import printable

__all__ = ["AtTerminal", "node_question_text", "question_text"]

_ANSWERS: Final[dict[str, Answer]] = {
    "y": "once", "yes": "once", "once": "once", "a": "always", "always": "always", "n": "no", "no": "no", "": "no",
}  # fmt: skip
_CHOICE: Final = "[y]es once, [a]lways for this workflow, [n]o"
_WOULD: Final = {
    "net": "connect to", "read": "read", "write": "write", "model": "use the model", "spend": "spend money at",
    "secret": "use the secret", "browser": "open a browser", "run": "start the program",
}  # fmt: skip
LONGEST_LINE: Final = 65_536
"""Bytes that are read at once: a terminal hands over no more than one line (Linux 4,095 bytes of it, macOS 1,023)."""


class AtTerminal:
    """Implements `asking.Asker` and `people.Person`: one question after the other. What draws on the terminal is
    `paused` while one stands there."""

    def __init__(self, home: Path, paused: Callable[[], AbstractContextManager[None]]) -> None:
        self._home = home
        self._paused = paused
        self._one_at_a_time = asyncio.Lock()
        self._gone = False

    async def ask(self, questions: Sequence[Question]) -> Answer:
        text = question_text(questions, self._home)
        async with self._one_at_a_time:
            with self._paused():
                while True:
                    line = await _typed(text)
                    if line is None:
                        return "no"
                    answer = _ANSWERS.get(line.strip().lower())
                    if answer is not None:
                        return answer
                    text = f"Please answer {_CHOICE}: "

    async def answer(self, question: NodeQuestion) -> Any:
        text = node_question_text(question)
        async with self._one_at_a_time:
            with self._paused():
                while not self._gone:
                    line = await _typed(text)
                    if line is None:
                        # The end of the input is the end of all answers.
                        self._gone = True
                        break
                    try:
                        return parse_answer(question, line.rstrip("\r\n"))
                    except WorkflowError as error:
                        problem = error.problems[0]
                        text = f"{printable(problem.message)}. {problem.hint or ''}\n> "
        return NOBODY


def question_text(questions: Sequence[Question], home: Path | None = None) -> str:
    """What a person is asked. Everything in it that is not ours is told in a line that no stranger's text can leave."""
    if len(questions) == 1:
        return f"{_wish(questions[0], home)}. Allow? {_CHOICE}: "
    lines = "\n".join(f"  {_wish(one, home)}" for one in questions)
    return f"The workflow wants more than it may:\n{lines}\nAllow all of this? {_CHOICE}: "


def node_question_text(question: NodeQuestion) -> str:
    """What a person is asked by a node. The question may be a stranger's text: its lines cannot pass for ours."""
    lines = [printable(line) for line in question.asks.splitlines() or [""]]
    text = f"{shown_name(question.node)} asks: " + "\n  ".join(lines)
    if question.choices:
        text += "".join(f"\n  {number}. {printable(one)}" for number, one in enumerate(question.choices, 1))
        return f"{text}\nA number, or the words: "
    if question.type == "boolean":
        return f"{text}\n[y]es or [n]o: "
    return f"{text}\n{'' if question.type == 'text' else f'({question.type}) '}> "


def _wish(question: Question, home: Path | None) -> str:
    word, scope = question.grant.word, question.grant.scope
    remark = remark_on(word, scope, home)
    what = f"{_WOULD[word]} {shown_scope(word, scope)}".rstrip()
    return f"{shown_name(question.node)} would {what}" + (f" ({remark})" if remark else "")


async def _typed(text: str) -> str | None:
    """The line that is typed after `text`; None at the end of the input."""
    _forget_typed()
    print(text, end="", file=sys.stderr, flush=True)
    try:
        line = await _line()
    except asyncio.CancelledError:
        print(file=sys.stderr)
        raise
    if line is None:
        print(file=sys.stderr)
    return line


def _forget_typed() -> None:
    """Drop what was typed before the question could be read."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def _line() -> str | None:
    """The line that is typed next; None at the end of the input. A question that is withdrawn leaves no reader."""
    loop = asyncio.get_running_loop()
    handle = sys.stdin.fileno()
    typed: asyncio.Future[bytes] = loop.create_future()

    def take(data: bytes) -> None:
        if not typed.done():
            typed.set_result(data)

    def wait() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(take, _read(handle))

    try:
        loop.add_reader(handle, lambda: take(_read(handle)))
    except NotImplementedError:
        # Windows cannot watch a console: a thread waits for the line, and does not hold up the end of the program.
        threading.Thread(target=wait, daemon=True).start()
        data = await typed
    else:
        try:
            data = await typed
        finally:
            loop.remove_reader(handle)
    return data.decode("utf-8", "replace") if data else None


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, LONGEST_LINE)
    except OSError:
        return b""
