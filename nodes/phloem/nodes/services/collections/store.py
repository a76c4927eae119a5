"""Chroma and the ledger beside it, kept in step."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phloem.nodes.services.collections.ledger import Entry, Ledger
from phloem.nodes.services.collections.metadata import filter_of, unpacked
from phloem.nodes.services.collections.rows import LONGEST_ID, Rows, array_of, check_name, is_name, rows_of
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.values import Collection, Hit
from phloem.runtime.words import nearest

if TYPE_CHECKING:
    from phloem.nodes.services.collections.rows import Vectors

__all__ = ["Store"]

MOST_HITS: Final = 1_000
ROWS_AT_ONCE: Final = 5_000
"""Chroma takes 5,461 rows in one call."""
SPACE: Final = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 1000}}
"""How near is measured, and how widely Chroma looks around for the nearest.

Measured on 10,000 random vectors of 384 numbers: with its own 100 and 100 it finds 49 of 100 true
neighbours in 0.8 ms, with these 99.6 in 1.5 ms. On vectors in clusters both find all.
"""


class Store:
    """The files, opened when first needed. It belongs to one thread."""

    def __init__(self, home: Home) -> None:
        self._folder = home.collections
        self._opened: Ledger | None = None
        self._client: Any = None
        self._version = 0

    def add(
        self,
        name: str,
        model: str,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadata: Sequence[Mapping[str, Any]],
    ) -> Collection:
        check_name(name)
        rows = rows_of(ids, texts, vectors, metadata)
        collection = Collection(name, model)
        if self._has_all(name, model, rows):
            return collection
        with self._ledger.changing(name):
            entry = self._ledger.find(name)
            if entry is None:
                self._ledger.create(name, model, rows.vectors.shape[1])
                self._forget_chroma(name)
            else:
                _check_fit(entry, model, rows)
            old = self._ledger.hashes(name, rows.ids)
            changed = rows.picked({id for id, hash in rows.hashes.items() if old.get(id) != hash})
            self._write(name, changed)
            self._ledger.put(name, {id: hash for id, hash in old.items() if id in changed.hashes}, changed.hashes)
        return collection

    def search(self, name: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None) -> list[Hit]:
        entry = self._existing(name)
        query = array_of([vector])
        if query.shape[1] != entry.width:
            raise InputError(
                f"the collection {name!r} has vectors of {entry.width} numbers, made by {entry.model}; this one has "
                f"{query.shape[1]}"
            )
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MOST_HITS:
            raise InputError(f"a search gives 1 to {MOST_HITS:,} hits, not {k!r}")
        if not entry.items:
            return []
        wanted = filter_of(where)
        try:
            return self._query(entry, query, k, wanted)
        except ServiceError:
            # Chroma may have met a file that another process was writing just then.
            with self._ledger.alone():
                self._close_chroma()
                return self._query(entry, query, k, wanted)

    def find(self, name: str) -> Entry | None:
        return self._ledger.find(name) if is_name(name) else None

    def note(self, name: str) -> str:
        return self._ledger.note(name) if is_name(name) else ""

    def keep_note(self, name: str, note: str) -> None:
        self._existing(name)
        self._ledger.keep_note(name, note)

    def digest(self, name: str, ids: Sequence[str]) -> str:
        if not is_name(name) or not all(is_name(id, LONGEST_ID) for id in ids):
            return ""
        found = self._ledger.hashes(name, list(dict.fromkeys(ids)))
        if len(found) != len(set(ids)) or self._ledger.find(name) is None:
            return ""
        return hashlib.blake2b(b"".join(found[id] for id in ids), digest_size=16).hexdigest()

    def keep_only(self, name: str, ids: Sequence[str]) -> int:
        self._existing(name)
        with self._ledger.changing(name):
            surplus = self._ledger.others(name, ids)
            self._delete(name, list(surplus))
            self._ledger.drop(name, surplus)
        return len(surplus)

    def clear(self, name: str) -> int:
        entry = self.find(name)
        if entry is None:
            return 0
        with self._ledger.changing(name):
            self._forget_chroma(name)
            self._ledger.remove(name)
        return entry.items

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        self._close_chroma()

    @property
    def _ledger(self) -> Ledger:
        if self._opened is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._opened = Ledger(self._folder / "ledger.sqlite3")
        return self._opened

    @property
    def _chroma(self) -> Any:
        """Chroma, opened anew when another process has written: it does not notice that by itself."""
        version = self._ledger.version
        if version != self._version:
            self._close_chroma()
            self._version = version
        if self._client is None:
            self._client = _opened(self._folder / "chroma")
        return self._client

    def _existing(self, name: str) -> Entry:
        check_name(name)
        entry = self._ledger.find(name)
        if entry is None:
            close = nearest(name, [one.name for one in self._ledger.entries()])
            raise InputError(
                f"there is no collection {name!r}" + (f"; did you mean {close!r}?" if close else ""),
                hint="Fill it first, with store.add.",
            )
        return entry

    def _has_all(self, name: str, model: str, rows: Rows) -> bool:
        """Whether the collection holds just these rows already, among others."""
        entry = self._ledger.find(name)
        if entry is None:
            return False
        _check_fit(entry, model, rows)
        return self._ledger.hashes(name, rows.ids) == rows.hashes

    def _write(self, name: str, rows: Rows) -> None:
        chroma = self._chroma
        from chromadb.errors import ChromaError

        try:
            collection = chroma.get_or_create_collection(
                _chroma_name(name), embedding_function=None, configuration=SPACE, metadata={"name": name}
            )
            for start in range(0, len(rows.ids), ROWS_AT_ONCE):
                part = slice(start, start + ROWS_AT_ONCE)
                collection.upsert(
                    ids=rows.ids[part], embeddings=rows.vectors[part], documents=rows.texts[part],
                    metadatas=rows.fields[part],
                )  # fmt: skip
        except (ChromaError, ValueError, TypeError) as error:
            raise ServiceError(f"Chroma cannot keep the texts in {name!r}: {str(error)[:300]}") from error

    def _delete(self, name: str, ids: list[str]) -> None:
        chroma = self._chroma
        from chromadb.errors import ChromaError

        try:
            collection = chroma.get_collection(_chroma_name(name), embedding_function=None)
            for start in range(0, len(ids), ROWS_AT_ONCE):
                collection.delete(ids=ids[start : start + ROWS_AT_ONCE])
        except (ChromaError, ValueError, TypeError) as error:
            raise ServiceError(f"Chroma cannot remove texts from {name!r}: {str(error)[:300]}") from error

    def _query(self, entry: Entry, query: Vectors, k: int, where: dict[str, Any] | None) -> list[Hit]:
        chroma = self._chroma
        from chromadb.errors import ChromaError

        try:
            collection = chroma.get_collection(_chroma_name(entry.name), embedding_function=None)
            found = collection.query(query_embeddings=query, n_results=min(k, entry.items), where=where)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"the filter cannot be used: {str(error)[:300]}",
                hint="It compares with $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $contains, and joins with $and, $or.",
            ) from error
        except ChromaError as error:
            raise ServiceError(f"Chroma cannot search in {entry.name!r}: {str(error)[:300]}") from error
        hits = []
        for id, text, fields, distance in zip(
            found["ids"][0], found["documents"][0], found["metadatas"][0], found["distances"][0], strict=True
        ):
            metadata = unpacked(fields)
            score = max(-1.0, min(1.0, 1.0 - float(distance)))
            hits.append(Hit(text or "", score, id, str(metadata.get("source", "")), metadata))
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))

    def _close_chroma(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _forget_chroma(self, name: str) -> None:
        """Take away what Chroma may have under that name."""
        chroma = self._chroma
        from chromadb.errors import NotFoundError

        try:
            chroma.delete_collection(_chroma_name(name))
        except (NotFoundError, ValueError):
            return


def _opened(folder: Path) -> Any:
    """Chroma on this folder. ServiceError if it cannot start."""
    try:
        import chromadb
        from chromadb.config import Settings

        # What is not handed in it takes from the environment, and from any .env file in the current folder: where its
        # server is, and where it sends the traces of what it does.
        own = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
        settings = Settings(**{**own, "_env_file": None, "anonymized_telemetry": False})
        return chromadb.PersistentClient(str(folder), settings=settings)
    except Exception as error:
        raise ServiceError(
            f"Chroma cannot be started on {folder}: {str(error)[:300]}",
            hint="A file .env in the current folder may say something to it that it does not understand.",
        ) from error


def _check_fit(entry: Entry, model: str, rows: Rows) -> None:
    if entry.model != model:
        raise InputError(
            f"the collection {entry.name!r} has vectors made by {entry.model}, so it cannot take those of {model}",
            hint="Choose that model, another collection, or empty this one with store.clear.",
        )
    if entry.width != rows.vectors.shape[1]:
        raise InputError(
            f"the collection {entry.name!r} has vectors of {entry.width} numbers; these have {rows.vectors.shape[1]}"
        )


def _chroma_name(name: str) -> str:
    """A name that Chroma takes: what it allows of the real one, to be recognised, and a hash of all of it."""
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", name)[:40].strip("-") or "collection"
    return f"{slug}-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
