"""What comes from outside is kept, and given again as it came: nobody is asked twice."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime.codec import pack
from phloem.runtime.context import Context
from phloem.runtime.errors import (
    ConfigError,
    InputError,
    LimitReached,
    NodeTimeout,
    NotRecorded,
    PermissionNeeded,
    ServiceError,
)
from phloem.runtime.home import Home
from phloem.runtime.journal import Journal
from phloem.runtime.recording import Head, LogKeeper, Recording, recording_of
from phloem.runtime.recording.recording import Place
from phloem.runtime.recording.safe import safe_answer_headers, safe_url
from phloem.runtime.services import Chance, Ending, HttpAnswer, Meter, ModelInfo, Request, Tool
from phloem.runtime.values import Blob, Collection, Hit, Message, ToolCall
from phloem.runtime.workflow import Limit
from support.journals import begun, ended
from support.recordings import InMemory, context_of


class Outside:
    """Every service at once. Each answer is another, so one that is given twice was not asked for twice."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.wait = 0.0

    def _next(self) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.asked

    async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
        number = self._next()
        meter.sent(model, "exactly this")
        meter.spend(read=3, money=0.5)
        meter.spend(cached=1)
        for piece in ("answer ", f"{number}", " ends"):
            await asyncio.sleep(self.wait)
            yield piece
            meter.spend(written=1)
        chances = (Chance("a", -0.5, (("b", -math.inf),)),)
        yield Ending("calls", (ToolCall("1", "look", {"at": number}),), chances, "model-1")

    async def structured(self, model: str, request: Request, meter: Meter) -> Any:
        meter.spend(read=2, written=2)
        return {"number": self._next(), "nan": [None, 1.5]}

    async def embed(self, model: str, texts: Sequence[str], meter: Meter) -> list[list[float]]:
        number = self._next()
        await asyncio.sleep(self.wait)
        return [[float(number), 0.1] for _ in texts]

    async def rerank(self, model: str, query: str, texts: Sequence[str], meter: Meter) -> list[float]:
        return [self._next() / 3 for _ in texts]

    async def count(self, model: str, asked: Any) -> int:
        return self._next()

    async def estimate(self, model: str, read: int, written: int) -> float | None:
        self._next()
        return None if read > 1000 else 0.25

    async def about(self, model: str) -> ModelInfo:
        return ModelInfo(name=model, provider="dear", makes="text", context=self._next(), details={"by": "us"})

    async def identity(self, model: str) -> str:
        return f"identity {self._next()}"

    async def request(self, gate: Any, method: str, url: str, **rest: Any) -> HttpAnswer:
        headers = {"content-type": "text/plain", "set-cookie": "session=s3cr3t"}
        return HttpAnswer(f"{url}#{self._next()}", 200, headers, b"\x00\xff")

    async def add(self, name: str, model: str, *rest: Any) -> Collection:
        self._next()
        return Collection(name, model)

    async def search(self, name: str, vector: Sequence[float], k: int, where: Any) -> list[Hit]:
        return [Hit("found", float(self._next()), "1", "there", {"page": 3})]

    async def digest(self, name: str, ids: Sequence[str]) -> str:
        return "digest"

    async def clear(self, name: str) -> int:
        return self._next()


@pytest.fixture
def outside() -> Outside:
    return Outside()


def both(outside: Outside, **more: Any) -> tuple[Context, InMemory]:
    kept = InMemory()
    return context_of({"models": outside, "http": outside, "collections": outside}, kept, **more), kept


def again(kept: InMemory, **more: Any) -> Context:
    """A replay: there are no services at all, and no grants."""
    return context_of({}, old=kept.recording, grants=(), **more)


