"""What a form costs, and whether it holds: `python tests/bench/forms.py [--runs 200] [--most 400]`.

Models with weights drawn by chance write in forty schemas, at temperature 1. Every answer that comes to its end
is checked by the jsonschema library, formats included; those that are cut off are closed, and checked as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import jsonschema
from phloem.nodes.services.models.forms import form_of
from phloem.runtime.errors import NodeError
from support.held import Held
from support.random_models import random_model
from support.schemas import SCHEMAS
from tables import Table, heading, shown, span

MODELS: Final = 5


@dataclass(slots=True)
class Tally:
    """What became of the answers in one schema. Times are seconds per token."""

    compile: float
    complete: int = 0
    cut: int = 0
    closed: int = 0
    valid: int = 0
    held: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description="Let models of random weights write in schemas.")
    parser.add_argument("--runs", type=int, default=200, help="answers in all")
    parser.add_argument("--most", type=int, default=400, help="tokens of an answer at most")
    given = parser.parse_args()
    heading("Forms")
    with tempfile.TemporaryDirectory() as folder, Held(Path(folder)) as held:
        held.home.models.mkdir(parents=True)
        for seed in range(MODELS):
            random_model(held.home.models / f"chance-{seed}.gguf", seed)
            # Loading is no part of what is measured.
            held.write(None, 0, model=f"local:chance-{seed}", most=1)
        tallies = {name: _tally(schema) for name, schema in SCHEMAS.items()}
        names = list(SCHEMAS)
        for run in range(given.runs):
            name = names[run % len(names)]
            print(f"\r… {run + 1} of {given.runs}", end="", file=sys.stderr, flush=True)
            _run(held, run // len(names) % MODELS, run, SCHEMAS[name], tallies[name], given.most)
        print(file=sys.stderr)
    return _show(tallies)


def _tally(schema: Any) -> Tally:
    began = time.perf_counter()
    form_of({"schema": schema}).grammar.check()
    return Tally(time.perf_counter() - began)


def _run(held: Held, model: int, seed: int, schema: Any, tally: Tally, most: int) -> None:
    """One answer in the schema, and one as long without any form, for the time that it takes."""
    name, form = f"local:chance-{model}", {"schema": schema}
    text, ended, seconds = _timed(held, name, form, seed, most)
    tally.held.append(seconds)
    tally.free.append(_timed(held, name, None, seed, most)[2])
    tally.complete += ended
    tally.cut += not ended
    try:
        if not ended:
            text = form_of(form).close(text)
            tally.closed += 1
        value = form_of(form).read(text)
        validator = jsonschema.Draft202012Validator
        validator(schema, format_checker=validator.FORMAT_CHECKER).validate(value)
        tally.valid += value == json.loads(text)
    except (NodeError, ValueError, jsonschema.ValidationError) as error:
        tally.wrong.append(f"{text!r:.200}: {error!s:.200}")


def _timed(held: Held, model: str, form: Any, seed: int, most: int) -> tuple[str, bool, float]:
    before, began = held.written, time.perf_counter()
    text, ended = held.write(form, seed, model=model, most=most)
    return text, ended, (time.perf_counter() - began) / max(1, held.written - before)


def _show(tallies: dict[str, Tally]) -> int:
    table = Table(
        "Models of random weights held to schemas",
        ["schema", "runs", "complete", "cut off", "closed", "valid", "compile ms", "ms a token", "without", "slowest"],
        left=1,
    )
    for name, one in tallies.items():
        if one.held:
            counts = [str(count) for count in (len(one.held), one.complete, one.cut, one.closed, one.valid)]
            times = [shown(one.held, 1e3, 2), shown(one.free, 1e3, 2), shown([max(one.held)], 1e3, 2)]
            table.row(name, *counts, shown([one.compile], 1e3), *times)
    ran = [one for one in tallies.values() if one.held]
    sums = [
        sum(values) for values in zip(*((len(o.held), o.complete, o.cut, o.closed, o.valid) for o in ran), strict=True)
    ]
    held, free = [t for one in ran for t in one.held], [t for one in ran for t in one.free]
    compiled = [one.compile for one in ran]
    table.row(
        "all",
        *map(str, sums),
        shown(compiled, 1e3),
        shown(held, 1e3, 2),
        shown(free, 1e3, 2),
        shown([max(held)], 1e3, 2),
    )
    table.show()
    print(
        f"\nA grammar makes a token {median(held) / median(free):.1f} times as long (compiling: {span(compiled, 1e3)} ms)."
    )
    wrong = [f"{name}: {what}" for name, one in tallies.items() for what in one.wrong]
    for what in wrong:
        print(f"\nWRONG: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
