"""Asking a person at the terminal for grants that a run lacks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from phloem.runtime.asking import Answer, Question
from phloem.runtime.grants.shown import remark_on, shown_name, shown_scope

__all__ = ["AtTerminal", "question_text"]

_ANSWERS: Final[dict[str, Answer]] = {
    "y": "once", "yes": "once", "once": "once", "a": "always", "always": "always", "n": "no", "no": "no", "": "no",
}  # fmt: skip
_CHOICE: Final = "[y]es once, [a]lways for this workflow, [n]o"
_WOULD: Final = {
    "net": "connect to", "read": "read", "write": "write", "model": "use the model", "spend": "spend money at",
    "secret": "use the secret", "browser": "open a browser", "run": "start the program",
}  # fmt: skip
LONGEST_LINE: Final = 1_000


class AtTerminal:
    """Implements `asking.Asker`. What draws on the terminal is `paused` while a question stands there."""

    def __init__(self, home: Path, paused: Callable[[], AbstractContextManager[None]]) -> None:
        self._home = home
        self._paused = paused

    async def ask(self, questions: Sequence[Question]) -> Answer:
        text = question_text(questions, self._home)
        with self._paused():
            while True:
                _forget_typed()
                print(text, end="", file=sys.stderr, flush=True)
                try:
                    line = await _line()
                except asyncio.CancelledError:
                    print(file=sys.stderr)
                    raise
                if line is None:
                    print(file=sys.stderr)
                    return "no"
                answer = _ANSWERS.get(line.strip().lower())
                if answer is not None:
                    return answer
                text = f"Please answer {_CHOICE}: "


def question_text(questions: Sequence[Question], home: Path | None = None) -> str:
    """What a person is asked. Everything in it that is not ours is told in a line that no stranger's text can leave."""
    if len(questions) == 1:
        return f"{_wish(questions[0], home)}. Allow? {_CHOICE}: "
    lines = "\n".join(f"  {_wish(one, home)}" for one in questions)
    return f"The workflow wants more than it may:\n{lines}\nAllow all of this? {_CHOICE}: "


def _wish(question: Question, home: Path | None) -> str:
    word, scope = question.grant.word, question.grant.scope
    remark = remark_on(word, scope, home)
    what = f"{_WOULD[word]} {shown_scope(word, scope)}".rstrip()
    return f"{shown_name(question.node)} would {what}" + (f" ({remark})" if remark else "")


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
