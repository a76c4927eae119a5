"""`phloem models bench`: how fast models read and write on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from phloem.nodes.commands.models import places
from phloem.nodes.commands.models.facts import about, millions, size
from phloem.nodes.commands.models.measure import measure
from phloem.nodes.commands.models.tables import table
from phloem.nodes.services.models.models import LOCAL, Models
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.services import ModelInfo
from phloem.runtime.settings import Settings
from phloem.runtime.words import printable

__all__ = ["main"]

BUSY: Final = 0.25
"""How much of the machine others may use before the figures are worth less."""
HEADER: Final = ("at once", "threads", "prompt", "read tokens/s", "written tokens/s", "first token")


def main(given: argparse.Namespace) -> int:
    """Measure them one after the other, and print a table for each."""
    home = Home.default()
    names = [places.full_name(one) for one in given.models] or [DefaultModels.choose("", "", Settings.load(home)).text]
    _warn_if_busy()
    results = []
    for name in names:
        result = asyncio.run(_bench(home, about(home, name), given))
        results.append(result)
        if not given.json:
            print(_shown(result, blank=len(results) > 1))
    if given.json:
        print(json.dumps(results, ensure_ascii=False, indent=2))
    return 0


async def _bench(home: Home, info: ModelInfo, given: argparse.Namespace) -> dict[str, Any]:
    """What was measured of one model, as JSON."""
    name = info.name
    if given.threads and info.provider != LOCAL:
        raise ConfigError(f"{name} does not run here, so it has no threads of ours", hint="Leave out --threads.")
    runs = []
    for threads in given.threads or (None,):
        with _with_threads(home, threads) as one, _status(name) as tell:
            models = Models(one)
            try:
                seconds, speeds = await measure(
                    models, replace(info, name=f"local:{info.path}" if threads else name), prompt=given.prompt,
                    write=given.write, parallel=given.parallel, rounds=given.rounds, tell=tell,
                )  # fmt: skip
            finally:
                await models.close()
        runs += [{"threads": threads, "load_seconds": round(seconds, 3), **asdict(speed)} for speed in speeds]
    return {"name": name, "size": info.size, "parameters": info.parameters, "makes": info.makes, "runs": runs}


@contextmanager
def _with_threads(home: Home, threads: int | None) -> Iterator[Home]:
    """A home whose settings are those of `home`, but for the number of threads."""
    if threads is None:
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="phloem-bench-") as folder:
        other = Home(Path(folder))
        given = home.path / "settings.yaml"
        if given.exists():
            shutil.copyfile(given, other.path / "settings.yaml")
        Settings.load(other).changed("models", "threads", threads).save()
        yield other


def _shown(result: dict[str, Any], *, blank: bool) -> str:
    loads = sorted({one["load_seconds"] for one in result["runs"]})
    facts = [size(result["size"]), millions(result["parameters"]), f"loaded in {loads[0]:.2f} s"]
    rows = [
        (
            str(one["parallel"]), str(one["threads"] or ""), f"{one['prompt']:,}", f"{one['read_rate']:,.0f}",
            "" if one["write_rate"] is None else f"{one['write_rate']:,.0f}",
            "" if one["first_token"] is None else f"{one['first_token'] * 1000:,.0f} ms",
        )
        for one in result["runs"]
    ]  # fmt: skip
    head = f"{printable(result['name'])}  {', '.join(one for one in facts if one)}"
    return ("\n" if blank else "") + head + "\n" + table(rows, header=HEADER, right=range(len(HEADER)), indent="  ")


@contextmanager
def _status(name: str) -> Iterator[Callable[[str], None]]:
    """Takes what is being done and shows it while the block runs, if a terminal is there to show it on."""
    if not sys.stderr.isatty():
        yield lambda words: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("", spinner="dots") as status:
        yield lambda words: status.update(Text(printable(f"{name}: {words}")))


def _warn_if_busy() -> None:
    """Say so if other programs are using the machine: the figures would be theirs too."""
    if not hasattr(os, "getloadavg"):
        return
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > BUSY * cores:
        print(
            f"warning: the machine is busy (load {load:.1f} on {cores} cores): it is faster than these figures say",
            file=sys.stderr,
        )