async def everything(ctx: Context) -> list[Any]:
    """One of each question."""
    image = Blob(b"\x89PNG" * 1000, "a.png", "image/png")
    found: list[Any] = []
    asked = (Message("system", "Be kind."), Message("user", "Hello", images=(image,)))
    request = Request(asked=asked, sampling={"temperature": 0.5, "stop": ["x"]}, tools=(Tool("look", "Look"),))
    async with aclosing(ctx.models.answer(request)) as pieces:
        found += [piece async for piece in pieces]
    found += [[piece async for piece in ctx.models.generate("Go on", max_tokens=5)]]
    found += [await ctx.models.structured("What?", schema={"type": "object"})]
    found += [await ctx.models.embed(["a", "b"], model="dear:vectors")]
    found += [await ctx.models.rerank("q", ["a", "b"], model="dear:ranks")]
    found += [await ctx.models.count("How long?"), await ctx.models.about(), await ctx.models.identity()]
    found += [await ctx.http.request("https://example.org/a", method="POST", body=b"1", headers={"Accept": "x"})]
    found += [await ctx.collections.search("notes", [0.5] * 384, 3, {"page": 3})]
    found += [await ctx.collections.add("notes", ["1"], ["a"], [[0.5]], [{}], model="dear:vectors")]
    found += [await ctx.collections.clear("notes"), ctx.now(), ctx.random.random()]

    async def person() -> Any:
        return {"says": "yes", "at": ctx.scope.services.get("models").asked}

    return [*found, await ctx.recorded("person", {"asks": "Shall I?"}, person)]


def test_a_replay_gives_all_that_came_and_there_is_no_service(outside: Outside) -> None:
    ctx, kept = both(outside)
    first = asyncio.run(everything(ctx))
    asked = outside.asked
    replayed = again(kept)
    second = asyncio.run(everything(replayed))
    place = next(index for index, one in enumerate(first) if isinstance(one, HttpAnswer))
    assert second.pop(place) == HttpAnswer(
        first[place].url, 200, {"content-type": "text/plain", "set-cookie": "…"}, b"\x00\xff"
    )
    assert first.pop(place).headers["set-cookie"] == "session=s3cr3t"
    assert second == first
    assert outside.asked == asked
    assert (ctx.tokens_in, ctx.tokens_out, ctx.money) == (replayed.tokens_in, replayed.tokens_out, replayed.money)
    assert replayed.money == 1.0
    assert "s3cr3t" not in repr([exchange.data for exchange, _, _ in kept.kept])


def test_what_was_recorded_survives_the_record_of_runs(outside: Outside, home: Home) -> None:
    journal = Journal(home.journal)
    log = begun(journal)
    keeper = LogKeeper(log, Head(seed=7, model="dear:one", inputs={"text": "x"}))
    ctx, _ = both(outside)
    assert ctx.scope.answers is not None
    ctx.scope.answers.keep_with(keeper)
    first = asyncio.run(everything(ctx))
    ended(log)
    recording = recording_of(journal.run())
    journal.close()
    assert recording.head == Head(seed=7, model="dear:one", inputs={"text": "x"})
    second = asyncio.run(everything(context_of({}, old=recording, grants=())))
    assert [one for one in second if not isinstance(one, HttpAnswer)] == [
        one for one in first if not isinstance(one, HttpAnswer)
    ]


def test_what_a_broken_replay_did_not_come_to_stays_with_its_run_while_that_is_open(
    outside: Outside, home: Home
) -> None:
    ctx, kept = both(outside)
    asyncio.run(everything(ctx))
    journal = Journal(home.journal)
    log = begun(journal)
    replay = context_of({}, old=kept.recording, asks=True)
    answers = replay.scope.answers
    assert answers is not None
    answers.keep_with(LogKeeper(log, Head()))
    asyncio.run(replay.models.count("How long?"))
    answers.keep_rest("failed")
    ended(log)
    answers.close("failed")
    recording = recording_of(journal.run())
    journal.close()
    assert sum(1 for _ in recording.exchanges()) == len(kept.kept)


def test_a_run_that_was_not_recorded_cannot_be_replayed(home: Home) -> None:
    journal = Journal(home.journal)
    ended(begun(journal))
    with pytest.raises(ConfigError, match="was not recorded"):
        recording_of(journal.run())
    journal.close()


