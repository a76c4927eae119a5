"""What a node is given on a worker: its own models and network, and the files and collections of the run's machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from phloem.runtime.asking import GrantAsking
from phloem.runtime.budget import Budget
from phloem.runtime.context import Collections, Context, Files
from phloem.runtime.errors import PermissionNeeded
from phloem.runtime.grants import Grant
from phloem.runtime.values import Collection, Hit

if TYPE_CHECKING:
    from phloem.runtime.context.files import Found
    from phloem.runtime.journal.record import Question
    from phloem.runtime.workflow import Limit

__all__ = ["AskingAtHome", "AwayContext", "Line", "ToldBudget"]

Result = TypeVar("Result")


class Line(Protocol):
    """The way from one call on a worker to the run that it belongs to. Any thread may use it."""

    def tell(self, method: str, *arguments: Any) -> None:
        """Have the run know something; it returns at once."""
        ...

    async def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What the run's machine answers; the error that it had instead."""
        ...

    def ask_from_thread(self, method: str, *arguments: Any, **named: Any) -> Any:
        """As `ask`, in a thread that may wait."""
        ...


@dataclass(slots=True)
class AwayContext(Context):
    """A Context on a worker. What belongs to whoever started the run is asked of the run's own machine."""

    line: Line = field(kw_only=True)
    _waits: Iterator[int] = field(default_factory=count, init=False, repr=False)

    @property
    def files(self) -> Files:
        return FilesAtHome(self, self.line)

    @property
    def collections(self) -> Collections:
        return CollectionsAtHome(self, self.line)

    async def permitted(self, check: Callable[[], Result]) -> Result:
        # The run's machine waits for the answer, and tells that it does.
        try:
            return check()
        except PermissionNeeded as error:
            asking = self.scope.asking
            if asking is None or not asking.may_help(error):
                raise
        return await asking.until_allowed(self.node, check)

    def sent(self, model: str, text: str) -> None:
        if self.scope.prompts:
            self.line.tell("sent", model, text)

    async def ask(
        self, asks: str, *, type: str = "text", choices: Sequence[str] = (), timeout: float | None = None
    ) -> Any:
        return await self.line.ask("person", asks, type=type, choices=list(choices), timeout=timeout)

    async def wait_until(self, at: float, waits_for: str) -> None:
        await self.line.ask("wait_until", at, waits_for)

    @contextmanager
    def told_waiting(self, waits_for: str | Question, until: float | None = None) -> Iterator[None]:
        """What `on_waiting` is here. People are asked where the run is, and waited for there."""
        number = next(self._waits)
        self.line.tell("waits", number, str(waits_for), until)
        try:
            yield
        finally:
            self.line.tell("goes_on", number)


@dataclass(slots=True)
class FilesAtHome(Files):
    line: Line

    def read(self, path: str, *, limit: int = 200_000_000) -> bytes:
        data: bytes = self.line.ask_from_thread("files.read", path, limit=limit)
        return data

    def list(self, folder: str, pattern: str = "*") -> Found:
        found: Found = self.line.ask_from_thread("files.list", folder, pattern)
        return found

    def write(self, path: str, data: bytes, *, mode: Literal["replace", "append", "new"] = "replace") -> str:
        written: str = self.line.ask_from_thread("files.write", path, data, mode=mode)
        return written

    def digest(self, path: str) -> str:
        found: str = self.line.ask_from_thread("files.digest", path)
        return found


@dataclass(slots=True)
class CollectionsAtHome(Collections):
    line: Line

    async def add(
        self,
        name: str,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadata: Sequence[Mapping[str, Any]],
        *,
        model: str,
    ) -> Collection:
        added: Collection = await self.line.ask(
            "collections.add", name, list(ids), list(texts), [list(one) for one in vectors],
            [dict(one) for one in metadata], model=model,
        )  # fmt: skip
        return added

    async def search(
        self, name: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        hits: list[Hit] = await self.line.ask("collections.search", name, list(vector), k, where)
        return hits

    async def about(self, name: str) -> Collection | None:
        found: Collection | None = await self.line.ask("collections.about", name)
        return found

    async def state(self, name: str) -> str:
        return str(await self.line.ask("collections.state", name))

    async def note(self, name: str) -> str:
        return str(await self.line.ask("collections.note", name))

    async def keep_note(self, name: str, note: str) -> None:
        await self.line.ask("collections.keep_note", name, note)

    async def keep_only(self, name: str, ids: Sequence[str]) -> int:
        return int(await self.line.ask("collections.keep_only", name, list(ids)))

    async def clear(self, name: str) -> int:
        return int(await self.line.ask("collections.clear", name))


class ToldBudget(Budget):
    """The budget of a call on a worker: the run is told what is spent, and counts for all its workers."""

    __slots__ = ("_line",)

    def __init__(
        self, line: Line, limit: Limit, parent: Budget | None, whose: str, remedies: Mapping[str, str]
    ) -> None:
        super().__init__(limit, parent, whose=whose, remedy=lambda word: remedies[word])
        self._line = line

    def spend(self, read: int = 0, written: int = 0, money: float = 0.0) -> None:
        try:
            super().spend(read, written, money)
        finally:
            self._line.tell("spend", read, written, money)


class AskingAtHome(GrantAsking):
    """What a call on a worker lacks, asked of whoever started the run. `give` lets the call have what they allow."""

    def __init__(self, line: Line, give: Callable[[Sequence[Grant]], None]) -> None:
        super().__init__()
        self._line = line
        self._give = give

    async def _is_given(self, node: str, error: PermissionNeeded) -> bool:
        if not await self._line.ask("grant", error.message, list(error.flags), error.hint):
            return False
        self._give([Grant.of_flag(flag) for flag in error.flags])
        return True
