"""The bytes of a file, fetched into its part: gone on with after every cut, begun anew only where that must be."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from phloem.nodes.services.models.pull.disk import KEPT_FREE, amount, disk_error
from phloem.nodes.services.models.pull.hub import Target, gated
from phloem.nodes.services.models.pull.part import Note, Part
from phloem.nodes.services.models.pull.progress import Progress
from phloem.nodes.services.models.pull.web import Answer, Cut, Web
from phloem.runtime.errors import ServiceError
from phloem.runtime.words import printable

__all__ = ["Patience", "Transfer"]

MAGIC: Final = b"GGUF"
LARGEST: Final = 2 * 10**12
"""Bytes of a model file: more than any there is."""
_GAIN: Final = 1_000_000
"""Bytes more than ever before, after which a cut is a new one, and not the same trouble once more."""
_LOOK_EVERY: Final = 64_000_000
"""Bytes after which the free space is looked at again."""
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_ALL: Final = re.compile(r"bytes \*/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often the same trouble is met with another try, and the seconds before the first; each wait doubles."""

    tries: int = 6
    first: float = 1.0
    longest: float = 30.0

    def before(self, attempt: int) -> float:
        """Seconds to wait before that attempt, counted from 1."""
        return min(self.first * 2.0 ** (attempt - 1), self.longest)


