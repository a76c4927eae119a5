"""The one door from a node to the world: it asks for the grant first, and keeps its promises about files."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.disk import file_digest, replace_file
from phloem.runtime.errors import InputError, PermissionNeeded, ServiceError
from phloem.runtime.grants import Denial, Grant, Permissions
from phloem.runtime.services import Ending, HttpAnswer
from phloem.runtime.threads import Threads
from phloem.runtime.values import Collection
from support.playing import box, drawn, given, play


class Recorder:
    """Stands where the services stand, and notes what came through the door."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.closed = 0

    async def answer(self, model, request, meter) -> AsyncIterator[str | Ending]:
        self.heard.append((model, request.asked, dict(request.sampling)))
        meter.spend(read=3)
        for piece in ("a", "b"):
            meter.spend(written=1)
            yield piece
        yield Ending("stop")

    async def embed(self, model: str, texts: Sequence[str], meter) -> list[list[float]]:
        self.heard.append((model, list(texts)))
        return [[1.0] for _ in texts]

    async def request(self, gate, method, url, **rest) -> HttpAnswer:
        self.heard.append((method, url))
        gate.connect("example.org", 443, "93.184.216.34")
        return HttpAnswer(url, 200, {"content-type": "Text/HTML; charset=utf-8"}, b"hello")

    async def add(self, name, model, ids, texts, vectors, metadata) -> Collection:
        return Collection(name, model)

    async def digest(self, name: str, ids: Sequence[str]) -> str:
        return f"{name}:{','.join(ids)}"

    async def close(self) -> None:
        self.closed += 1


def context(folder: Path | None = None, *grants: str, recorder: Recorder | None = None, **more: Any) -> Context:
    services = Services(
        {"models": lambda: recorder, "http": lambda: recorder, "collections": lambda: recorder} if recorder else {}
    )
    permissions = Permissions([Grant.parse(one) for one in grants], folder=folder)
    return Context(Scope("run", services, permissions, **more), "node", key="run/node")


# ---- Files


def test_a_file_beside_the_workflow_is_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\0\xff words")
    files = context(tmp_path).files
    assert files.read("a.txt") == b"\0\xff words"
    assert files.digest("a.txt") == file_digest(tmp_path / "a.txt") != ""
    assert files.digest("missing.txt") == ""


