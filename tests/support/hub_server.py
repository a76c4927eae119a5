"""A server of model files for tests: it answers Range as servers do, breaks off where a test says, and can be the hub."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from support.web_server import Answer, Asked

__all__ = ["FileAnswer", "hub_answers", "sha256_of"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FileAnswer:
    """How a server gives a file. What a test changes between two requests holds from the next one on.

    `cuts` are how many bytes each answer carries before the connection breaks, first to last; then it is whole.
    """

    data: bytes
    etag: str = '"one"'
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    length: bool = True

    def __call__(self, asked: Asked) -> Answer:
        start, status = self._start(asked), 206
        headers = {**({"ETag": self.etag} if self.etag else {}), **self.headers}
        if start is None:
            start, status = 0, 200
        elif start >= len(self.data):
            return Answer(b"", 416, {**headers, "Content-Range": f"bytes */{len(self.data)}"})
        else:
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        rest = self.data[start:]
        if self.length:
            headers["Content-Length"] = str(len(rest))
        if self.cuts:
            rest = rest[: self.cuts.pop(0)]
        return Answer(_pieces(rest), status, headers)

    def _start(self, asked: Asked) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
        if not found or not self.ranges:
            return None
        same = asked.headers.get("if-range", self.etag) == self.etag
        return int(found[1]) if same else None


def _pieces(data: bytes, size: int = 50_000) -> Iterable[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hub_answers(
    repository: str, files: Mapping[str, bytes], *, revision: str = "main", digests: Mapping[str, str] | None = None
) -> dict[str, Answer | FileAnswer]:
    """The answers of a hub that has one repository, whose large files it stores with their checksums."""
    siblings = [{"rfilename": ".gitattributes", "size": 10}, {"rfilename": "README.md", "size": 100}]
    answers: dict[str, Answer | FileAnswer] = {}
    for path, data in files.items():
        digest = (digests or {}).get(path, sha256_of(data))
        siblings.append(
            {"rfilename": path, "size": len(data), "lfs": {"size": len(data), "sha256": digest, "pointerSize": 134}}
        )  # type: ignore[dict-item]
        told = {
            "X-Repo-Commit": COMMIT,
            **({"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(data))} if digest else {}),
        }
        answers[f"/{repository}/resolve/{COMMIT}/{path}"] = FileAnswer(data, headers=told)
    about = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
    answers[f"/api/models/{repository}/revision/{revision}"] = Answer(
        about, headers={"Content-Type": "application/json"}
    )
    return answers
