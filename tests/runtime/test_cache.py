"""Results of earlier runs: used again exactly when nothing they depend on has changed, and never in the way."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace

import msgpack
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from phloem.runtime import events as e
from phloem.runtime.cache import Cache, Entry, store
from phloem.runtime.cache import cache as cache_module
from phloem.runtime.codec import digest
from phloem.runtime.engine import Engine
from phloem.runtime.events import preview
from phloem.runtime.home import Home
from phloem.runtime.workflow import OnError
from support import kinds_for_tests as kinds
from support.kinds_for_tests import CALLS
from support.playing import Played, box, drawn, given, play
from support.values import link_values

pytestmark = pytest.mark.slow


def entry(*values, **more) -> Entry:
    return Entry([store(value) for value in values], [preview(value) for value in values], **more)


def loaded(found: Entry | None) -> list | None:
    return None if found is None else [one.load() for one in found.outputs]


@pytest.fixture
def cache(tmp_path):
    cache = Cache(tmp_path / "cache")
    yield cache
    cache.close()


def reopened(cache: Cache) -> Cache:
    """The same folder as another process would see it."""
    cache.close()
    return Cache(cache.folder, size_limit=cache.size_limit)


# ---- The store itself


def test_what_was_put_can_be_got_at_once_and_after_a_restart(cache):
    cache.put(
        b"k", entry("small", "x" * 100_000, None, seconds=1.5, tokens_in=3, tokens_out=4, written=[("file", "a", "b")])
    )
    for one in (cache, Cache(cache.folder)):
        cache.flush()
        found = one.get(b"k")
        assert loaded(found) == ["small", "x" * 100_000, None]
        assert (found.seconds, found.tokens_in, found.tokens_out) == (1.5, 3, 4)
        assert found.written == [("file", "a", "b")]
        assert [shown.type for shown in found.previews] == ["text", "text", "json"]
        one.close()
    assert Cache(cache.folder).get(b"other") is None


def test_what_is_put_while_the_database_is_held_can_be_got(cache):
    cache.put(b"first", entry("1"))
    cache.flush()
    for number in range(100):
        assert cache.get(b"%d" % number, hold=True) is None
    for number in range(100):
        cache.put(b"%d" % number, entry(str(number)))
    cache.flush()
    assert [loaded(cache.get(b"%d" % number, hold=True)) for number in range(100)] == [[str(n)] for n in range(100)]


def test_a_database_that_was_released_can_be_tidied_by_others(cache):
    """One that somebody reads cannot be: its log of writes would grow without end."""
    cache.put(b"a", entry("1"))
    cache.flush()
    with closing(sqlite3.connect(cache.folder / "results.db")) as other:
        for _ in range(3):
            assert loaded(cache.get(b"a", hold=True)) == ["1"]
        other.execute("INSERT INTO files VALUES (x'01', x'02')")
        other.commit()
        other.execute("PRAGMA busy_timeout=0")
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 1
        cache.release()
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_flush_brings_everything_to_disk(cache):
    for number in range(100):
        cache.put(bytes([number]), entry(number))
    cache.flush()
    other = Cache(cache.folder)
    assert [loaded(other.get(bytes([number]))) for number in range(100)] == [[number] for number in range(100)]
    other.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@for_all(value=link_values())
def test_every_value_comes_back_with_its_preview(cache, value):
    cache.put(b"k", entry(value))
    cache.flush()
    other = Cache(cache.folder)
    found = other.get(b"k")
    other.close()
    assert found.outputs[0].hash == store(value).hash
    assert store(found.outputs[0].load()).hash == store(value).hash
    assert found.previews == [preview(value)]


def test_a_large_value_lies_in_a_file_once_however_many_results_have_it(cache):
    for key in (b"a", b"b"):
        cache.put(key, entry("x" * 50_000, "y" * 10))
    cache.flush()
    files = [path for path in (cache.folder / "values").rglob("*") if path.is_file()]
    assert [path.name for path in files] == [store("x" * 50_000).hash.hex()]


def test_many_threads_may_use_a_cache_at_once(cache):
    wrong = []

    def work(name: int) -> None:
        for number in range(100):
            key = f"{name}/{number}".encode()
            cache.put(key, entry([name, number]))
            if loaded(cache.get(key)) != [[name, number]]:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.flush()
    assert not wrong
    other = Cache(cache.folder)
    assert all(
        loaded(other.get(f"{name}/{number}".encode())) == [[name, number]] for name in range(6) for number in range(100)
    )
    other.close()


def test_beyond_the_size_limit_what_was_used_longest_ago_goes(tmp_path, monkeypatch):
    now = [1_000_000.0]
    monkeypatch.setattr(cache_module.time, "time", lambda: now[0])
    cache = Cache(tmp_path / "cache", size_limit=1_000_000)
    for number in range(20):
        now[0] += 10_000
        cache.put(bytes([number]), entry(bytes([number]) * 100_000))
        cache.flush()
    now[0] += 10_000
    assert cache.get(b"\0"), "this one is used again"
    cache.close()
    old = Cache(cache.folder)
    kept = [number for number in range(20) if old.get(bytes([number]))]
    old.close()
    assert kept[0] == 0
    assert kept[1:] == list(range(14, 20))
    files = [path for path in (cache.folder / "values").rglob("*") if path.is_file()]
    assert len(files) >= len(kept)


def test_files_that_no_result_has_go_when_they_are_not_young(tmp_path):
    cache = Cache(tmp_path / "cache", size_limit=300_000)
    for number in range(6):
        cache.put(bytes([number]), entry(bytes([number]) * 100_000))
        cache.flush()
    for path in (cache.folder / "values").rglob("*"):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    cache.close()
    files = {path.name for path in (cache.folder / "values").rglob("*") if path.is_file()}
    other = Cache(cache.folder)
    kept = [number for number in range(6) if other.get(bytes([number]))]
    other.close()
    assert files == {store(bytes([number]) * 100_000).hash.hex() for number in kept}
    assert kept == [4, 5]


def test_within_the_limit_nothing_goes(cache):
    cache.put(b"k", entry("x" * 100_000))
    cache = reopened(cache)
    cache.put(b"l", entry("y"))
    cache = reopened(cache)
    assert cache.get(b"k")
    assert cache.get(b"l")
    cache.close()


# ---- Runs that use it


CHAIN = drawn(
    {
        "a": box("test.numbers", set={"n": 4}),
        "b": box("test.double", {"x": "a.number"}),
        "c": box("test.aside", {"x": "b.number"}),
        "d": box("test.block", {"x": "c.number"}),
        "e": box("test.stream", {"text": "f.text"}),
        "f": box("test.join", {"texts": "d.number"}),
    },
    o="d.number",
    e="e.text",
)


def calls_of(run) -> dict[str, int]:
    """How often each kind ran during `run()`."""
    CALLS.clear()
    run()
    return {name: count for name, count in CALLS.items() if not name.endswith("closed")}


def test_an_entry_of_an_earlier_version_is_read_and_cost_nothing(tmp_path):
    cache = Cache(tmp_path)
    cache.put(b"k", entry("x", seconds=1.5, tokens_in=3, tokens_out=4, money=0.25))
    cache.close()
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        (record,) = connection.execute("SELECT record FROM results").fetchone()
        fields = msgpack.unpackb(record[20:], unicode_errors="surrogatepass")
        assert fields[-1] == 0.25
        for key, other in ((b"old", fields[:-1]), (b"odd", [*fields[:-1], "dear"]), (b"short", fields[:-2])):
            packed = msgpack.packb(other)
            connection.execute("INSERT INTO results VALUES (?, ?, 1, 1)", (key, digest(packed) + packed))
        connection.commit()
    cache = Cache(tmp_path)
    found = {key: cache.get(key) for key in (b"k", b"old", b"odd", b"short")}
    cache.close()
    assert found[b"k"] is not None
    assert found[b"old"] is not None
    assert (found[b"k"].money, found[b"old"].money) == (0.25, 0.0)
    assert (found[b"old"].tokens_in, found[b"old"].outputs[0].load()) == (3, "x")
    assert found[b"odd"] is found[b"short"] is None, "what cannot be read is a miss"


def test_a_second_run_executes_nothing(engine):
    first = play(engine, CHAIN)
    again: list[Played] = []
    assert calls_of(lambda: again.append(play(engine, CHAIN))) == {}
    assert again[0].outputs == first.outputs
    assert set(again[0].states.values()) == {"cached"}
    assert not again[0].of(e.NodeStarted, e.NodeChunk, e.NodeProgress)
    for name in first.view.nodes:
        assert again[0].view.nodes[name].outputs == first.view.nodes[name].outputs, "and shows the same previews"


def test_another_process_and_another_engine_use_the_same_results(engine, home):
    play(engine, CHAIN)
    engine.cache.flush()
    other = Engine(home, catalogue=kinds.catalogue())
    assert calls_of(lambda: play(other, CHAIN)) == {}
    asyncio.run(other.close())


def test_without_the_cache_everything_runs_and_nothing_is_kept(engine):
    assert calls_of(lambda: play(engine, CHAIN, cache=False)) == calls_of(lambda: play(engine, CHAIN))
    assert calls_of(lambda: play(engine, CHAIN, cache=False))["test.numbers"] == 1


def test_one_node_may_refuse_to_be_kept(engine):
    workflow = CHAIN.with_node("b", replace(CHAIN.nodes["b"], cache=False))
    play(engine, workflow)
    assert calls_of(lambda: play(engine, workflow)) == {"test.double": 4}


def test_chance_is_never_kept_unless_it_is_pinned(engine):
    workflow = drawn({"c": box("test.chance")}, o="c.number")
    assert play(engine, workflow).outputs != play(engine, workflow).outputs
    pinned = drawn({"c": box("test.chance", cache=True)}, o="c.number")
    assert play(engine, pinned).outputs == play(engine, pinned).outputs
    listed = drawn({"n": box("test.numbers"), "c": box("test.chance", {"x": "n.number"})}, o="c.number")
    assert play(engine, listed).outputs != play(engine, listed).outputs


def test_a_stamp_may_say_that_there_is_no_chance_this_time(engine):
    cold = drawn({"c": box("test.lucky", set={"x": 1})}, o="c.number")
    hot = drawn({"c": box("test.lucky", set={"x": 1, "heat": 1})}, o="c.number")
    play(engine, cold)
    assert calls_of(lambda: play(engine, cold)) == {}
    play(engine, hot)
    assert calls_of(lambda: play(engine, hot)) == {"test.lucky": 1}


def test_changing_one_literal_of_a_long_chain_runs_only_what_depends_on_it(engine):
    nodes = {"n0": box("test.add", set={"a": 0})}
    for index in range(1, 1000):
        nodes[f"n{index}"] = box("test.add", {"a": f"n{index - 1}.number"})
    chain = drawn(nodes, o="n999.number")
    assert play(engine, chain).outputs == {"o": 1000}
    for changed, literal, ran in ((999, 1.5, 1), (990, 1.25, 10), (500, 1.125, 500)):
        other = chain.with_setting(f"n{changed}", "b", literal)
        assert calls_of(lambda other=other: play(engine, other)) == {"test.add": ran}
    engine.cache.flush()
    with closing(sqlite3.connect(engine.cache.folder / "results.db", timeout=0)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "a run that is over holds nothing"
    assert calls_of(lambda: play(engine, chain)) == {}, "and going back costs nothing"
    shifted = chain.with_setting("n500", "b", 2)
    assert calls_of(lambda: play(engine, shifted)) == {"test.add": 2}, (
        "1 to 999 plus 1 are known, wherever they come from"
    )


def test_a_change_that_gives_the_same_value_stops_there(engine):
    workflow = drawn(
        {
            "a": box("test.constant", set={"value": 5}),
            "sign": box("test.sign", {"x": "a.json"}),
            "b": box("test.add", {"a": "sign.number"}),
            "c": box("test.aside", {"x": "b.number"}),
        },
        o="c.number",
    )
    play(engine, workflow)
    changed = workflow.with_setting("a", "value", 7)
    assert calls_of(lambda: play(engine, changed)) == {"test.constant": 1, "test.sign": 1}
    turned = workflow.with_setting("a", "value", -7)
    assert calls_of(lambda: play(engine, turned)) == {
        "test.constant": 1,
        "test.sign": 1,
        "test.add": 1,
        "test.aside": 1,
    }


def test_the_same_values_into_other_ports_are_another_call(engine):
    """Both workflows feed 5 and 3 into the same kind, in this order; only the names of the ports differ."""
    inputs = {"x": given("number", 5), "y": given("number", 3)}
    one = drawn({"s": box("test.subtract", {"a": "input.x", "b": "input.y"})}, inputs, o="s.number")
    other = drawn({"s": box("test.subtract", {"b": "input.x", "a": "input.y"})}, inputs, o="s.number")
    assert play(engine, one).outputs == {"o": 2}
    assert play(engine, other).outputs == {"o": -2}
    lists = {name: given("list[number]", [number]) for name, number in (("x", 5), ("y", 3))}
    assert play(engine, replace(one, inputs=lists)).outputs == {"o": [2]}
    assert play(engine, replace(other, inputs=lists)).outputs == {"o": [-2]}


@pytest.mark.parametrize(
    "one, other", [(1, 1.0), (1, True), (1, "1"), (0.0, -0.0), ([1], [1.0]), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_values_that_only_look_alike_are_not_taken_for_each_other(engine, one, other):
    workflow = drawn({"s": box("test.same", {"value": "input.v"})}, {"v": given("any")}, o="s.any")
    for value in (one, other):
        assert repr(play(engine, workflow, {"v": value}).outputs["o"]) == repr(value)


def test_a_kind_is_not_taken_for_another_with_the_same_inputs(engine):
    for kind, result in (("test.double", 8), ("test.sign", 1), ("test.aside", 8)):
        assert play(engine, drawn({"n": box(kind, set={"x": 4})}, o="n.number")).outputs == {"o": result}


@pytest.mark.parametrize("kind", ["test.aside", "test.block"])
def test_slow_nodes_keep_each_item_of_a_list(engine, kind):
    workflow = drawn({"d": box(kind, {"x": "input.xs"})}, {"xs": given("list[number]")}, o="d.number")
    assert calls_of(lambda: play(engine, workflow, {"xs": [1, 2, 3]})) == {kind: 3}
    again: list[Played] = []
    assert calls_of(lambda: again.append(play(engine, workflow, {"xs": [0, 3, 2, 1, 4]}))) == {kind: 2}
    assert again[0].outputs == {"o": [0, 6, 4, 2, 8]}
    assert again[0].states == {"d": "done"}


def test_items_that_had_finished_are_kept_when_another_one_fails(engine):
    workflow = drawn(
        {"d": box("test.picky_aside", {"x": "input.xs"}, {"bad": [9]})}, {"xs": given("list[number]")}, o="d.number"
    )
    play(engine, workflow, {"xs": [1, 2, 9]})
    assert calls_of(lambda: play(engine, workflow, {"xs": [1, 2]})) == {}


def test_failures_are_not_kept(engine):
    workflow = drawn({"f": box("test.flaky", set={"x": 1, "times": 1})}, o="f.number")
    assert play(engine, workflow).result.status == "failed"
    assert play(engine, workflow).outputs == {"o": 1}
    default = drawn({"f": box("test.fail", on_error=OnError("default", 3))}, o="f.number")
    play(engine, default)
    assert calls_of(lambda: play(engine, default)) == {"test.fail": 1}


def test_a_value_that_cannot_be_stored_is_made_again(engine):
    workflow = drawn(
        {"odd": box("test.odd", set={"what": "set"}), "same": box("test.same", {"value": "odd.any"})}, o="same.any"
    )
    for _ in range(2):
        assert calls_of(lambda: play(engine, workflow)) == {"test.same": 1}


# ---- What lies outside: files read, files written


def test_reading_a_file_is_done_again_when_its_content_changed(engine, tmp_path):
    file = tmp_path / "a.txt"
    workflow = drawn({"r": box("test.read", set={"path": str(file)})}, o="r.text")

    def read() -> Played:
        return play(engine, workflow, trusted=[file])

    file.write_text("one")
    assert read().outputs == {"o": "one"}
    assert calls_of(read) == {}
    os.utime(file, (1, 1))
    assert calls_of(read) == {}, "another date is no other content"
    file.write_text("two")
    assert read().outputs == {"o": "two"}
    file.write_text("one")
    assert calls_of(read) == {}, "and what it was before is still known"
    file.unlink()
    assert read().result.status == "failed"


def test_reading_is_kept_for_the_folder_it_was_done_in(engine, tmp_path):
    from phloem.runtime.document import load

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        (tmp_path / name / "f.flow.yaml").write_text(
            "phloem: 1\nnodes:\n  r:\n    kind: test.read@1\n    set: {path: a.txt}\noutputs:\n  o: r.text\n"
        )
    for name in ("one", "two", "one"):
        assert play(engine, load(tmp_path / name / "f.flow.yaml")).outputs == {"o": name}


def test_writing_is_done_again_only_when_what_was_written_is_not_there_any_more(engine, tmp_path):
    file = tmp_path / "out.txt"
    workflow = drawn(
        {"w": box("test.write", {"text": "input.text"}, {"path": str(file), "passes": 2})},
        {"text": given("text", "words")},
        o="w.path",
    )

    def write() -> Played:
        return play(engine, workflow, allow=[f"write={tmp_path}"])

    assert write().outputs == {"o": str(file)}
    assert file.read_text() == "words"
    assert calls_of(write) == {}, "a file written twice in one go counts as it was left"
    file.write_text("changed by a person")
    assert calls_of(write) == {"test.write": 1}
    assert file.read_text() == "words"
    file.unlink()
    assert calls_of(write) == {"test.write": 1}
    assert calls_of(write) == {}
    assert file.read_text() == "words"


def test_what_cannot_be_looked_at_is_done_again(engine, tmp_path):
    """A result that says it wrote into a collection, where no service for collections is installed."""
    file = tmp_path / "out.txt"
    workflow = drawn({"w": box("test.write", set={"path": str(file), "text": "a"})}, o="w.path")
    play(engine, workflow, allow=[f"write={tmp_path}"])
    engine.cache.flush()
    with sqlite3.connect(engine.cache.folder / "results.db") as database:
        ((key,),) = database.execute("SELECT key FROM results").fetchall()
    database.close()
    found = engine.cache.get(key)
    found.written = [("collection", "books\n1", "digest")]
    engine.cache.put(key, found)
    assert calls_of(lambda: play(engine, workflow, allow=[f"write={tmp_path}"])) == {"test.write": 1}


# ---- When the disk is not as it should be: a miss, never a run


def broken_runs(home: Home, break_it) -> None:
    """Three runs: before, after breaking the cache, and once more; the last finds everything again."""
    for step in range(3):
        engine = Engine(home, catalogue=kinds.catalogue())
        if step == 1:
            break_it()
        CALLS.clear()
        played = play(engine, BIG_AND_SMALL)
        asyncio.run(engine.close())
        assert played.result.status == "done"
        assert played.outputs["small"] == 6
        assert played.outputs["big"] == "WORD" * 20_000
    assert CALLS == {}, "the cache has healed"


BIG_AND_SMALL = drawn(
    {
        "small": box("test.double", set={"x": 3}),
        "big": box("test.upper", set={"text": "word" * 20_000}),
        "after": box("test.upper", {"text": "big.text"}),
    },
    small="small.number",
    big="after.text",
)


def value_files(home: Home):
    return [path for path in (home.cache / "values").rglob("*") if path.is_file()]


def test_a_damaged_value_file_is_made_again(home):
    def flip():
        for path in value_files(home):
            data = bytearray(path.read_bytes())
            data[100] ^= 1
            path.write_bytes(data)

    broken_runs(home, flip)


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_truncated_value_file_is_made_again(home, content):
    broken_runs(home, lambda: [path.write_bytes(content) for path in value_files(home)])


def test_a_missing_value_file_is_made_again(home):
    broken_runs(home, lambda: [path.unlink() for path in value_files(home)])


@pytest.mark.parametrize("record", [b"", b"junk", b"\xc0", None, 5, "text"])
def test_a_damaged_record_is_made_again(home, record):
    def spoil():
        with sqlite3.connect(home.cache / "results.db") as database:
            database.execute("UPDATE results SET record = ?", (b"" if record is None else record,))
        database.close()

    broken_runs(home, spoil)


def test_one_flipped_bit_anywhere_in_a_record_is_seen(cache):
    cache.put(b"k", entry("value", 5))
    cache = reopened(cache)
    assert cache.get(b"k")
    with sqlite3.connect(cache.folder / "results.db") as database:
        ((record,),) = database.execute("SELECT record FROM results").fetchall()
        for at in range(len(record)):
            spoilt = bytearray(record)
            spoilt[at] ^= 4
            database.execute("UPDATE results SET record = ?", (bytes(spoilt),))
            database.commit()
            assert cache.get(b"k") is None
    database.close()
    cache.close()


@pytest.mark.parametrize("part", ["head", "middle", "all", "empty"])
def test_a_damaged_database_is_set_aside(home, part):
    def spoil():
        path = home.cache / "results.db"
        data = bytearray(path.read_bytes())
        if part == "head":
            data[:100] = b"\xff" * 100
        elif part == "middle":
            data[4096:] = b"\xff" * (len(data) - 4096)
        elif part == "all":
            data[:] = b"\xff" * len(data)
        else:
            data.clear()
        path.write_bytes(data)
        for beside in ("results.db-wal", "results.db-shm"):
            (home.cache / beside).unlink(missing_ok=True)

    broken_runs(home, spoil)


def test_a_database_of_another_shape_costs_only_time(home):
    home.cache.mkdir(parents=True)
    with sqlite3.connect(home.cache / "results.db") as database:
        database.execute("CREATE TABLE results(something TEXT)")
    database.close()
    engine = Engine(home, catalogue=kinds.catalogue())
    assert play(engine, BIG_AND_SMALL).result.status == "done"
    asyncio.run(engine.close())


@pytest.mark.parametrize("obstacle", ["a file where the home should be", "a folder where the database should be"])
def test_a_home_that_cannot_be_written_costs_only_time(home, obstacle):
    if "where the home" in obstacle:
        home.path.write_text("in the way")
    else:
        (home.cache / "results.db").mkdir(parents=True)
    engine = Engine(home, catalogue=kinds.catalogue())
    for _ in range(2):
        assert play(engine, BIG_AND_SMALL).result.status == "done"
    asyncio.run(engine.close())


IN_A_CHILD = """
import asyncio, os, resource, sys
sys.path[:0] = {path!r}
from support import kinds_for_tests as kinds
from support.playing import box, drawn, play
from phloem.runtime.engine import Engine
from phloem.runtime.home import Home
from pathlib import Path
{before}
engine = Engine(Home(Path({home!r})), catalogue=kinds.catalogue())
nodes = {{f"n{{i}}": box("test.upper", set={{"text": f"{{i}} " * {size}}}) for i in range({count})}}
played = play(engine, drawn(nodes, o="n0.text"), journal=False)
asyncio.run(engine.close())
print(played.result.status, sum(kinds.CALLS.values()))
"""


def in_a_child(
    home: Home, before: str = "", count: int = 20, size: int = 20_000, command: tuple[str, ...] = ()
) -> list[str]:
    code = IN_A_CHILD.format(path=sys.path, before=before, home=str(home.path), count=count, size=size)
    done = subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.split()


AS_ANYONE = () if os.geteuid() else ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Before a command: without the right of root to write what is read-only."""


