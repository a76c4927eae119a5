"""Port types, which output may feed which input, and what a value becomes on the way."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime.codec import json_form
from phloem.runtime.errors import InputError
from phloem.runtime.ports import BASES, LinkFit, Port, PortType, expect, join_link, number_to_text, type_of_value
from phloem.runtime.values import Blob, Collection, Document, Hit, Message, ToolCall
from support.kinds_for_tests import odd_value
from support.values import json_values, link_values

DOCUMENT = Document("words", title="T", source="a.txt", metadata={"page": 1})
HIT = Hit("found", 0.5, id="1")
MESSAGE = Message("user", "hello")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_type_is_read_back_from_its_words(base, depth):
    assert PortType.parse(str(PortType(base, depth))) == PortType(base, depth)


@pytest.mark.parametrize(
    "text, wanted",
    [(" text ", PortType("text")), ("list", PortType("any", 1)), ("list[ list ]", PortType("any", 2))],
)
def test_a_type_may_be_written_loosely(text, wanted):
    assert PortType.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "str", "list[", "list[]", "list[text", "text]", "Text", "list[str]", "dict"])
def test_what_is_not_a_type_is_refused_with_the_types_there_are(text):
    with pytest.raises(ValueError, match="types are text, number"):
        PortType.parse(text)


def test_a_type_nested_without_end_is_refused_at_once():
    with pytest.raises(ValueError, match="is not a type") as refused:
        PortType.parse("list[" * 200_000 + "text" + "]" * 200_000)
    assert len(str(refused.value)) < 1000


def test_the_item_and_the_list_of_a_type_are_opposites():
    assert PortType("text").listed == PortType("text", 1)
    assert PortType("text", 2).item == PortType("text", 1)
    assert PortType("text").item == PortType("any")


TAKES: list[tuple[str, str, int, Any, Any]] = [
    # source, target, levels mapped over, a value (one item of it when mapped), what enters the port
    ("text", "text", 0, "a", "a"),
    ("number", "text", 0, 3.0, "3"),
    ("number", "text", 0, 2.5, "2.5"),
    ("boolean", "text", 0, True, "true"),
    ("document", "text", 0, DOCUMENT, "words"),
    ("hit", "text", 0, HIT, "found"),
    ("message", "text", 0, MESSAGE, "hello"),
    ("model", "text", 0, "local:demo", "local:demo"),
    ("text", "model", 0, "local:demo", "local:demo"),
    ("image", "file", 0, Blob(b"x"), Blob(b"x")),
    ("text", "list[text]", 0, "a", ["a"]),
    ("number", "list[text]", 0, 3, ["3"]),
    ("list[number]", "list[text]", 0, [1, 2.5], ["1", "2.5"]),
    ("list[text]", "text", 1, "a", "a"),
    ("list[number]", "text", 1, 1, "1"),
    ("list[list[number]]", "text", 2, 1, "1"),
    ("list[list[number]]", "list[text]", 1, [1, 2], ["1", "2"]),
    ("list[text]", "list[list[text]]", 0, ["a"], [["a"]]),
    ("text", "any", 0, "a", "a"),
    ("list[text]", "any", 0, ["a"], ["a"]),
    ("list[text]", "list[any]", 0, ["a"], ["a"]),
    ("text", "list[any]", 0, "a", ["a"]),
    ("list[list[text]]", "list[any]", 0, [["a"]], [["a"]]),
    ("text", "json", 0, "a", "a"),
    ("list[number]", "json", 0, [1], [1]),
    ("list[document]", "json", 0, [Document("a")], [{"text": "a", "title": "", "source": "", "metadata": {}}]),
    ("message", "json", 0, MESSAGE, {"role": "user", "content": "hello"}),
    ("vector", "json", 0, [1.0], [1.0]),
    ("vector", "list[vector]", 0, [1.0], [[1.0]]),
    ("list[vector]", "vector", 1, [1.0], [1.0]),
    ("any", "text", 0, "a", "a"),
    ("json", "number", 0, 3, 3),
    ("json", "list[text]", 0, ["a", 2], ["a", "2"]),
    ("any", "document", 0, {"text": "a"}, Document("a")),
    ("list[any]", "text", 1, 3, "3"),
    ("list[json]", "hit", 1, {"text": "a", "score": 1}, Hit("a", 1)),
]


@pytest.mark.parametrize("source, target, maps, value, entered", TAKES)
def test_a_link_is_legal_when_nothing_is_lost(source, target, maps, value, entered):
    fit = join_link(PortType.parse(source), Port("in", PortType.parse(target)))
    assert isinstance(fit, LinkFit), fit
    assert fit.maps == maps
    assert (fit.coerce(value) if fit.coerce else value) == entered


@pytest.mark.parametrize(
    "source, target",
    [
        ("text", "number"), ("text", "boolean"), ("text", "document"), ("number", "boolean"), ("boolean", "number"),
        ("file", "text"), ("file", "image"), ("image", "audio"), ("collection", "text"), ("document", "hit"),
        ("document", "message"), ("vector", "text"), ("vector", "number"), ("list[number]", "vector"),
        ("text", "vector"), ("list[text]", "number"), ("list[file]", "text"), ("text", "list[number]"),
        ("text", "list[list[text]]"), ("number", "model"), ("collection", "model"), ("file", "json"),
    ],
)  # fmt: skip
def test_a_link_that_would_lose_something_is_refused_in_words(source, target):
    words = join_link(PortType.parse(source), Port("in", PortType.parse(target)))
    assert words == f"a {source} cannot become a {target}"


@pytest.mark.parametrize("base", ["image", "audio", "file"])
def test_what_has_no_json_form_does_not_become_json_silently(base):
    assert join_link(PortType(base), Port("in", PortType("json"))) == f"a {base} cannot become a json"


@pytest.mark.parametrize(
    "source, target, value, entered",
    [
        ("text", "list[text]", "a", ["a"]),
        ("list[text]", "list[text]", ["a", "b"], ["a", "b"]),
        ("list[number]", "list[text]", [1], ["1"]),
        ("text", "any", "a", "a"),
        ("list[text]", "any", ["a"], ["a"]),
        ("number", "text", 1, "1"),
    ],
)
def test_a_port_for_many_links_takes_what_each_brings(source, target, value, entered):
    fit = join_link(PortType.parse(source), Port("in", PortType.parse(target), many=True))
    assert isinstance(fit, LinkFit)
    assert fit.maps == 0
    assert (fit.coerce(value) if fit.coerce else value) == entered


@pytest.mark.parametrize("source, target", [("list[list[text]]", "list[text]"), ("list[text]", "text")])
def test_a_port_for_many_links_never_maps(source, target):
    words = join_link(PortType.parse(source), Port("in", PortType.parse(target), many=True))
    assert words == f"a {source} cannot become a {target}"


@pytest.mark.parametrize(
    "value, wanted, fitted",
    [
        ("a", "text", "a"), (3, "text", "3"), (3.0, "text", "3"), (True, "text", "true"), (DOCUMENT, "text", "words"),
        (1, "number", 1), (1.5, "number", 1.5), (False, "boolean", False), ([1, 2.0], "vector", [1, 2.0]),
        ([], "vector", []), ("a", "list[text]", ["a"]), (("a", "b"), "list[text]", ["a", "b"]), ([], "list[text]", []),
        ([[1], 2], "list[list[number]]", [[1], [2]]), ({"text": "a"}, "document", Document("a")),
        ({"role": "user", "content": "b"}, "message", Message("user", "b")),
        ({"role": "tool", "content": "3", "call_id": "1"}, "message", Message("tool", "3", call_id="1")),
        ({"role": "assistant", "content": "", "calls": []}, "message", Message("assistant", "")),
        ({"role": "assistant", "content": "", "calls": [{"id": "1", "name": "add"}]}, "message",
         Message("assistant", "", calls=(ToolCall("1", "add"),))),
        ({"name": "c", "model": "m"}, "collection", Collection("c", "m")), (None, "json", None), (None, "any", None),
        ({1: {2}}, "any", {1: {2}}), ([math.nan, Document("a", metadata={"k": [1]})], "json",
        [None, {"text": "a", "title": "", "source": "", "metadata": {"k": [1]}}]),
    ],
)  # fmt: skip
def test_a_value_is_turned_where_nothing_is_lost(value, wanted, fitted):
    found = expect(value, PortType.parse(wanted))
    assert found == fitted
    assert type(found) is type(fitted)


@pytest.mark.parametrize(
    "value, wanted",
    [
        ("3", "number"), (True, "number"), (1, "boolean"), ("true", "boolean"), (None, "text"), ([1, 2], "text"),
        (["a"], "text"), ([True], "text"), ([DOCUMENT], "text"), ({"a": 1}, "text"), (Blob(b""), "text"),
        ([1, True], "vector"), (["1"], "vector"), ("ab", "vector"), ((1, 2), "vector"), ("a", "document"),
        ({"text": "a", "extra": 1}, "document"), ({}, "document"), ({"text": 5}, "document"), ({1: "a"}, "document"),
        ({"text": "a", "metadata": []}, "document"), ({"text": "a", "title": None}, "document"),
        ({"text": "a", "score": True}, "hit"), ({"text": "a", "score": "1"}, "hit"),
        ({"role": "root", "content": "b"}, "message"), ({"role": "user", "content": None}, "message"),
        ({"role": "user", "content": "", "calls": {}}, "message"), ({"role": "user", "content": "", "calls": "ab"}, "message"),
        ({"role": "user", "content": "", "calls": [1]}, "message"), ({"role": "user", "content": "", "calls": [{}]}, "message"),
        ({"role": "user", "content": "", "calls": [{"id": 1, "name": "a"}]}, "message"), ({"role": "user", "content": "", "images": ["a"]}, "message"),
        ({"role": "user", "content": "", "calls": [{"id": "1", "name": "a", "arguments": []}]}, "message"),
        ({"role": "user", "content": "", "calls": [{"id": "1", "name": "a", "more": 1}]}, "message"),
        ({"role": "user", "content": "", "images": [{"data": "text"}]}, "message"), ({"role": "user", "content": "", "call_id": None}, "message"),
        ({"role": ["user"], "content": ""}, "message"), (["a", None], "list[text]"), ([["a"]], "list[text]"),
        (b"bytes", "file"), (Document("a"), "hit"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_with_what_came_instead(value, wanted):
    with pytest.raises(InputError, match=r"expected (the JSON form of a )?\w+") as refused:
        expect(value, PortType.parse(wanted))
    assert len(str(refused.value)) < 300


@pytest.mark.slow
@pytest.mark.parametrize("what", ["deep", "deep dict", "deep document", "loop", "loop of big"])
def test_a_value_nested_without_end_is_refused_as_json(what):
    with pytest.raises(InputError, match="nested more than 200 levels deep"):
        expect(odd_value(what), PortType("json"))


@pytest.mark.parametrize("value", [Blob(b"x"), [b"x"]])
def test_bytes_are_not_made_json(value):
    with pytest.raises(InputError, match="bytes have no JSON form"):
        expect(value, PortType("json"))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["deep", "loop", "wide", "huge int", "no length", "no words"])
@pytest.mark.parametrize("wanted", ["text", "document", "vector", "list[boolean]"])
def test_a_hostile_value_of_another_type_is_refused_in_few_words(what, wanted):
    with pytest.raises(InputError) as refused:
        expect(odd_value(what), PortType.parse(wanted))
    assert len(str(refused.value)) < 300


@given(link_values())
def test_a_message_comes_back_from_its_json_form(value):
    if isinstance(value, Message) and not value.images:
        form = json.loads(json.dumps(json_form(value)))
        made = expect(form, PortType("message"))
        assert json_form(made) == form
        assert (made.role, made.content, made.call_id) == (value.role, value.content, value.call_id)
        assert [(one.id, one.name) for one in made.calls] == [(one.id, one.name) for one in value.calls]


@given(json_values(), st.sampled_from([PortType(base, depth) for base in BASES for depth in (0, 1, 2)]))
def test_any_json_value_is_made_to_fit_or_refused(value, wanted):
    try:
        found = expect(value, wanted)
    except InputError:
        return
    assert expect(found, wanted) == found or _has_nan(found), "what fits is left alone"


def _has_nan(value: Any) -> bool:
    return "nan" in repr(value)


@given(st.floats(allow_nan=False) | st.integers())
def test_a_number_written_as_text_is_the_same_number(number):
    text = number_to_text(number)
    assert (float(text) if isinstance(number, float) else int(text)) == number
    assert not text.endswith(".0") or abs(number) >= 1e15


@pytest.mark.parametrize(
    "value, name",
    [
        ("a", "text"), (1, "number"), (True, "boolean"), (None, "json"), ({}, "json"), ([], "list[any]"),
        (["a", "b"], "list[text]"), (["a", 1], "list[any]"), ([[1], [2]], "list[list[number]]"),
        ((1, 2), "list[number]"), (DOCUMENT, "document"), (HIT, "hit"), (MESSAGE, "message"), (Blob(b""), "file"),
        (Collection("a", "b"), "collection"), (object(), "any"),
    ],
)  # fmt: skip
def test_the_type_of_a_value_is_the_narrowest(value, name):
    assert str(type_of_value(value)) == name
