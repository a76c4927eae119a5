"""A recording in a file: lines of JSON, in an order that does not depend on what ran when, so that git can compare it.

The first line says what the run was recorded with, every other is a question with what came of it:

    {"phloem_recording": 1, "seed": 7, "model": "openai:gpt-5", "embedding": "local:minilm"}
    {"node": "reply", "call": "answer", "asked": {"model": "openai:gpt-5", "prompt": "…"}, "said": ["…"], "gave": {…}}

Lines are sorted by node, those of a node in the order in which it asked. There are no digests in it: a person may
change a question or an answer.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import threading
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from phloem.runtime.codec import UnstorableValue
from phloem.runtime.disk import sync_folder
from phloem.runtime.errors import ConfigError, JournalError
from phloem.runtime.recording.plain import key_of
from phloem.runtime.recording.recording import Exchange, Head, Place, Recording

__all__ = ["ENDING", "FileKeeper", "read_head", "read_recording", "write_recording"]

VERSION: Final = 1
ENDING: Final = ".phloem-recording"
LARGEST: Final = 1_000_000_000
"""Bytes of a recording in a file."""
LONGEST: Final = 300_000_000
_WORD: Final = "phloem_recording"
_TOO_DEEP: Final = "it is nested too deeply"


def read_recording(path: Path) -> Recording:
    """The recording in a file. ConfigError, with the line, if there is none, or if it is damaged."""
    data = _data(path)
    lines = io.BytesIO(data)
    recording = Recording(Place("file", str(path)), _head(path, lines.readline()))
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        exchange = _exchange(path, number, line)
        try:
            key = key_of(exchange.question)
        except (RecursionError, UnstorableValue):
            raise _damaged(path, number, _TOO_DEEP) from None
        recording.add(exchange.node, exchange.call, key, partial(_exchange, path, number, line))
    return recording


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording, wherever it is, to a file. ConfigError if an answer in it can no longer be read, or the file
    cannot be written or holds something else; JournalError if the disk is full."""
    keeper = FileKeeper(path, recording.head)
    finished = False
    try:
        for exchange, key, number in recording.exchanges():
            keeper.keep(exchange, key, number)
        finished = True
    finally:
        keeper.close(finished)


def read_head(path: Path) -> Head | None:
    """What the recording in a file begins with; None if the file is none."""
    try:
        with path.open("rb") as file:
            return _head(path, file.readline(LONGEST))
    except (OSError, ConfigError):
        return None


def _data(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder, and no recording")
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST:,} bytes, so it is no recording")
        return path.read_bytes()
    except FileNotFoundError:
        hint = f"`phloem run FILE --record {path}` makes it."
        raise ConfigError(f"there is no recording {path}", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _head(path: Path, line: bytes) -> Head:
    try:
        data = _parsed(line)
        version = data.get(_WORD) if isinstance(data, dict) else None
        if isinstance(version, bool) or not isinstance(version, int):
            raise ValueError
    except ValueError:
        raise ConfigError(f"{path} is not a recording", hint="`phloem run FILE --record` makes recordings.") from None
    if version != VERSION:
        raise ConfigError(
            f"{path} is a recording of the form {version}, and this version reads the form {VERSION}",
            hint="Install a newer version of Phloem, or record it again.",
        )
    try:
        return Head.of(data)
    except ValueError as error:
        raise _damaged(path, 1, str(error)) from None


def _exchange(path: Path, number: int, line: bytes) -> Exchange:
    try:
        return Exchange.of(_parsed(line), number)
    except ValueError as error:
        raise _damaged(path, number, str(error)) from None


def _parsed(line: bytes) -> Any:
    """The JSON of a line; ValueError if it is none."""
    if len(line) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST:,} bytes")
    try:
        return json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} (column {error.colno})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start + 1})") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _refuse(word: str) -> Any:
    raise ValueError(f"it is not JSON: {word}")


def _damaged(path: Path, number: int, reason: str) -> ConfigError:
    return ConfigError(
        f"{path}:{number}: the recording is damaged: {reason}",
        hint="Take the file as it was (from git, say), or record it again.",
    )


class FileKeeper:
    """Keeps a recording in a file, which is there when the run has ended.

    Until then every answer is in `FILE.partial` as soon as it has come, and stays there if the run is broken off:
    that is a recording too. ConfigError if the file cannot be written, or holds something else. After an answer that
    could not be kept none is, and FILE stays as it was.
    """

    def __init__(self, path: Path, head: Head) -> None:
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self._sorted = path.with_name(f"{path.name}.sorted")
        self._lock = threading.Lock()
        self._places: list[tuple[tuple[Any, ...], int, int]] = []
        self._end = 0
        self._failure: JournalError | None = None
        first = {_WORD: VERSION, **head.data}
        try:
            for one in (path, self.partial, self._sorted):
                if one.exists() and read_head(one) is None and one.stat().st_size:
                    hint = "Give the recording another name, or remove the file."
                    raise ConfigError(f"{one} is there and is no recording, so it stays as it is", hint=hint)
            self._file: BinaryIO = _new(self.partial)
        except OSError as error:
            raise ConfigError(f"cannot write {self.partial}: {(error.strerror or str(error)).lower()}") from error
        self._write((), first)

    def keep(self, exchange: Exchange, key: bytes, number: int) -> None:
        self._write((_order(exchange.node), exchange.node, exchange.turn), exchange.data)

    def close(self, finished: bool) -> None:
        with self._lock:
            try:
                if finished and self._failure is None:
                    self._put_in_order()
            except OSError as error:
                self._failure = self._failed(error)
            finally:
                with contextlib.suppress(OSError):
                    self._file.close()
        if self._failure is not None and finished:
            raise self._failure
        if finished:
            self.partial.unlink(missing_ok=True)

    def _write(self, order: tuple[Any, ...], data: Any) -> None:
        line = _line(data)
        with self._lock:
            if self._failure is not None:
                # What follows would stand where nobody looks for it, and what is missing would not be missed.
                raise self._failure
            try:
                self._file.write(line)
                self._file.flush()
            except (OSError, ValueError) as error:
                self._failure = self._failed(error)
                raise self._failure from error
            self._places.append((order, self._end, len(line)))
            self._end += len(line)

    def _put_in_order(self) -> None:
        """Write the lines once more, sorted, and put that in the place of the file."""
        try:
            with _new(self._sorted) as sorted_file:
                for _, start, length in sorted(self._places, key=lambda one: one[0]):
                    self._file.seek(start)
                    sorted_file.write(self._file.read(length))
                sorted_file.flush()
                os.fsync(sorted_file.fileno())
            if self.path.exists():
                self._sorted.chmod(self.path.stat().st_mode & 0o7777)
            self._sorted.replace(self.path)
        except BaseException:
            self._sorted.unlink(missing_ok=True)
            raise
        sync_folder(self.path.parent)

    def _failed(self, error: Exception) -> JournalError:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        return JournalError(f"cannot record to {self.path}: {reason}", hint=f"What there is lies in {self.partial}.")


def _new(path: Path) -> BinaryIO:
    """A file of this name that is not there yet: one that is left from before goes, unless somebody has it open who
    then keeps it to himself."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    return os.fdopen(handle, "w+b")


def _line(data: Any) -> bytes:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    # These end a line for some programs, and would hide in a difference.
    text = text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:
        return f"{json.dumps(data, allow_nan=False)}\n".encode()


def _order(path: str) -> tuple[Any, ...]:
    """So that `each/9` comes before `each/10`."""
    return tuple((0, int(part), "") if re.fullmatch(r"[0-9]{1,18}", part) else (1, 0, part) for part in path.split("/"))
