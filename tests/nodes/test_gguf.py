"""Model files that are not what they should be are refused with a reason, and never reach llama.cpp."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phloem.nodes.services.models.local.gguf import read_header
from phloem.runtime.errors import ServiceError
from support.model_files import DEMO, MINILM, changed, renamed

pytestmark = pytest.mark.slow

DATA = DEMO.read_bytes()
TESTS = Path(__file__).parents[1]
HEADER = 32_000
"""Bytes of the demo model that lie before its tensors, roughly."""


def refusal(path: Path) -> str:
    with pytest.raises(ServiceError) as caught:
        read_header(path)
    assert str(path) in caught.value.message
    return caught.value.message


def test_a_header_tells_what_the_model_is_for() -> None:
    demo, minilm = read_header(DEMO), read_header(MINILM)
    assert (demo.architecture, demo.context_length, demo.makes_vectors) == ("llama", 1024, False)
    assert (minilm.architecture, minilm.context_length, minilm.makes_vectors) == ("bert", 512, True)
    assert "<|user|>" in demo.chat_template
    assert minilm.chat_template == ""
    assert demo.lists["tokenizer.ggml.tokens"] == 5120


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"<!doctype html><title>Not found</title>", "it is not a GGUF file"),
        (b"GGUF", "it is cut short"),
        (b"GGUF" + struct.pack(">I", 3) + DATA[8:], "of the other byte order"),
        (b"GGUF" + struct.pack("<I", 1) + DATA[8:], "GGUF version 1"),
        (DATA[:8] + struct.pack("<Q", 2**60) + DATA[16:], "its header is damaged"),
        (DATA[:16] + struct.pack("<Q", 2**60) + DATA[24:], "its header is damaged"),
        (DATA[:24] + struct.pack("<Q", 2**60) + DATA[32:], "its header is damaged"),
        (DATA[:1000], "it is cut short"),
        (DATA[:-1], "ends at byte"),
        (DATA[: len(DATA) // 2], "ends at byte"),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    assert reason in refusal(path)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.gguf")
    assert "directory" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"llama__attention__head_count": 0}, "head count is 0"),
        ({"llama__block_count": 2**31}, "block count is"),
        ({"llama__context_length": 0}, "context length is 0"),
        ({"llama__attention__head_count_kv": 3}, "4 heads cannot share 3"),
        ({"llama__rope__freq_base": float("nan")}, "freq_base is nan"),
        ({"llama__attention__layer_norm_rms_epsilon": -1.0}, "epsilon is -1"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(tmp_path: Path, values: dict[str, int | float], reason: str) -> None:
    assert reason in refusal(changed(tmp_path / "model.gguf", **values))


def test_a_file_that_does_not_say_what_vocabulary_it_has_is_refused(tmp_path: Path) -> None:
    path = renamed(tmp_path / "model.gguf", "tokenizer.ggml.model", "tokenizer.ggml.modes")
    assert "has no vocabulary" in refusal(path)


def test_a_context_that_is_a_list_is_refused(tmp_path: Path) -> None:
    key = b"llama.context_length"
    at = DATA.index(key) + len(key)
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA[:at] + struct.pack("<IIQI", 9, 4, 1, 1024) + DATA[at + 8 :] + b"\0" * 32)
    assert "its context length is None" in refusal(path)


def with_entry(target: Path, key: bytes, value: bytes) -> Path:
    """The demo model with one more entry in its metadata."""
    (entries,) = struct.unpack_from("<Q", DATA, 16)
    entry = struct.pack("<Q", len(key)) + key + value
    target.write_bytes(DATA[:16] + struct.pack("<Q", entries + 1) + entry + DATA[24:] + b"\0" * 32)
    return target


def test_a_text_that_is_very_long_is_no_damage(tmp_path: Path) -> None:
    """Some files carry a whole tokenizer in JSON, of several megabytes."""
    text = struct.pack("<IQ", 8, 3_000_000) + b"x" * 3_000_000
    header = read_header(with_entry(tmp_path / "model.gguf", b"tokenizer.huggingface.json", text))
    assert set(str(header.values["tokenizer.huggingface.json"])) == {"x"}
    assert header.context_length == 1024


def test_a_list_of_more_texts_than_any_model_has_is_damage(tmp_path: Path) -> None:
    count = 5_000_000
    path = with_entry(tmp_path / "model.gguf", b"x", struct.pack("<IIQ", 9, 8, count) + b"\0" * 8 * count)
    assert "header is damaged" in refusal(path)


def test_a_file_that_gets_shorter_while_it_is_read_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA)
    code = f"""
import os
from pathlib import Path
from phloem.nodes.services.models.local import gguf
from phloem.runtime.errors import ServiceError
path, header = Path({str(path)!r}), gguf._Reader.header
def cut(reader):
    os.truncate(path, 0)
    return header(reader)
gguf._Reader.header = cut
try:
    gguf.read_header(path)
except ServiceError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "cannot be used as a model" in done.stdout


def test_a_vocabulary_with_a_token_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA.replace(b"<|user|>", b"<|end|>\0", 1))
    assert "same token twice" in refusal(path)


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "two entries" in refusal(renamed(tmp_path / "model.gguf", "general.file_type", "llama.block_count"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(8, HEADER), data=st.binary(min_size=1, max_size=8))
def test_whatever_a_byte_of_the_header_is_there_is_a_header_or_a_reason(
    tmp_path: Path, place: int, data: bytes
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA[:place] + data + DATA[place + len(data) :])
    try:
        header = read_header(path)
    except ServiceError as error:
        assert error.hint
    else:
        assert header.architecture


def test_damaged_models_give_errors_and_never_end_the_process(tmp_path: Path) -> None:
    """Damages that llama.cpp met, in its own process, so that an abort is seen and not suffered."""
    code = f"""
import random, sys
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from phloem.runtime.errors import InputError, ServiceError
from support.engines import engine_of
data, path, chance = Path({str(DEMO)!r}).read_bytes(), Path({str(tmp_path / "model.gguf")!r}), random.Random(7)
met = set()
for number in range(120):
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 3])):
        changed[chance.randrange(24, 900 if number % 2 else {HEADER})] = chance.choice([0, 1, 2, 9, 255])
    path.write_bytes(changed)
    try:
        model = engine_of(path)
        model.ask("hi", max_tokens=2)
        errors = model.finish().errors
        model.close()
        met.add("damaged" if errors else "fine")
    except (InputError, ServiceError) as error:
        met.add(error.message.partition(":")[0][:17])
print(sorted(met))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "fine" in done.stdout
    assert "llama.cpp cannot" in done.stdout
