"""JSON as it is read: the same structure as YAML, with places, and nothing but JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.runtime.document import dump_json, parse
from phloem.runtime.document.json_tree import json_tree
from phloem.runtime.document.tree import Text, plain
from phloem.runtime.errors import DocumentError
from support.workflows import exactly, values

SAMPLE = """{
  "phloem": 1,
  "title": "Caf\\u00e9 \\ud83d\\ude00",
  "nodes": {
    "a": {"kind": "x@1", "in": {"t": ["input.p", "b.text"]}, "set": {"n": [1, -2.5e3, true, null, {}, []]}}
  }
}"""


@given(values)
@settings(max_examples=300, deadline=None)
def test_it_reads_what_the_standard_library_reads(value):
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        if "NaN" in text or "Infinity" in text or "\x7f" in text:
            return
        tree = json_tree(Text(text))
        assert tree is not None
        assert exactly(plain(tree)) == exactly(json.loads(text))


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from(
            [
                '{"phloem": 1',
                ",",
                ":",
                "{",
                "}",
                "[",
                "]",
                '"a"',
                '"',
                "1",
                "-",
                "0",
                ".5",
                "e3",
                "true",
                "nul",
                "\\u",
                " ",
                "\n",
                "//",
            ]
        ),
        max_size=16,
    ).map("".join)
)
@settings(max_examples=1000, deadline=None)
def test_any_mixture_of_json_is_read_as_the_standard_library_does_or_refused(text):
    source = Text(text)
    try:
        tree = json_tree(source)
    except DocumentError as error:
        assert error.problems[-1].line
        with pytest.raises(ValueError):
            json.loads(text)
        return
    if tree is not None and not source.problems:
        assert plain(tree) == json.loads(text)


def test_marks_and_values():
    document = parse(SAMPLE)
    assert document.form == "json"
    assert document.workflow.title == "Café 😀"
    assert document.workflow.nodes["a"].set == {"n": [1, -2500.0, True, None, {}, []]}
    assert document.marks.of("nodes", "a", "set", "n") == (5, 70)
    assert document.marks.of("nodes", "a", "set", "n", 1) == (5, 79)
    assert parse(dump_json(document)).workflow == document.workflow


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('{"a": 1,}', 1, 9, "comma"),
        ('{"a": [1,\n]}', 2, 1, "comma"),
        ('{"a": 1 "b": 2}', 1, 9, "comma"),
        ('{"a" 1}', 1, 6, "colon"),
        ('{"": 1,\n a: 1}', 2, 2, "double quotes"),
        ('{"a": "x', 1, 7, "never closed"),
        ('{"a": {"b": 1', 1, 7, "never closed"),
        ('{"a":', 1, 6, "cut off"),
        ('{"a": 1} x', 1, 10, "end of the JSON"),
        ('{"a": tru}', 1, 7, "not a JSON value"),
        ('{"a": NaN}', 1, 7, "not a JSON value"),
        ('{"a": 01}', 1, 7, "not a number"),
        ('{"a": 1.}', 1, 7, "not a number"),
        ('{"a": -}', 1, 7, "not a number"),
        ('{"a": 0x10}', 1, 7, "not a number"),
        ('{"a": "\\q"}', 1, 8, "escape"),
        ('{"a": "\\u12"}', 1, None, "escape"),
        ('{"a": "x\ny"}', 1, 9, "character"),
        ('{"a": "\\ud83d"}', 1, 7, "half of a character"),
        ('{"a": 1 // c\n}', 1, 9, "no comments"),
        ('{"a": 1, # c\n}', 1, 10, "double quotes"),
        ('{"a": 1e999}', 1, 7, "too large"),
        ('{"a": ' + "9" * 5000 + "}", 1, 7, "too large"),
        ('{"a": 1, "a": 2}', 1, 10, "line 1, column 2"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(text, line, column, words):
    with pytest.raises(DocumentError) as caught:
        parse(text, path="a.json")
    found = [one for one in caught.value.problems if "which format" not in one.message]
    assert len(found) == 1
    assert (found[0].line, column and found[0].column) == (line, column)
    assert words in str(found[0])


def test_a_file_cut_off_anywhere_is_an_error():
    for end in range(len(SAMPLE)):
        with pytest.raises(DocumentError):
            parse(SAMPLE[:end], path="a.json")


@pytest.mark.slow
def test_nesting_and_the_number_of_values_are_bounded():
    with pytest.raises(DocumentError, match="deep"):
        parse('{"a": ' + "[" * 50_000_000, limit=60_000_000)
    with pytest.raises(DocumentError, match="1,000,000 values"):
        parse('{"a": [' + "1," * 1_500_000 + "1]}")


@pytest.mark.parametrize("text", ["", " \n", "[]", "3", '"x"', "null"])
def test_json_that_is_no_workflow_is_said_to_be_none(text):
    with pytest.raises(DocumentError, match="a workflow file is a mapping"):
        parse(text, path="a.json")


def test_json_is_known_by_its_name_or_its_first_characters():
    assert parse('{"phloem": 1}').form == "json"
    assert parse("{phloem: 1}").form == "yaml"
    assert parse('{"phloem": 1}', path="a.flow.yaml").form == "json"
    with pytest.raises(DocumentError, match="double quotes"):
        parse("{phloem: 1}", path="a.JSON")