def test_the_order_of_nodes_that_run_at_once_does_not_matter(outside: Outside) -> None:
    kept = InMemory()
    services = {"models": outside}

    async def ask(order: Sequence[int], **more: Any) -> dict[int, Any]:
        contexts = {index: context_of(services, node=f"each/{index}/ask", **more) for index in order}
        if kept.finished is None:
            for one in contexts.values():
                assert one.scope.answers is not None
                one.scope.answers.keep_with(kept)
        found = await asyncio.gather(*(contexts[index].models.embed(["same"]) for index in order))
        return dict(zip(order, found, strict=True))

    first = asyncio.run(ask(range(20)))
    kept.finished = True
    second = asyncio.run(ask(list(reversed(range(20))), old=kept.recording))
    assert second == first
    assert len({str(one) for one in first.values()}) == 20


def test_equal_questions_of_a_node_are_told_apart_by_their_number(outside: Outside) -> None:
    ctx, kept = both(outside)

    async def ask(ctx: Context, times: int) -> list[Any]:
        return [await ctx.models.embed(["same"]) for _ in range(times)]

    first = asyncio.run(ask(ctx, 3))
    assert asyncio.run(ask(again(kept), 3)) == first
    with pytest.raises(NotRecorded, match=r"asks again for vectors, which it did 3 times"):
        asyncio.run(ask(again(kept), 4))


def test_facts_are_asked_once_and_hold_as_often_as_a_node_asks(outside: Outside) -> None:
    ctx, kept = both(outside)

    async def ask(ctx: Context, times: int) -> list[int]:
        return [await ctx.models.count("How long?") for _ in range(times)]

    asyncio.run(ask(ctx, 3))
    assert kept.calls == ["count"]
    assert asyncio.run(ask(again(kept), 9)) == [1] * 9


def test_a_fact_that_could_not_be_had_at_first_is_had_later_again(outside: Outside) -> None:
    ctx, kept = both(outside)

    async def ask(ctx: Context) -> list[Any]:
        found: list[Any] = []
        for error in (ServiceError("busy", retryable=True), None, None):
            outside.error = error
            try:
                found.append(await ctx.models.count("How long?"))
            except ServiceError as failed:
                found.append(failed.message)
        return found

    asyncio.run(ask(ctx))
    assert asyncio.run(ask(again(kept))) == ["busy", 2, 2]


@pytest.mark.parametrize("kind", [ServiceError, InputError])
def test_an_error_is_an_answer(outside: Outside, kind: type[Exception]) -> None:
    class TryLater(kind):  # type: ignore[misc, valid-type]
        pass

    outside.error = TryLater("asked too often (429)", hint="Wait.")
    ctx, kept = both(outside)
    if isinstance(outside.error, ServiceError):
        outside.error.retryable = True
    with pytest.raises(TryLater):
        asyncio.run(ctx.models.embed(["a"]))
    with pytest.raises(kind) as found:
        asyncio.run(again(kept).models.embed(["a"]))
    error = found.value
    assert (type(error).__name__, str(error), getattr(error, "retryable", None)) == (
        "TryLater", "asked too often (429)\n  Wait.", kind is ServiceError,
    )  # fmt: skip


@pytest.mark.parametrize(
    "error", [PermissionNeeded("may not connect", flags=["--allow net=a"]), KeyError("a bug"), LookupError()]
)
def test_what_says_nothing_of_the_outside_is_not_kept(outside: Outside, error: Exception) -> None:
    outside.error = error
    ctx, kept = both(outside)
    with pytest.raises(type(error)):
        asyncio.run(ctx.models.embed(["a"]))
    assert kept.kept == []


