"""The collections service: Chroma, and the ledger beside it, in a thread of their own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from phloem.nodes.services.collections.store import Store
from phloem.runtime.errors import ServiceError
from phloem.runtime.home import Home
from phloem.runtime.values import Collection, Hit

__all__ = ["LocalCollections"]

Result = TypeVar("Result")


class LocalCollections:
    """Collections in the home. The methods are those of CollectionsService, and `clear`.

    Several processes may use one home at once. Any event loop may call it.
    """

    def __init__(self, home: Home) -> None:
        self._store = Store(home)
        self._thread: ThreadPoolExecutor | None = None
        self._starting = threading.Lock()

    async def add(
        self,
        name: str,
        model: str,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadata: Sequence[Mapping[str, Any]],
    ) -> Collection:
        """Put these in, replacing what has the same id; what is there already just so is not written again.

        A half of a surrogate pair in a text becomes U+FFFD. InputError if the lists differ in length, or the
        collection is of another model or has vectors of another length.
        """
        return await self._call(self._store.add, name, model, ids, texts, vectors, metadata)

    async def search(self, name: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None) -> list[Hit]:
        """The `k` nearest, nearest first, with their cosine similarity as score.

        `where` is a filter with Chroma's operators, for fields of the metadata (`author.name` for one inside
        another). InputError if there is no such collection, or the vector or the filter does not fit it.
        """
        return await self._call(self._store.search, name, vector, k, where)

    async def about(self, name: str) -> Collection | None:
        """The collection of that name, if there is one."""
        entry = await self._call(self._store.find, name)
        return Collection(entry.name, entry.model) if entry else None

    async def state(self, name: str) -> str:
        """A text that is another whenever the collection's content is another; empty if there is no collection."""
        entry = await self._call(self._store.find, name)
        return entry.state if entry else ""

    async def digest(self, name: str, ids: Sequence[str]) -> str:
        """A hash of what the collection holds under these ids: text, metadata and vector; empty if any is missing."""
        return await self._call(self._store.digest, name, ids)

    async def note(self, name: str) -> str:
        """What was noted of the collection; empty if nothing was, or there is none."""
        return await self._call(self._store.note, name)

    async def keep_note(self, name: str, note: str) -> None:
        """Note something of the collection in place of what was noted. InputError if there is no such collection."""
        await self._call(self._store.keep_note, name, note)

    async def keep_only(self, name: str, ids: Sequence[str]) -> int:
        """Remove what the collection holds under other ids; how many items those were. InputError if there is none."""
        return await self._call(self._store.keep_only, name, ids)

    async def clear(self, name: str) -> int:
        """Remove the collection with all it holds; how many items those were."""
        return await self._call(self._store.clear, name)

    async def close(self) -> None:
        """Close the files and end the thread. Used again, the service opens them again."""
        if self._thread is not None:
            await self._call(self._store.close)
            self._thread.shutdown()
            self._thread = None

    async def _call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        with self._starting:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="phloem collections")
        return await asyncio.get_running_loop().run_in_executor(self._thread, _told, function, *arguments)


def _told(function: Callable[..., Result], *arguments: Any) -> Result:
    """`function(…)`, with what SQLite and Chroma raise turned into errors that say what happened."""
    try:
        return function(*arguments)
    except sqlite3.Error as error:
        locked = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        hint = "Another process is writing to the collections; try again." if locked else None
        raise ServiceError(f"the collections cannot be used: {error}", hint=hint, retryable=locked) from error
    except OSError as error:
        raise ServiceError(f"the collections cannot be used: {(error.strerror or str(error)).lower()}") from error
