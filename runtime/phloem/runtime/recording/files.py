"""The disk of a run that is recorded or replayed.

What lies in the workflow's own folder belongs to the workflow: it is read as it is, and not recorded. What lies
elsewhere is outside. What only an exact grant opens (keys, `.env`) is never recorded. What the run itself has
written it finds again, also in a replay, where it is written nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.grants.guarded import is_guarded
from phloem.runtime.opening import digest_exactly
from phloem.runtime.recording.answers import Answers

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["RecordedFiles"]


class RecordedFiles:
    """The disk for one node; what is to be done outside is handed in with each call."""

    def __init__(self, answers: Answers, context: Context) -> None:
        self._answers = answers
        self._context = context

    def read(self, path: str, limit: int, outside: Callable[[], bytes]) -> bytes:
        real = self._real(path)
        held = self._answers.held_back.find(real)
        if held is not None and held.is_file():
            data = held.read_bytes()
        elif self._is_own(real):
            return outside()
        else:
            data = self._ask("files.read", real, {}, outside)
        if len(data) > limit:
            raise InputError(f"{path} is larger than {limit:,} bytes", hint="Split it, or raise the limit.")
        return data

    def list(self, folder: str, pattern: str, outside: Callable[[], list[str]]) -> list[str]:
        real = self._real(folder)
        held = self._answers.held_back.below(real, pattern)
        if held and not real.exists():
            found = []
        elif self._is_own(real):
            found = outside()
        else:
            inside = self._ask("files.list", real, {"pattern": pattern}, lambda: _inside(real, outside()))
            found = [str(real / one) for one in inside]
        return sorted({*found, *held})

    def digest(self, path: str, outside: Callable[[], str]) -> str:
        real = self._real(path)
        held = self._answers.held_back.find(real)
        if held is not None:
            return digest_exactly(held)
        return outside() if self._is_own(real) else self._ask("files.digest", real, {}, outside)

    def write(
        self, path: str, data: bytes, mode: Literal["replace", "append", "new"], outside: Callable[[], str]
    ) -> str:
        real = self._real(path)
        asked = {"mode": mode, "data": data}
        if self._answers.asks:
            self._answers.written.add(real)
            self._ask("files.write", real, asked, lambda: _nothing(outside()), anew=True)
            return str(real)
        question = {"path": self._answers.portable(real), **asked}
        self._answers.as_before(self._context.node, "files.write", question)
        try:
            self._answers.held_back.write(real, data, mode)
        except FileExistsError as error:
            raise InputError(f"{path} is already there", hint="Choose mode replace or append.") from error
        except OSError as error:
            raise ServiceError(f"a replay cannot keep what it would write to {path}: {error}") from error
        return str(real)

    def _ask(
        self, call: str, real: Path, more: dict[str, Any], outside: Callable[[], Any], *, anew: bool = False
    ) -> Any:
        question = {"path": self._answers.portable(real), **more}
        return self._answers.at_once(self._context, call, question, outside, anew=anew)

    def _real(self, path: str) -> Path:
        return self._context.scope.permissions.path(path)

    def _is_own(self, real: Path) -> bool:
        """True for what is no answer from outside: what belongs to the workflow, what the run has written, and what
        must not be recorded."""
        permissions = self._context.scope.permissions
        return (
            (permissions.folder is not None and real.is_relative_to(permissions.folder))
            or is_guarded(real, permissions.home)
            or real in self._answers.written
        )


def _inside(folder: Path, found: list[str]) -> list[str]:
    return [Path(one).relative_to(folder).as_posix() for one in found]


def _nothing(_: str) -> None:
    return None
