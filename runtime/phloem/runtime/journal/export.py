"""One run in one file, to be read elsewhere: a zip with nothing in it that needs Phloem to be understood.

run.json           what it was: status, times, cost, options, questions, whom it spoke to, and where the values are
workflow.flow.yaml the workflow as it was run (.json if it was written so); `called/` has those that it called
events.jsonl       its events, one a line, as `phloem run --events` prints them
inputs/ nodes/ outputs/   the values: texts as .txt, bytes as they are, everything else as .json
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import mimetypes
import os
import re
import secrets
import zipfile
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from phloem.runtime.cache import Stored
from phloem.runtime.codec import DEEPEST, json_form
from phloem.runtime.events import preview, to_json
from phloem.runtime.journal.kept import KeptRun
from phloem.runtime.journal.loading import GONE, loaded
from phloem.runtime.values import UNLIT, Blob

__all__ = ["export"]

_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Every entry's: two exports of one run are the same file."""


def export(run: KeptRun, path: Path) -> None:
    """Write the run to `path`, whole or not at all; OSError if that cannot be. JournalError if the run can no longer
    be read."""
    beside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            _Export(archive).write(run)
            file.flush()
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


class _Export:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._taken: set[str] = set()

    def write(self, run: KeptRun) -> None:
        record = run.record
        if record.text:
            as_json = record.text.lstrip().startswith("{")
            self._put("workflow.flow." + ("json" if as_json else "yaml"), _bytes(record.text))
        called = {
            name: self._put(f"called/{_file_name(PurePosixPath(name).name)}", _bytes(text))
            for name, text in record.files.items()
        }
        lines = (json.dumps(to_json(event), ensure_ascii=False) + "\n" for event in run.events)
        self._put("events.jsonl", b"".join(map(_bytes, lines)))
        about = {
            **dataclasses.asdict(run.summary),
            "options": json_form(dict(record.options)),
            "called": called,
            "inputs": self._values("inputs", record.inputs),
            "nodes": {
                name: self._values("/".join(["nodes", *map(_file_name, name.split("/"))]), one.outputs)
                for name, one in run.finished.items()
            },
            "outputs": self._values("outputs", run.outputs),
            "questions": [one.to_json() for one in run.questions.values()],
            "egress": [dataclasses.asdict(one) for one in run.egress],
            "answers": [
                {
                    "node": one.node, "call": one.call, "asked": one.asked.hex(), "number": one.number,
                    **self._value(f"answers/{_file_name(one.node)}.{_file_name(one.call)}.{one.number}", one.answer),
                }
                for one in run.recorded
            ],
            "damaged": run.damaged,
        }  # fmt: skip
        del about["here"]
        self._put("run.json", _bytes(json.dumps(about, ensure_ascii=False, indent=2) + "\n"))

    def _values(self, folder: str, values: Mapping[str, Stored | None]) -> dict[str, Any]:
        return {name: self._value(f"{folder}/{_file_name(name)}", one) for name, one in values.items()}

    def _value(self, name: str, stored: Stored | None) -> dict[str, Any]:
        """Put a value in; what it is, and where it lies. `file` is null for one that can no longer be had."""
        value = loaded(stored)
        if value is GONE:
            return {"type": "gone", "file": None}
        if value is UNLIT:
            return {"type": "unlit", "file": None}
        about = {"type": preview(value).type, "file": ""}
        if isinstance(value, str):
            about["file"] = self._put(f"{name}.txt", _bytes(value))
        elif isinstance(value, Blob):
            ending = PurePosixPath(value.name).suffix or mimetypes.guess_extension(value.media_type) or ".bin"
            about |= {"name": value.name, "media_type": value.media_type}
            about["file"] = self._put(f"{name}{_file_name(ending)}", value.data)
        else:
            about["file"] = self._put(f"{name}.json", _bytes(json.dumps(_plain(value), ensure_ascii=False)))
        return about

    def _put(self, name: str, data: bytes) -> str:
        """Add an entry; its name, made another if that is taken."""
        stem, dot, ending = name.partition(".") if "/" not in name else _split(name)
        number = 1
        while name.lower() in self._taken:
            number += 1
            name = f"{stem}-{number}{dot}{ending}"
        self._taken.add(name.lower())
        entry = zipfile.ZipInfo(name, _TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        self._archive.writestr(entry, data)
        return name


def _split(name: str) -> tuple[str, str, str]:
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    return folder + slash + stem, dot, ending


def _file_name(text: str) -> str:
    """A name that every system can unpack, and that leads nowhere else."""
    safe = re.sub(r"[^\w.-]", "_", text)[:80]
    return safe if safe.strip(".") else safe.replace(".", "_") or "_"


def _bytes(text: str) -> bytes:
    # Half a surrogate pair, which has no UTF-8, becomes `\\udcff`: in JSON that is what it was.
    return text.encode("utf-8", "backslashreplace")


def _plain(value: Any, depth: int = 0) -> Any:
    """JSON data. Bytes inside a value become `{"base64": …}`, for JSON has no form for them; what lies more than 200
    levels deep becomes `…`."""
    if isinstance(value, bytes | bytearray):
        return {"base64": b64encode(value).decode()}
    fields = dataclasses.is_dataclass(value) and not isinstance(value, type)
    if depth == DEEPEST and (fields or isinstance(value, dict | list | tuple)):
        return "…"
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if fields:
        return {one.name: _plain(getattr(value, one.name), depth + 1) for one in dataclasses.fields(value)}
    return json_form(value)
