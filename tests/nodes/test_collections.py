"""The collections service on the real Chroma: what goes in comes back, from several processes and after a crash."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from phloem.nodes.services.collections import make
from phloem.nodes.services.collections.ledger import Ledger
from phloem.nodes.services.collections.metadata import filter_of, packed, unpacked
from phloem.nodes.services.collections.service import LocalCollections
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.values import Collection, Hit

pytestmark = pytest.mark.slow

Result = TypeVar("Result")

MODEL = "local:minilm"
WIDTH = 16


@pytest.fixture
def store(home: Home) -> Iterator[LocalCollections]:
    service = make(home)
    yield service
    asyncio.run(service.close())


def run(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(work)


def vector(name: object) -> list[float]:
    """Numbers that are always the same for the same name."""
    chance = random.Random(str(name))
    return [chance.gauss(0, 1) for _ in range(WIDTH)]


def add(
    service: LocalCollections, name: str, ids: Sequence[str], *, model: str = MODEL, **metadata: Mapping[str, Any]
) -> Collection:
    """Put items in whose texts and vectors follow from their ids."""
    texts = [f"text of {id}" for id in ids]
    fields = [metadata.get(id, {}) for id in ids]
    return run(service.add(name, model, ids, texts, [vector(id) for id in ids], fields))


def search(service: LocalCollections, name: str, near: str, k: int = 5, where: Any = None) -> list[Hit]:
    return run(service.search(name, vector(near), k, where))


def ids_of(hits: Sequence[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_what_was_put_in_is_found_by_its_vector(store: LocalCollections) -> None:
    assert add(store, "notes", ["a", "b", "c"]) == Collection("notes", MODEL)
    first, *others = search(store, "notes", "b")
    assert (first.id, first.text) == ("b", "text of b")
    assert first.score == pytest.approx(1, abs=1e-5)
    assert ids_of(others) == ["a", "c"] or ids_of(others) == ["c", "a"]
    assert [hit.score for hit in others] == sorted((hit.score for hit in others), reverse=True)


def test_what_another_process_was_just_writing_is_read_again(
    store: LocalCollections, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.models.Collection import Collection as ChromaCollection
    from chromadb.errors import InternalError

    add(store, "notes", ["a", "b"])
    query, failures = ChromaCollection.query, [1]

    def failing(self: ChromaCollection, *arguments: Any, **named: Any) -> Any:
        if failures and failures.pop():
            raise InternalError("Error deserializing pickle file")
        return query(self, *arguments, **named)

    monkeypatch.setattr(ChromaCollection, "query", failing)
    assert ids_of(search(store, "notes", "b", k=1)) == ["b"]
    failures += [1, 1]
    with pytest.raises(ServiceError, match="cannot search in 'notes'"):
        search(store, "notes", "b")
    add(store, "notes", ["c"])
    assert ids_of(search(store, "notes", "c", k=1)) == ["c"]


def test_a_score_is_the_cosine(store: LocalCollections) -> None:
    run(store.add("notes", MODEL, ["x", "y", "z"], ["", "", ""], [[2, 0], [0, 3], [-1, 0]], [{}, {}, {}]))
    found = {hit.id: hit.score for hit in run(store.search("notes", [5, 5], 3, None))}
    assert found == pytest.approx({"x": 0.7071, "y": 0.7071, "z": -0.7071}, abs=1e-4)


def test_what_was_put_in_is_there_for_the_next_process(store: LocalCollections, home: Home) -> None:
    add(store, "notes", ["a", "b"])
    run(store.close())
    again = make(home)
    assert run(again.about("notes")) == Collection("notes", MODEL)
    assert ids_of(search(again, "notes", "a", k=1)) == ["a"]
    run(again.close())


def test_the_same_id_replaces(store: LocalCollections) -> None:
    add(store, "notes", ["a", "b"])
    run(store.add("notes", MODEL, ["a"], ["new"], [vector("new")], [{"n": 1}]))
    assert search(store, "notes", "new", k=9)[0].text == "new"
    assert sorted(ids_of(search(store, "notes", "new", k=9))) == ["a", "b"]


def test_of_one_id_twice_in_a_call_the_last_counts(store: LocalCollections) -> None:
    run(store.add("notes", MODEL, ["a", "a"], ["one", "two"], [vector(1), vector(2)], [{}, {}]))
    assert [hit.text for hit in search(store, "notes", "x", k=9)] == ["two"]


@pytest.mark.parametrize(
    "name",
    ["a", "Grüße / 你好", "x" * 200, "../../etc", "a b", "A", ".", "🙂", "Looms – a history, 1733", "a/b", "a-b"],
)
def test_any_name_is_a_name(store: LocalCollections, name: str) -> None:
    add(store, name, ["a"])
    assert run(store.about(name)) == Collection(name, MODEL)
    assert ids_of(search(store, name, "a")) == ["a"]


def test_names_that_look_alike_are_not_the_same(store: LocalCollections) -> None:
    for number, name in enumerate(["a b", "a-b", "a_b", "A b", "a  b"]):
        add(store, name, [str(number)])
    assert [ids_of(search(store, name, "x")) for name in ["a b", "a-b", "a_b", "A b", "a  b"]] == [["0"], ["1"], ["2"], ["3"], ["4"]]  # fmt: skip


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb", "a\0b", "\ud800"])
def test_what_is_no_name_is_refused(store: LocalCollections, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a collection"):
        add(store, name, ["a"])
    with pytest.raises(InputError, match="cannot be the name of a collection"):
        search(store, name, "a")
    assert run(store.about(name)) is None
    assert run(store.state(name)) == run(store.digest(name, ["a"])) == ""


def test_a_collection_remembers_its_model(store: LocalCollections) -> None:
    add(store, "notes", ["a"])
    with pytest.raises(InputError, match="made by local:minilm, so it cannot take those of local:other"):
        add(store, "notes", ["b"], model="local:other")
    with pytest.raises(InputError, match="16 numbers; these have 2"):
        run(store.add("notes", MODEL, ["b"], ["t"], [[1.0, 2.0]], [{}]))
    with pytest.raises(InputError, match="16 numbers, made by local:minilm; this one has 2"):
        run(store.search("notes", [1.0, 2.0], 3, None))
    assert ids_of(search(store, "notes", "b", k=9)) == ["a"]


def test_a_collection_that_is_not_there_is_named_with_the_nearest(store: LocalCollections) -> None:
    add(store, "recipes", ["a"])
    with pytest.raises(InputError, match="no collection 'recipe'; did you mean 'recipes'"):
        search(store, "recipe", "a")
    assert run(store.about("recipe")) is None


@pytest.mark.parametrize(
    ("ids", "texts", "vectors", "metadata", "reason"),
    [
        ([], [], [], [], "nothing to add"),
        (["a"], ["t", "u"], [[1.0]], [{}], "not equal"),
        ([""], ["t"], [[1.0]], [{}], "cannot be an id"),
        (["x" * 501], ["t"], [[1.0]], [{}], "cannot be an id"),
        (["a\nb"], ["t"], [[1.0]], [{}], "cannot be an id"),
        (["a"], ["t"], [[]], [{}], "lists of finite numbers"),
        (["a"], ["t"], [["x"]], [{}], "lists of numbers"),
        (["a"], ["t"], [[float("nan")]], [{}], "finite"),
        (["a"], ["t"], [[1e300]], [{}], "finite"),
        (["a", "b"], ["t", "u"], [[1.0], [1.0, 2.0]], [{}, {}], "same length"),
    ],
)
def test_rows_that_cannot_be_kept_are_refused(
    store: LocalCollections, ids: Any, texts: Any, vectors: Any, metadata: Any, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        run(store.add("notes", MODEL, ids, texts, vectors, metadata))


@pytest.mark.parametrize("k", [0, -1, 5_000, True, 2.5])
def test_a_number_of_hits_that_makes_no_sense_is_refused(store: LocalCollections, k: Any) -> None:
    add(store, "notes", ["a"])
    with pytest.raises(InputError, match="1 to 1,000 hits"):
        search(store, "notes", "a", k=k)


def test_more_rows_than_chroma_takes_at_once(store: LocalCollections) -> None:
    ids = [f"id {number}" for number in range(6_000)]
    add(store, "notes", ids)
    assert ids_of(search(store, "notes", "id 5999", k=1)) == ["id 5999"]
    assert len(search(store, "notes", "x", k=1_000)) == 1_000


def test_texts_of_every_kind_come_back(store: LocalCollections) -> None:
    texts = ["", " ", "é 你好 🙂", "a\0b", "x" * 100_000, "\ud800 half"]
    ids = [str(number) for number in range(len(texts))]
    run(store.add("notes", MODEL, ids, texts, [vector(id) for id in ids], [{}] * len(ids)))
    found = {hit.id: hit.text for hit in search(store, "notes", "x", k=9)}
    assert [found[id] for id in ids] == [*texts[:-1], "\ufffd half"]


# Metadata and filters


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_metadata_is_kept_as_json(metadata: dict[str, Any]) -> None:
    assert unpacked(packed(metadata)) == metadata


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(metadata={"$schema": "https://example.org/", "#": 1, "chroma:document": "x", "_json": "{}", "a": {"$b": 2}})
@given(metadata=st.dictionaries(st.text(), JSON, max_size=5))
def test_metadata_comes_back_equal_from_chroma(store: LocalCollections, metadata: dict[str, Any]) -> None:
    run(store.add("notes", MODEL, ["a"], ["t"], [vector("a")], [metadata]))
    assert search(store, "notes", "a", k=1)[0].metadata == metadata


def test_metadata_that_is_no_json_becomes_json_or_is_refused(store: LocalCollections) -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"x": deep}
    with pytest.raises(InputError, match="metadata of a text cannot be kept"):
        add(store, "notes", ["a"], a=deep)
    add(store, "notes", ["a"], a={"n": float("nan"), "t": (1, 2), 5: "five"})  # type: ignore[dict-item]
    assert search(store, "notes", "a")[0].metadata == {"n": None, "t": [1, 2], "5": "five"}


def test_the_source_in_the_metadata_is_the_source_of_the_hit(store: LocalCollections) -> None:
    add(store, "notes", ["a"], a={"source": "looms.html", "title": "Looms"})
    assert search(store, "notes", "a")[0].source == "looms.html"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (None, "abc"),
        ({}, "abc"),
        ({"page": 2}, "b"),
        ({"page": {"$gte": 2}}, "bc"),
        ({"page": {"$gt": 1, "$lt": 3}}, "b"),
        ({"page": {"$in": [1, 3]}}, "ac"),
        ({"page": {"$ne": 1}, "lang": "en"}, "c"),
        ({"$or": [{"page": 1}, {"lang": "de"}]}, "ab"),
        ({"$and": [{"page": 1}]}, "a"),
        ({"$or": [{"$and": [{"page": 1}, {"lang": "en"}]}, {"page": 3}]}, "ac"),
        ({"author.name": "Kay"}, "ac"),
        ({"tags": {"$contains": "loom"}}, "b"),
        ({"draft": True}, "c"),
        ({"gone": 1}, ""),
    ],
)
def test_a_filter_looks_at_the_metadata(store: LocalCollections, where: Any, found: str) -> None:
    add(
        store, "notes", ["a", "b", "c"],
        a={"page": 1, "lang": "en", "author": {"name": "Kay"}, "draft": False},
        b={"page": 2, "lang": "de", "tags": ["loom", "yarn"], "draft": False},
        c={"page": 3, "lang": "en", "author": {"name": "Kay"}, "draft": True},
    )  # fmt: skip
    assert "".join(sorted(ids_of(search(store, "notes", "a", where=where)))) == found


def nested(depth: int) -> Any:
    where: Any = {"a": 1}
    for _ in range(depth):
        where = {"$and": [where, {"b": 1}]}
    return where


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ([1], "object of conditions"),
        ("page = 1", "object of conditions"),
        ({"$and": []}, "takes a list"),
        ({"$or": {"a": 1}}, "takes a list"),
        ({"$or": [5]}, "object of conditions"),
        ({"a": {"$like": "b"}}, "cannot be used"),
        ({"a": None}, "cannot be used"),
        ({"a": [1, 2]}, "cannot be used"),
        ({"a": {"$in": []}}, "cannot be used"),
        ({"a": {"$gt": "x"}}, "cannot be used"),
        (nested(3_000), "too large"),
        ({"$or": [{"a": number} for number in range(3_000)]}, "too large"),
    ],
)
def test_a_filter_that_is_none_is_refused(store: LocalCollections, where: Any, reason: str) -> None:
    add(store, "notes", ["a"])
    with pytest.raises(InputError, match=reason):
        search(store, "notes", "a", where=where)


def test_conditions_side_by_side_all_hold() -> None:
    assert filter_of({"a": 1, "b": {"$gt": 2, "$lt": 5}}) == {"$and": [{"a": 1}, {"b": {"$gt": 2}}, {"b": {"$lt": 5}}]}


# State


def test_the_state_is_another_when_the_content_is_and_only_then(store: LocalCollections) -> None:
    seen = [run(store.state("notes"))]
    assert seen == [""]
    for step in (
        lambda: add(store, "notes", ["a", "b"]),
        lambda: add(store, "notes", ["c"]),
        lambda: add(store, "notes", ["a"], a={"page": 1}),
        lambda: run(store.add("notes", MODEL, ["b"], ["other"], [vector("b")], [{}])),
        lambda: run(store.add("notes", MODEL, ["b"], ["other"], [vector("c")], [{}])),
    ):
        step()
        state = run(store.state("notes"))
        assert state not in seen
        step()
        assert run(store.state("notes")) == state
        seen.append(state)


def test_the_same_content_has_the_same_state_however_it_came_about(store: LocalCollections) -> None:
    add(store, "one", ["a", "b", "c"])
    for ids in (["c"], ["a", "x"], ["b", "a"]):
        add(store, "two", ids)
    assert run(store.state("one")) != run(store.state("two"))
    add(store, "one", ["x"])
    assert run(store.state("one")) == run(store.state("two"))


def test_adding_the_same_again_writes_nothing(store: LocalCollections, home: Home) -> None:
    ids = [str(number) for number in range(500)]
    add(store, "notes", ids)
    files = {path: path.stat().st_mtime_ns for path in home.collections.rglob("*") if path.is_file()}
    add(store, "notes", ids)
    assert files == {path: path.stat().st_mtime_ns for path in home.collections.rglob("*") if path.is_file()}


def test_a_digest_is_of_these_items_and_of_no_others(store: LocalCollections) -> None:
    add(store, "notes", ["a", "b"])
    of_both = run(store.digest("notes", ["a", "b"]))
    assert of_both
    assert of_both == run(store.digest("notes", ["a", "b"])) != run(store.digest("notes", ["a"]))
    add(store, "notes", ["c"])
    assert run(store.digest("notes", ["a", "b"])) == of_both
    add(store, "notes", ["b"], b={"page": 1})
    assert run(store.digest("notes", ["a", "b"])) not in ("", of_both)
    assert run(store.digest("notes", ["a", "gone"])) == run(store.digest("gone", ["a"])) == ""


def test_state_and_digest_are_told_without_chroma(store: LocalCollections, home: Home) -> None:
    add(store, "notes", ["a"])
    code = f"""
