"""Going on with a run that was left: `phloem runs resume RUN`, `phloem run --resume RUN`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from phloem.runtime.cli.limits import parse_limits
from phloem.runtime.cli.run import at_terminal, exit_code, followed, print_result, progress, seal_if_offline
from phloem.runtime.egress import Egress
from phloem.runtime.engine import Engine
from phloem.runtime.errors import ConfigError
from phloem.runtime.events import Event
from phloem.runtime.journal import KeptRun
from phloem.runtime.runs import Options, Result
from phloem.runtime.words import or_list, printable

__all__ = ["check_words", "resume", "settled_already"]

_SETTLED: Final = {
    "file": "FILE", "inputs": "-i", "to": "--to", "model": "--model", "seed": "--seed", "record": "--record",
    "replay": "--replay", "ask_new": "--ask-new", "pace": "--pace",
}  # fmt: skip


def settled_already(given: argparse.Namespace) -> None:
    """ConfigError for what `phloem run --resume` was given that the run has of its own."""
    words = [word for name, word in _SETTLED.items() if getattr(given, name) not in (None, [], "", False)]
    if words:
        raise ConfigError(
            f"{or_list(words, 'and')} cannot be given with --resume: the run goes on with what it was begun with",
            hint=f"Run it anew without --resume, or leave out {or_list(words, 'and')}.",
        )


def check_words(given: argparse.Namespace) -> None:
    """ConfigError for what cannot be meant, before anything is done."""
    if given.json and given.events:
        raise ConfigError("--json and --events are two forms of the output", hint="Give one of them.")
    parse_limits(given.limit)


def resume(given: argparse.Namespace, which: str) -> int:
    """Go on with a run, as the command line says; the exit code."""
    check_words(given)
    if given.trace:
        os.environ["PHLOEM_TRACE"] = given.trace
    with progress(given) as listen:
        result = asyncio.run(_run(given, which, listen))
    print_result(given, result)
    return exit_code(result)


async def _run(given: argparse.Namespace, which: str, listen: Callable[[Event], None]) -> Result:
    engine = Engine()
    seal_if_offline(engine, given)
    try:
        asker = None if given.no_ask else at_terminal(engine, listen)
        left: list[Egress] = []
        options = Options(
            allow=given.allow,
            offline=given.offline,
            ask=asker,
            person=asker,
            stays=given.stay,
            on_egress=left.append if given.egress else None,
            cache=not given.no_cache,
            limit=parse_limits(given.limit),
            prompts=given.prompts,
            on=given.on,
        )
        kept = engine.journal.run(which)
        if options.on:
            await engine.cluster(given.on, options)
        run = engine.resume(kept.id, options)
        _tell(kept)
        result = await followed(run, listen)
        return replace(result, egress=tuple(left))
    finally:
        await engine.close()


def _tell(kept: KeptRun) -> None:
    """Say on stderr with what the run goes on, and what nobody can know of it."""
    about, plain = kept.summary, kept.record.options
    count = sum("/" not in name for name in kept.finished)
    parts = [f"{count} of {len(kept.view.nodes)} nodes have finished"]
    if plain["allow"]:
        parts.append(f"it may {' '.join(plain['allow'])}, as before")
    _say(f"going on with {kept.id} ({about.status}): {', '.join(parts)}")
    for name in kept.in_doubt:
        _say(
            f"warning: {name} was about to change something outside, and nobody knows whether it did; it begins again, "
            "with the same key"
        )
    if kept.damaged:
        _say(f"warning: {kept.damaged} parts of its record cannot be read; what they held is done again")
    if isinstance(plain["record"], str):
        _say(f"warning: what it recorded to {plain['record']} is not gone on with; record it anew to replay it")


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr)