@pytest.mark.skipif(bool(AS_ANYONE) and not shutil.which("setpriv"), reason="root may write everywhere")
@pytest.mark.parametrize("state", ["empty", "full", "closed"])
def test_a_read_only_home_costs_only_time(home, state):
    """One that may be read and not written, or not even be looked into."""
    home.cache.mkdir(parents=True)
    if state == "full":
        assert in_a_child(home) == ["done", "20"]
    for path in [home.path, *home.path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if state == "closed":
        home.path.chmod(0)
    try:
        assert in_a_child(home, command=AS_ANYONE)[0] == "done"
    finally:
        for path in [home.path, home.cache, *home.path.rglob("*")]:
            path.chmod(0o755)
    assert (home.cache / "results.db").exists() == (state == "full"), "it could not write indeed"


def test_a_full_disk_costs_only_time(home):
    """A limit on the size of every file stands for the full disk: writes fail in the middle."""
    limit = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))"
    assert resource.RLIMIT_FSIZE is not None
    assert in_a_child(home, limit) == ["done", "20"]
    assert in_a_child(home, limit) == ["done", "20"]
    assert not [path for path in value_files(home) if path.stat().st_size < 40_000], "no half of a value is left"
    assert in_a_child(home) == ["done", "20"]
    assert in_a_child(home) == ["done", "0"], "when there is room again, results are kept again"