import asyncio, sys
from pathlib import Path
from phloem.nodes.services.collections import make
from phloem.runtime.home import Home
async def look():
    service = make(Home(Path({str(home.path)!r})))
    assert await service.state("notes") and await service.digest("notes", ["a"]) and await service.about("notes")
    await service.close()
asyncio.run(look())
print("chromadb" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr[-500:]


def test_a_collection_that_is_cleared_is_gone_and_may_begin_anew(store: LocalCollections) -> None:
    add(store, "notes", ["a", "b"])
    add(store, "others", ["c"])
    assert run(store.clear("notes")) == 2
    assert run(store.clear("notes")) == 0
    assert run(store.about("notes")) is None
    assert run(store.state("notes")) == run(store.digest("notes", ["a"])) == ""
    run(store.add("notes", "local:other", ["z"], ["t"], [[1.0, 2.0]], [{}]))
    assert [hit.id for hit in run(store.search("notes", [1.0, 2.0], 9, None))] == ["z"]
    assert ids_of(search(store, "others", "c")) == ["c"]


# Several at once, and crashes


ADDER = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from nodes.test_collections import MODEL, vector
from phloem.nodes.services.collections import make
from phloem.runtime.home import Home
async def main():
    service = make(Home(Path({home!r})))
    for batch in range({batches}):
        ids = [f"{name}-{{batch}}-{{number}}" for number in range(50)]
        await service.add("shared", MODEL, ids, ids, [vector(id) for id in ids], [{{"by": "{name}"}}] * len(ids))
        print(batch, flush=True)
    await service.close()
asyncio.run(main())
"""


def adder(home: Home, name: str, batches: int) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parents[1])
    code = ADDER.format(tests=tests, home=str(home.path), name=name, batches=batches)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_add_at_once_lose_nothing_and_see_each_other(store: LocalCollections, home: Home) -> None:
    """With more rows than after which Chroma writes its index anew, which is where one could undo the other."""
    add(store, "shared", ["own"])
    processes = [adder(home, name, batches=25) for name in ("one", "two")]
    while any(process.poll() is None for process in processes):
        assert ids_of(search(store, "shared", "own", k=1)) == ["own"]
        time.sleep(0.1)
    assert [process.communicate()[1] for process in processes] == ["", ""]
    wanted = [f"{name}-{batch}-{number}" for name in ("one", "two") for batch in range(25) for number in (0, 17, 49)]
    assert [ids_of(search(store, "shared", id, k=1)) for id in wanted] == [[id] for id in wanted]
    add(store, "shared", ["last"])
    again = make(home)
    assert [ids_of(search(again, "shared", id, k=1)) for id in ["last", *wanted]] == [[id] for id in ["last", *wanted]]
    assert run(again.state("shared")) == run(store.state("shared"))
    run(again.close())


def test_a_process_that_is_killed_leaves_a_collection_that_can_be_used(store: LocalCollections, home: Home) -> None:
    process = adder(home, "one", batches=1_000)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert ids_of(search(store, "shared", "one-0-0", k=1)) == ["one-0-0"]
    state = run(store.state("shared"))
    add(store, "shared", ["after"])
    assert run(store.state("shared")) not in ("", state)
    assert ids_of(search(store, "shared", "after", k=1)) == ["after"]


def test_a_change_that_was_not_finished_gives_another_state(store: LocalCollections, home: Home) -> None:
    """What a kill in the middle leaves: the ledger knows only that something was begun."""
    add(store, "notes", ["a"])
    state = run(store.state("notes"))
    code = f"""
import os
from pathlib import Path
from phloem.nodes.services.collections.ledger import Ledger
with Ledger(Path({str(home.collections / "ledger.sqlite3")!r})).changing("notes"):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    between = run(store.state("notes"))
    assert between not in ("", state)
    add(store, "notes", ["b"])
    assert run(store.state("notes")) not in (state, between)


class Watched:
    """A connection that calls `before` with every statement."""

    def __init__(self, plain: sqlite3.Connection, before: Callable[[str], None]) -> None:
        self.plain = plain
        self.before = before

    def execute(self, text: str, *values: Any) -> Any:
        self.before(text)
        return self.plain.execute(text, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


def test_a_change_that_ended_just_before_leaves_the_mark_of_the_next(home: Home) -> None:
    """A process whose change ends between another's mark and its change wipes the mark out."""
    home.collections.mkdir(parents=True)
    path = home.collections / "ledger.sqlite3"
    one, other = Ledger(path), Ledger(path)
    with one.changing("notes"):
        one.create("notes", "m", 2)
    plain, ends = one._connection, [1]

    def end_another(text: str) -> None:
        if text.startswith("BEGIN") and ends:
            ends.clear()
            with other.changing("notes"):
                other.put("notes", {}, {"a": b"1" * 32})

    one._connection = Watched(plain, end_another)  # type: ignore[assignment]
    with one.changing("notes"):
        found = Ledger(path)
        marked = found.find("notes")
        found.close()
        (pending,) = plain.execute("SELECT pending FROM collections").fetchone()
        assert pending is not None and marked is not None and marked.state == pending
    assert one.find("notes") == other.find("notes")
    one.close()
    other.close()


def test_an_error_with_which_sqlite_ends_the_change_itself_is_the_one_that_is_told(home: Home) -> None:
    home.collections.mkdir(parents=True)
    ledger = Ledger(home.collections / "ledger.sqlite3")
    for around in (ledger.changing("notes"), ledger.alone()):
        with pytest.raises(sqlite3.OperationalError, match="disk is full"), around:
            ledger._connection.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")
    ledger.close()


def test_a_change_that_could_not_be_kept_does_not_stand_in_the_way_of_the_next(home: Home) -> None:
    def fill_the_disk(text: str) -> None:
        if text == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")

    home.collections.mkdir(parents=True)
    ledger = Ledger(home.collections / "ledger.sqlite3")
    plain = ledger._connection
    ledger._connection = Watched(plain, fill_the_disk)  # type: ignore[assignment]
    with pytest.raises(sqlite3.OperationalError), ledger.changing("notes"):
        ledger.create("notes", "m", 2)
    ledger._connection = plain
    assert ledger.find("notes") is None
    with ledger.changing("notes"):
        ledger.create("notes", "m", 2)
    assert ledger.find("notes") is not None
    ledger.close()


def test_a_home_that_cannot_be_used_is_an_error_that_says_so(home: Home) -> None:
    home.path.mkdir(parents=True)
    home.collections.write_text("a file where the folder should be")
    service = make(home)
    with pytest.raises(ServiceError, match="collections cannot be used"):
        run(service.state("notes"))
    run(service.close())


def test_a_ledger_that_is_damaged_is_an_error_that_says_so(home: Home) -> None:
    home.collections.mkdir(parents=True)
    (home.collections / "ledger.sqlite3").write_bytes(b"not a database, but long enough to look like one" * 100)
    service = make(home)
    with pytest.raises(ServiceError, match="collections cannot be used: file is not a database"):
        run(service.state("notes"))
    run(service.close())


IN_A_FOLDER = """
import asyncio
from pathlib import Path
from phloem.nodes.services.collections import make
from phloem.runtime.errors import ServiceError
from phloem.runtime.home import Home
async def main():
    service = make(Home(Path({home!r})))
    try:
        await service.add("notes", "m", ["a"], ["t"], [[1.0, 2.0]], [{{}}])
        print(service._store._client.get_settings().allow_reset)
    except ServiceError as error:
        print("ServiceError", error.hint)
    await service.close()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("line", "said"), [("ALLOW_RESET=TRUE", "False"), ("IS_PERSISTENT=nonsense", "ServiceError A file .env in the")]
)
def test_settings_for_chroma_in_the_current_folder_are_not_followed(
    home: Home, tmp_path: Path, line: str, said: str
) -> None:
    """Chroma reads them from a file `.env` there, which a stranger's workflow may bring."""
    (tmp_path / ".env").write_text(f"{line}\n")
    code = IN_A_FOLDER.format(home=str(home.path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith(said), done.stderr[-500:]


def test_settings_for_chroma_in_the_environment_are_not_followed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them have it connect to others: its server, and whoever takes the traces of what it does."""
    settings = {
        "ALLOW_RESET": "TRUE",
        "CHROMA_OTEL_COLLECTION_ENDPOINT": "http://192.0.2.1:4317",
        "CHROMA_OTEL_GRANULARITY": "all",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    service = make(home)
    run(service.add("notes", "m", ["a"], ["t"], [[1.0, 2.0]], [{}]))
    found = service._store._client.get_settings()
    assert (found.allow_reset, found.chroma_otel_collection_endpoint, found.chroma_otel_granularity) == (
        False,
        "",
        None,
    )
    assert not found.anonymized_telemetry
    run(service.close())


def test_keep_only_leaves_just_what_is_named_and_the_state_of_having_only_that(store: LocalCollections) -> None:
    add(store, "notes", ["a", "b", "c", "d"])
    add(store, "other", ["b", "d"])
    assert run(store.keep_only("notes", ["b", "d", "never there"])) == 2
    assert sorted(ids_of(search(store, "notes", "a"))) == ["b", "d"]
    assert run(store.state("notes")) == run(store.state("other"))
    assert run(store.digest("notes", ["a"])) == ""
    assert run(store.keep_only("notes", ["b", "d"])) == 0
    assert run(store.keep_only("notes", [])) == 2
    assert search(store, "notes", "a") == []
    add(store, "notes", ["a"])
    assert ids_of(search(store, "notes", "a")) == ["a"]


def test_keep_only_wants_a_collection(store: LocalCollections) -> None:
    with pytest.raises(InputError, match="there is no collection 'nothing'"):
        run(store.keep_only("nothing", ["a"]))