def test_a_stream_comes_in_its_pieces_and_at_its_pace_if_that_is_wanted(outside: Outside) -> None:
    outside.wait = 0.05
    ctx, kept = both(outside)

    async def ask(ctx: Context) -> tuple[list[str], float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return [piece async for piece in ctx.models.generate("Go on")], loop.time() - began

    pieces, _ = asyncio.run(ask(ctx))
    assert pieces == ["answer ", "1", " ends"]
    at_once, paced = asyncio.run(ask(again(kept))), asyncio.run(ask(again(kept, pace=True)))
    assert at_once[0] == paced[0] == pieces
    assert paced[1] >= 0.14 > at_once[1]


def test_one_who_stops_reading_can_do_so_again_but_not_read_on(outside: Outside) -> None:
    ctx, kept = both(outside)

    async def ask(ctx: Context, most: int) -> list[str]:
        found = []
        async with aclosing(ctx.models.generate("Go on")) as pieces:
            async for piece in pieces:
                found.append(piece)
                if len(found) == most:
                    break
        return found

    assert asyncio.run(ask(ctx, 2)) == asyncio.run(ask(again(kept), 2)) == ["answer ", "1"]
    with pytest.raises(NotRecorded, match="was broken off here"):
        asyncio.run(ask(again(kept), 3))
    with_new = context_of({"models": outside}, old=kept.recording, asks=True)
    assert asyncio.run(ask(with_new, 3)) == ["answer ", "2", " ends"]


def test_a_timeout_of_the_node_is_one_again_without_waiting_for_it(outside: Outside) -> None:
    outside.wait = 60
    ctx, kept = both(outside)

    async def ask(ctx: Context) -> None:
        async with asyncio.timeout(0.02) as clock:
            ctx.timed_out = lambda: NodeTimeout("it took longer than 0.02 s") if clock.expired() else None
            await ctx.models.embed(["a"])

    with pytest.raises(TimeoutError):
        asyncio.run(ask(ctx))
    with pytest.raises(NodeTimeout, match=r"longer than 0\.02 s"):
        asyncio.run(again(kept).models.embed(["a"]))


def test_limits_hold_for_what_was_spent_then(outside: Outside) -> None:
    ctx, kept = both(outside, limit=Limit(tokens=4))

    async def ask(ctx: Context) -> list[str]:
        found: list[str] = []
        try:
            async with aclosing(ctx.models.answer(Request(asked="Go"))) as pieces:
                async for piece in pieces:
                    found.append(str(piece))
        except LimitReached as error:
            found.append(error.message)
        return found

    # The count says 1, which may be afforded; the answer then reads 3 and writes 2.
    first = asyncio.run(ask(ctx))
    assert first == ["answer ", "3", "the run stopped at its limit: 5 of 4 tokens"]
    assert asyncio.run(ask(again(kept, limit=Limit(tokens=4)))) == first


def test_only_what_is_new_is_asked_and_all_of_it_is_kept(outside: Outside) -> None:
    ctx, kept = both(outside)
    asyncio.run(ctx.models.embed(["old"]))
    new = InMemory()
    ctx = context_of({"models": outside}, new, old=kept.recording, asks=True)
    assert asyncio.run(ctx.models.embed(["old"])) == [[1.0, 0.1]]
    assert asyncio.run(ctx.models.embed(["new"])) == [[2.0, 0.1]]
    assert asyncio.run(context_of({}, old=new.recording).models.embed(["new"])) == [[2.0, 0.1]]
    without = context_of({"models": outside}, new, old=kept.recording, asks=True, grants=())
    assert asyncio.run(without.models.embed(["old"])) == [[1.0, 0.1]]
    with pytest.raises(PermissionNeeded, match="spend") as refused:
        asyncio.run(without.models.embed(["newer"], model="dear:two"))
    assert refused.value.flags == ("--allow spend=dear",)


def test_what_a_broken_replay_did_not_come_to_stays_in_the_recording(outside: Outside) -> None:
    ctx, kept = both(outside)
    asyncio.run(everything(ctx))
    for status, whole in (("done", False), ("failed", True), ("waiting", True)):
        new = InMemory()
        ctx = context_of({}, new, old=kept.recording, asks=True)
        asyncio.run(ctx.models.count("How long?"))
        assert ctx.scope.answers is not None
        ctx.scope.answers.close(status)
        assert (len(new.kept) == len(kept.kept)) is whole
        assert new.finished is (status != "waiting"), "what is still to be answered is missing"


# ---- Saying what differs


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (
            lambda ctx: ctx.models.structured("Is the sea deep and blue?", choices=["yes"]),
            'it asks for an answer in a form otherwise than when the run test was recorded: prompt was "Is the sea deep?" and '
            'is "Is the sea deep and blue?"',
        ),
        (
            lambda ctx: ctx.models.structured("Is the sea deep?", choices=["yes", "no"], model="dear:two"),
            'model was "dear:one" and is "dear:two"; choices was ["yes"] and is ["yes", "no"]',
        ),
        (
            lambda ctx: ctx.models.structured("Is the sea deep?", choices=["yes"], temperature=0.5),
            "temperature was not given and is 0.5",
        ),
        (lambda ctx: ctx.models.embed(["x"]), "asks for vectors, which it did not when the run test was recorded"),
    ],
)  # fmt: skip
def test_a_question_that_changed_is_told_with_what_differs(outside: Outside, ask: Any, says: str) -> None:
    ctx, kept = both(outside)
    asyncio.run(ctx.models.structured("Is the sea deep?", choices=["yes"]))
    with pytest.raises(NotRecorded) as found:
        asyncio.run(ask(again(kept)))
    assert says in found.value.message
    assert "--ask-new" in str(found.value.hint)


