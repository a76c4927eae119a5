"""A run whose slow nodes were called on workers goes on as any other: on workers again, or here."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from phloem.runtime import Engine, Options
from phloem.runtime.runs import Result
from support.dask_kit import Kit
from support.web_server import Answer, serving

pytest.importorskip("distributed", reason="needs the extra dask")
pytestmark = pytest.mark.slow
pytest_plugins = ["support.dask_fixtures"]

CHAIN = """\
phloem: 1
nodes:
  first: {kind: weft.ask@1, set: {prompt: first}}
  each:
    kind: flow.each@1
    in: {items: data.value}
    set: {concurrency: 1}
    do:
      nodes:
        where: {kind: text.template@1, in: {n: input.item}, set: {template: "URL{{ n }}"}}
        page: {kind: weft.fetch@1, in: {url: where.text}}
      outputs: {page: page.text}
  data: {kind: data.constant@1, set: {value: [1, 2, 3]}}
outputs: {first: first.text, pages: each.page}
"""


@pytest.mark.parametrize("where", ["on workers", "here"])
def test_what_had_finished_on_workers_is_not_done_again(kit: Kit, where: str) -> None:
    is_slow = True

    def second(_: Any) -> Answer:
        return Answer([b"page 2"], pause=30 if is_slow else 0)

    async def until_second(run: Any) -> None:
        while not [one for one in kit.notes("fetch") if one["node"].endswith("/1/page")] or not kit.notes("answered"):
            await asyncio.sleep(0.02)
        run.cancel()

    with serving({"/1": Answer(b"page 1"), "/2": second, "/3": Answer(b"page 3")}) as server:
        text = CHAIN.replace("URL", server.url("/"))
        left, _ = kit.run(text, during=until_second, allow=[server.grant])
        assert left.status == "cancelled"
        begun = kit.notes("fetch")
        is_slow = False
        result = kit.runner.run(resumed(kit, left.run, Options(on="" if where == "here" else kit.cluster)))
    assert (result.run, result.status) == (left.run, "done")
    assert result.outputs == {"first": "first is answered", "pages": ["page 1", "page 2", "page 3"]}
    assert [one["node"] for one in kit.notes("asked")] == ["first"]
    again = kit.notes("fetch")[len(begun) :]
    assert [one["node"] for one in again] == ["each/1/page", "each/2/page"]
    assert again[0]["key"] == begun[-1]["key"], "it is the same call"


async def resumed(kit: Kit, run: str, options: Options) -> Result:
    engine = Engine(kit.home)
    try:
        going = engine.resume(run, replace(options, cache=False))
        going.discard_events()
        return await going.result()
    finally:
        await engine.close()