def test_two_processes_share_a_cache_at_once(home):
    code = IN_A_CHILD.format(path=sys.path, before="", home=str(home.path), count=200, size=200)
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out.startswith("done")
    assert in_a_child(home, count=200, size=200) == ["done", "0"], "nothing either of them made was lost"


def test_a_process_killed_while_it_writes_leaves_a_sound_cache(home):
    code = IN_A_CHILD.format(
        path=sys.path,
        before="import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), os.kill(os.getpid(), 9))).start()",
        home=str(home.path), count=3000, size=20,
    )  # fmt: skip
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert killed.returncode == -9
    assert in_a_child(home, count=50, size=20)[0] == "done"
    assert in_a_child(home, count=50, size=20) == ["done", "0"]


def test_what_waits_for_the_disk_is_bounded(home, monkeypatch):
    monkeypatch.setattr("phloem.runtime.cache.cache.PENDING_LIMIT", 10_000)
    cache = Cache(home.cache)
    try:
        cache.put(b"large", Entry([store("x" * 20_000)], [preview("x")]))
        cache.put(b"small", Entry([store("x" * 2_000)], [preview("x")]))
        assert cache.get(b"large") is None
        assert cache.get(b"small") is not None
        cache.flush()
        cache.put(b"later", Entry([store("x" * 9_000)], [preview("x")]))
        assert cache.get(b"later") is not None
    finally:
        cache.close()
