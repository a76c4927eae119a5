"""Rows for a collection: checked, hashed, each id once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from phloem.nodes.services.collections.metadata import KEPT, packed
from phloem.runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

__all__ = ["LONGEST_ID", "LONGEST_NAME", "Rows", "array_of", "check_name", "is_name", "rows_of"]

LONGEST_NAME: Final = 200
LONGEST_ID: Final = 500


@dataclass(frozen=True, slots=True)
class Rows:
    """What goes into a collection: lists of equal length, and the hash of each row by its id."""

    ids: list[str]
    texts: list[str]
    vectors: Vectors
    fields: list[dict[str, Any]]
    hashes: dict[str, bytes]

    def picked(self, wanted: set[str]) -> Rows:
        """The rows with these ids."""
        places = [place for place, id in enumerate(self.ids) if id in wanted]
        return Rows(
            [self.ids[place] for place in places],
            [self.texts[place] for place in places],
            self.vectors[places],
            [self.fields[place] for place in places],
            {id: hash for id, hash in self.hashes.items() if id in wanted},
        )


def rows_of(
    ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Sequence[float]], metadata: Sequence[Mapping[str, Any]]
) -> Rows:
    """The rows checked and hashed; of several with one id the last."""
    if not len(ids) == len(texts) == len(vectors) == len(metadata):
        raise InputError(
            f"{len(ids)} ids, {len(texts)} texts, {len(vectors)} vectors, {len(metadata)} metadata: not equal"
        )
    if not ids:
        raise InputError("there is nothing to add")
    bad = next((id for id in ids if not is_name(id, LONGEST_ID)), None)
    if bad is not None:
        raise InputError(f"{bad!r:.100} cannot be an id", hint=f"An id is a text of 1 to {LONGEST_ID} characters.")
    array = array_of(vectors)
    places = list({id: place for place, id in enumerate(ids)}.values())
    kept_texts = [texts[place].encode("utf-16", "surrogatepass").decode("utf-16", "replace") for place in places]
    fields = [packed(metadata[place]) for place in places]
    kept = [ids[place] for place in places]
    hashes = {
        id: _hash(id, text, own, array[place])
        for id, text, own, place in zip(kept, kept_texts, fields, places, strict=True)
    }
    return Rows(kept, kept_texts, array[places], fields, hashes)


def array_of(vectors: Sequence[Sequence[float]]) -> Vectors:
    import numpy as np

    try:
        with np.errstate(over="ignore"):
            array = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InputError("vectors must be lists of numbers, all of the same length") from None
    if array.ndim != 2 or not array.shape[1] or not np.isfinite(array).all():
        raise InputError("vectors must be lists of finite numbers, all of the same length")
    return array


def _hash(id: str, text: str, fields: Mapping[str, Any], vector: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in (id.encode(), text.encode(), str(fields[KEPT]).encode(), vector.tobytes()):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()


def check_name(name: str) -> None:
    if not is_name(name):
        raise InputError(
            f"{name!r:.100} cannot be the name of a collection",
            hint=f"A name has 1 to {LONGEST_NAME} characters, not only spaces, and no line ends.",
        )


def is_name(name: object, longest: int = LONGEST_NAME) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= longest
        and bool(name.strip())
        and not re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", name)
    )