def test_long_texts_are_told_where_they_differ(outside: Outside) -> None:
    ctx, kept = both(outside)
    page = "word and word\n" * 3000
    asyncio.run(ctx.models.structured([Message("user", f"{page[:9000]} Who wove it? {page[:5000]}")], choices=["a"]))
    with pytest.raises(NotRecorded) as found:
        asyncio.run(
            again(kept).models.structured([Message("user", f"{page[:9000]} Who dyed it? {page[:5000]}")], choices=["a"])
        )
    assert len(found.value.message) < 400
    assert "messages[0].content was" in found.value.message
    assert "wove" in found.value.message and "dyed" in found.value.message
    with pytest.raises(NotRecorded, match=r"messages\[0\]\.content was .* and is text of 42,000"):
        asyncio.run(again(kept).models.structured([Message("user", page)], choices=["a"]))


def test_a_node_of_another_name_is_told_where_its_answer_is(outside: Outside) -> None:
    ctx, kept = both(outside)
    asyncio.run(ctx.models.embed(["x"]))
    with pytest.raises(NotRecorded, match="Was that the node's name") as found:
        asyncio.run(again(kept, node="other").models.embed(["x"]))
    assert str(found.value.hint).startswith("node asked exactly this.")
    with pytest.raises(NotRecorded, match="Was it called node then"):
        asyncio.run(again(kept, node="node2").models.embed(["y"]))
    # The seed of a node is made of its name.
    asyncio.run(ctx.models.structured("x", choices=["a"], seed=1))
    with pytest.raises(NotRecorded, match="Was that the node's name"):
        asyncio.run(again(kept, node="other").models.structured("x", choices=["a"], seed=2))


def test_an_answer_whose_file_has_gone_is_asked_again_or_told(outside: Outside) -> None:
    def gone() -> Any:
        raise ConfigError("an answer that the run test recorded can no longer be read: its file has gone")

    ctx, kept = both(outside)
    asyncio.run(ctx.models.embed(["x"]))
    ((exchange, key, _),) = kept.kept
    recording = Recording(Place("run", "test"), Head())
    recording.add(exchange.node, exchange.call, key, gone)
    with pytest.raises(NotRecorded, match="its file has gone"):
        asyncio.run(context_of({}, old=recording).models.embed(["x"]))
    with_new = context_of({"models": outside}, old=recording, asks=True)
    assert asyncio.run(with_new.models.embed(["x"])) == [[2.0, 0.1]]


# ---- Time and chance


def test_the_clock_and_chance_are_those_of_the_recording(outside: Outside) -> None:
    ctx, kept = both(outside)
    times = [ctx.now(), ctx.now()]
    assert times[0].tzinfo is UTC and abs((times[0] - datetime.now(UTC)).total_seconds()) < 5
    replayed = again(kept)
    assert [replayed.now(), replayed.now()] == times
    with pytest.raises(NotRecorded, match="asks again for the time, which it did 2 times"):
        replayed.now()
    assert ctx.random.random() == replayed.random.random() != ctx.random.random()
    assert again(kept, node="other").random.random() != again(kept).random.random()


