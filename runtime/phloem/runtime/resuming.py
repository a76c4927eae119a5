"""What is kept of how a run was begun, and how it is begun again from that: file and options, there and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phloem.runtime.cache import Stored, store
from phloem.runtime.codec import UnstorableValue
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.document import WorkflowFile, parse, text_of
from phloem.runtime.errors import ConfigError, DocumentError, WorkflowError
from phloem.runtime.grants import Grant
from phloem.runtime.journal import KeptRun, RunRecord
from phloem.runtime.journal.loading import GONE, loaded
from phloem.runtime.plan import Plan
from phloem.runtime.runs import Options, Run
from phloem.runtime.workflow import Limit

__all__ = ["Left", "record_of"]

_WORDS = ("tokens", "money", "seconds")


def record_of(run: Run, given: Mapping[str, Any], options: Options, models: DefaultModels, began: float) -> RunRecord:
    """All that a run is begun with, as it is kept."""
    plan = run.plan
    document = plan.document or WorkflowFile(plan.checked.workflow)
    if not document.text:
        # Written once for all runs of the plan.
        document = plan.document = replace(document, text=_text(document))
    file = "" if document.path is None else os.path.abspath(document.path)  # noqa: PTH100
    called = plan.checked.called()
    return RunRecord(
        run.id,
        document.text,
        plan.title,
        file,
        {str(path): _text(one) for path, one in called.items()},
        {name: _stored(value) for name, value in given.items()},
        _as_data(plan, run, options, models),
        began,
    )


def _as_data(plan: Plan, run: Run, options: Options, models: DefaultModels) -> dict[str, Any]:
    limit = options.limit
    return {
        "folder": None if plan.folder is None else os.path.abspath(plan.folder),  # noqa: PTH100
        "to": options.to,
        "seed": run.seed,
        "models": [models.text, models.embedding, sorted(models.trusted), models.asked],
        "limit": {word: getattr(limit, word) for word in _WORDS if getattr(limit, word) is not None},
        "allow": [str(one if isinstance(one, Grant) else Grant.parse(one)) for one in options.allow],
        "trusted": [os.path.realpath(one) for one in options.trusted],
        "cache": options.cache,
        "offline": options.offline,
        "prompts": options.prompts,
        "record": str(options.record) if isinstance(options.record, Path) else options.record,
        "replay": None if options.replay is None else str(options.replay),
        "replays_file": isinstance(options.replay, Path),
        "ask_new": options.ask_new,
        "pace": options.pace,
    }


@dataclass(frozen=True, slots=True)
class Left:
    """A run that was left, as it is to go on. `plain` is what its Options were; `limit` what it may spend in all,
    where that was given anew.

    ConfigError from `of` if what it was begun with is not there any more.
    """

    document: WorkflowFile
    called: dict[Path, WorkflowFile]
    inputs: dict[str, Any]
    models: DefaultModels
    seed: int
    folder: Path | None
    options: Options
    limit: Limit

    @classmethod
    def of(cls, kept: KeptRun, asked: Options) -> Left:
        """`asked` are the options of now: grants and limits are added, and who looks on, or is asked, is theirs."""
        record, plain = kept.record, kept.record.options
        document = _document(kept.id, record.text, record.file)
        files = {Path(path): _document(kept.id, text, path) for path, text in record.files.items()}
        old = Limit(**{word: plain["limit"].get(word) for word in _WORDS})
        limit = Limit(**{word: getattr(asked.limit, word) or getattr(old, word) for word in _WORDS})
        text, embedding, trusted, by_user = plain["models"]
        folder = plain["folder"]
        grants = [Grant(*_parts(one)) for one in plain["allow"]]
        replay = plain["replay"]
        options = replace(
            asked,
            to=plain["to"],
            allow=list(dict.fromkeys([*grants, *asked.allow])),
            trusted=[Path(one) for one in plain["trusted"]],
            cache=asked.cache and plain["cache"],
            offline=asked.offline or plain["offline"],
            prompts=asked.prompts or plain["prompts"],
            limit=limit,
            # A file of answers that was broken off cannot be gone on with; those of finished nodes would be missing.
            record=plain["record"] is True,
            replay=Path(replay) if replay is not None and plain["replays_file"] else replay,
            ask_new=plain["ask_new"],
            pace=plain["pace"],
            seed=plain["seed"],
        )
        return cls(
            document, files, {name: _loaded(kept.id, name, one) for name, one in record.inputs.items()},
            DefaultModels(text, embedding, frozenset(trusted), by_user), plain["seed"],
            None if folder is None else Path(folder), options, asked.limit,
        )  # fmt: skip


def _parts(grant: str) -> tuple[str, str]:
    """A grant as it was written down: its path or host is settled already, and not to be looked up again."""
    word, _, scope = grant.partition("=")
    return word, scope


def _text(document: WorkflowFile) -> str:
    """A document as it was read, or else as it would be written; empty for one that no file can hold."""
    if document.text:
        return document.text
    try:
        return text_of(document)
    except DocumentError:
        return ""


def _document(run: str, text: str, file: str) -> WorkflowFile:
    if not text:
        what = f"the workflow {file}" if file else "its workflow"
        raise ConfigError(
            f"the run {run} cannot go on: {what} was not kept, or is damaged", hint="Run the workflow again."
        )
    try:
        return parse(text, path=file or None)
    except WorkflowError as error:
        raise ConfigError(f"the workflow of the run {run} can no longer be read: {error.message}") from error


def _stored(value: Any) -> Stored | None:
    try:
        return store(value)
    except UnstorableValue:
        return None


def _loaded(run: str, name: str, stored: Stored | None) -> Any:
    value = loaded(stored)
    if value is GONE:
        raise ConfigError(
            f"the run {run} cannot go on: its input {name} was not kept, or is damaged", hint="Run the workflow again."
        )
    return value
