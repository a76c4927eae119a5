"""A recording in a file: readable, in one order, and refused when somebody or something has spoilt it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from phloem.runtime.codec import UnstorableValue, pack, unpack
from phloem.runtime.errors import ConfigError, JournalError, ServiceError
from phloem.runtime.recording import Exchange, FileKeeper, Given, Head, read_recording
from phloem.runtime.recording.plain import as_question, from_plain, key_of, plain
from phloem.runtime.recording.recording import Sent, Spent
from support.values import link_values

HEAD = Head(seed=7, model="dear:one", embedding="local:minilm", inputs={"n": 3})


def exchange(node: str, turn: int = 0, text: str = "Hello", **more: Any) -> Exchange:
    return Exchange(node, "answer", {"prompt": text}, Given({"finish": "stop"}, **more), turn)


def keep(path: Path, *exchanges: Exchange, head: Head = HEAD, finished: bool = True) -> FileKeeper:
    keeper = FileKeeper(path, head)
    for one in exchanges:
        keeper.keep(one, key_of(one.question), 0)
    keeper.close(finished)
    return keeper


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.phloem-recording"


@pytest.mark.slow
@given(link_values())
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    try:
        data = plain(value)
    except UnstorableValue:
        pytest.fail("it could be packed")
    # By what is shown of it: there are several NaN.
    assert repr(from_plain(json.loads(json.dumps(data)))) == repr(unpack(pack(value)))


@pytest.mark.slow
@given(link_values())
def test_every_value_can_be_asked_about(value: Any) -> None:
    data = as_question({"asked": value})
    assert key_of(json.loads(json.dumps(data))) == key_of(data)


def test_what_has_no_form_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(300):
        nested = [nested]
    for value in (object(), nested, {1, 2}):
        with pytest.raises(UnstorableValue):
            plain(value)


def test_the_lines_are_sorted_whatever_came_first(path: Path, tmp_path: Path) -> None:
    parts = [exchange("each/10/a"), exchange("each/9/a", 1), exchange("each/9/a", 0, "First"), exchange("a")]
    keep(path, *parts)
    keep(tmp_path / "other", *reversed(parts))
    text = path.read_text()
    assert text == (tmp_path / "other").read_text()
    head, *lines = map(json.loads, text.splitlines())
    assert head == {
        "phloem_recording": 1, "seed": 7, "model": "dear:one", "embedding": "local:minilm", "inputs": {"n": 3},
    }  # fmt: skip
    assert [(one["node"], one["asked"]["prompt"]) for one in lines] == [
        ("a", "Hello"), ("each/9/a", "First"), ("each/9/a", "Hello"), ("each/10/a", "Hello"),
    ]  # fmt: skip
    assert not path.with_name(f"{path.name}.partial").exists()


def test_it_is_read_as_it_was_kept(path: Path) -> None:
    said = ["a\u2028b ", Spent(3, 1, 0, 0.25), "\ud800", Sent("dear:one", "…")]
    whole = exchange("a", said=said, seconds=1.25, delays=[0.5, 0.75])
    failed = exchange("b", error=ServiceError("no", hint="later", retryable=True))
    keep(path, whole, failed, exchange("c", broken_off=True))
    recording = read_recording(path)
    key = key_of({"prompt": "Hello"})
    found = {node: recording.given(node, "answer", key, 0) for node in "abc"}
    assert found["a"] == whole.given
    assert found["b"] is not None and str(found["b"].error) == "no\n  later"
    assert found["c"] is not None and found["c"].broken_off
    assert recording.given("a", "answer", key, 1) is None
    assert recording.head == HEAD
    assert str(recording.place) == path.name
    assert path.read_bytes().count(b"\n") == 4 == len(path.read_text().splitlines())


def test_a_person_may_change_it(path: Path) -> None:
    keep(path, exchange("a", said=["yes"]))
    path.write_text(path.read_text().replace("Hello", "Good day").replace('"yes"', '"no"') + "\n")
    found = read_recording(path).given("a", "answer", key_of({"prompt": "Good day"}), 0)
    assert found is not None and found.said == ["no"]


LINE = '{"node": "a", "call": "answer", "asked": {"model": "m", "prompt": "x"}, "gave": 1}'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (LINE[:-9], "not JSON"),
        ("[1]", "it is no object"),
        ('{"node": "a", "call": "answer", "gave": 1}', "lacks node, call or asked"),
        (LINE.replace('"a"', "5"), "lacks node, call or asked"),
        (LINE.replace('"gave": 1', '"more": 1'), "it has no answer"),
        (LINE.replace("1}", '{"$": "document", "text": 5}}'), "document cannot have 'text' like this"),
        (LINE.replace("1}", '{"$": "message", "images": [1]}}'), "message cannot have 'images' like this"),
        (LINE.replace("1}", '{"$": "object", "is": [[[1], 2]]}}'), "cannot be read"),
        (LINE.replace("1}", '{"$": "os.system"}}'), "'os.system' is no kind of value"),
        (LINE.replace("1}", '{"$": "bytes", "base64": "?"}}'), "cannot be read"),
        (LINE.replace("1}", '{"$": "number", "is": "many"}}'), "invalid literal"),
        (LINE.replace("1}", "NaN}"), "not JSON: NaN"),
        (LINE.replace("1}", "1" * 5000 + "}"), "integer string conversion"),
        (LINE.replace("1}", "[" * 5000 + "]" * 5000 + "}"), "nested"),
        (LINE.replace('"x"', "[" * 700 + "]" * 700).replace("1}", "null}"), "nested too deeply"),
        (LINE, "cannot be the answer to 'answer'"),
        (LINE.replace("1}", '{"finish": "stopp"}}'), "cannot be the answer to 'answer'"),
        (LINE.replace("1}", '{"chances": [["a", -1, [["b"]]]]}}'), "cannot be the answer to 'answer'"),
        (LINE.replace("1}", '1, "said": [{"spent": {"money": -1}}]}'), "that no model says"),
        (LINE.replace("1}", '1, "said": [{"spent": {"read": 1.5}}]}'), "that no model says"),
        (LINE.replace("1}", '1, "said": 5}'), "have to be lists"),
        (LINE.replace("1}", '1, "seconds": -1}'), "lengths of time"),
        (LINE.replace("1}", '1, "delays": ["x"]}'), "lengths of time"),
        (LINE.replace("1}", '1, "error": {"error": "SystemExit", "message": ""}}'), "of no known class"),
        (LINE.replace("1}", '1, "error": {"error": "InputError"}}'), "has no message"),
        (LINE.replace("1}", '1, "error": {"error": "InputError", "message": "", "called": "a b"}}'), "no class could have"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused_with_its_line(path: Path, line: str, says: str) -> None:
    path.write_text(f'{{"phloem_recording": 1}}\n{LINE.replace("1}", "null}")}\n{line}\n')
    with pytest.raises(ConfigError, match="record it again") as found:
        read_recording(path)
    assert found.value.message.startswith(f"{path}:3: the recording is damaged: ")
    assert says in found.value.message
    assert len(found.value.message) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("call", "asked", "gave"),
    [
        ("embed", {"model": "m", "texts": ["a"]}, [1]),
        ("rerank", {"model": "m", "query": "q", "texts": ["a"]}, None),
        ("count", {"model": "m"}, "many"),
        ("about", {"model": "m"}, {"name": "m", "provider": "p", "makes": "cakes"}),
        ("estimate", {"model": "m", "read": 1, "written": 1}, "dear"),
        ("identity", {"model": "m"}, None),
        ("request", {"method": "GET", "url": "u"}, {"url": "u", "status": 200, "headers": {}, "body": "text"}),
        ("now", {}, "noon"),
        ("ask", {"asks": "?", "type": "text", "choices": []}, "yes"),
        ("files.read", {"path": "p"}, "text"),
        ("collection.search", {"collection": "c", "vector": [1]}, ["hit"]),
    ],
)
def test_an_answer_that_no_node_could_use_is_refused(path: Path, call: str, asked: Any, gave: Any) -> None:
    line = {"node": "a", "call": call, "asked": asked, "gave": gave}
    path.write_text(f'{{"phloem_recording": 1}}\n{json.dumps(line)}\n')
    with pytest.raises(
        ConfigError, match=f":2: the recording is damaged: what it gave cannot be the answer to '{call}'"
    ):
        read_recording(path)
    # A node may use the same word for something of its own.
    path.write_text(f'{{"phloem_recording": 1}}\n{json.dumps({**line, "asked": {"device": 1}})}\n')
    assert call == "now" or read_recording(path).nodes() == {"a"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not a recording"),
        (b"phloem: 1\nnodes: {}\n", "is not a recording"),
        (b'{"phloem_recording": true}\n', "is not a recording"),
        (b"\xff\xfe{}", "is not a recording"),
        (b'{"phloem_recording": 2}\n', "of the form 2, and this version reads the form 1"),
        (b'{"phloem_recording": 1, "seed": "x"}\n', ":1: the recording is damaged"),
        (b'{"phloem_recording": 1, "inputs": 5}\n', ":1: the recording is damaged"),
        (b'{"phloem_recording": 1}\n\xff\n', ":2: the recording is damaged: it is not UTF-8 (byte 1)"),
    ],
)
def test_what_is_no_recording_is_refused(path: Path, data: bytes, says: str) -> None:
    path.write_bytes(data)
    with pytest.raises(ConfigError) as found:
        read_recording(path)
    assert says in found.value.message


def test_where_there_is_none_it_says_how_one_is_made(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no recording .*\n.*--record"):
        read_recording(path)
    with pytest.raises(ConfigError, match="is a folder"):
        read_recording(tmp_path)


def test_another_file_is_not_overwritten(path: Path) -> None:
    path.write_text("my notes")
    with pytest.raises(ConfigError, match="is no recording, so it stays as it is"):
        FileKeeper(path, HEAD)
    assert path.read_text() == "my notes"
    keep(path.with_name("new"), exchange("a"))
    keep(path.with_name("new"), exchange("b"))
    assert '"b"' in path.with_name("new").read_text()
    with pytest.raises(ConfigError, match="no such file or directory"):
        FileKeeper(path.parent / "none" / "x", HEAD)
    path.with_name("new.partial").write_text("my notes too")
    with pytest.raises(ConfigError, match=r"new\.partial is there and is no recording"):
        FileKeeper(path.with_name("new"), HEAD)


def test_a_run_that_was_cancelled_leaves_the_file_and_what_it_had_beside_it(path: Path) -> None:
    keep(path, exchange("a"))
    before = path.read_text()
    keep(path, exchange("b"), finished=False)
    assert path.read_text() == before
    partial = path.with_name(f"{path.name}.partial")
    assert read_recording(partial).nodes() == {"b"}


def test_several_threads_keep_at_once(path: Path) -> None:
    keeper = FileKeeper(path, HEAD)

    def some(start: int) -> None:
        for number in range(start, start + 50):
            one = exchange(f"each/{number}/a", text="long " * 500)
            keeper.keep(one, b"", 0)

    threads = [threading.Thread(target=some, args=(50 * index,)) for index in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    keeper.close(True)
    nodes = [json.loads(line)["node"] for line in path.read_text().splitlines()[1:]]
    assert nodes == [f"each/{number}/a" for number in range(200)]


def test_a_disk_that_is_full_is_told_and_no_recording_with_a_gap_is_made(path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    keep(path, exchange("a"))
    before = path.read_text()
    keeper = FileKeeper(path, HEAD)
    real, keeper._file = keeper._file, open("/dev/full", "w+b")  # noqa: PTH123, SIM115
    with pytest.raises(JournalError, match=r"cannot record to .*: no space left"):
        keeper.keep(exchange("b"), b"", 0)
    full, keeper._file = keeper._file, real
    with pytest.raises(JournalError, match="no space left"):
        keeper.keep(exchange("c"), b"", 0)
    with pytest.raises(JournalError, match="no space left"):
        keeper.close(True)
    assert path.read_text() == before
    with pytest.raises(OSError, match="No space"):
        full.close()


@pytest.mark.slow
def test_what_was_asked_before_a_kill_is_there(path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from phloem.runtime.recording import Exchange, FileKeeper, Given, Head
        keeper = FileKeeper(Path(sys.argv[1]), Head(seed=7))
        for number in range(100):
            keeper.keep(Exchange("a", "answer", {"prompt": str(number)}, Given(number), number), b"", 0)
        print("kept", flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not path.exists()
    recording = read_recording(path.with_name(f"{path.name}.partial"))
    assert len(list(recording.questions("a", "answer"))) == 100
