"""The values a workflow is started with: from a program, from a command line, from the file itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given as for_all
from phloem.runtime.checks import check
from phloem.runtime.errors import CheckError
from phloem.runtime.inputs import absolute_paths, input_values, parse_input, path_inputs
from phloem.runtime.plan import compile_plan
from phloem.runtime.ports import PortType
from phloem.runtime.values import Document, Message
from support import kinds_for_tests as kinds
from support.playing import box, drawn, given
from support.values import json_values


def plan_of(inputs, nodes=None, **outputs):
    return compile_plan(check(drawn(nodes or {}, inputs, **outputs), kinds.catalogue()))


def test_what_is_given_comes_before_what_the_file_says():
    plan = plan_of({"a": given("text", "from the file"), "b": given("number", 1)}, a="input.a")
    assert input_values(plan, {}) == {"a": "from the file", "b": 1}
    assert input_values(plan, {"a": "given"}) == {"a": "given", "b": 1}


def test_an_input_nobody_reads_needs_no_value():
    assert input_values(plan_of({"a": given("text")}), {}) == {}


def test_values_are_made_to_fit():
    plan = plan_of(
        {"t": given("text"), "l": given("list[text]"), "d": given("document")}, t="input.t", l="input.l", d="input.d"
    )
    assert input_values(plan, {"t": 3, "l": "one", "d": {"text": "x"}}) == {"t": "3", "l": ["one"], "d": Document("x")}


def test_everything_wrong_with_the_inputs_is_told_at_once():
    plan = plan_of(
        {"question": given("text"), "count": given("number"), "page": given("text", "x")},
        q="input.question",
        c="input.count",
    )
    with pytest.raises(CheckError) as refused:
        input_values(plan, {"count": "many", "pagee": "y", "zzz": 1})
    assert [(one.message, one.hint) for one in refused.value.problems] == [
        ("there is no input called pagee", "Did you mean page?"),
        ("there is no input called zzz", "The inputs are question, count and page."),
        ("the input question has no value", "Give it with -i question=…"),
        ("input count: expected number, got text: many", None),
    ]


def test_a_workflow_without_inputs_says_so():
    with pytest.raises(CheckError, match="The workflow has no inputs"):
        input_values(plan_of({}), {"a": 1})


@pytest.mark.parametrize(
    "type, text, value",
    [
        ("text", "hello", "hello"), ("text", "3", "3"), ("text", "", ""), ("text", '"quoted"', '"quoted"'), ("model", "local:demo", "local:demo"),
        ("list[model]", '["local:a", "local:b"]', ["local:a", "local:b"]),
        ("number", "3", 3), ("number", "-2.5", -2.5), ("number", "1e3", 1000.0), ("boolean", "true", True), ("boolean", "FALSE", False),
        ("boolean", "yes", True), ("boolean", "0", False), ("json", '{"a": [1, null]}', {"a": [1, None]}), ("json", '"x"', "x"),
        ("list[number]", "[1, 2]", [1, 2]), ("list[number]", "1", [1]), ("list[text]", '["a", "b"]', ["a", "b"]),
        ("list[text]", "a\nb", ["a", "b"]), ("list[text]", "plain words", ["plain words"]), ("list[text]", "", []),
        ("document", '{"text": "x"}', Document("x")), ("document", "plain words", Document("plain words")),
        ("any", "[1]", [1]), ("any", "plain words", "plain words"), ("vector", "[1, 2.5]", [1, 2.5]),
        ("list[message]", '[{"role": "user", "content": "x"}]', [Message("user", "x")]),
    ],
)  # fmt: skip
def test_a_text_on_a_command_line_is_read_by_the_input_s_type(type, text, value):
    found = parse_input("a", text, PortType.parse(type))
    assert found == value
    assert found.__class__ is value.__class__


@pytest.mark.parametrize(
    "type, text, hint",
    [
        ("number", "three", "Write a number, such as 3 or 2.5."), ("number", "", "Write a number"), ("number", "true", "Write a number"),
        ("number", '"3"', "Write a number"), ("number", "[" * 100_000, "Write a number"), ("number", "9" * 5000, "Write a number"),
        ("boolean", "maybe", "Write true or false."), ("boolean", "2", "Write true or false."), ("json", "{a: 1}", "Write it as JSON"),
        ("list[number]", "1, 2", "Write it as JSON, such as"), ("vector", '["a"]', "Write it as JSON"),
        ("document", '{"title": "x"}', "Write it as JSON"), ("json", "[" * 100_000 + "]" * 100_000, "Write it as JSON"),
        ("hit", "words", "Write it as JSON"),
    ],
)  # fmt: skip
def test_a_text_that_is_none_of_the_type_is_refused_with_how_to_write_it(type, text, hint):
    with pytest.raises(CheckError) as refused:
        parse_input("a", text, PortType.parse(type))
    (problem,) = refused.value.problems
    assert problem.message.startswith("input a: ")
    assert len(problem.message) < 300
    assert str(problem.hint).startswith(hint)


@for_all(json_values())
def test_any_json_is_read_back_as_json(value):
    import json

    text = json.dumps(value)
    if "NaN" not in text and "Infinity" not in text:
        assert parse_input("a", text, PortType("json")) == value


def test_what_json_cannot_say_is_null():
    assert parse_input("a", "NaN", PortType("json")) is None
    assert math.isnan(parse_input("a", "NaN", PortType("number")))


def test_a_relative_path_is_meant_from_where_the_user_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    workflow = drawn(
        {"r": box("test.read", {"path": "input.file"}), "u": box("test.upper", {"text": "input.words"})},
        {"file": given("text"), "words": given("text"), "files": given("list[text]")},
        o="r.text",
    )
    more = drawn({"r": box("test.read", {"path": "input.files"})}, {"files": given("list[text]")})
    checked = check(workflow, kinds.catalogue())
    assert path_inputs(checked) == {"file"}
    assert path_inputs(check(more, kinds.catalogue())) == {"files"}
    for text, path in (
        ("/abs/a.txt", "/abs/a.txt"), ("~/a.txt", str(tmp_path / "me/a.txt")), ("http://example.org/a", "http://example.org/a"), ("", ""),
        ("~nosuchuser/a", str(tmp_path / "~nosuchuser/a")),
    ):  # fmt: skip
        assert absolute_paths(text, tmp_path) == path
    assert absolute_paths(["a", "/b", 3], tmp_path) == [str(tmp_path / "a"), "/b", 3]