@pytest.mark.parametrize(
    "path, message",
    [
        ("missing.txt", "cannot read missing.txt: no such file or directory"),
        ("folder", "folder is not a file"),
        ("pipe", "pipe is not a file"),
        ("http://example.org/a", "'http://example.org/a' is a web address, not a file"),
        ("a\0b", "a path cannot hold the character NUL"),
        ("large.txt", "large.txt is larger than 1,000 bytes"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(tmp_path, path, message):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.txt").write_bytes(b"x" * 1001)
    with pytest.raises(InputError) as refused:
        context(tmp_path).files.read(path, limit=1000)
    assert refused.value.message == message


def test_a_file_of_just_the_limit_is_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x" * 1000)
    assert len(context(tmp_path).files.read("a.txt", limit=1000)) == 1000


def test_a_folder_is_listed_below_itself_only(tmp_path):
    for name in ("in/b.txt", "in/a.txt", "in/sub/c.txt", "in/d.md", "out/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "in/link.txt").symlink_to(tmp_path / "out/e.txt")
    (tmp_path / "in/folder.txt").mkdir()
    files = context(tmp_path / "in").files
    assert [Path(one).name for one in files.list(".", "*.txt")] == ["a.txt", "b.txt"]
    assert [Path(one).name for one in files.list(".", "**/*.txt")] == ["a.txt", "b.txt", "c.txt"]
    assert files.list("sub") == [str(tmp_path / "in/sub/c.txt")]
    for pattern in ("", "../*", "../out/*.txt", "/etc/*", "sub/../../out/*"):
        with pytest.raises(InputError, match="is not a pattern"):
            files.list(".", pattern)
    with pytest.raises(InputError, match=r"a\.txt is not a folder"):
        files.list("a.txt")
    with pytest.raises(PermissionNeeded):
        files.list("../out")


def test_a_list_tells_nothing_of_what_may_not_be_read(tmp_path):
    for name in ("a.txt", "private/b.txt", ".ssh/id_rsa", ".env", "sub/.env.local", "sub/c.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    denials = [Denial.parse(f"read={tmp_path}/private", "settings.yaml:1")]
    permissions = Permissions([Grant.parse(f"read={tmp_path}/sub/.env.local")], folder=tmp_path, denials=denials)
    files = Context(Scope("run", Services({}), permissions), "node").files
    for pattern in ("**/*", "*/*", "private/*", ".ssh/*", "*"):
        told = {str(Path(one).relative_to(tmp_path)) for one in files.list(".", pattern)}
        assert told <= {"a.txt", "sub/c.txt", "sub/.env.local"}
    assert len(files.list(".", "**/*")) == 3


def test_a_file_is_written_whole_with_the_folders_it_needs(tmp_path):
    ctx = context(tmp_path, f"write={tmp_path}")
    path = ctx.files.write("new/deep/a.txt", b"one")
    assert path == str(tmp_path / "new/deep/a.txt")
    assert Path(path).read_bytes() == b"one"
    ctx.files.write("new/deep/a.txt", b"two")
    ctx.files.write("new/deep/a.txt", b" three", mode="append")
    assert Path(path).read_bytes() == b"two three"
    with pytest.raises(InputError, match="is already there"):
        ctx.files.write("new/deep/a.txt", b"", mode="new")
    ctx.files.write("fresh.txt", b"four", mode="new")
    assert [(word, Path(where).name) for word, where, _ in ctx.written] == [
        ("file", "a.txt"), ("file", "a.txt"), ("file", "a.txt"), ("file", "fresh.txt"),
    ]  # fmt: skip
    assert ctx.written[-1][2] == file_digest(tmp_path / "fresh.txt")
    assert sorted(one.name for one in (tmp_path / "new/deep").iterdir()) == ["a.txt"], "nothing is left beside it"


@pytest.mark.parametrize("mode", ["replace", "append", "new"])
def test_what_cannot_be_written_is_told_in_words(tmp_path, mode):
    (tmp_path / "file").write_text("x")
    files = context(tmp_path, f"write={tmp_path}").files
    for path in ("file/below.txt", "x" * 300):
        with pytest.raises(ServiceError, match="cannot write"):
            files.write(path, b"", mode=mode)
    with pytest.raises(PermissionNeeded):
        files.write("../elsewhere.txt", b"", mode=mode)
    with pytest.raises(InputError):
        files.write("a\0b", b"", mode=mode)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["file"]


def test_writing_through_a_link_changes_what_it_leads_to_or_asks(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/real.txt").write_text("x")
    (tmp_path / "in/link.txt").symlink_to("real.txt")
    (tmp_path / "in/away.txt").symlink_to(tmp_path / "away.txt")
    files = context(tmp_path / "in", f"write={tmp_path / 'in'}").files
    files.write("link.txt", b"new")
    assert (tmp_path / "in/link.txt").is_symlink()
    assert (tmp_path / "in/real.txt").read_text() == "new"
    with pytest.raises(PermissionNeeded):
        files.write("away.txt", b"")


def test_a_replaced_file_keeps_its_rights_and_a_new_one_has_the_usual(tmp_path):
    old = tmp_path / "old"
    old.write_text("x")
    old.chmod(0o640)
    replace_file(old, b"y")
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "new", b"z")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_reader_never_sees_half_of_a_replaced_file(tmp_path):
    path = tmp_path / "a"
    replace_file(path, b"0" * 100_000)
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number = (number + 1) % 10
            replace_file(path, str(number).encode() * 100_000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            data = path.read_bytes()
            assert len(data) == 100_000
            assert len(set(data)) == 1
    finally:
        stop.set()
        writer.join()


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path):
    path = tmp_path / "folder"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"."):
        replace_file(path, b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


# ---- The net


def ask(ctx: Context, url: str) -> HttpAnswer:
    return asyncio.run(ctx.http.request(url))


def test_the_net_is_asked_for_before_the_service_hears_of_it():
    recorder = Recorder()
    for url in ("https://example.org/", "http://localhost/"):
        with pytest.raises(PermissionNeeded):
            ask(context(recorder=recorder), url)
    for url in (
        "file:///etc/passwd",
        "ftp://example.org/",
        "/etc/passwd",
        "",
        "javascript:1",
        "data:,x",
        "gopher://x",
        " http://a",
    ):
        with pytest.raises(InputError, match="is not a web address"):
            ask(context(None, "net=*", recorder=recorder), url)
    assert recorder.heard == []
    answer = ask(context(None, "net=example.org", recorder=recorder), "https://example.org/a")
    assert (answer.status, answer.body, answer.media_type) == (200, b"hello", "text/html")
    assert recorder.heard == [("GET", "https://example.org/a")]


def test_the_service_asks_again_about_where_it_really_goes():
    with pytest.raises(PermissionNeeded, match=r"may not connect to example\.org"):
        ask(context(None, "net=redirecting.net", recorder=Recorder()), "https://redirecting.net/")


# ---- Models


@pytest.mark.parametrize(
    "asked, name, grants",
    [
        ("", "local:given", []), ("demo", "local:demo", []), ("local:demo", "local:demo", []), ("openai:x", "openai:x", ["spend=openai"]),
        ("ollama:a:b", "ollama:a:b", ["spend=ollama"]),
    ],
)  # fmt: skip
def test_a_model_is_named_in_full_and_paid_ones_are_asked_for(asked, name, grants):
    recorder = Recorder()

    async def collect(ctx: Context) -> str:
        return "".join([piece async for piece in ctx.models.generate("hi", model=asked, temperature=0)])

    ctx = context(None, *grants, recorder=recorder, model="local:given")
    assert asyncio.run(collect(ctx)) == "ab"
    assert recorder.heard == [(name, "hi", {"temperature": 0})]
    assert (ctx.tokens_in, ctx.tokens_out) == (3, 2)
    if grants:
        with pytest.raises(PermissionNeeded, match="may not spend money at"):
            asyncio.run(collect(context(recorder=recorder)))


def test_a_model_file_is_read_like_any_file_unless_the_user_named_it(tmp_path):
    (tmp_path / "flows").mkdir()
    recorder = Recorder()
    ctx = context(tmp_path / "flows", recorder=recorder)
    assert ctx.models.name("own.gguf") == f"local:{tmp_path}/flows/own.gguf"
    with pytest.raises(PermissionNeeded):
        ctx.models.name("../other.gguf")
    with pytest.raises(PermissionNeeded):
        ctx.models.name("local:/etc/passwd")
    trusting = context(tmp_path / "flows", recorder=recorder, trusted_models=frozenset({"../other.gguf"}))
    assert trusting.models.name("../other.gguf") == f"local:{tmp_path}/other.gguf"


def test_an_embedding_has_a_model_of_its_own():
    recorder = Recorder()
    ctx = context(recorder=recorder, model="local:chatty")
    assert asyncio.run(ctx.models.embed(["a", "b"])) == [[1.0], [1.0]]
    assert recorder.heard == [("local:minilm", ["a", "b"])]


# ---- The rest


def test_what_went_into_a_collection_is_noted_as_written():
    ctx = context(recorder=Recorder())
    asyncio.run(ctx.collections.add("books", ["1", "2"], ["a", "b"], [[1.0], [2.0]], [{}, {}], model="m"))
    assert ctx.written == [("collection", "books\n1\n2", "books:1,2")]


def test_a_service_that_is_not_installed_is_told_in_words():
    with pytest.raises(ServiceError, match="nothing installed provides http"):
        ask(context(None, "net=*"), "http://example.org")


def test_a_service_is_made_once_when_it_is_first_wanted_and_closed_once():
    made = []
    recorder = Recorder()
    services = Services({"a": lambda: made.append("a") or recorder, "b": lambda: made.append("b") or object()})
    assert made == []
    assert services.get("a") is services.get("a") is recorder
    services.get("b")
    asyncio.run(services.close())
    asyncio.run(services.close())
    assert made == ["a", "b"]
    assert recorder.closed == 1


def test_one_service_that_fails_to_close_keeps_no_other_from_closing():
    class Stuck:
        async def close(self) -> None:
            raise RuntimeError("stuck")

    recorders = [Recorder(), Recorder()]
    services = Services({"a": lambda: recorders[0], "b": Stuck, "c": lambda: recorders[1]})
    for name in "abc":
        services.get(name)
    with pytest.raises(RuntimeError, match="stuck"):
        asyncio.run(services.close())
    assert [one.closed for one in recorders] == [1, 1]


def test_a_seed_differs_between_nodes_and_items_and_is_the_same_in_a_repeated_run(engine):
    workflow = drawn(
        {
            "a": box("test.context"),
            "b": box("test.context"),
            "n": box("test.numbers"),
            "each": box("test.context", {"x": "n.number"}),
        },
        {"unused": given("number", 1)},
        a="a.json",
        b="b.json",
        each="each.json",
    )
    first = play(engine, workflow, cache=False, seed=7).outputs
    again = play(engine, workflow, cache=False, seed=7).outputs
    other = play(engine, workflow, cache=False).outputs
    contexts = [first["a"], first["b"], *first["each"]]
    assert [one["node"] for one in contexts] == ["a", "b", "each/0", "each/1", "each/2"]
    seeds = [one["seed"] for one in contexts]
    assert len(set(seeds)) == 5
    assert seeds == [one["seed"] for one in (again["a"], again["b"], *again["each"])]
    assert set(seeds).isdisjoint(one["seed"] for one in (other["a"], other["b"], *other["each"]))
    assert all(0 <= seed < 2**31 for seed in seeds)
    keys = [one["key"] for one in contexts]
    assert len(set(keys)) == 5
    assert set(keys).isdisjoint(one["key"] for one in (again["a"], again["b"]))


def in_thread(function, /, *arguments, **named):
    pool = Threads()
    ctx = context(pool=pool)

    async def call():
        async with asyncio.timeout(5):
            return await ctx.in_thread(function, *arguments, **named)

    try:
        return asyncio.run(call())
    finally:
        pool.shutdown()


def test_work_in_a_thread_does_not_hold_up_the_loop():
    assert in_thread(lambda a, b: (a, b, threading.current_thread().name), 1, b=2) == (1, 2, "phloem-1")
    assert in_thread(lambda **named: named, function=1, self=2, ctx=3) == {"function": 1, "self": 2, "ctx": 3}


def test_errors_come_out_of_a_thread_even_the_one_a_future_cannot_carry():
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        in_thread(next, iter([]))
