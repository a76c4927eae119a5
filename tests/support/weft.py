"""A package of node kinds as a stranger would install one: here, and in every worker process that is started."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

__all__ = ["LOG", "entries", "install"]

LOG = "WEFT_LOG"
"""The environment variable that names the file in which the kinds note what they do."""

SOURCE = '''\
import asyncio, json, os, signal, time
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Annotated, Any, NamedTuple

from phloem.runtime.context import Context
from phloem.runtime.declare import Out, node
from phloem.runtime.errors import InputError, PermissionNeeded
from phloem.runtime.values import UNLIT

_places = {}


def note(what, ctx=None, **more):
    line = {"what": what, "pid": os.getpid(), "at": time.time(), **more}
    if ctx is not None:
        line |= {"node": ctx.node, "key": ctx.key}
    with open(os.environ["WEFT_LOG"], "a") as file:
        file.write(json.dumps(line) + "\\n")


async def _stamp(ctx, inputs):
    return "always the same"


@node("weft.ask", "Ask", needs=["model:model"], effect="chance", stamp=_stamp)
async def ask(ctx: Context, prompt: str, seconds: float = 0.05, at_once: int = 64, model: str = "") -> Annotated[AsyncIterator[str], Out("text")]:
    """Answers as a model that is served somewhere: at most so many questions at once."""
    place = _places.setdefault((at_once, id(asyncio.get_running_loop())), asyncio.Semaphore(at_once))
    async with place:
        note("asked", ctx, prompt=prompt)
        try:
            for piece in (prompt, " is", " answered"):
                await asyncio.sleep(seconds / 3)
                ctx.spend(written=1)
                yield piece
        except asyncio.CancelledError:
            note("interrupted", ctx)
            raise
    note("answered", ctx, prompt=prompt)


class Parts(NamedTuple):
    even: Any
    odd: Any


@node("weft.part", "Part", blocking=True)
def part(n: float) -> Parts:
    """Lights one of two ways."""
    note("part", n=n)
    return Parts(n, UNLIT) if n % 2 == 0 else Parts(UNLIT, n)


@node("weft.large", "Large", blocking=True)
def large(size: int, of: str = "x") -> str:
    """A long text."""
    note("large")
    return of * size


@node("weft.length", "Length", blocking=True)
def length(text: str, n: float = 0, seconds: float = 0) -> int:
    """How long it is."""
    note("length")
    time.sleep(seconds)
    return len(text)


@node("weft.wrong", "Wrong", blocking=True)
def wrong(how: str) -> str:
    """Fails."""
    if how == "input":
        raise InputError("this is no input", hint="Give another.")
    if how == "set":
        return {1, 2}
    return str(1 / 0)


@node("weft.stuck", "Stuck", blocking=True)
def stuck(ctx: Context, text: str = "") -> str:
    """Goes on until it is told to stop."""
    note("stuck", ctx)
    while not ctx.cancelled:
        time.sleep(0.01)
    note("let go", ctx)
    return ""


@node("weft.peek", "Peek", blocking=True)
def peek(ctx: Context, path: str) -> str:
    """Reads a file, without saying so before."""
    note("peek", ctx)
    return ctx.files.read(path).decode()


@node("weft.fetch", "Fetch", needs=["net:url"], effect="reads")
async def fetch(ctx: Context, url: str) -> str:
    """Asks a server, with its key."""
    note("fetch", ctx)
    answer = await ctx.http.request(url, headers={"idempotency-key": ctx.key})
    return answer.body.decode()


@node("weft.fetches", "Fetch all", needs=["model:model"], effect="chance")
async def fetches(ctx: Context, urls: list[str], model: str = "") -> str:
    """Asks servers one after the other, without saying so before, whatever is refused."""
    said = []
    for url in urls:
        try:
            said.append((await ctx.http.request(url)).body.decode())
        except PermissionNeeded:
            said.append("refused")
    return ", ".join(said)


@node("weft.die", "Die", blocking=True)
def die(n: float) -> float:
    """Ends the process it is in."""
    note("die")
    os.kill(os.getpid(), signal.SIGKILL)


@node("weft.odd", "Odd", blocking=True)
def odd(ctx: Context, how: str) -> str:
    """Says what no message between two machines can carry."""
    if how == "progress":
        ctx.progress(Fraction(1, 2), "half")
    if how == "log":
        ctx.log(ValueError("as an object"))
    if how == "text":
        ctx.emit_text("text", ["a", "list"])
    if how == "error":
        raise InputError(ValueError("an error in an error"), hint=7)
    return "gone on"


@node("weft.paths", "Paths", blocking=True)
def paths(ctx: Context, paths: str) -> str:
    """Reads one file after the other, whatever is refused."""
    said = []
    for path in paths.split():
        try:
            said.append(ctx.files.read(path).decode())
        except PermissionNeeded:
            said.append("refused")
    return " ".join(said)


@node("weft.asks", "Asks", blocking=True)
def asks(ctx: Context, path: str) -> str:
    """Waits in a thread for what is never answered."""
    note("asks", ctx)
    try:
        ctx.files.read(path)
    finally:
        note("asked no more", ctx)
    return ""


@node("weft.once", "Once", blocking=True)
def once(ctx: Context, n: float = 0) -> float:
    """Not to be kept."""
    note("once")
    ctx.keeps = False
    return n


@node("weft.wait", "Wait", needs=["model:model"], effect="chance")
async def wait(ctx: Context, seconds: float = 0.1, model: str = "") -> float:
    """Waits for a time, and says so."""
    note("wait", ctx)
    await ctx.wait_until(time.time() + seconds, "a while")
    ctx.progress(0.5, "half")
    return ctx.random.random()
'''


def install(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Have the kinds `weft.*` installed, here and in processes started from now on; the file of their notes."""
    (folder / "weft.py").write_text(SOURCE)
    info = folder / "weft-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weft\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[phloem.nodes]\nweft = weft\n")
    patch.syspath_prepend(folder)
    patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    log = folder / "log"
    log.touch()
    patch.setenv(LOG, str(log))
    return log


def entries(log: Path, what: str = "") -> list[dict[str, Any]]:
    """What was noted, or what was noted of one kind."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [one for one in found if what in ("", one["what"])]