def test_a_replay_waits_for_nothing(outside: Outside) -> None:
    ctx, kept = both(outside)
    at = ctx.now().timestamp() + 3600

    async def wait(ctx: Context) -> None:
        async with asyncio.timeout(2):
            await ctx.wait_until(at, "later")
            await ctx.pause(3600)

    asyncio.run(wait(again(kept)))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(again(kept, pace=True).wait_until(at, "later"), 0.01))


# ---- The network


def test_no_key_is_recorded_and_a_replay_needs_none(outside: Outside) -> None:
    ctx, kept = both(outside)
    headers = {"Authorization": "Bearer sk-1234", "X-Api-Key": "sk-1234", "Cookie": "a=sk-1234", "Accept": "text/html"}
    url = "https://me:sk-1234@example.org/a?q=loom&api_key=sk-1234&Signature=sk-1234#access_token=sk-1234"
    first = asyncio.run(ctx.http.request(url, headers=headers))
    assert first.url.startswith(url)
    kept_text = repr([exchange.data for exchange, _, _ in kept.kept])
    assert "sk-1234" not in kept_text
    assert "q=loom" in kept_text and "text/html" in kept_text
    other = "https://example.org/a?q=loom&api_key=another&Signature=#access_token=another"
    replayed = asyncio.run(again(kept).http.request(other, headers={"accept": "text/html"}))
    assert replayed.body == first.body
    with pytest.raises(NotRecorded, match="url was"):
        asyncio.run(again(kept).http.request(other.replace("loom", "mill"), headers={"accept": "text/html"}))


def test_an_address_that_is_none_is_refused_in_a_replay_too(outside: Outside) -> None:
    _, kept = both(outside)
    with pytest.raises(InputError, match="not a web address"):
        asyncio.run(again(kept).http.request("ftp://example.org"))


# ---- Collections


def test_a_replay_changes_no_collection_and_one_that_asks_does(outside: Outside) -> None:
    ctx, kept = both(outside)

    async def fill(ctx: Context) -> list[Hit]:
        await ctx.collections.add("notes", ["1"], ["a"], [[0.5]], [{}], model="dear:v")
        return await ctx.collections.search("notes", [0.5], 1)

    first = asyncio.run(fill(ctx))
    assert asyncio.run(fill(again(kept))) == first
    assert outside.asked == 2
    # What is really changed is really asked, or the answer would be that of another state.
    with_new = context_of({"collections": outside}, InMemory(), old=kept.recording, asks=True)
    assert asyncio.run(fill(with_new))[0].score == 4.0
    with pytest.raises(NotRecorded, match=r"to add to a collection otherwise .* texts"):
        asyncio.run(again(kept).collections.add("notes", ["1"], ["b"], [[0.5]], [{}], model="dear:v"))


# ---- Files


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "flows"
    folder.mkdir(parents=True)
    (folder / "own.txt").write_text("own")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "far.txt").write_text("far")
    (tmp_path / "data" / ".env").write_text("KEY=1")
    return tmp_path


def files_of(place: Path, kept: InMemory | None = None, **more: Any) -> Any:
    grants = more.pop("grants", (f"read={place}/data", f"write={place}/out", f"read={place}/data/.env"))
    return context_of({}, kept, folder=place / "work" / "flows", home=place / "home", grants=grants, **more).files


def test_what_lies_elsewhere_is_recorded_and_the_workflows_own_is_read(place: Path) -> None:
    kept = InMemory()
    far = str(place / "data" / "far.txt")
    files = files_of(place, kept)
    assert (files.read("own.txt"), files.read(far), files.read(str(place / "data" / ".env"))) == (
        b"own", b"far", b"KEY=1",
    )  # fmt: skip
    assert files.list(str(place / "data"), "*.txt") == [far]
    with pytest.raises(InputError, match="no such file"):
        files.read(str(place / "data" / "none.txt"))
    assert kept.calls == ["files.read", "files.list", "files.read"]
    (place / "work" / "flows" / "own.txt").write_text("changed")
    (place / "data" / "far.txt").unlink()
    replayed = files_of(place, old=kept.recording, grants=())
    assert (replayed.read("own.txt"), replayed.read(far)) == (b"changed", b"far")
    assert replayed.list(str(place / "data"), "*.txt") == [far]
    with pytest.raises(InputError, match=r"cannot read .*none\.txt: no such file"):
        replayed.read(str(place / "data" / "none.txt"))
    with pytest.raises(PermissionNeeded, match="may not read"):
        replayed.read(str(place / "data" / ".env"))
    with pytest.raises(InputError, match="larger than 2 bytes"):
        files_of(place, old=kept.recording).read(far, limit=2)


