"""What a run replays and records, from its options to its Answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phloem.runtime.errors import ConfigError
from phloem.runtime.inputs import path_inputs
from phloem.runtime.recording.answers import Answers
from phloem.runtime.recording.file import FileKeeper, read_head, read_recording
from phloem.runtime.recording.in_run import HEAD, Log, LogKeeper, recording_of
from phloem.runtime.recording.recording import Head, Keeper, Recording
from phloem.runtime.recording.safe import safe_url

if TYPE_CHECKING:
    from phloem.runtime.default_models import DefaultModels
    from phloem.runtime.home import Home
    from phloem.runtime.journal import Journal
    from phloem.runtime.plan import Plan
    from phloem.runtime.runs import Options

__all__ = ["Tape"]


class Tape:
    """What one run with these options replays, and where it records.

    ConfigError if there is no such recording, or it cannot be read.
    """

    def __init__(self, options: Options, home: Home) -> None:
        self.options = options
        self.old = _old(options, home)

    @property
    def replays(self) -> bool:
        """True if answers come from an old recording as far as it has them."""
        return self.old is not None

    @property
    def seed(self) -> int | None:
        """The seed that the run should have; None for any. One that is recorded anew keeps the seed that it had, so
        that only what changed is another."""
        if self.options.seed is not None:
            return self.options.seed
        if self.old is not None:
            return self.old.head.seed
        head = read_head(self.options.record) if isinstance(self.options.record, Path) else None
        return None if head is None else head.seed

    def inputs(self, plan: Plan, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The inputs of the run: what is given now, and otherwise what the old one was given."""
        if self.old is None:
            return given
        declared = plan.checked.workflow.inputs
        return {**{name: value for name, value in self.old.head.inputs.items() if name in declared}, **given}

    def models(self, now: DefaultModels, written: str) -> DefaultModels:
        """The models of the run, whose workflow names the model `written`, or none. A replay has those of the old one
        rather than what is the default on this machine `now`."""
        if self.old is None:
            return now
        own = self.old.place.kind == "run"
        return self.old.head.models(now, self.options.model, written, trusted=own)

    def answers(
        self, plan: Plan, given: Mapping[str, Any], seed: int, models: DefaultModels, log: Log | None
    ) -> Answers:
        """The Answers of the run. `given` are its inputs; `log` is what is kept of it, None if nothing is.

        ConfigError if what is to be recorded cannot be kept.
        """
        options = self.options
        answers = Answers(
            old=self.old, asks=options.ask_new, pace=options.pace, folder=plan.folder and plan.folder.resolve(),
            prompts=options.prompts,
        )  # fmt: skip
        paths = path_inputs(plan.checked)
        inputs = {name: _kept(answers, value, path=name in paths) for name, value in given.items()}
        text, embedding = answers.portable_model(models.text), answers.portable_model(models.embedding)
        answers.keep_with(self._keeper(Head(seed, text, embedding, models.asked, inputs), log))
        return answers

    def _keeper(self, head: Head, log: Log | None) -> Keeper | None:
        """Where answers go: to the file that is named, else to the run, or back to the file that is replayed."""
        record = self.options.record
        if isinstance(record, Path):
            return FileKeeper(record, head)
        if not record and not self.options.ask_new:
            return None
        if not record and self.old is not None and self.old.place.kind == "file":
            return FileKeeper(Path(self.old.place.name), head)
        if log is None:
            hint = "Record to a file: --record FILE."
            raise ConfigError("nothing is kept of this run, so its answers cannot be kept with it", hint=hint)
        return LogKeeper(log, head)


def _old(options: Options, home: Home) -> Recording | None:
    if options.replay is None:
        word = "--ask-new" if options.ask_new else "--pace" if options.pace else ""
        if word:
            raise ConfigError(f"{word} says how to replay, and nothing is replayed", hint="Add --replay RUN.")
        return None
    if isinstance(options.replay, Path):
        return read_recording(options.replay)
    from phloem.runtime.journal import Journal

    journal = Journal(home.journal, cache=home.cache)
    return recording_of(journal.run(_last_recorded(journal) if options.replay == "last" else options.replay))


def _last_recorded(journal: Journal) -> str:
    """The newest run that was recorded: a replay is a run too, and does not stand before what it replays."""
    for about in journal.runs(limit=100):
        if any(one.call == HEAD for one in journal.run(about.id).recorded):
            return about.id
    return "last"


def _kept(answers: Answers, value: Any, *, path: bool) -> Any:
    """An input as it is recorded: of an address no key, of a `path` the way from the workflow's folder."""
    if isinstance(value, list):
        return [_kept(answers, one, path=path) for one in value]
    if not isinstance(value, str):
        return value
    if value.startswith(("http://", "https://")):
        return safe_url(value)
    return answers.portable(value) if path and Path(value).is_absolute() else value
