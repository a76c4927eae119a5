"""The byte form of values: nothing is lost in it, and it is equal exactly when the values are."""

from __future__ import annotations

import json
import math
import pickle
import struct
from dataclasses import fields, is_dataclass
from typing import Any

import msgpack
import pytest
from hypothesis import given
from phloem.runtime.codec import UnstorableValue, digest, json_form, pack, unpack
from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message, ToolCall, Unlit
from support.kinds_for_tests import ODD, odd_value
from support.values import json_values, link_values


def exact(value: Any) -> Any:
    """A form of a value that Python compares as strictly as the cache must: 1, 1.0 and True differ, NaN equals NaN."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack(">d", value))
    if isinstance(value, dict):
        return ("dict", [(exact(key), exact(item)) for key, item in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [exact(item) for item in value])
    if is_dataclass(value):
        return (type(value).__name__, [exact(getattr(value, one.name)) for one in fields(value)])
    return (type(value).__name__, value)


@given(link_values())
def test_every_value_comes_back_as_it_was(value):
    assert exact(unpack(pack(value))) == exact(value)


@given(link_values(), link_values())
def test_the_bytes_are_equal_exactly_when_the_values_are(one, other):
    assert (pack(one) == pack(other)) == (exact(one) == exact(other))


@given(link_values())
def test_the_bytes_of_what_came_back_are_the_same(value):
    assert pack(unpack(pack(value))) == pack(value)


DIFFERENT = [
    0, -0.0, 0.0, 1, 1.0, True, False, None, "1", "", b"1", b"", [], (), {}, [1], (1,), [1.0], [True], ["1"], [[1]], {"1": 1},
    {1: 1}, {1.0: 1}, {True: 1}, math.nan, math.inf, -math.inf, 2**63, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, 2**2000,
    float(2**64), str(2**64), "\ud800", "\udfff", "\\ud800", "a", "A", "é", "e\u0301", {"a": 1, "b": 2}, {"b": 2, "a": 1},
    Message("user", "a", (Blob(b"a"),)), Message("user", "a", call_id="a"), Message("assistant", "a", calls=(ToolCall("a", "b"),)),
    ToolCall("a", "b"), ToolCall("a", "b", {"c": 1}), ToolCall("b", "a"), {"id": "a", "name": "b", "arguments": {}},
    UNLIT, "UNLIT", Document("a"), Document("a", title=""), Document("", title="a"), Message("user", "a"), Hit("a", 1),
    Hit("a", 1.0), Hit("a", True), Collection("a", ""), Blob(b"a"), Blob(b"a", "n"), Blob(b"", "a"), Document("a", metadata={"k": 2**70}),
    Document("a", metadata={"k": [2**70]}), {"text": "a", "title": "", "source": "", "metadata": {}}, (2**70,), [2**70],
]  # fmt: skip


def test_a_message_of_an_earlier_version_is_read_as_one_without_images_and_calls():
    old = msgpack.ExtType(3, msgpack.packb(["user", "hello"]))
    assert unpack(msgpack.packb([old])) == [Message("user", "hello")]


def test_values_that_differ_have_different_digests():
    digests: dict[bytes, Any] = {}
    for value in DIFFERENT:
        mark = digest(pack(value))
        if mark in digests:
            assert exact(digests[mark]) == exact(value)
        digests[mark] = value
    assert len(digests) == len(DIFFERENT) - 1, "only the two ways of writing one Document are the same"


def test_a_digest_has_twenty_bytes_and_follows_the_content():
    assert len(digest(b"")) == 20
    assert digest(b"a") == digest(bytearray(b"a")) != digest(b"b")


def test_bytes_that_can_change_are_stored_as_bytes():
    assert unpack(pack(bytearray(b"ab"))) == b"ab"


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["deep", "deep dict", "deep document", "loop", "loop of big", "no length", "no words", "set"]
)
def test_what_has_no_byte_form_is_told_and_never_crashes(what):
    with pytest.raises(UnstorableValue, match="cannot be stored"):
        pack(odd_value(what))


class Text(str):
    """A text of a library's own class."""


class Count(int):
    """A number of a library's own class."""


@pytest.mark.parametrize("value, plain", [(Text("a"), "a"), (Count(3), 3), (Count(2**70), 2**70), ([Text("b")], ["b"])])
def test_values_of_a_library_s_own_class_are_stored_as_plain_ones(value, plain):
    assert exact(unpack(pack(value))) == exact(plain)


def test_unlit_is_one_and_the_same_everywhere():
    assert Unlit() is UNLIT
    assert pickle.loads(pickle.dumps(UNLIT)) is UNLIT
    assert unpack(pack([UNLIT]))[0] is UNLIT
    assert repr(UNLIT) == "UNLIT"


@given(link_values())
def test_the_json_form_can_always_be_written_as_json(value):
    json.loads(json.dumps(json_form(value), allow_nan=False))


@given(json_values())
def test_the_json_form_of_json_is_the_same_but_for_what_json_cannot_say(value):
    text = json.dumps(value)
    if not any(word in text for word in ("NaN", "Infinity")):
        assert exact(json_form(value)) == exact(value)


@pytest.mark.slow
@pytest.mark.parametrize("what", ODD)
def test_the_json_form_of_the_oddest_values_is_bounded_and_can_be_written(what):
    if what == "no length":
        assert "_NoLength" in json_form(odd_value(what))
    json.dumps(json_form(odd_value(what)), allow_nan=False)


def test_the_json_form_says_what_it_leaves_out():
    assert json_form(math.nan) is None
    assert json_form(UNLIT) is None
    assert json_form(Blob(b"abc", "n", "t")) == {"data": {"bytes": 3}, "name": "n", "media_type": "t"}
    assert json_form({1: (1, Document("a"))}) == {"1": [1, {"text": "a", "title": "", "source": "", "metadata": {}}]}
    assert json_form(10**6000) == hex(10**6000)
    assert json_form(Message("user", "a")) == {"role": "user", "content": "a"}, "what a message lacks is not said"
    assert json_form(Message("assistant", "", calls=(ToolCall("1", "add", {"a": 1}),), call_id="2")) == {
        "role": "assistant", "content": "", "calls": [{"id": "1", "name": "add", "arguments": {"a": 1}}], "call_id": "2",
    }  # fmt: skip
    assert json_form(Message("user", "a", (Blob(b"abc", "n", "t"),)))["images"] == [
        {"data": {"bytes": 3}, "name": "n", "media_type": "t"}
    ]
    loop: list[Any] = [1]
    loop.append(loop)
    assert json_form(loop) == [1, "…"]
    assert json_form([[1], [1]]) == [[1], [1]], "a value that stands twice is not inside itself"