class Transfer:
    """Fetches `target` into `part`."""

    def __init__(self, target: Target, part: Part, web: Web, progress: Progress, patience: Patience) -> None:
        self._target = target
        self._part = part
        self._web = web
        self._progress = progress
        self._patience = patience

    def run(self) -> str:
        """Fetch what is missing; the SHA-256 that was told of it on the way, empty if none was.

        ServiceError if that fails, InputError if the address is no good. What came stays in the part.
        """
        note = self._part.note()
        if note is None and self._part.size:
            self._part.discard()
        failures, farthest = 0, self._part.size
        while True:
            try:
                return self._attempt()
            except Cut as cut:
                # A server that always begins at the beginning brings much, and yet may never come to the end.
                gained = self._part.size - farthest
                farthest = max(farthest, self._part.size)
                failures = 1 if gained >= _GAIN else failures + 1
                if failures >= self._patience.tries:
                    raise ServiceError(
                        f"{cut}; {failures} tries were in vain",
                        hint="What came is kept: the same command goes on from there.",
                        retryable=True,
                    ) from cut
                wait = max(self._patience.before(failures), cut.wait)
                self._progress.say(f"{cut}; going on in {wait:.0f} s" if wait >= 1 else f"{cut}; going on")
                time.sleep(wait)

    def _attempt(self) -> str:
        """One exchange. Cut if it did not bring all."""
        note, have = self._part.note(), self._part.size
        if note and have and have == note.size:
            return note.sha256
        headers = self._range(note, have)
        with self._web.get(self._target.url, headers, self._target.secret) as answer:
            if answer.status == 416 and headers:
                return self._past_the_end(answer, have)
            if answer.status == 206 and headers and note and self._goes_on(answer, note, have):
                return self._take(answer, note, have)
            if answer.status == 206:
                # Not what was asked for: from now on the whole is.
                self._part.discard()
                raise Cut(f"{answer.server} sends another part than the one asked for")
            if answer.status >= 400:
                raise self._refused(answer)
            return self._take(answer, self._anew(answer, have), 0)

    def _range(self, note: Note | None, have: int) -> dict[str, str]:
        """The headers that ask for the rest; none if only the whole can be right."""
        if not note or have < len(MAGIC) or not (self._target.pinned or note.validator):
            return {}
        headers = {"Range": f"bytes={have}-"}
        if not self._target.pinned:
            headers["If-Range"] = note.validator
        return headers

    def _goes_on(self, answer: Answer, note: Note, have: int) -> bool:
        """Whether an answer of 206 is the rest of what is there."""
        found = _RANGE.fullmatch(answer.header("content-range"))
        if not found or int(found[1]) != have or found[3] == "*" or int(found[2]) != int(found[3]) - 1:
            return False
        same = self._target.pinned or not note.etag or answer.header("etag") in ("", note.etag)
        return same and note.size in (None, int(found[3]))

    def _anew(self, answer: Answer, have: int) -> Note:
        """Begin the part with this answer, which carries the whole; the note of it."""
        told = answer.header("content-length")
        size = int(told) if told.isascii() and told.isdigit() and len(told) < 19 else None
        target = self._target
        if size is not None and target.size is not None and size != target.size:
            raise ServiceError(
                f"{answer.server} sends {size:,} bytes where {target.size:,} were announced for {target.file}"
            )
        if have >= len(MAGIC):
            self._progress.say(
                f"{answer.server} does not go on where it stopped, or has another file now: starting over"
            )
        note = Note(
            target.source,
            answer.header("etag")[:1_000],
            answer.header("last-modified")[:100],
            size if size is not None else target.size,
            target.sha256 or answer.linked,
        )
        self._check_room(note.size or 0)
        self._part.begin(note)
        return note

    def _take(self, answer: Answer, note: Note, done: int) -> str:
        """Write what comes. Cut if it ends before it should."""
        total = note.size
        self._check_room((total or done) - done)
        self._progress.begin("fetching", done, total)
        start, next_look = b"", done + _LOOK_EVERY
        with self._part.open() as file:
            for chunk in answer.response.iter_raw():
                if done < len(MAGIC):
                    start += chunk[: len(MAGIC) - len(start)]
                    self._check_start(start, answer)
                done += len(chunk)
                if done > (LARGEST if total is None else total):
                    raise ServiceError(f"{answer.server} sends more bytes than it announced")
                _write(file, chunk, self._part.path)
                if done >= next_look:
                    next_look = done + _LOOK_EVERY
                    self._check_room(0)
                self._progress.reach(done)
        if total is not None and done < total:
            raise Cut(f"{answer.server} stopped after {amount(done)} of {amount(total)}")
        return note.sha256

    def _check_start(self, start: bytes, answer: Answer) -> None:
        """ServiceError as soon as what comes cannot be a model."""
        if MAGIC.startswith(start):
            return
        self._part.discard()
        kind = printable(answer.header("content-type").partition(";")[0])[:60]
        page = kind in ("text/html", "application/xhtml+xml") or start[:1] == b"<"
        raise ServiceError(
            f"{answer.server} sends "
            + ("a web page" if page else f"something else ({kind or 'of no known kind'})")
            + ", not a GGUF file",
            hint="Give the address of the file itself, as a browser's download button does."
            if page
            else "Models come as GGUF files, made for llama.cpp.",
        )

    def _past_the_end(self, answer: Answer, have: int) -> str:
        """The server has nothing after what is there: that is all, or it is no part of this file."""
        found = _ALL.fullmatch(answer.header("content-range"))
        note = self._part.note()
        if found and int(found[1]) == have and note and note.size in (None, have):
            return note.sha256
        self._part.discard()
        raise Cut(f"{answer.server} has another file now")

    def _refused(self, answer: Answer) -> ServiceError:
        file, status = self._target.source, answer.status
        if status in (404, 410):
            return ServiceError(f"there is nothing at {file} ({status})", hint="Check the address.")
        if status in (401, 403) and self._target.page:
            return gated(file, self._target.page, with_token=self._target.secret is not None)
        if status in (401, 403):
            return ServiceError(
                f"{answer.server} does not let everybody fetch {file} ({status})",
                hint="If it wants an account, that is written https://USER:PASSWORD@host/….",
            )
        return ServiceError(f"{answer.server} answers with {status} for {file}")

    def _check_room(self, wanted: int) -> None:
        """ServiceError unless so many bytes, and some more, fit on the disk."""
        if wanted > LARGEST:
            raise ServiceError(f"{self._target.file} is said to have {wanted:,} bytes, more than any model")
        free = shutil.disk_usage(self._part.path.parent).free
        if free < wanted + KEPT_FREE:
            raise ServiceError(
                f"{self._part.path.parent} has no room: {amount(wanted)} are still to come and {amount(free)} are free",
                hint=f"Make room (`phloem models rm NAME`), or move the home with PHLOEM_HOME. "
                f"{amount(KEPT_FREE)} are left free.",
            )


def _write(file: FileIO, data: bytes, path: Path) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) or 0 :]
    except OSError as error:
        raise disk_error(path, error) from error