def test_a_replay_writes_nothing_and_finds_what_it_would_have_written(place: Path) -> None:
    out = place / "out" / "deep" / "a.txt"
    kept = InMemory()

    def work(files: Any) -> list[Any]:
        first = files.write(str(out), b"one")
        files.write(str(out), b" two", mode="append")
        return [first, files.read(str(out)), files.list(str(place / "out"), "**/*.txt"), files.digest(str(out))]

    first = work(files_of(place, kept, grants=(f"write={place}/out", f"read={place}/out")))
    assert first[:3] == [str(out), b"one two", [str(out)]]
    out.unlink()
    out.parent.rmdir()
    out.parent.parent.rmdir()
    replayed = files_of(place, old=kept.recording, grants=())
    assert work(replayed) == first
    assert not (place / "out").exists()
    left = replayed.context.scope.answers.held_back.find(out)
    assert left is not None and left.exists()
    # Also what was never written then, such as the text of a changed template.
    assert replayed.write(str(place / "out" / "b.txt"), b"new", mode="new")
    with pytest.raises(InputError, match="already there"):
        replayed.write(str(place / "out" / "b.txt"), b"new", mode="new")
    replayed.context.scope.answers.close("done")
    assert not left.exists()


def test_a_write_that_failed_fails_again_and_with_ask_new_it_is_done(place: Path) -> None:
    kept = InMemory()
    out = place / "out" / "a.txt"
    out.parent.mkdir()
    out.write_text("before")
    with pytest.raises(InputError, match="already there"):
        files_of(place, kept).write(str(out), b"x", mode="new")
    out.unlink()
    with pytest.raises(InputError, match="already there"):
        files_of(place, old=kept.recording, grants=()).write(str(out), b"x", mode="new")
    with_new = files_of(place, InMemory(), old=kept.recording, asks=True)
    assert with_new.write(str(out), b"x", mode="new") == str(out)
    assert out.read_bytes() == b"x"


def test_paths_in_a_recording_hold_in_another_place(tmp_path: Path) -> None:
    kept = InMemory()
    for name in ("here", "there"):
        (tmp_path / name / "flows").mkdir(parents=True)
        (tmp_path / name / "data").mkdir()
    (tmp_path / "here" / "data" / "x.txt").write_text("x")
    context = context_of({}, kept, folder=tmp_path / "here" / "flows", grants=(f"read={tmp_path}/here/data",))
    assert context.files.read("../data/x.txt") == b"x"
    assert str(tmp_path) not in repr(kept.kept[0][0].data)
    for path in ("../data/x.txt", str(tmp_path / "there" / "data" / "x.txt")):
        moved = context_of({}, old=kept.recording, folder=tmp_path / "there" / "flows", grants=())
        assert moved.files.read(path) == b"x"


def test_a_question_is_the_same_for_numbers_that_are(outside: Outside) -> None:
    ctx, kept = both(outside)
    asyncio.run(ctx.models.structured("x", choices=["a"], temperature=0))
    assert asyncio.run(again(kept).models.structured("x", choices=["a"], temperature=0.0))["number"] == 1
    assert pack(1) != pack(1.0)


def test_addresses_in_headers_and_broken_ones_show_no_key_either() -> None:
    headers = {"location": "/made?token=sk-1234", "x-api-key": "sk-1234", "date": "today"}
    assert safe_answer_headers(headers) == {"location": "/made?token=%E2%80%A6", "x-api-key": "…", "date": "today"}
    assert safe_url("https://me:sk-1234@[broken/a?key=sk-1234#sk-1234") == "https://[broken/a"
